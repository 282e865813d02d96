"""Runs a server that sends every message back, answers heartbeats and drops
silent clients.

Prints its URL on standard output. Pages of every origin may connect: it is for
trying things out, and has nothing to protect. Ends on Ctrl-C or SIGTERM:
clients are asked to go with 1001, and the exit status is 0.
"""

import argparse
import asyncio
import contextlib

from websocket_heartbeat.cli import dashboard
from websocket_heartbeat.cli.arguments import message, port, seconds
from websocket_heartbeat.cli.ending import signalled
from websocket_heartbeat.cli.output import show, tell
from websocket_heartbeat.client.evidence import in_words
from websocket_heartbeat.redaction import printable
from websocket_heartbeat.server import Peer, serve

HELP = "run an echo server that answers heartbeats"

EXAMPLES = """\
websocket-heartbeat serve
websocket-heartbeat serve --host 0.0.0.0 --port 9000
websocket-heartbeat serve --heartbeat ping --idle-timeout 20
websocket-heartbeat serve --dashboard
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    parser.add_argument(
        "--port", type=port, default=8765, help="the port; 0 takes a free one (default: 8765)"
    )
    parser.add_argument(
        "--heartbeat",
        type=message,
        default="heartbeat",
        metavar="TEXT",
        help="the text message that is a heartbeat, answered with itself (default: heartbeat)",
    )
    parser.add_argument(
        "--idle-timeout",
        type=seconds(),
        default=60,
        metavar="SECONDS",
        help="after how much silence to drop a client (default: 60)",
    )
    dashboard.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes; return 0, or 1 if the address cannot be listened on."""
    return asyncio.run(_serve(arguments))


async def _serve(arguments: argparse.Namespace) -> int:
    server = serve(
        host=arguments.host,
        port=arguments.port,
        on_open=_come,
        on_close=_gone,
        heartbeat=arguments.heartbeat,
        idle_timeout=arguments.idle_timeout,
        origins=None,
    )
    async with contextlib.AsyncExitStack() as stack:
        ended = stack.enter_context(signalled())
        await stack.enter_async_context(dashboard.dashboard(arguments, tell))
        try:
            await stack.enter_async_context(server)
        except OSError as error:
            tell(f"cannot listen on {arguments.host} port {arguments.port}: {in_words(error)}")
            return 1
        show(server.url())
        await ended.wait()
    return 0


def _come(peer: Peer) -> None:
    tell(f"client {peer.id} has come")


def _gone(peer: Peer, code: int | None, reason: str) -> None:
    tell(f"client {peer.id} is gone: {' '.join(filter(None, (str(code or ''), printable(reason))))}")
