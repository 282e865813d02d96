"""The hub with aiohttp.web."""

from functools import partial
from typing import assert_type

from aiohttp import web

from websocket_heartbeat.server import Hub, Peer

hub = Hub()


async def feed(request: web.Request) -> web.WebSocketResponse:
    async with hub.aiohttp(request, protocols=("a",)) as peer:
        assert_type(peer, Peer)
        assert_type(peer.response, web.WebSocketResponse)
    return peer.response


app = web.Application()
app.router.add_get("/", feed)
app.on_shutdown.append(hub.on_shutdown)
app.on_shutdown.append(partial(hub.on_shutdown, over=60))
