"""Translates portable Python to readable ES5, and refuses, with file and line, whatever it has no rule for.

There is one rule for each form of Python that portable modules may use, and the rule says what it becomes. So
what is allowed and what is translated cannot differ: these files are the definition of portable Python.

    module      imports from typing and from modules of the program, `Final` strings and numbers, functions,
                classes
    class       `__init__` first, which sets every attribute, then methods; at most one portable base class
    function    parameters with annotations and constant defaults; closures, which read outer variables and
                set none
    statement   assignment to one target, if, while, return, calls, try with one `except Exception`, raise of
                a built-in error with one message
    expression  constants, names, attributes, calls by position or keyword, lambdas; + - * / < <= > >= of
                numbers, + of strings, == of strings, numbers or booleans, `is`; and, or, not, if-else of
                booleans; [], append, pop(0) and len of lists; entries of dicts; lower, find, len and slices
                of strings; min, max, callable; str in the message of an error

Where the meaning depends on a type (an empty list is true in JavaScript), the type must be known from an
annotation: `width: float = options.width` makes it known. mypy sees to it that annotations are true.

Some differences depend on values, which no rule can see. So portable code computes no integers above 2**53
and no NaN, passes on no length of a string and no place in one (JavaScript counts some characters twice),
takes nothing from an empty list, does not rely on an exception of Python itself, computes no key of a dict
that every object of JavaScript has (`constructor`), and passes no bool off as a number by way of a list or of
what a function returns.

A class becomes a constructor and its prototype. Docstrings and comments go along, so that the script can be
read and debugged without the Python. tests/es5/test_forms.py shows each form and what it becomes.

Read translate.py (modules and classes) first, then statements.py and expressions.py; bundle.py makes of it
the files that are shipped. A new form is a `case` in one of the three, a word in the list above, an entry in
test_forms.py, what it refuses in test_refusals.py, and a part of the random programs that run in both
languages (random_programs.py). All but the minifier is of the standard library, so that any wheel can be
built.
"""

from tools.es5.program import Module, NotPortable, Program
from tools.es5.translate import translate

__all__ = ["Module", "NotPortable", "Program", "translate"]
