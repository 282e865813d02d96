"""The command line: finds the command that was asked for; each command is a module of its own.

A command is a module with HELP (one line), `add_arguments(parser)` and `run(arguments)`, which returns the
exit status. It imports nothing optional before `run`, so that `--help` and other commands work without it.
"""

import argparse
import logging
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from websocket_heartbeat.cli import connect, demo, js, probe, send_away, serve
from websocket_heartbeat.cli.output import CannotPrint, have_streams, print_nowhere, tell
from websocket_heartbeat.version import __version__

COMMANDS: dict[str, ModuleType] = {
    "demo": demo,
    "connect": connect,
    "serve": serve,
    "probe": probe,
    "js": js,
    "send-away": send_away,
}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} ({self.prog} --help explains)\n")


_EXTRAS = {"rich": "cli"}
"""Which extra of ours installs a package that a command needs."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` (default: the program's arguments) names; return the exit status.

    1: the reader has left, as after `| head`, or standard output takes nothing. 2: an argument is wrong, or
    a package that the command needs is not installed. 130: Ctrl-C. Otherwise as the command's help says.
    """
    have_streams()
    parser = _Parser(
        prog="websocket-heartbeat", description="A WebSocket connection that outlives its sockets."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    arguments = parser.parse_args(argv)
    # Commands show what happens by themselves; without a handler Python prints warnings to stderr once more.
    logging.getLogger("websocket_heartbeat").addHandler(logging.NullHandler())
    try:
        status: int = arguments.run(arguments)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        install = f"pip install 'websocket-heartbeat[{_EXTRAS[package]}]'"
        tell(f"{parser.prog}: this needs the package {package}: {install}")
        return 2
    except BrokenPipeError:
        print_nowhere()
        return 1
    except CannotPrint as error:
        tell(f"{parser.prog}: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return status
