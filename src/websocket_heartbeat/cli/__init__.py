"""The command line: finds the command that was asked for; each command is a module of its own.

A command is a module with HELP (one line), EXAMPLES (lines, each a command), `add_arguments(parser)` and
`run(arguments)`, which returns the exit status. It imports nothing optional before `run`, so that `--help`
and other commands work without it.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from websocket_heartbeat.cli import completion, connect, demo, js, probe, send_away, serve
from websocket_heartbeat.cli.arguments import WrongArgument
from websocket_heartbeat.cli.meant import did_you_mean
from websocket_heartbeat.cli.output import CannotPrint, have_streams, print_nowhere, show, tell
from websocket_heartbeat.version import __version__

COMMANDS: dict[str, ModuleType] = {
    "connect": connect,
    "serve": serve,
    "probe": probe,
    "demo": demo,
    "js": js,
    "send-away": send_away,
    "completion": completion,
}

EXAMPLES = """\
websocket-heartbeat serve                          # an echo server
websocket-heartbeat connect localhost:8765         # talk to it, line by line
websocket-heartbeat probe wss://example.com/feed   # why does it not work?
websocket-heartbeat demo                           # what breaks, and what then
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} ({self.prog} --help explains)\n")


_EXTRAS = {"rich": "cli"}
"""Which extra of ours installs a package that a command needs."""


def make_parser() -> argparse.ArgumentParser:
    """Return what reads the arguments of all commands."""
    parser = _Parser(
        prog="websocket-heartbeat",
        description="WebSocket connections that outlive their sockets.",
        epilog=f"examples:\n{_indented(EXAMPLES)}\nwebsocket-heartbeat COMMAND -h explains a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__, help="print it and exit")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands", required=True)
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            epilog=f"examples:\n{_indented(module.EXAMPLES)}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run, command=command, whole=parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` (default: the program's arguments) names; return the exit status.

    1: the reader has left, as after `| head`, or standard output takes nothing. 2: an argument is wrong, or
    a package that the command needs is not installed. 130: Ctrl-C. Otherwise as the command's help says.
    """
    have_streams()
    parser = make_parser()
    words = list(sys.argv[1:] if argv is None else argv)
    # Commands show what happens by themselves; without a handler Python prints warnings to stderr once more.
    logging.getLogger("websocket_heartbeat").addHandler(logging.NullHandler())
    try:
        if not words:
            show(parser.format_help(), end="")
            return 0
        arguments = _parsed(parser, words)
        status: int = arguments.run(arguments)
    except WrongArgument as error:
        arguments.command.error(str(error))
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


def _parsed(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """Return the arguments. What is wrong with them is said without their values, which may be secret."""
    if "://" in words[0]:
        parser.error("a command comes before the URL; did you mean connect?")
    if not words[0].startswith("-") and words[0] not in COMMANDS:
        parser.error(f"there is no command {words[0]!r}{did_you_mean(words[0], COMMANDS)}")
    if words[0].startswith("-") and words[0] not in _options(parser):
        _no_option(parser, words[0])
    arguments, rest = parser.parse_known_args(words)
    command: argparse.ArgumentParser = arguments.command
    for word in rest:
        if word.startswith("-"):
            _no_option(command, word)
    if rest:
        more = "1 argument" if len(rest) == 1 else f"{len(rest)} arguments"
        command.error(f"{more} too many; are quotes missing?")
    return arguments


def _options(command: argparse.ArgumentParser) -> list[str]:
    return [option for action in command._actions for option in action.option_strings]


def _no_option(command: argparse.ArgumentParser, word: str) -> NoReturn:
    """Refuse an option, named without its value, which may be secret."""
    name = word.partition("=")[0] if word.startswith("--") else word[:2]
    command.error(f"there is no option {name}{did_you_mean(name, _options(command))}")


def _indented(lines: str) -> str:
    return "".join(f"  {line}\n" for line in lines.splitlines())
