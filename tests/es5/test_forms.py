"""Each form of portable Python, and the JavaScript that it becomes."""

import pytest
from tools.es5 import Module, translate

FORMS: dict[str, tuple[str, str]] = {
    "a constant, with what explains it": (
        '''
# Seconds
LONGEST: Final = 31536000.0
"""One year."""
NAME: Final = "name"
''',
        """
// Seconds
/** One year. */
var LONGEST = 31536000;
var NAME = "name";
""",
    ),
    "a function, with its docstring": (
        '''
def half(number: float) -> float:
    """Half of it."""
    return number / 2
''',
        """
/** Half of it. */
function half(number) {
    return number / 2;
}
""",
    ),
    "a default, which stands for what is missing; None needs nothing": (
        """
def wait(seconds: float, name: str = "x", code: int | None = None) -> None:
    return
""",
        """
function wait(seconds, name, code) {
    if (name === undefined) { name = "x"; }
    return;
}
""",
    ),
    "keywords, which become positions": (
        """
def wait(seconds: float, name: str = "x", is_last: bool = False) -> None:
    pass

def probe(name: str) -> None:
    wait(1, is_last=True)
    wait(seconds=2.5, name="y")
    wait(1, name=name)
""",
        """
function wait(seconds, name, is_last) {
    if (name === undefined) { name = "x"; }
    if (is_last === undefined) { is_last = false; }
}

function probe(name) {
    wait(1, undefined, /* is_last: */ true);
    wait(/* seconds: */ 2.5, /* name: */ "y");
    wait(1, name);
}
""",
    ),
    "a function of many parameters, one a line": (
        """
def measure(
    the_first_of_many_parameters: float,
    the_second_of_many_parameters: float,
    the_third_of_many_parameters: float,
) -> None:
    pass
""",
        """
function measure(
    the_first_of_many_parameters,
    the_second_of_many_parameters,
    the_third_of_many_parameters
) {
}
""",
    ),
    "a call of several lines": (
        """
def wait(seconds: float, name: str) -> None:
    pass

def probe() -> None:
    wait(
        1,
        name="y",
    )
""",
        """
function wait(seconds, name) {
}

function probe() {
    wait(
        1,
        /* name: */ "y"
    );
}
""",
    ),
    "a class becomes a constructor and its prototype": (
        '''
class Box:
    """A box."""

    def __init__(self, side: float) -> None:
        self.side = side

    def area(self) -> float:
        """Of one side."""
        return self.side * self.side

def probe() -> float:
    box = Box(2)
    return box.area()
''',
        """
/** A box. */
function Box(side) {
    this.side = side;
}

/** Of one side. */
Box.prototype.area = function () {
    return this.side * this.side;
};

function probe() {
    var box = new Box(2);
    return box.area();
}
""",
    ),
    "a base class": (
        """
class Box:
    def __init__(self, side: float) -> None:
        self.side = side

class Cube(Box):
    def __init__(self, side: float) -> None:
        super().__init__(side)

    def volume(self) -> float:
        return self.side * self.side * self.side
""",
        """
function Box(side) {
    this.side = side;
}

function Cube(side) {
    Box.call(this, side);
}
Cube.prototype = Object.create(Box.prototype);
Cube.prototype.constructor = Cube;

Cube.prototype.volume = function () {
    return this.side * this.side * this.side;
};
""",
    ),
    "a closure says `self`, for it has a `this` of its own": (
        """
class Box:
    def __init__(self) -> None:
        self.side = 1

    def later(self) -> Callable[[], float]:
        def grown() -> float:
            return self.side + 1

        return grown

    def now(self) -> Callable[[float], float]:
        return lambda more: self.side
""",
        """
function Box() {
    this.side = 1;
}

Box.prototype.later = function () {
    var self = this;
    function grown() {
        return self.side + 1;
    }

    return grown;
};

Box.prototype.now = function () {
    var self = this;
    return function (more) { return self.side; };
};
""",
    ),
    "a variable that a block sets first is declared before it": (
        """
def probe(is_short: bool) -> str:
    name = "long"
    if is_short:
        text = "short"
        name = text
    return name
""",
        """
function probe(is_short) {
    var text;
    var name = "long";
    if (is_short) {
        text = "short";
        name = text;
    }
    return name;
}
""",
    ),
    "if, elif, else": (
        """
def probe(number: float) -> str:
    if number < 0:
        return "below"
    elif number == 0:
        return "zero"
    else:
        # More than nothing.
        return "above"
""",
        """
function probe(number) {
    if (number < 0) {
        return "below";
    } else if (number === 0) {
        return "zero";
    } else {
        // More than nothing.
        return "above";
    }
}
""",
    ),
    "while": (
        """
def probe(words: list[str]) -> None:
    while len(words) > 0:
        words.pop(0)
""",
        """
function probe(words) {
    while (words.length > 0) {
        words.shift();
    }
}
""",
    ),
    "try: JavaScript has no classes of errors": (
        """
def probe(action: Callable[[], None]) -> Any:
    try:
        action()
    except Exception as error:
        return error
    return None
""",
        """
function probe(action) {
    try {
        action();
    } catch (error) {
        return error;
    }
    return null;
}
""",
    ),
    "an error": (
        """
def probe(name: str, number: float) -> None:
    raise ValueError(name + " must not be " + str(number))
""",
        """
function probe(name, number) {
    throw new Error(name + " must not be " + String(number));
}
""",
    ),
    "attributes and entries": (
        """
class Box:
    def __init__(self) -> None:
        self.opts: dict[str, Any] = read()

def read() -> dict[str, Any]:
    raise ValueError("never")

def probe(box: Box, key: str) -> Any:
    box.opts["side"] = 2
    box.opts[key] = box.opts["no name"]
    return box.opts["side"]
""",
        """
function Box() {
    this.opts = read();
}

function read() {
    throw new Error("never");
}

function probe(box, key) {
    box.opts.side = 2;
    box.opts[key] = box.opts["no name"];
    return box.opts.side;
}
""",
    ),
    "lists": (
        """
def probe(words: list[str]) -> int:
    found: list[str] = []
    found.append("first")
    word: str = words.pop(0)
    found.append(word.lower())
    return len(found)
""",
        """
function probe(words) {
    var found = [];
    found.push("first");
    var word = words.shift();
    found.push(word.toLowerCase());
    return found.length;
}
""",
    ),
    "strings: where a part begins, parts from here to there, the length": (
        """
def probe(text: str, part: str) -> str:
    at = text.find(part)
    rest = (text + part)[at + len(part + "x") :]
    return text[:at] + rest[1:2]
""",
        """
function probe(text, part) {
    var at = text.indexOf(part);
    var rest = (text + part).slice(at + (part + "x").length);
    return text.slice(0, at) + rest.slice(1, 2);
}
""",
    ),
    "arithmetic, with the parentheses of the Python": (
        """
def probe(a: float, b: float) -> float:
    return (a + b) * 2 - (a - (b - 1)) / 4
""",
        """
function probe(a, b) {
    return (a + b) * 2 - (a - (b - 1)) / 4;
}
""",
    ),
    "a sum of strings": (
        """
def probe(name: str) -> str:
    return "on" + name
""",
        """
function probe(name) {
    return "on" + name;
}
""",
    ),
    "what is undefined is None, too": (
        """
def probe(a: int | None, b: Any) -> bool:
    return a is None or b is not None
""",
        """
function probe(a, b) {
    return a == null || b != null;
}
""",
    ),
    "equality of values and of objects": (
        """
def probe(a: int, b: str | None, c: Any, d: list[int]) -> bool:
    return a == 1 and b != "x" and c is not d
""",
        """
function probe(a, b, c, d) {
    return a === 1 && b !== "x" && c !== d;
}
""",
    ),
    "and, or, not; parentheses for people": (
        """
def probe(a: bool, b: bool, c: bool) -> bool:
    return a or b and not (a or c)
""",
        """
function probe(a, b, c) {
    return a || (b && !(a || c));
}
""",
    ),
    "one or the other": (
        """
def probe(a: bool) -> int:
    return 1 if a else 2
""",
        """
function probe(a) {
    return a ? 1 : 2;
}
""",
    ),
    "asking for a function": (
        """
def probe(thing: Any) -> bool:
    return callable(thing)
""",
        """
function probe(thing) {
    return typeof thing === "function";
}
""",
    ),
    "min and max": (
        """
def probe(a: float, b: float) -> float:
    return min(a, max(b, 1, 2))
""",
        """
function probe(a, b) {
    return Math.min(a, Math.max(b, 1, 2));
}
""",
    ),
    "foreign objects are touched as they are": (
        """
def probe(host: Any) -> Any:
    host.onopen = lambda event: event.reason
    return host.connect("x", 1)
""",
        """
function probe(host) {
    host.onopen = function (event) { return event.reason; };
    return host.connect("x", 1);
}
""",
    ),
    "an annotation makes a kind known": (
        """
def probe(options: dict[str, Any]) -> float:
    width: float = options["width"]
    return width * 2
""",
        """
function probe(options) {
    var width = options.width;
    return width * 2;
}
""",
    ),
    "comments": (
        """
def probe() -> int:
    # Above a statement,
    # in two lines.
    first = 1  # behind it

    # After an empty line.
    return first  # noqa: F841
""",
        """
function probe() {
    // Above a statement,
    // in two lines.
    // behind it
    var first = 1;

    // After an empty line.
    return first;
}
""",
    ),
    "what ends a line in JavaScript only": (
        """
def probe() -> str:
    # One\u2028line.
    return "one\u2028line"
""",
        """
function probe() {
    // One line.
    return "one\\u2028line";
}
""",
    ),
    "an error without a name": (
        """
def probe(action: Callable[[], None]) -> None:
    try:
        action()
    except Exception:
        pass
""",
        """
function probe(action) {
    try {
        action();
    } catch (ignored) {
    }
}
""",
    ),
    "imports and type checking leave nothing": (
        """
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sample import probe

def probe() -> None:
    pass
""",
        """
function probe() {
}
""",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_becomes(form: str) -> None:
    python, javascript = FORMS[form]
    script = str(translate([Module("sample", "sample.py", python)]))
    assert script.removeprefix("\n// sample.py\n").strip("\n") == javascript.strip("\n")


def test_modules_share_one_scope_and_tell_where_they_come_from() -> None:
    first = Module("a", "a.py", '# Lint.\n"""What a is for."""\n\ndef one() -> int:\n    return 1\n')
    second = Module("b", "b.py", "from a import one\n\ndef two() -> int:\n    return one() + 1\n")
    assert (
        str(translate([first, second]))
        == """
// a.py
// Lint.
/** What a is for. */

function one() {
    return 1;
}

// b.py

function two() {
    return one() + 1;
}
"""
    )


def test_what_is_written_by_hand_is_checked_against_its_signature_and_not_translated() -> None:
    clock = """
class Clock:
    def now(self) -> float:
        return time.monotonic()

def _helper() -> None:
    import time
"""
    user = """
from clock import Clock

def later(clock: Clock) -> float:
    return clock.now() + 1
"""
    program = translate(
        [Module("clock", "clock.py", clock, is_declared=True), Module("user", "user.py", user)]
    )
    assert "return clock.now() + 1;" in str(program)
    assert "monotonic" not in str(program)
    assert program.needed == {"Clock"}


def test_members_of_portable_classes_can_be_given_short_names_and_foreign_ones_keep_theirs() -> None:
    source = """
class Box:
    def __init__(self) -> None:
        self.side = 1

    def area(self) -> int:
        return self.side * self.side

def probe(box: Box, thing: Any, entries: dict[str, Any]) -> Any:
    thing.side = box.area()
    return entries["area"]
"""
    module = Module("sample", "sample.py", source)
    program = translate([module], {"side": "s", "area": "a"})
    assert "return this.s * this.s;" in str(program)
    assert "thing.side = box.a();\n    return entries.area;" in str(program)
    assert (dict(program.members), program.foreign) == ({"side": 3, "area": 2}, {"side"})


def test_the_same_modules_give_the_same_text() -> None:
    modules = [Module(name, f"{name}.py", python) for name, (python, _) in list(FORMS.items())[:1]]
    assert str(translate(modules)) == str(translate(modules))
