"""The hub with Litestar and Quart."""

from typing import Any, assert_type

from litestar import Litestar, WebSocket, websocket
from quart import Quart
from quart import websocket as quart_websocket

from websocket_heartbeat.server import Hub, Peer

hub = Hub()


@websocket("/")
async def feed(socket: WebSocket[Any, Any, Any]) -> None:
    async with hub.accept(socket) as peer:
        assert_type(peer, Peer)


app = Litestar([feed], middleware=[hub.asgi])
q = Quart(__name__)
q.asgi_app = hub.asgi(q.asgi_app)  # type: ignore[method-assign]


@q.websocket("/")
async def feed2() -> None:
    async with hub.accept(quart_websocket) as peer:
        assert_type(peer, Peer)
