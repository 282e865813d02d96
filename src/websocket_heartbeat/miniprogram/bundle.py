"""Compiles portable modules to one ES5 script, with PScript and as much of its library as they use."""

import ast
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from websocket_heartbeat.miniprogram.portability import Module, check

CORE: Final = (
    "websocket_heartbeat.core.settings",
    "websocket_heartbeat.core.backoff",
    "websocket_heartbeat.core.heartbeat",
    "websocket_heartbeat.core.machine",
)
"""The modules of the core, each after those that it imports."""


class NotPortable(Exception):
    """Some lines would not mean the same in JavaScript. `problems` names each: file:line: why."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("not portable to JavaScript:\n" + "\n".join(problems))
        self.problems = list(problems)


def load(name: str) -> Module:
    """Read the installed module `name` without running it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module named {name!r} to compile")
    path = Path(spec.origin)
    return Module(name, name.replace(".", "/") + path.suffix, path.read_text(encoding="utf-8"))


def compile_modules(modules: Sequence[Module]) -> str:
    """Return one ES5 script that defines every name of `modules`; or raise NotPortable.

    modules: each after those that it imports. The script declares its names with `var` at its top level: wrap
    it as its format needs. The same modules give the same bytes.
    """
    problems = check(modules)
    if problems:
        raise NotPortable(problems)
    try:
        from pscript import Parser
        from pscript.stdlib import get_partial_std_lib
    except ImportError as error:
        raise ImportError(
            "compiling to JavaScript needs PScript: pip install 'websocket-heartbeat[js]'"
        ) from error
    body: list[ast.stmt] = []
    for module in modules:
        body += _Strip().visit(ast.parse(module.source, module.path)).body
    python = ast.unparse(ast.fix_missing_locations(ast.Module(body, [])))
    parser = Parser(python, docstrings=False, inline_stdlib=False)
    library = get_partial_std_lib(parser._std_functions - {"op_instantiate"}, parser._std_methods)
    # PScript's own instantiation binds every method to every new object: 360 ns for an Action, where this
    # costs a few. The check sees to it that no method is taken from its object unbound.
    instantiate = "var _pyfunc_op_instantiate = function (ob, args) {ob.__init__.apply(ob, args);};"
    return "\n".join([instantiate, library, parser.dump().strip(), ""])


class _Strip(ast.NodeTransformer):
    """Removes what JavaScript does not need, and spells the rest as PScript translates it well."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        return None

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        if isinstance(node.value, ast.Constant):
            return ast.Pass()
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        self.generic_visit(node)
        return ast.Pass() if node.value is None else ast.Assign([node.target], node.value)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.returns = None
        # The check knows the types of operands, so operators need no help at run time to choose by type.
        native = ast.Assign([ast.Name("PSCRIPT_OVERLOAD", ast.Store())], ast.Constant(False))
        node.body = [native, *node.body]
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if (
            isinstance(node.func, ast.Name)
            and node.func.id == "isinstance"
            and isinstance(node.args[1], ast.Tuple)
        ):
            # Python's numbers, the only tuple that the check lets through, include the booleans.
            numbers = [
                ast.Call(node.func, [node.args[0], ast.Constant(kind)], []) for kind in ("number", "boolean")
            ]
            return ast.BoolOp(ast.Or(), list[ast.expr](numbers))
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.Compare:
        self.generic_visit(node)
        operator, right = node.ops[0], node.comparators[0]
        if isinstance(operator, ast.Eq | ast.NotEq):
            # === and !==: "1" is not 1.
            node.ops = [ast.Is() if isinstance(operator, ast.Eq) else ast.IsNot()]
        elif isinstance(right, ast.Constant) and right.value is None:
            # == null and != null: what JavaScript leaves undefined is None, too.
            node.ops = [ast.Eq() if isinstance(operator, ast.Is) else ast.NotEq()]
        return node
