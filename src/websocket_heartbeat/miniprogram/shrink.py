"""Makes compiled scripts small: leaves out what nothing uses, shortens what nobody else names, minifies.

It works on the text that PScript writes and `bundle.py` has tidied, where every function ends with a brace at
the beginning of a line. The tests run every scenario against the shrunk files too.
"""

import ast
import re
from collections.abc import Sequence
from typing import Final

from websocket_heartbeat.miniprogram.portability import Module

METHOD: Final = r"^{0}\.prototype\.{1} = function (\(.*\) \{{\n(?:.*\n)*?\}});\n"
"""The pattern of a method, by its class and its name; its group is what comes after `function`."""

_PUBLIC: Final = frozenset(
    """
    socketTask ws opts repeat forbidReconnect state send close reconnect destroy
    code reason attempt delay url message now random
    """.split()  # noqa: SIM905 # as a text it is read at a glance
)
"""Members that keep their names in minified code, for others use them too; so do all in camelCase or on-."""


def drop_unused(script: str, modules: Sequence[Module]) -> str:
    """Leave out what only subclasses implement, methods that nothing calls, constants that nothing reads."""
    script = re.sub(r"^.* = function \(.*\) \{\n    throw .*NotImplemented.*\n\};\n", "", script, flags=re.M)
    for name in sorted(_members(modules) - _PUBLIC):
        method = re.compile(METHOD.format(r"\w+", name), re.M)
        if len(re.findall(rf"\.{name}\b", script)) == len(method.findall(script)):
            script = method.sub("", script)
    for name, value in re.findall(r"^([A-Z_]+) = (.*);\n", script, re.M):
        # One time where it is declared, one where it is set: what is read once is put where it is read.
        uses = len(re.findall(rf"\b{name}\b", script)) - 2
        if uses < 2:
            script = re.sub(rf"^{name} = .*;\n", "", script, flags=re.M)
            script = re.sub(rf"^(var .*?)\b{name}, ", r"\1", script, flags=re.M)
            script = re.sub(rf"\b{name}\b", value, script)
    if '=== "ValueError"' not in script:
        # Nobody asks for the Python name of an error.
        script = re.sub(r"^var _pyfunc_op_error = .*\n", "", script, flags=re.M)
        script = re.sub(r"_pyfunc_op_error\('\w+', ", "new Error(", script)
    return script


def shorten(script: str, modules: Sequence[Module]) -> str:
    """Give short names to members that nobody else uses, to `this`, and to each prototype."""
    count = {name: len(re.findall(rf"\.{name}\b", script)) for name in _members(modules) - _PUBLIC}
    ours = sorted((name for name in count if count[name]), key=lambda name: (-count[name], name))
    taken = set(re.findall(r"[.\"'](\w+)", script)) - set(ours)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    short = (name for name in [*letters, *(a + b for a in letters for b in letters)] if name not in taken)
    names = dict(zip(ours, short, strict=False))
    # What is not there is as good as null and false: nothing is compared with either but by `== null`.
    absent = rf"^ *this\.(?:{'|'.join(ours)}) = (?:null|false);\n"
    constructor = re.compile(r"^\w+ = function \(.*\n(?:.*\n)*?\};?\n", re.M)
    script = constructor.sub(lambda match: re.sub(absent, "", match[0], flags=re.M), script)
    script = re.sub(r"(?<=\.)[A-Za-z_]\w*", lambda match: names.get(match[0], match[0]), script)
    # Functions within a method are bound to its `this`: a variable serves them all.
    script = re.sub(
        r"^(?:\w+\.prototype\.)?\w+ = function \(.*\n(?:.*\n)*?\};?\n",
        lambda match: _alias_this(match[0]),
        script,
        flags=re.M,
    )
    for name in sorted(set(re.findall(r"^(\w+)\.prototype\.", script, re.M))):
        first = re.search(rf"^{name}\.prototype\.", script, re.M)
        assert first is not None
        rest = script[first.start() :].replace(f"{name}.prototype.", f"{name}_.")
        script = f"{script[: first.start()]}var {name}_ = {name}.prototype;\n{rest}"
    return script


def _alias_this(function: str) -> str:
    unbound = function.replace("}).bind(this)", "})")
    if "this" not in unbound:
        return unbound
    if len(re.findall(r"\bthis\b", function)) < 3:
        return function
    first, rest = unbound.split("\n", 1)
    return f"{first}\n    var self = this;\n" + re.sub(r"\bthis\b", "self", rest)


def _members(modules: Sequence[Module]) -> set[str]:
    """The names that portable classes give to their attributes and methods, but for those of an API."""
    names = set()
    for module in modules:
        for node in ast.walk(ast.parse(module.source)):
            if isinstance(node, ast.ClassDef):
                names |= {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.attr)
    return {name for name in names if not re.match(r"on[a-z]|__", name) and name.lower() == name}


def minified(script: str) -> str:
    """Return the script without what only people need, as ES5."""
    try:
        import minify
    except ImportError as error:
        raise ModuleNotFoundError(
            "minifying needs tdewolff-minify: pip install 'websocket-heartbeat[js]'", name="minify"
        ) from error
    minify.config({"js-version": 5})
    return str(minify.string("application/javascript", script))
