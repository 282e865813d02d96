"""Which names portable Python may not use, because JavaScript or the script gives them a meaning."""

import builtins
from typing import Final

_WORDS: Final = """
abstract arguments boolean byte case catch char const debugger default delete do double enum eval export
extends false final function goto implements instanceof int interface let long native new null package private
protected public short static switch synchronized this throw throws transient true typeof undefined var void
volatile self module exports Array Date Error Infinity Math NaN Object Promise String Uint8Array isNaN console
global setTimeout clearTimeout ignored
"""
_RESERVED: Final = frozenset(_WORDS.split())
"""JavaScript's own words, and what the script itself says."""

_OF_OBJECTS: Final = frozenset(
    {
        *("constructor", "hasOwnProperty", "isPrototypeOf", "length", "propertyIsEnumerable", "prototype"),
        *("toLocaleString", "toString", "valueOf"),
    }
)
"""What every object or function of JavaScript has."""

OF_PYTHON: Final = frozenset((*dir(dict), *dir(list), *dir(str)))
"""Methods of Python's types: of what they are called on, the kind must be known."""


def is_variable(name: str) -> bool:
    """Whether a variable, a function or a class may have this name."""
    is_taken = name in _RESERVED or hasattr(builtins, name)
    return name.isascii() and not is_taken and not name.startswith("__")


def is_member(name: str) -> bool:
    """Whether an attribute, a method or an entry of a dict may have this name."""
    return name.isascii() and name not in _OF_OBJECTS and not name.startswith("__")
