"""What is known of a value from annotations, and JavaScript expressions that carry this knowledge."""

import ast
from collections.abc import Mapping
from typing import Final, NamedTuple


class Kind(NamedTuple):
    """What is known of a value.

    name: number, str, bool, list, dict, Callable, None or the name of a class; empty if nothing is known.
    may_be_none: whether it may also be None, which in JavaScript is null or undefined.
    result: of a Callable, the kind of what it returns.
    """

    name: str
    may_be_none: bool = False
    result: "Kind | None" = None

    def settled(self, value: "Kind") -> "Kind":
        """The kind of what has this one and is set to a value of another: the first that is known."""
        return value if self == UNSET else self


UNKNOWN: Final = Kind("", True)
UNSET: Final = Kind("unset", True)
"""Of a variable or an attribute, before the translation has come to where it is set."""
NONE: Final = Kind("None", True)
NUMBER: Final = Kind("number")
STR: Final = Kind("str")
BOOL: Final = Kind("bool")
LIST: Final = Kind("list")
CALLABLE: Final = Kind("Callable")

_ANNOTATIONS: Final = {"int": NUMBER, "float": NUMBER, "Any": UNKNOWN, "object": UNKNOWN}
"""Other names stand for themselves."""

_LEVELS: Final = ("?", "||", "&&", "== != === !==", "< <= > >=", "+ -", "* /", "!", "()")
_BINDS: Final = {word: level for level, words in enumerate(_LEVELS) for word in words.split()}
"""How tightly JavaScript's operators bind."""


class Js(NamedTuple):
    """An expression of JavaScript: its text, its kind, and its outermost operator."""

    text: str
    kind: Kind = UNKNOWN
    operator: str = "()"

    def within(self, operator: str, *, is_right: bool = False) -> str:
        """The text as an operand of `operator`, in parentheses where it needs them."""
        return f"({self.text})" if _BINDS[self.operator] < _BINDS[operator] + is_right else self.text


def kind_of(annotation: ast.expr | None) -> Kind:
    """What an annotation says."""
    match annotation:
        case ast.Constant(str(text)):
            return kind_of(ast.parse(text, mode="eval").body)
        case ast.Constant(None):
            return NONE
        case ast.Subscript(ast.Name("Callable"), ast.Tuple([_, result])):
            return Kind("Callable", result=kind_of(result))
        case ast.Name(name) | ast.Subscript(ast.Name(name)):
            return _ANNOTATIONS.get(name, Kind(name))
        case ast.BinOp(some, ast.BitOr(), ast.Constant(None)):
            return kind_of(some)._replace(may_be_none=True)
    return UNKNOWN


def kind_of_value(value: ast.expr, names: Mapping[str, Kind]) -> Kind:
    """The kind of a value, as far as it can be told before anything is translated.

    names: the parameters of the function around it.
    """
    match value:
        case ast.Constant(constant):
            return kind_of_constant(constant)
        case ast.Name(name):
            return names.get(name, UNSET)
        case ast.List([]):
            return LIST
    return UNSET


def kind_of_constant(value: object) -> Kind:
    """The kind of a constant; nothing is known of those that portable Python does not have."""
    if value is None:
        return NONE
    return {bool: BOOL, str: STR, int: NUMBER, float: NUMBER}.get(type(value), UNKNOWN)
