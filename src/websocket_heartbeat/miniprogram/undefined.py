"""Leaves out of a flat program what JavaScript calls undefined: as good as None, and at first as False.

Compiled code compares with None by ==, and asks booleans for nothing but their truth.
"""

import ast
from collections.abc import Sequence
from typing import Final

from websocket_heartbeat.miniprogram.flatten import LINK, TASK

_NOTHING: Final = ast.dump(ast.Constant(None))
_FALSE: Final = ast.dump(ast.Constant(False))


def leave_undefined(program: ast.Module, roots: Sequence[str]) -> ast.Module:
    """Return the program without arguments that are nothing, and without what is nothing or false at first.

    A hook that is nothing at first becomes a function that does nothing: users may chain theirs before it.
    roots: the functions that others call, the first of them the constructor of the task. What it sets to a
    constant is set where the closure begins, which minifies better: constructors set a variable once.
    """
    functions = {node.name: node for node in ast.walk(program) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(program):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
            while node.args and ast.dump(node.args[-1]) == _NOTHING:
                node.args.pop()
    first: list[ast.stmt] = []
    for name, function in functions.items():
        if name == roots[0] or name.endswith("_new"):
            function.body = [_hook(each) for each in function.body if not _is_undefined(each)]
        if name == roots[0]:
            first = [each for each in function.body if _is_constant(each)]
            function.body = [each for each in function.body if each not in first]
    return ast.Module([*first, *program.body], [])


def _is_undefined(node: ast.stmt) -> bool:
    """Whether a constructor sets a variable of its closure, or of a link, to nothing or false."""
    match node:
        case ast.Assign([ast.Name(id=name)], value) if name[0].isupper():
            return ast.dump(value) in (_NOTHING, _FALSE)
        case ast.Assign([ast.Attribute(ast.Name(id=holder))], value):
            return holder == LINK and ast.dump(value) in (_NOTHING, _FALSE)
    return False


def _hook(node: ast.stmt) -> ast.stmt:
    """A statement that sets a hook to nothing sets it to Object, which does nothing."""
    match node:
        case ast.Assign([ast.Attribute(ast.Name(id=holder), attr)], ast.Constant(value=None)) if (
            holder == TASK and attr.startswith("on")
        ):
            node.value = ast.Name("Object", ast.Load())
    return node


def _is_constant(node: ast.stmt) -> bool:
    """Whether a constructor sets a variable of its closure to the same each time, so that when is all one."""
    match node:
        case ast.Assign([ast.Name(id=name)], ast.Constant() | ast.List(elts=[])):
            return name[0].isupper()
    return False
