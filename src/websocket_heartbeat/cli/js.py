"""Writes the library for mini programs or pages as one self-contained ES5 file.

The same version of the package writes the same bytes. Load the file of format
cjs with require (mini programs), esm with import, iife with a script tag.

The exit status is 0; 1: it cannot be written; 2: an argument is wrong.
"""

import argparse
import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

from websocket_heartbeat.cli.output import show

HELP = "write the library for mini programs and browsers"

EXAMPLES = """\
websocket-heartbeat js -o lib/websocket-heartbeat.js --types
websocket-heartbeat js --target browser --format iife --minify > heartbeat.js
"""

Format = Literal["cjs", "esm", "iife"]
Target = Literal["miniprogram", "browser", "session"]

EXPORTS: Final[dict[Target, str]] = {
    "miniprogram": "WebsocketHeartbeat",
    "browser": "WebsocketHeartbeatJs",
    "session": "WebsocketHeartbeatSession",
}
"""The name that each target defines; also in tools/es5/bundle.py, which the wheel does not have."""

_FOOTERS: Final[dict[Format, str]] = {
    "cjs": "module.exports = NAME.default = NAME.NAME = NAME;\n",
    "esm": "export default NAME;\nexport { NAME };\n",
    "iife": "",
}


_EXPORTED: Final = re.compile(r"^export ((?:interface|type) (\w+))", re.MULTILINE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where to write (default: standard output)"
    )
    parser.add_argument(
        "--format", choices=tuple(_FOOTERS), default="cjs", help="of the module (default: cjs)"
    )
    parser.add_argument(
        "--target",
        choices=tuple(EXPORTS),
        default="miniprogram",
        help="miniprogram has WebsocketHeartbeat, browser WebsocketHeartbeatJs, session what the option "
        "session of both takes (default: miniprogram)",
    )
    parser.add_argument("--types", action="store_true", help="write the TypeScript types beside the file")
    parser.add_argument("--minify", action="store_true", help="without comments and with short names")


def run(arguments: argparse.Namespace) -> int:
    """Write the file; return 0, or 1 if it cannot be written, or 2 if the arguments do not fit together."""
    if arguments.types and arguments.output is None:
        return _fail("--types needs -o FILE, to write beside it", 2)
    try:
        code = library(arguments.format, arguments.target, minify=arguments.minify)
    except FileNotFoundError as error:
        name = Path(error.filename).name
        return _fail(f"this installation has no {name}; in a source checkout `make js` builds it", 1)
    if arguments.output is None:
        show(code, end="")
        return 0
    try:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(code, encoding="utf-8")
        if arguments.types:
            # TypeScript looks for lib.d.mts beside lib.mjs, for lib.d.ts beside lib.js.
            suffix = ".d.mts" if arguments.output.suffix == ".mjs" else ".d.ts"
            text = types(arguments.format, arguments.target)
            arguments.output.with_suffix(suffix).write_text(text, encoding="utf-8")
    except OSError as error:
        return _fail(f"{arguments.output} cannot be written: {error.strerror}", 1)
    return 0


def library(format: Format, target: Target, *, minify: bool = False) -> str:
    """Return the file that a mini program or a page loads: what was built with the package.

    format: cjs for require and for build-npm, esm for import, iife for a script tag.
    target: miniprogram defines WebsocketHeartbeat, browser WebsocketHeartbeatJs, session
        WebsocketHeartbeatSession.
    """
    return _built(f"{target}.min.js" if minify else f"{target}.js") + _FOOTERS[format].replace(
        "NAME", EXPORTS[target]
    )


def types(format: Format, target: Target) -> str:
    """Return the TypeScript types of a target's file."""
    text, name = _built(f"{target}.d.ts"), EXPORTS[target]
    default = f"export default {name};\n"
    if format != "cjs":
        return text.replace(default, f"{default}export {{ {name} }};\n")
    # What a CommonJS module exports is one thing; the types are in a namespace of its name.
    members = ", ".join([f"{name} as default", name, *type_names(target)])
    whole = f"declare namespace {name} {{\n  export {{ {members} }};\n}}\nexport = {name};\n"
    return _EXPORTED.sub(r"\1", text).replace(default, whole)


def type_names(target: Target) -> list[str]:
    """Return the names of the types that a target exports besides its function or constructor."""
    return [match[2] for match in _EXPORTED.finditer(_built(f"{target}.d.ts"))]


def _built(name: str) -> str:
    return (files("websocket_heartbeat.miniprogram") / "javascript" / name).read_text(encoding="utf-8")


def _fail(message: str, status: int) -> int:
    print(f"websocket-heartbeat js: error: {message}", file=sys.stderr)
    return status
