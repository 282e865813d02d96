"""`serve_dashboard`: the dashboard at a port of its own, behind a token in its URL."""

import hmac
import secrets
from collections.abc import Awaitable
from contextlib import aclosing
from types import TracebackType
from typing import Self

from websocket_heartbeat.checks import check_token
from websocket_heartbeat.dashboard.board import HEADERS, Board
from websocket_heartbeat.redaction import HIDDEN
from websocket_heartbeat.server.admission import Refusal, Request
from websocket_heartbeat.server.links.endpoint import HOST, PORT
from websocket_heartbeat.server.links.http import asks_for_websocket
from websocket_heartbeat.server.peer import Peer
from websocket_heartbeat.server.serving import Server, serve

_MOST_VIEWERS = 32


def serve_dashboard(host: str = HOST, port: int = PORT, *, token: str | None = None) -> "DashboardServer":
    """Show the connections of this process live, on a page: the cardiogram.

        async with serve_dashboard() as dashboard:
            print(dashboard.url)

    It shows every client, fleet, hub and server of the process, also those from before the block, and what
    happens to them within it: addresses, paths, times and reasons, but no queries, headers or messages.
    Whoever knows the URL can see it.

    host: the address to listen on. Default 127.0.0.1: reachable from this machine only. The page is plain
    HTTP: on another address, the token can be read on the network. port: 0 (default) takes a free one.
    token: the secret part of the URL. Set it for a page that stays valid over restarts of the program. None
    (default): a random one.

    Raises:
        TypeError, ValueError: an argument is wrong; the text names it.
        OSError: from `async with`: the address cannot be listened on.
    """
    if token is None:
        token = secrets.token_urlsafe(24)
    return DashboardServer(host, port, check_token("token", token, may_be_secret=True))


class DashboardServer:
    """A server of the dashboard; `serve_dashboard` returns it."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._token = token
        self._board: Board | None = None
        self._server: Server = serve(
            _ignore,
            host,
            port,
            on_open=self._feed,
            on_handshake=self._admit,
            idle_timeout=20,
            max_peers=_MOST_VIEWERS,
            shown_path=lambda path: HIDDEN,
        )
        self._server._roster.hide()

    def __repr__(self) -> str:
        return f"<DashboardServer at {self._server.host} port {self._server.port}>"

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        self._board = Board()
        self._board.wake()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._board is not None:
            self._board.stop()
        await self._server.close()

    @property
    def url(self) -> str:
        """The URL of the page, with the secret token. Available within `async with`."""
        return self._server.url(f"/{self._token}/").replace("ws", "http", 1)

    def _admit(self, request: Request) -> Refusal | None:
        """Answer requests for the page's files; accept a WebSocket with a valid ticket."""
        token, slash, path = request.path.removeprefix("/").partition("/")
        board = self._board
        if board is None or not hmac.compare_digest(token.encode(), self._token.encode()):
            return Refusal(404)
        if asks_for_websocket(request):
            return None if board.take_ticket(path) else Refusal(403)
        if not slash:
            return Refusal(308, {"Location": f"/{self._token}/"})
        page = board.page(path)
        if page is None:
            return Refusal(404)
        return Refusal(200, [*HEADERS, ("Content-Type", page.content_type)], page.body)

    def _feed(self, peer: Peer) -> Awaitable[None]:
        """Return what sends a viewer the feed."""
        assert self._board is not None
        return _send_feed(peer, self._board)


async def _send_feed(peer: Peer, board: Board) -> None:
    """Send the messages, until this is cancelled as the viewer disconnects."""
    async with aclosing(board.watch()) as messages:
        async for message in messages:
            peer.send(message)
            await peer.drain()


def _ignore(peer: Peer, message: object) -> None:
    """Ignore the messages of viewers."""
