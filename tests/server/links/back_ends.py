"""The frameworks whose clients a hub makes peers of, each with a server of its own, as users run them."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import websockets
from aiohttp import web

from websocket_heartbeat.server import Hub, Peer

PeerFunction = Callable[[Peer], Awaitable[object]]


@dataclass(frozen=True)
class Place:
    """Where a server listens."""

    port: int
    host: str = "127.0.0.1"

    def url(self, path: str = "/", scheme: str = "ws") -> str:
        return f"{scheme}://{self.host}:{self.port}{path}"


BackEnd = Callable[..., Any]
"""Serves a hub within `async with`: called with it and what has each peer; yields a Place."""


async def echo(peer: Peer) -> None:
    async for message in peer:
        peer.send(message)


async def stay(peer: Peer) -> None:
    await peer.wait_closed()


@asynccontextmanager
async def running(app: web.Application, tls: ssl.SSLContext | None = None) -> AsyncIterator[Place]:
    """Serve an application of aiohttp."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        yield Place(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def application(hub: Hub, on_peer: PeerFunction = echo, **options: Any) -> web.Application:
    """Make an application of aiohttp whose every path is a WebSocket of the hub."""

    async def feed(request: web.Request) -> web.WebSocketResponse:
        async with hub.aiohttp(request, **options) as peer:
            await on_peer(peer)
        return peer.response

    app = web.Application()
    app.router.add_get("/{path:.*}", feed)
    app.on_shutdown.append(hub.on_shutdown)
    return app


@asynccontextmanager
async def aiohttp_web(
    hub: Hub, on_peer: PeerFunction = echo, tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[Place]:
    async with running(application(hub, on_peer, **options), tls) as place:
        yield place
    await hub.close()


@asynccontextmanager
async def websockets_server(
    hub: Hub, on_peer: PeerFunction | None = echo, tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[Place]:
    options = {"process_request": hub.refuse, "ping_interval": None, **options}
    async with websockets.serve(hub.websockets(on_peer), "127.0.0.1", 0, ssl=tls, **options) as server:
        try:
            yield Place(server.sockets[0].getsockname()[1])
        finally:
            await hub.close()


BACK_ENDS = {"aiohttp": aiohttp_web, "websockets": websockets_server}
