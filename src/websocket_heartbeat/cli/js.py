"""Writes the library for mini programs or pages as one self-contained ES5 file.

The same version of the package writes the same bytes. Load the file of format
cjs with require (mini programs), esm with import, iife with a script tag.

The exit status is 0; 1: it cannot be written; 2: an argument is wrong.
"""

import argparse
import sys
from importlib.resources import files
from pathlib import Path

from websocket_heartbeat.cli.output import show

HELP = "write the library for mini programs and browsers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: standard output")
    parser.add_argument("--format", choices=("cjs", "esm", "iife"), default="cjs", help="default: cjs")
    parser.add_argument(
        "--target",
        choices=("miniprogram", "browser"),
        default="miniprogram",
        help="miniprogram has WebsocketHeartbeat, browser WebsocketHeartbeatJs (default: miniprogram)",
    )
    parser.add_argument("--types", action="store_true", help="write the TypeScript types beside the file")
    parser.add_argument("--minify", action="store_true", help="leave out what only people read")


def run(arguments: argparse.Namespace) -> int:
    """Write the file; return 0, or 1 if it cannot be written, or 2 if the arguments do not fit together."""
    from websocket_heartbeat.miniprogram.bundle import build

    if arguments.types and arguments.output is None:
        print("websocket-heartbeat js: error: --types needs -o FILE, to write beside it", file=sys.stderr)
        return 2
    code = build(arguments.format, arguments.target, arguments.minify)
    if arguments.output is None:
        show(code, end="")
        return 0
    try:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(code, encoding="utf-8")
        if arguments.types:
            # TypeScript looks for lib.d.mts beside lib.mjs, for lib.d.ts beside lib.js.
            suffix = ".d.mts" if arguments.output.suffix == ".mjs" else ".d.ts"
            arguments.output.with_suffix(suffix).write_text(types(arguments.target), encoding="utf-8")
    except OSError as error:
        message = f"{arguments.output} cannot be written: {error.strerror}"
        print(f"websocket-heartbeat js: error: {message}", file=sys.stderr)
        return 1
    return 0


def types(target: str) -> str:
    """Return the TypeScript types of a target's file."""
    folder = files("websocket_heartbeat.miniprogram") / "javascript"
    return (folder / f"{target}.d.ts").read_text(encoding="utf-8")
