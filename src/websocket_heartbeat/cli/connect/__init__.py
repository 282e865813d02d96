"""Talks to a WebSocket server: sends each line of standard input, prints each
message.

The connection outlives its links: what happens to them is told on standard
error, and what is typed meanwhile is sent to the next one. On a terminal the
line is edited while messages come in, with a history, and lines that begin with
a slash are commands (/help). Elsewhere standard output has the messages alone,
one a line, binary ones as hexadecimal digits.

Ends at the end of input, when a link was open, all was sent and the answers
have had some time to come (--wait); on a terminal at Ctrl-D and Ctrl-C. The
exit status is 0; 1 if the connection failed for good, not all could be sent or
printed, or the reader of the messages has left; 2 if an argument is wrong; 3
if the server refused the handshake with an HTTP status; 130 after Ctrl-C.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator

from websocket_heartbeat.cli.connect import pipe
from websocket_heartbeat.cli.connect.conversation import Conversation
from websocket_heartbeat.cli.connect.options import add_arguments
from websocket_heartbeat.cli.connect.slash import HELP as SLASH
from websocket_heartbeat.cli.connect.told import JsonLines, Teller, Text
from websocket_heartbeat.cli.dashboard import dashboard
from websocket_heartbeat.cli.state import state_file
from websocket_heartbeat.redaction import shown_url

__all__ = ["EXAMPLES", "HELP", "add_arguments", "run"]

HELP = "talk to a WebSocket server, line by line"

EXAMPLES = """\
websocket-heartbeat connect localhost:8765
websocket-heartbeat connect wss://example.com -H 'Authorization: Bearer abc'
websocket-heartbeat connect wss://example.com -x '{"op": "subscribe"}' -w -1
echo hello | websocket-heartbeat connect localhost:8765 --wait 0.5
websocket-heartbeat connect localhost:8765 --json --retries 3
websocket-heartbeat connect localhost:8765 --dashboard
"""


def run(arguments: argparse.Namespace) -> int:
    """Talk until input ends or Ctrl-C; return the exit status, which the help explains."""
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    is_terminal = sys.stdout.isatty()
    is_typed = sys.stdin is not None and sys.stdin.isatty()
    is_talk = is_terminal and is_typed and not arguments.json and not arguments.execute
    has_colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    teller: Teller = JsonLines()
    if not arguments.json:
        teller = Text(is_terminal=is_terminal, is_talk=is_talk, has_colour=has_colour)
    if arguments.verbose:
        _tell_logs(teller)
    async with dashboard(arguments, teller.note):
        return await _talk(arguments, teller, is_talk=is_talk, has_colour=has_colour)


async def _talk(arguments: argparse.Namespace, teller: Teller, *, is_talk: bool, has_colour: bool) -> int:
    if not is_talk:
        talk = Conversation(arguments, teller, has_slash=False, on_state=lambda: None)
        return await talk.run(_none() if arguments.execute else pipe.lines())
    teller.note(f"connecting to {shown_url(arguments.url)} (Ctrl-D ends it, /help tells more)")
    try:
        from websocket_heartbeat.cli.connect.terminal import Terminal
    except ModuleNotFoundError:
        teller.note("lines are edited, and have a history: pip install 'websocket-heartbeat[cli]'")
        return await Conversation(arguments, teller, has_slash=True, on_state=lambda: None).run(pipe.lines())
    talk = Conversation(arguments, teller, has_slash=True, on_state=lambda: terminal.update())
    terminal = Terminal(
        lambda: talk.state,
        [f"/{name}" for name in SLASH],
        history=None if arguments.no_history else state_file("history"),
        has_colour=has_colour,
    )
    with terminal.printing_above():
        return await talk.run(terminal.lines())


async def _none() -> AsyncIterator[str]:
    """Yield no line."""
    for line in list[str]():
        yield line


def _tell_logs(teller: Teller) -> None:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            teller.note(record.getMessage())

    logger = logging.getLogger("websocket_heartbeat")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(Handler())
