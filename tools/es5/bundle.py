"""Builds the files that mini programs and pages load: the portable modules of a target, translated to ES5.

A file is one function: the translated modules, the functions that are written by hand for each language, and
the target's entry. It holds nothing but our own code. What a module format wants besides is one line at the
end, which `websocket-heartbeat js` adds (cli/js.py).
"""

import os
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, Literal

from tools.es5.program import Module, Program
from tools.es5.translate import translate

Target = Literal["miniprogram", "browser", "session"]

_ROOT: Final = Path(__file__).resolve().parents[2]
_SOURCE: Final = _ROOT / "src"
_ADAPTER: Final = _SOURCE / "websocket_heartbeat" / "miniprogram"

BUILT: Final = _ADAPTER / "javascript"
"""Where the built files lie, beside their types: what the wheel ships."""

CORE: Final = (
    "core.close_codes",
    "core.settings",
    "core.hint",
    "core.backoff",
    "core.retries",
    "core.liveness",
    "core.timeout",
    "core.machine",
)
"""The modules of the core, each after those that it imports."""

CORE_OF_SESSIONS: Final = ("core.session", "core.resume")
"""What the core has for the script of sessions."""

DECLARED: Final = ("miniprogram.clock", "miniprogram.language", "miniprogram.session.frames")
"""Modules that are written for each language by hand: portable code is checked against their signatures."""

EXPORTS: Final[dict[Target, str]] = {
    "miniprogram": "WebsocketHeartbeat",
    "browser": "WebsocketHeartbeatJs",
    "session": "WebsocketHeartbeatSession",
}
"""The name that each target defines."""


def _adapters(*names: str) -> tuple[str, ...]:
    return tuple(f"miniprogram.{name}" for name in names)


_SHARED: Final = (
    *("options", "link", "links", "alarm", "advice", "step", "dialogue", "heart"),
    *("abstract", "driver", "outbox", "connection"),
)

_MODULES: Final[dict[Target, tuple[str, ...]]] = {
    "miniprogram": (*CORE, *_adapters("clock", "language", *_SHARED, "socket_task", "task")),
    "browser": (*CORE, *_adapters("clock", "language", *_SHARED, "web_socket")),
    "session": (
        *CORE_OF_SESSIONS,
        *_adapters("language", "session.frames", "session.controls", "session.offers", "session.inbox"),
        *_adapters("session.snapshot", "session.background", "session.flushing"),
        *_adapters("session.connection_session", "session.option"),
    ),
}
_HANDWRITTEN: Final[dict[Target, tuple[str, ...]]] = {
    "miniprogram": ("clock", "values", "language", "base64", "host", "miniprogram"),
    "browser": ("clock", "values", "language", "page", "browser"),
    "session": ("values", "base64", "frames", "session"),
}
_MINIFIER: Final = "tdewolff-minify"

_READING: Final = """\
// Translated from the Python modules that are named below, with their names and comments. In a comment None
// is null or undefined, True and False are true and false, and to raise ValueError is to throw an Error. A
// name that begins with _ is private to its class or module; self is this, for the functions within a method;
// /* name: */ before an argument names the parameter. The core counts in seconds. Where to look:
"""
_GUIDE: Final = """\
//   settings_of, in miniprogram/options.py   turns the options, in milliseconds, into settings of the core
//   Machine, in core/machine.py              decides everything: its comment has the rules and the table of
//                                            states; when a silent link is given up is in its method woke
//   Driver, in miniprogram/driver.py         carries the decisions out and calls the hooks
//   Connection, in miniprogram/connection.py the methods that users call
//   at the end                               the entry, and what is written by hand in JavaScript
"""
_GUIDE_OF_SESSIONS: Final = """\
//   Half, in core/session.py        numbers, windows and acknowledgements: its comment has the rules
//   Resumption, in core/resume.py   decides the handshake: its comment has the table of states
//   ConnectionSession, in miniprogram/session/connection_session.py
//                                   what the library tells of links and messages, and what it is asked for
//   at the end                      the entry, and what is written by hand in JavaScript
"""
_GUIDES: Final[dict[Target, str]] = {
    "miniprogram": _READING + _GUIDE,
    "browser": _READING + _GUIDE,
    "session": _READING + _GUIDE_OF_SESSIONS,
}
"""What a reader of a script should know first."""


class Collision(Exception):
    """The hand-written scripts and the portable modules do not fit together; the text names what."""


def load(name: str) -> Module:
    """Read a module of the package; of `core.settings`, say, src/websocket_heartbeat/core/settings.py."""
    path = _SOURCE / "websocket_heartbeat" / Path(*name.split(".")).with_suffix(".py")
    dotted = f"websocket_heartbeat.{name}"
    return Module(dotted, str(path.relative_to(_SOURCE)), path.read_text(encoding="utf-8"), name in DECLARED)


def build(target: Target, *, minify: bool = False) -> str:
    """Return the script of a target: `var NAME = (function () { ... })();`.

    The same sources give the same bytes.

    target: miniprogram defines WebsocketHeartbeat, browser WebsocketHeartbeatJs, session what the option
        `session` of both takes.
    minify: without what only people need.

    Raises:
        NotPortable: a module has lines without translation.
        Collision: a hand-written function is missing, or has the name of a portable one.
        ModuleNotFoundError: to minify, the minifier is needed.
    """
    export = EXPORTS[target]
    program = translated(target)
    if minify:
        program = translate(_modules(target), short_names(program, target))
    body = "\n".join([str(program), *handwritten(target)])
    script = f"{_GUIDES[target]}var {export} = (function () {{\n{body}\nreturn {export};\n}})();\n"
    version = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    header = f"/*! websocket-heartbeat {version} | MIT License */\n"
    return header + (f"{_minified(script)}\n" if minify else script)


def write() -> None:
    """Write each target's script for people and, where the minifier is installed, for machines, to BUILT."""
    for target in EXPORTS:
        _replace(BUILT / f"{target}.js", build(target))
        try:
            _replace(BUILT / f"{target}.min.js", build(target, minify=True))
        except ModuleNotFoundError as error:
            if error.name != "minify":
                raise


def short_names(program: Program, target: Target) -> dict[str, str]:
    """Short names for the members that only portable classes name, the most frequent shortest.

    What the types of the target tell its users, what the hand-written scripts say, and what foreign objects
    have keeps its name: also those of the other scripts, as they call each other. The short ones begin with
    _, for users give our objects properties of their own.
    """
    types = (BUILT / f"{target}.d.ts").read_text(encoding="utf-8")
    taken = set(re.findall(r"\w+", "".join([types, *handwritten(target)]))) | program.foreign
    taken = taken.union(*(translated(each).foreign for each in EXPORTS))
    letters = "etnsroiaclduhmpfgvbyxwkqjzETNSROIACLDUHMPFGVBYXWKQJZ"
    names = (f"_{letter}" for letter in (*letters, *(a + b for a in letters for b in letters)))
    ours = [name for name, _ in program.members.most_common() if name not in taken]
    return dict(zip(ours, (name for name in names if name not in taken), strict=False))


def check(program: Program, scripts: list[str]) -> None:
    """Raise Collision unless the scripts define what the program needs and nothing that it defines."""
    defined = [name for script in scripts for name in _defined(script)]
    portable = {name for names in program.modules.values() for name in names} - program.declared
    for name in sorted(set(defined)):
        if name in portable or defined.count(name) > 1:
            raise Collision(f"{name} is defined by hand and again")
    if missing := sorted(program.needed - set(defined)):
        raise Collision(f"no hand-written script defines {', '.join(missing)}")


def _defined(script: str) -> Iterator[str]:
    """The names that a hand-written script defines: what it declares at the beginning of a line."""
    for match in re.finditer(r"^(?:function|var) (\w+)", script, re.MULTILINE):
        yield match[1]


@cache
def translated(target: Target) -> Program:
    """Return the portable modules of a target as JavaScript, checked against its hand-written scripts."""
    program = translate(_modules(target))
    check(program, handwritten(target))
    return program


def _modules(target: Target) -> list[Module]:
    return [load(name) for name in _MODULES[target]]


def handwritten(target: Target) -> list[str]:
    """Return the scripts of a target that are JavaScript from the start."""
    folder = _ADAPTER / "handwritten"
    return [(folder / f"{name}.js").read_text(encoding="utf-8") for name in _HANDWRITTEN[target]]


def _minified(script: str) -> str:
    """Return the script without what only people need, as ES5."""
    try:
        import minify
    except ImportError as error:
        raise ModuleNotFoundError(f"minifying needs {_MINIFIER}", name="minify") from error
    minify.config({"js-version": 5})
    return str(minify.string("application/javascript", script))


def _replace(path: Path, text: str) -> None:
    """Replace a file at once: a reader sees the old one or the new one, never a part."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
