"""The options --dashboard and --dashboard-at of several commands, and the dashboard that they ask for."""

import argparse
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from websocket_heartbeat.checks import check_count, check_token
from websocket_heartbeat.cli.arguments import WrongArgument
from websocket_heartbeat.cli.state import state_file
from websocket_heartbeat.client.evidence import in_words
from websocket_heartbeat.server import DashboardServer, serve_dashboard

HOST = "127.0.0.1"
PORT = 8766
"""Always the same, so that a page survives the restart of its command."""


_TOKEN_LENGTH = 32


def add_arguments(parser: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """Declare them."""
    parser.add_argument(
        "--dashboard",
        action="store_true",
        help=f"show what happens live on a page, and print its URL (default: port {PORT} of this machine)",
    )
    parser.add_argument(
        "--dashboard-at", type=_address, metavar="HOST:PORT", help="as --dashboard, at this address"
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    try:
        return host.strip("[]") or HOST, check_count("the port", int(port), most=65535)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be HOST:PORT or :PORT, not {text!r}") from None


@asynccontextmanager
async def dashboard(arguments: argparse.Namespace, tell: Callable[[str], None]) -> AsyncIterator[None]:
    """Serve the dashboard, if it is asked for, and tell its URL.

    Raises:
        WrongArgument: the address cannot be listened on.
    """
    async with AsyncExitStack() as stack:
        if arguments.dashboard or arguments.dashboard_at:
            board = await _served(stack, arguments.dashboard_at)
            tell(f"dashboard: {board.url}")
        yield


async def _served(stack: AsyncExitStack, address: tuple[str, int] | None) -> DashboardServer:
    host, port = address or (HOST, PORT)
    token = _token()
    reason = ""
    for each in (port, 0) if address is None else (port,):  # of several commands, one has the usual port
        try:
            return await stack.enter_async_context(serve_dashboard(host, each, token=token))
        except OSError as error:
            reason = reason or in_words(error)
    raise WrongArgument(f"the dashboard cannot listen on {host} port {port}: {reason}")


def _token() -> str:
    """Return the same token each time, from a file that nobody else may read; without one, another."""
    path = state_file("dashboard-token")
    try:
        kept = path.read_text().strip()
        if len(kept) >= _TOKEN_LENGTH:
            return check_token("it", kept)
    except (OSError, ValueError):
        pass
    token = secrets.token_urlsafe(24)
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(token)
    return token
