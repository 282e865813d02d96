"""What the build leaves out of a program, or puts elsewhere, changes nothing that the program does."""

import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from websocket_heartbeat.miniprogram.bundle import build
from websocket_heartbeat.miniprogram.language import Record
from websocket_heartbeat.miniprogram.options import settings_of
from websocket_heartbeat.miniprogram.specialise import specialise
from websocket_heartbeat.miniprogram.undefined import leave_undefined


def special(source: str) -> str:
    return ast.unparse(specialise(ast.parse(source), ["main_init"]))


def run(source: str) -> list[Any]:
    """Run a flat program as JavaScript would; return what it notes."""
    notes: list[Any] = []
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            stored = {
                n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            }
            node.body[:0] = [ast.Global([name]) for name in sorted(stored) if name[0].isupper()]

    def note(value: Any) -> Any:
        notes.append(value)
        return value

    names: dict[str, Any] = {"note": note}
    exec(compile(ast.fix_missing_locations(tree), "flat", "exec"), names)
    names["main_init"]()
    return notes


def test_what_is_always_the_same_decides_branches_beforehand() -> None:
    source = """
Machine_paused = False
def main_init():
    machine_lost(1, 0.0)
    machine_lost(2, 0.0)
def machine_lost(now, hint):
    Machine_paused = False
    note(now)
    if hint > 0 or Machine_paused:
        note('never')
"""
    assert "never" not in special(source)
    assert "paused" not in special(source)
    assert run(special(source)) == run(source) == [1, 2]


ORDERS = {
    "an argument that the function changes before it reads it": """
def main_init():
    Machine_count = 1
    machine_add(Machine_count)
    note(Machine_count)
def machine_add(count):
    Machine_count = 5
    note(count)
""",
    "an argument that is changed by a call before it": """
def main_init():
    Machine_count = 1
    note(machine_sum(Machine_count))
    note(machine_sum(Machine_count))
def machine_sum(count):
    return machine_next() + count
def machine_next():
    Machine_count = Machine_count + 1
    note(Machine_count)
    return Machine_count
""",
    "a variable that is changed before its copy is read": """
def main_init():
    Machine_count = 1
    old = Machine_count + 1
    Machine_count = 7
    Machine_old = old * 2
    note(Machine_old)
    note(Machine_count)
    Machine_old = 3
""",
    "an entry that is changed before its copy is read": """
def main_init():
    opts = {'a': note(1)}
    old = opts['a']
    opts['a'] = 2
    Machine_old = old + 1
    note(Machine_old)
    Machine_old = 3
    note(opts['a'])
""",
    "a return in the midst of a function with one caller": """
def main_init():
    for now in [1, 2]:
        machine_woke(now)
    note('end')
def machine_woke(now):
    if now > 1:
        note('late')
        return
    note('early')
""",
    "local variables of one name in caller and callee": """
def main_init():
    action = 1
    machine_emit(2)
    note(action)
def machine_emit(kind):
    action = kind
    note(action)
    note(kind)
""",
    "a call before another, kept for later": """
def main_init():
    first = note(1)
    Machine_sum = note(2) + first
    note(Machine_sum)
    Machine_sum = 3
""",
    "a function that only calls another, and one that gives what another gives": """
def main_init():
    machine_stop(1)
    machine_stop(2)
    note(machine_next())
    note(machine_next())
    machine_halt(3)
def machine_stop(number):
    machine_halt(number)
def machine_halt(number):
    Machine_halted = number
    note(Machine_halted)
def machine_next():
    return machine_one()
def machine_one():
    note(1)
    return 2
""",
    "a variable that is always given, and changed before it is read": """
def main_init():
    Machine_link = 1
    machine_lost(Machine_link)
    machine_lost(Machine_link)
def machine_lost(link):
    Machine_link = Machine_link + 1
    if link != Machine_link:
        note(link)
""",
    "conditions within conditions": """
def main_init():
    for one in [1, 2]:
        for other in [1, 2]:
            machine_check(one, other)
            machine_check(other, one)
def machine_check(one, other):
    if not (one != other or (one == 1 and not other == 2)):
        note(one)
    if not (one == 1 and other != 2):
        note(other)
""",
    "a deed whose value nobody reads": """
def main_init():
    unread = note(1)
    Machine_unread = note(2)
""",
}


@pytest.mark.parametrize("source", ORDERS.values(), ids=list(ORDERS))
def test_the_order_of_what_happens_stays(source: str) -> None:
    assert run(source) != []
    assert run(special(source)) == run(source)


def test_each_call_of_a_function_with_closures_keeps_variables_of_its_own() -> None:
    source = """
def main_init():
    made = []
    for number in [1, 2]:
        Machine_link = link_new(number)
        made.append(Machine_link)
    for each in made:
        each()
def link_new(number):
    def link_tell():
        note(number)
    return link_tell
"""
    assert run(special(source)) == run(source) == [1, 2]


def test_a_variable_that_is_always_given_is_read_where_it_is() -> None:
    source = """
def main_init():
    Machine_link = note(1)
    machine_heard(Machine_link)
    machine_heard(Machine_link)
def machine_heard(link):
    if link != Machine_link:
        note('never')
    else:
        note('heard')
"""
    assert "never" not in special(source)
    assert run(special(source)) == run(source) == [1, "heard", "heard"]


def test_what_is_nothing_or_false_at_first_is_left_to_javascript() -> None:
    source = """
def main_init(given):
    Main_host = given
    Main_timer = None
    Main_is_busy = False
    Main_queue = []
    Main_count = 0
    this_task.onOpen = None
    this_task.socketTask = None
    main_settle(1, None)
    main_settle(None, 2)
def link_new():
    Link_native = None
    Link_limit = 5
    this_link.link_is_over = False
    return this_link
def main_settle(number, event):
    Main_timer = None
    note(None)
"""
    left = """
Main_queue = []
Main_count = 0
def main_init(given):
    Main_host = given
    this_task.onOpen = Object
    this_task.socketTask = None
    main_settle(1)
    main_settle(None, 2)
def link_new():
    Link_limit = 5
    return this_link
def main_settle(number, event):
    Main_timer = None
    note(None)
"""
    program = leave_undefined(ast.parse(source), ["main_init"])
    assert ast.unparse(program) == ast.unparse(ast.parse(left))


@pytest.mark.parametrize("minify", [False, True])
def test_what_only_a_server_in_python_has_is_not_in_the_files(minify: bool) -> None:
    for target in ("miniprogram", "browser"):
        code = build("cjs", target, minify=minify)
        for name in ("path dead", "reading_paused", "must be above 0", "prototype"):
            assert name not in code


NUMBERS = st.none() | st.floats() | st.sampled_from([0, 1, 0.5, -1, 2**31, 31536000000, 31536000001])
NAMES = [
    "pingTimeout",
    "pongTimeout",
    "reconnectTimeout",
    "maxReconnectTimeout",
    "openTimeout",
    "stableAfter",
]


@given(st.fixed_dictionaries(dict.fromkeys([*NAMES, "repeatLimit", "sendQueue"], NUMBERS)))
def test_settings_accept_whatever_the_options_do(opts: dict[str, Any]) -> None:
    # So the files need not hold what Settings checks once more.
    said = "must be a number, at least"
    try:
        settings_of(Record(opts))
    except ValueError as error:
        said = str(error)
    assert "must be a number, at least" in said
