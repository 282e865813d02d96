"""What portable Python may not say, and what the error says about it, with file and line."""

import pytest
from tools.es5 import Module, NotPortable, translate
from tools.es5.bundle import load

WORLD = """
from typing import Any, Callable

class Box:
    def __init__(self, side: int) -> None:
        self.side = side

    def area(self) -> int:
        return self.side * self.side

def measure(width: int, height: int, depth: int = 1) -> int:
    return width * height * depth

def choose(is_wide: bool = True) -> bool:
    return is_wide

def sample(
    number: float, text: str, truth: bool, flag: bool | None, code: int | None, values: list[int],
    entries: dict[str, Any], thing: Any, box: Box, call: Callable[..., int]
) -> Any:
"""
"""What the expressions and statements below may name."""

NO_RULE = "there is no rule for `{}`"
NOT_THE_SAME = "`{}` might mean something else in JavaScript"
NOT_KNOWN = "`{}` is not known to mean the same in JavaScript"
TARGET_FIRST = "JavaScript evaluates the target first: name the value, or the object, before"
NO_NUMBERS = "`{}` is not known to be of numbers, or a sum of strings"

EXPRESSIONS: list[tuple[str, str]] = [
    # Constants and displays
    ("9007199254740993", NO_RULE),
    ("1e999", "there is no rule for `1e309`"),
    ("b'abc'", NO_RULE),
    ("-7", NO_RULE),
    ("[1, 2]", NO_RULE),
    ("(1, 2)", NO_RULE),
    ("{1, 2}", NO_RULE),
    ("{'a': 1}", NO_RULE),
    ("f'{number}'", NO_RULE),
    # Names and members
    ("window", "the name window is not defined in portable code"),
    ("box.size", "Box has no attribute size"),
    ("box.constructor", "a member named constructor has a meaning of its own in JavaScript"),
    ("box.area", "the method area would lose its object: use a lambda"),
    ("thing.area", "the method area would lose its object: use a lambda"),
    ("text.size", "a str has no attributes"),
    ("entries['constructor']", "a member named constructor has a meaning of its own in JavaScript"),
    ("entries['toLocaleString']", "a member named toLocaleString has a meaning of its own in JavaScript"),
    ("entries[1]", "only entries of dicts, by strings, are portable"),
    ("values[0]", "only entries of dicts, by strings, are portable"),
    ("text[0]", "only entries of dicts, by strings, are portable"),
    ("values[1:]", "only slices of strings, by numbers, are portable"),
    ("thing[1:]", "only slices of strings, by numbers, are portable"),
    ("text[text:]", "only slices of strings, by numbers, are portable"),
    ("text[:code]", "only slices of strings, by numbers, are portable"),
    ("text[::2]", "there is no rule for `::2`"),
    # Operators
    ("number + text", NO_NUMBERS),
    ("thing + thing", NO_NUMBERS),
    ("values + values", NO_NUMBERS),
    ("text * 2", NO_NUMBERS),
    ("number % 3", NO_NUMBERS),
    ("number ** 2", NO_NUMBERS),
    ("number // 2", NO_NUMBERS),
    ("number | 1", NO_NUMBERS),
    ("1 / number", "the divisor must be a number other than 0, written there"),
    ("1 / 0", "the divisor must be a number other than 0, written there"),
    ("0 < number < 3", NO_RULE),
    ("text < 'b'", NOT_THE_SAME),
    ("values == values", NOT_THE_SAME),
    ("thing == thing", NOT_THE_SAME),
    ("truth == number", NOT_THE_SAME),
    ("code == code", NOT_THE_SAME),
    ("text is 'x'", NOT_THE_SAME),
    ("thing is entries['a']", NOT_THE_SAME),
    ("None is thing", NOT_THE_SAME),
    ("thing == 1", NOT_THE_SAME),
    ("(flag and truth) == flag", NOT_THE_SAME),
    ("'a' in text", NOT_THE_SAME),
    ("number in values", NOT_THE_SAME),
    ("1 if values else 2", "`values` is not known to be a boolean; truth differs in JavaScript"),
    ("not entries", "`entries` is not known to be a boolean; truth differs in JavaScript"),
    ("text or 'x'", "`text` is not known to be a boolean; truth differs in JavaScript"),
    ("thing and truth", "`thing` is not known to be a boolean; truth differs in JavaScript"),
    ("(value := 3)", NO_RULE),
    # Calls
    ("measure(1)", "the call gives no height"),
    ("measure(1, 2, 3, 4)", "there are more arguments than parameters"),
    (
        "measure(height=1, width=2)",
        "the keyword width is not a parameter, or not in the order of the parameters",
    ),
    (
        "measure(1, 2, length=3)",
        "the keyword length is not a parameter, or not in the order of the parameters",
    ),
    ("measure(1, 2, entries['a'])", "depth has a default, so what it is given must not be None"),
    ("measure(1, 2, depth=code)", "depth has a default, so what it is given must not be None"),
    ("measure(truth, 2)", "a bool is no number in JavaScript"),
    ("1 if truth else truth", "a bool is no number in JavaScript"),
    ("truth if truth else 1", "a bool is no number in JavaScript"),
    ("choose(flag and truth)", "is_wide has a default, so what it is given must not be None"),
    ("measure(*values)", "there is no rule for `*values`"),
    ("call(width=1)", "keywords need a function whose parameters are known"),
    ("thing.call(width=1)", "keywords need a function whose parameters are known"),
    ("call()()", NO_RULE),
    ("box.grow()", "Box has no method grow"),
    ("thing.index(1)", NOT_KNOWN),
    ("values.insert(0, 1)", NOT_KNOWN),
    ("values.pop()", NOT_KNOWN),
    ("entries.get('a')", NOT_KNOWN),
    ("text.strip()", NOT_KNOWN),
    ("text.find(thing)", NOT_KNOWN),
    ("text.find('x', 1)", NOT_KNOWN),
    ("thing.find('x')", NOT_KNOWN),
    ("number.is_integer()", NOT_KNOWN),
    ("super().area()", "there is no rule for `super()`"),
    ("len(thing)", NO_RULE),
    ("len(entries)", NO_RULE),
    ("str(number)", NO_RULE),
    ("int(text)", NO_RULE),
    ("round(number)", NO_RULE),
    ("sorted(values)", NO_RULE),
    ("min(values)", NO_RULE),
    ("float('inf')", NO_RULE),
    ("isinstance(thing, int)", "the name int is not defined in portable code"),
    # Functions and loops in expressions
    ("lambda value=number: value", NO_RULE),
    ("lambda default: 1", "the name default has a meaning of its own in JavaScript or in the script"),
    ("[value for value in values]", NO_RULE),
    ("any(value > 1 for value in values)", "there is no rule for `(value > 1 for value in values)`"),
]

STATEMENTS: list[tuple[str, str]] = [
    ("one, two = thing", "an assignment has one target"),
    ("one = two = 1", NO_RULE),
    ("number += 1", NO_RULE),
    ("default = 1", "the name default has a meaning of its own in JavaScript or in the script"),
    ("Math = 1", "the name Math has a meaning of its own in JavaScript or in the script"),
    ("__value = 1", "the name __value has a meaning of its own in JavaScript or in the script"),
    ("number = thing", "this was a number before: an annotation must say that it still is"),
    ("box.side = thing", "this was a number before: an annotation must say that it still is"),
    ("number = truth", "a bool is no number in JavaScript"),
    ("count: int = truth", "a bool is no number in JavaScript"),
    ("box.side = truth", "a bool is no number in JavaScript"),
    ("thing.inner.side = call()", TARGET_FIRST),
    ("call().side = thing.side", TARGET_FIRST),
    ("entries[thing.key] = call()", TARGET_FIRST),
    ("len = 1", "the name len has a meaning of its own in JavaScript or in the script"),
    ("def text() -> int: return 1", "the name text is a variable, too, or another function"),
    ("def inner() -> int: return truth", "a bool is no number in JavaScript"),
    ("del number", NO_RULE),
    ("global count", NO_RULE),
    ("assert truth", NO_RULE),
    ("yield 1", NO_RULE),
    ("truth", NO_RULE),
    ("for value in values: pass", "there is no rule for `for value in values:`"),
    ("while values: pass", "`values` is not known to be a boolean; truth differs in JavaScript"),
    ("with thing: pass", "there is no rule for `with thing:`"),
    ("match number:\n        case 1: pass", "there is no rule for `match number:`"),
    ("if truth:\n        def inner() -> int: return 1", "there is no rule for `def inner() -> int:`"),
    ("def inner(value: int = 1) -> int: return 1", "a function within a function has no defaults"),
    ("raise", NO_RULE),
    ("raise ValueError", NO_RULE),
    ("raise ValueError(1)", "the message of an error is a string"),
    ("raise ValueError('x', 'y')", NO_RULE),
    ("raise ValueError('x') from thing", NO_RULE),
    ("raise Box('x')", NO_RULE),
    ("try: pass\n    finally: pass", "there is no rule for `try:`"),
    ("try: pass\n    except Exception: pass\n    else: pass", "there is no rule for `try:`"),
]


def with_method(head: str, body: str) -> str:
    """A class with a method."""
    return f"class Box:\n    def __init__(self) -> None:\n        pass\n    def {head}\n        {body}"


MODULES: dict[str, tuple[str, str]] = {
    "a module of the standard library": ("import time  ##", NO_RULE),
    "a module of the package that is not portable": (
        "from websocket_heartbeat.errors import Error  ##",
        NO_RULE,
    ),
    "a relative import": ("from .settings import Settings  ##", NO_RULE),
    "a name that a module does not define": (
        "from websocket_heartbeat.core.settings import Nothing  ##",
        "websocket_heartbeat.core.settings has no Nothing to import",
    ),
    "another name for what is imported": (
        "from websocket_heartbeat.core.settings import Settings as Numbers  ##",
        "websocket_heartbeat.core.settings has no Settings to import",
    ),
    "a name that another module defines": (
        "LONGEST: Final = 1.0  ##",
        "LONGEST is defined twice in portable modules, which share one scope",
    ),
    "a constant that can change": ("NAMES: Final = ['a']  ##", NO_RULE),
    "a statement": ("print('x')  ##", NO_RULE),
    "more than imports for type checkers": (
        "if TYPE_CHECKING:\n    LIMIT: Final = 1  ##",
        "only imports are for type checkers alone",
    ),
    "a function in upper case": (
        "def Box() -> int:  ##\n    return 1",
        "the function Box looks like a class",
    ),
    "a class in lower case": ("class box:  ##\n    pass", "the class box looks like a function"),
    "an async function": ("async def sample() -> int:  ##\n    return 1", NO_RULE),
    "a decorator": ("@cache  ##\ndef sample() -> int:\n    return 1", "decorators are not portable"),
    "a parameter without annotation": (
        "def sample(value) -> int:  ##\n    return 1",
        "the parameter value needs an annotation",
    ),
    "any number of arguments": (
        "def sample(*values: int) -> int:  ##\n    return 1",
        "parameters are positional, without *, ** and /",
    ),
    "parameters that must be keywords": (
        "def sample(*, value: int) -> int:  ##\n    return 1",
        "parameters are positional, without *, ** and /",
    ),
    "a default that is no constant": (
        "def sample(values: list[int] = []) -> int:  ##\n    return 1",
        "a default is a constant",
    ),
    "a default instead of None": (
        "def sample(value: int | None = 1) -> int:  ##\n    return 1",
        "value may be None, so its default must be None",
    ),
    "a name of typing that says more than an annotation needs": (
        "from typing import Optional  ##",
        "Optional of typing has no meaning here",
    ),
    "a function that is defined again": (
        """
def sample() -> int:
    def inner() -> int:
        return 1
    first: int = inner()
    def inner() -> int:  ##
        return 2
    return first
""",
        "the name inner is a variable, too, or another function",
    ),
    "the name of an error that has none": (
        "ignored: Final = 1  ##",
        "the name ignored has a meaning of its own in JavaScript or in the script",
    ),
    "a parameter that hides the base class": (
        """
class Box:
    def __init__(self) -> None:
        pass
class Cube(Box):
    def __init__(self, Box: int) -> None:
        super().__init__()  ##
""",
        "super().__init__ is for the methods of a class that has a base class",
    ),
    "a closure that sets an outer variable": (
        """
def sample() -> Any:
    count = 1
    def more() -> None:
        nonlocal count  ##
    return more
""",
        NO_RULE,
    ),
    "a class of errors": (
        """
def sample() -> None:
    try:
        sample()
    except ValueError:  ##
        pass
""",
        "except takes Exception: JavaScript has no classes of errors",
    ),
    "an error with the name of a variable": (
        """
def sample() -> int:
    error = 1
    try:
        sample()
    except Exception as error:  ##
        pass
    return error
""",
        "the name error of the error is used already, or has a meaning of its own",
    ),
    "the text of an error": (
        """
def sample() -> str:
    try:
        return sample()
    except Exception as error:
        return str(error)  ##
""",
        "there is no rule for `str(error)`",
    ),
    "a base class that is not portable": (
        "class Box(Exception):  ##\n    def __init__(self) -> None:\n        pass",
        "the base class Exception is not portable",
    ),
    "two base classes": ("class Box(One, Two):  ##\n    pass", NO_RULE),
    "a metaclass": ("class Box(metaclass=type):  ##\n    pass", NO_RULE),
    "an attribute of a class": ("class Box:\n    side = 1  ##", "a class holds methods only"),
    "a class that does not begin with __init__": (
        "class Box:  ##\n    def area(self) -> int:\n        return 1",
        "a class begins with its __init__",
    ),
    "a method without self": (
        "class Box:\n    def __init__(this) -> None:  ##\n        pass",
        "a method begins with self",
    ),
    "a special method": (
        with_method("__len__(self) -> int:  ##", "return 1"),
        "__len__ is a method of Python's types, too",
    ),
    "a method that Python's types have": (
        with_method("keys(self) -> int:  ##", "return 1"),
        "keys is a method of Python's types, too",
    ),
    "a method that every function of JavaScript has": (
        with_method("length(self) -> int:  ##", "return 1"),
        "a member named length has a meaning of its own in JavaScript",
    ),
    "an attribute that __init__ does not set": (
        with_method("grow(self) -> None:", "self.side = 3  ##"),
        "side is not set in __init__",
    ),
    "super without a base class": (
        "class Box:\n    def __init__(self) -> None:\n        super().__init__()  ##",
        "super().__init__ is for the methods of a class that has a base class",
    ),
    "super in a closure": (
        """
class Box:
    def __init__(self) -> None:
        pass
class Cube(Box):
    def __init__(self) -> None:
        def later() -> None:
            super().__init__()  ##
        later()
""",
        "super().__init__ is for the methods of a class that has a base class",
    ),
}


def problems(source: str) -> list[str]:
    with pytest.raises(NotPortable) as caught:
        translate([load("core.close_codes"), load("core.settings"), Module("sample", "sample.py", source)])
    assert str(caught.value) == "not portable to JavaScript:\n" + "\n".join(caught.value.problems)
    return caught.value.problems


@pytest.mark.parametrize(("expression", "message"), EXPRESSIONS)
def test_an_expression_without_a_rule_is_named(expression: str, message: str) -> None:
    source = f"{WORLD}    return {expression}\n"
    assert problems(source) == [f"sample.py:{source.count(chr(10))}: {message.format(expression)}"]


@pytest.mark.parametrize(("statement", "message"), STATEMENTS)
def test_a_statement_without_a_rule_is_named(statement: str, message: str) -> None:
    found = problems(f"{WORLD}    {statement}\n")
    assert [problem.partition(": ")[2] for problem in found] == [message.format(statement)]


@pytest.mark.parametrize("construct", MODULES)
def test_a_definition_without_a_rule_is_named_with_file_and_line(construct: str) -> None:
    source, message = MODULES[construct]
    lines = source.splitlines()
    number, line = next(each for each in enumerate(lines, 1) if "##" in each[1])
    assert problems(source) == [f"sample.py:{number}: {message.format(line.replace('  ##', '').strip())}"]


def test_one_run_names_every_line() -> None:
    source = "import one\n\ndef sample() -> int:\n    del one\n    while 1:\n        pass\n    return 1\n"
    assert [problem.split(":")[1] for problem in problems(source)] == ["1", "4", "5"]


def test_a_module_that_is_not_there_cannot_be_loaded() -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        load("core.nothing")
