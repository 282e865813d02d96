"""The public names, and the list of them, which `python -m tests.project.public_names` writes.

A name is public if a public module has it in its `__all__`; so are the members of public classes that have no
underscore. All else is internal. Listed is what users write; the typing samples have the types.
"""

import ast
import inspect
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Any

from websocket_heartbeat import __version__
from websocket_heartbeat.client.hooks import Hook

MODULES = (
    "websocket_heartbeat",
    "websocket_heartbeat.engines",
    "websocket_heartbeat.engines.aiohttp",
    "websocket_heartbeat.engines.base",
    "websocket_heartbeat.engines.memory",
    "websocket_heartbeat.engines.websockets",
    "websocket_heartbeat.otel",
    "websocket_heartbeat.channels",
    "websocket_heartbeat.server",
    "websocket_heartbeat.sync",
    "websocket_heartbeat.testing",
    "websocket_heartbeat.testing.phone",
)

MADE_FOR_USERS = ("Connection", "DashboardServer", "MemoryPeer", "Peer", "Room", "Server", "SharedMessage")
"""Classes that users do not call."""

LIST = Path(__file__).with_name("public_names.txt")


def public_objects() -> Iterator[tuple[str, Any]]:
    """Yield each public name of each public module, with what it stands for."""
    for module in MODULES:
        for name in sorted(import_module(module).__all__):
            yield f"{module}.{name}", getattr(import_module(module), name)


def members(cls: type) -> dict[str, Any]:
    """Return the public members of a class, those of our own bases included; of fields, Ellipsis."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("websocket_heartbeat"):
            annotated = inspect.get_annotations(base)
            found |= dict.fromkeys(annotated, ...)
            for name, value in vars(base).items():
                is_field = inspect.ismemberdescriptor(value) or name in annotated
                found[name] = ... if is_field and not isinstance(value, Hook) else value
    return {name: value for name, value in sorted(found.items()) if not name.startswith("_")}


def documented_fields(cls: type) -> set[str]:
    """Return the fields of a class that have a docstring, or are told about in that of the class."""
    found: set[str] = set()
    for base in cls.__mro__:
        if not base.__module__.startswith("websocket_heartbeat"):
            continue
        body = ast.parse(dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for before, after in zip(body.body, body.body[1:], strict=False):
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name):
                    found.add(before.target.id)
                elif isinstance(before, ast.Assign):
                    found |= {target.id for target in before.targets if isinstance(target, ast.Name)}
        for line in (base.__doc__ or "").splitlines():
            names, colon, _ = line.strip().partition(":")
            if colon:
                found |= set(names.split(", "))
    return found


def _lines() -> Iterator[str]:
    for name, value in public_objects():
        if inspect.isclass(value):
            is_called = value.__name__ not in MADE_FOR_USERS and not issubclass(value, Enum | Exception)
            yield f"{name}{_signature(value) if is_called else ''}"
            for member, what in members(value).items():
                yield f"    {member}{_member(what)}"
        else:
            yield f"{name}{_signature(value) if callable(value) and inspect.isroutine(value) else ''}"


def _member(what: Any) -> str:
    if isinstance(what, staticmethod | classmethod):
        what = what.__func__
    if inspect.isfunction(what):
        return _signature(what, drop_self=True)
    if isinstance(what, property):
        return ": property" if what.fset is None else ": property that can be set"
    return ": hook" if isinstance(what, Hook) else ""


def _signature(function: Any, drop_self: bool = False) -> str:
    """Return a signature without its types, which Python's versions write in different ways."""
    parameters = list(inspect.signature(function).parameters.values())[1 if drop_self else 0 :]
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    text = str(inspect.Signature(bare)).replace(__version__, "VERSION")
    return f"{text}, to be awaited" if inspect.iscoroutinefunction(function) else text


def written() -> str:
    """Return the list as the file has it."""
    return "".join(f"{line}\n" for line in _lines())


if __name__ == "__main__":
    LIST.write_text(written())
