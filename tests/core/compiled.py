"""Compiles modules as they are, classes and all, with as much of PScript's library as they use.

What the package builds has no classes left (flatten.py) and little that it does not use (specialise.py). This
shows that the portable Python itself means the same in JavaScript, before anything is made of it.
"""

import ast
import re
from collections.abc import Sequence
from typing import Final

from websocket_heartbeat.miniprogram import bundle
from websocket_heartbeat.miniprogram.portability import Module, check

_LIBRARY: Final = {
    "op_error": "function (name, message) {var e = new Error(message); e.name = name; return e;}",
    "str": "String",
}
"""Our own functions in the place of PScript's."""

_METHOD: Final = r"^{0}\.prototype\.{1} = function (\(.*\) \{{\n(?:.*\n)*?\}});\n"
"""The pattern of a method, by its class and its name; its group is what comes after `function`."""


def compile_modules(modules: Sequence[Module]) -> str:
    """Return one ES5 script that defines every name of `modules`; or raise bundle.NotPortable.

    modules: each after those that it imports. The script declares its names with `var` at its top level: wrap
    it as its format needs. The same modules give the same bytes.
    """
    problems = check(modules)
    if problems:
        raise bundle.NotPortable(problems)
    body: list[ast.stmt] = []
    for module in modules:
        if module.name not in bundle.DECLARED:
            body += bundle._Strip().visit(ast.parse(module.source, module.path)).body
    python = ast.unparse(ast.fix_missing_locations(ast.Module(body, [])))
    parser = bundle._parser(python)
    from pscript.stdlib import get_partial_std_lib

    used: set[str] = parser._std_functions - {"op_instantiate"}
    ours = [f"var _pyfunc_{name} = {_LIBRARY[name]};" for name in sorted(used & set(_LIBRARY))]
    library = get_partial_std_lib(used - set(_LIBRARY), parser._std_methods)
    return "\n".join([*ours, library, _tidy(parser.dump().strip() + "\n"), ""])


def _tidy(script: str) -> str:
    """Spell classes as JavaScript does, and leave out what PScript writes for Python's sake alone.

    PScript's own constructor binds every method to every new object: 360 ns for an Action, where this costs a
    few. The check sees to it that no method is taken from its object unbound.
    """
    script = re.sub(r'^\w+\.prototype\.__name__ = "\w+";\n', "", script, flags=re.M)
    script = re.sub(r"^\w+\.prototype\._base_class = Object;\n", "", script, flags=re.M)
    for name in re.findall(r"^(\w+) = function \(\) \{\n    _pyfunc_op_instantiate", script, re.M):
        inherits = re.search(rf"^{name}\.prototype\._base_class = (\w+)\.prototype;\n", script, re.M)
        method = re.compile(_METHOD.format(name, "__init__"), re.M)
        made = method.search(script)
        body = made[1] if made else ""
        if inherits:
            super_init = f"{name}.prototype._base_class.__init__.call("
            body = body.replace(super_init, f"{inherits[1]}.call(")
            body = body or f"() {{\n    {inherits[1]}.apply(this, arguments);\n}}"
        script = method.sub("", script)
        stub = f"{name} = function () {{\n    _pyfunc_op_instantiate(this, arguments);\n}}\n"
        script = script.replace(stub, f"{name} = function {body};\n")
        if inherits and f"{name}.prototype._base_class." not in script:
            script = script.replace(inherits[0], "")
    script = bundle._RETURN_NOTHING.sub("", script).replace("return null;", "return;")
    # A caught error has the scope of its catch.
    script = re.sub(r"^ *var err_\d+;\n", "", script, flags=re.M)
    script = re.sub(r"(?<=[ ,])err_\d+, ", "", script)
    return re.sub(r"\n{3,}", "\n\n", script)
