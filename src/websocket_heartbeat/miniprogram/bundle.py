"""Compiles the portable modules of a target to one ES5 script, by way of PScript, and packs it for a format.

`build` makes the files that mini programs and browsers load: the compiled modules of a target, the few
functions that differ by language from javascript/, and what the module format wants around them. They contain
nothing but our own code: what PScript would add of its library is spelt otherwise before, or replaced.
"""

import ast
import functools
import importlib.util
import json
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from websocket_heartbeat.miniprogram.flatten import RECORDS, declare, flatten, function_name, member_name
from websocket_heartbeat.miniprogram.names import Script
from websocket_heartbeat.miniprogram.portability import Module, check
from websocket_heartbeat.miniprogram.shrink import minified, shorten
from websocket_heartbeat.miniprogram.specialise import specialise
from websocket_heartbeat.miniprogram.undefined import leave_undefined

if TYPE_CHECKING:
    from pscript import Parser

Format = Literal["cjs", "esm", "iife"]
Target = Literal["miniprogram", "browser"]

CORE: Final = (
    "websocket_heartbeat.core.settings",
    "websocket_heartbeat.core.backoff",
    "websocket_heartbeat.core.liveness",
    "websocket_heartbeat.core.machine",
)
"""The modules of the core, each after those that it imports."""

DECLARED: Final = ("websocket_heartbeat.miniprogram.clock", "websocket_heartbeat.miniprogram.language")
"""Modules that are written for each language by hand: code is checked against their signatures."""

_ADAPTERS: Final[dict[Target, tuple[str, ...]]] = {
    "miniprogram": ("clock", "language", "options", "driver", "socket_task", "task"),
    "browser": ("clock", "language", "options", "driver", "web_socket"),
}
_SCRIPTS: Final[dict[Target, tuple[str, ...]]] = {
    "miniprogram": ("language", "base64"),
    "browser": ("language", "page"),
}
_CLOSURES: Final[dict[Target, tuple[str, str]]] = {
    "miniprogram": ("MiniProgramTask", "TaskLink"),
    "browser": ("BrowserTask", "WebSocketLink"),
}
"""What becomes a closure in each target: the class that users hold, and the class of its links."""

EXPORTS: Final[dict[Target, str]] = {
    "miniprogram": "WebsocketHeartbeat",
    "browser": "WebsocketHeartbeatJs",
}
"""The name that each target defines."""

_FOOTERS: Final[dict[Format, str]] = {
    "cjs": "module.exports = NAME.default = NAME;\n",
    "esm": "export default NAME;\nexport { NAME };\n",
    "iife": "",
}

_NATIVE: Final = {
    "clock_random": "Math.random",
    "clock_start_timer": "setTimeout",
    "clock_stop_timer": "clearTimeout",
}
"""What stands for methods of Clock; only `now` needs code of ours."""

_TYPES: Final = {"is_text": "string", "is_number": "number"}
"""What asks for the type of a value, and its answer in JavaScript."""

_NATIVE_METHODS: Final = {"append": "push", "lower": "toLowerCase"}


_PARENTHESES: Final = re.compile(r"if \(\((.*)\)\) \{(?=\n)")
"""Two where one would do: of them the minifier makes nothing."""

_RETURN_NOTHING: Final = re.compile(r"^ *return null;\n(?= *\}(;|\)\.bind))", re.M)
"""At the end of a function that returns nothing: `is None` holds for undefined, too."""


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
    source = path.read_text(encoding="utf-8")
    return Module(
        name, name.replace(".", "/") + path.suffix, _outline(source) if name in DECLARED else source
    )


def _outline(source: str) -> str:
    """The signatures of a module's public functions, and of its classes and their methods."""
    tree = ast.parse(source)
    tree.body = [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        and not node.name.startswith("_")
        and not (isinstance(node, ast.ClassDef) and node.bases)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body = [ast.Pass()]
    return ast.unparse(tree)


def build(format: Format = "cjs", target: Target = "miniprogram", minify: bool = False) -> str:
    """Return the file that a mini program or a page loads. The same arguments give the same bytes.

    format: cjs for require and for build-npm, esm for import, iife for a script tag.
    target: miniprogram defines WebsocketHeartbeat, browser defines WebsocketHeartbeatJs.
    """
    export = EXPORTS[target]
    code = _body(target)
    footer = _FOOTERS[format].replace("NAME", export)
    if minify:
        footer = minified(footer)
        script, names = Script(unnamed(target)), chosen_names(target)
        # The names were found for this very script. For another one, the minifier's are good enough.
        code = (script.renamed(names) if script.fits(names) else script.text) + "\n"
    header = f"/*! websocket-heartbeat {version('websocket-heartbeat')} | MIT License */\n"
    return header + code + footer


def chosen_names(target: Target) -> list[str]:
    """The names that tools/names.py has found for the variables of a target's code."""
    found: dict[Target, str] = json.loads(_script("names.json"))
    return found[target].split()


def unnamed(target: Target) -> str:
    """A target's code, minified, with names for its variables as the minifier gives them."""
    kinds = sorted({*RECORDS, _CLOSURES[target][1]})
    return minified(shorten(_body(target), [member_name(kind, "") for kind in kinds]))


@functools.cache
def _body(target: Target) -> str:
    """All that a target's file does, whatever its format."""
    names = [*CORE, *(f"websocket_heartbeat.miniprogram.{name}" for name in _ADAPTERS[target])]
    modules = [load(name) for name in names]
    problems = check(modules)
    if problems:
        raise NotPortable(problems)
    task, link = _CLOSURES[target]
    program = flatten(modules, DECLARED, task, link)
    roots = [function_name(task, "__init__"), function_name(task, "begin")]
    program = specialise(program, roots)
    program = leave_undefined(program, roots)
    parts = [_translated(declare(program, link)), *(_script(f"{name}.js") for name in _SCRIPTS[target])]
    return _script(f"{target}.js").replace("CONNECTION;", "\n".join(part.strip() for part in parts))


def _script(file: str) -> str:
    return (Path(__file__).parent / "javascript" / file).read_text(encoding="utf-8")


def _translated(program: ast.Module) -> str:
    """A flat program as JavaScript: functions are declarations, for there is no `this` to bind them to."""
    python = ast.unparse(ast.fix_missing_locations(_Strip().visit(program)))
    script = _parser(python).dump()
    script = script.replace("_pyfunc_op_error('ValueError', ", "new Error(").replace(
        "_pyfunc_str(", "String("
    )
    script = _PARENTHESES.sub(r"if (\1) {", script)
    for name, kind in _TYPES.items():
        script = re.sub(rf"\b{name}\(([^()]*)\)", rf'(typeof \1 === "{kind}")', script)
    for name, native in _NATIVE.items():
        script = re.sub(rf"\b{name}\b", native, script)
    script = _RETURN_NOTHING.sub("", script).replace("return null;", "return;").replace("}).bind(this)", "})")
    for indent in ("", "    "):
        function = rf"^{indent}(\w+) = \(?function flx_\w+ (\(.*\) \{{\n(?:.*\n)*?{indent}\}})\)?;\n"
        script = re.sub(function, rf"{indent}function \1\2\n", script, flags=re.M)
    script = re.sub(
        r"^( *)\} catch\((err_\d+)\) \{\n\1    \{\n\1        (\w+) = \2;\n((?:\1        .*\n)*)\1    \}\n",
        r"\1} catch (\3) {\n\4",
        script,
        flags=re.M,
    )
    declared = set(re.findall(r"^ *function (\w+)", script, re.M))
    declared -= set(re.findall(r"^ *(\w+) = ", script, re.M))
    return re.sub(
        r"^( *)var (.*);\n", lambda match: _variables(match[1], match[2], declared), script, flags=re.M
    )


def _variables(indent: str, names: str, declared: set[str]) -> str:
    """A declaration of variables, but not of functions nor of errors that a catch declares."""
    left = [name for name in names.split(", ") if name not in declared and not re.match(r"err_\d", name)]
    return f"{indent}var {', '.join(left)};\n" if left else ""


def _parser(python: str) -> "Parser":
    try:
        from pscript import Parser
    except ImportError as error:
        raise ModuleNotFoundError(
            "compiling to JavaScript needs PScript: pip install 'websocket-heartbeat[js]'", name="pscript"
        ) from error
    return Parser(python, docstrings=False, inline_stdlib=False)


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
        match node:
            # The check lets these through on lists and strings only, where JavaScript has the same.
            case ast.Call(ast.Attribute(attr="pop") as method, [ast.Constant(0)]):
                return ast.Call(ast.Attribute(method.value, "shift", ast.Load()), [], [])
            case ast.Call(ast.Attribute(attr="append" | "lower") as method):
                method.attr = _NATIVE_METHODS[method.attr]
            case ast.Call(ast.Name("is_bytes"), [value]):
                length = ast.Call(ast.Name("read"), [value, ast.Constant("byteLength")], [])
                return ast.Compare(length, [ast.NotEq()], [ast.Constant(None)])
            case ast.Call(ast.Name("close_code"), [code]):
                return ast.BoolOp(ast.Or(), [ast.UnaryOp(ast.UAdd(), code), ast.Name("undefined")])
            case ast.Call(ast.Name("invoke"), [thing, name, argument]):
                return ast.Call(ast.Subscript(thing, name, ast.Load()), [argument], [])
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

    def visit_BinOp(self, node: ast.BinOp) -> ast.BinOp:
        self.generic_visit(node)
        match node:
            case ast.BinOp(op=ast.Add(), right=ast.Call(ast.Name("str"), [value])):
                # Python allows it after a text only, and there JavaScript does the same by itself.
                node.right = value
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
