"""The dashboard as an ASGI application, to be mounted in another one, behind its authentication."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any

from websocket_heartbeat.dashboard.board import HEADERS, Board

_HEARTBEAT = "heartbeat"
"""The heartbeat of our client for pages, which expects it back."""


class DashboardApp:
    """Serves the page, and its feed by WebSocket; `Hub.dashboard` returns it."""

    def __init__(self) -> None:
        self._board = Board()

    def expects(self, scope: Mapping[str, Any]) -> bool:
        """Whether a WebSocket is that of a viewer, by its ticket."""
        self._board.wake()  # so that there are samples from before the first viewer
        return self._board.has_ticket(scope["path"])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer an HTTP request, or send the feed to a viewer."""
        if scope["type"] == "http":
            await self._answer(scope, send)
        elif scope["type"] == "websocket":
            await receive()
            if self._board.take_ticket(scope["path"]):
                await send({"type": "websocket.accept"})
                await self._feed(receive, send)
            else:
                await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Mapping[str, Any], send: Callable[[Any], Awaitable[None]]) -> None:
        self._board.wake()
        status, headers, body = 405, [(b"allow", b"GET, HEAD")], b""
        if scope["method"] in ("GET", "HEAD"):
            page = self._board.page(scope["path"].rpartition("/")[2])
            status, headers = 404, []
            if page is not None:
                status, body = 200, page.body
                headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS]
                headers.append((b"content-type", page.content_type.encode()))
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _feed(
        self, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Send the messages until the viewer disconnects."""

        async def show() -> None:
            async with aclosing(self._board.watch()) as messages:
                async for message in messages:
                    await send({"type": "websocket.send", "text": message})

        showing = asyncio.create_task(show())
        try:
            while (event := await receive())["type"] != "websocket.disconnect":
                if event.get("text") == _HEARTBEAT:
                    await send({"type": "websocket.send", "text": _HEARTBEAT})
        except OSError:  # raised by servers when the viewer has disconnected
            pass
        finally:
            showing.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await showing
