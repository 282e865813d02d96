"""Opens many idle connections of each library, as its users do: with a heartbeat and a reader."""

import asyncio
import base64
import os
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from benchmarks.tls import client_context

AT_ONCE = 100
"""Connections that open at the same time."""

Keep = list[Any]
_P = TypeVar("_P", bound="Bare")
Opener = Callable[[str, int, float], Awaitable[Keep]]


async def _each(count: int, open_one: Callable[[], Awaitable[Any]]) -> Keep:
    kept: Keep = []
    for begin in range(0, count, AT_ONCE):
        kept += await asyncio.gather(*(open_one() for _ in range(min(AT_ONCE, count - begin))))
    return kept


def ignore(message: object) -> None:
    """Take a message that never comes."""


async def _drain(messages: Any) -> None:
    async for _ in messages:
        pass


async def ours_hook(url: str, count: int, interval: float) -> Keep:
    """Ours, with an on_message hook."""
    from websocket_heartbeat import Connection, Heartbeat, connect

    heartbeat = Heartbeat(interval=interval)
    context = client_context(url)

    async def open_one() -> Connection:
        connection = connect(url, heartbeat=heartbeat, proxy=None, ssl=context)
        connection.on_message = ignore
        await connection
        await connection.wait_open()
        return connection

    return await _each(count, open_one)


async def ours_iteration(url: str, count: int, interval: float) -> Keep:
    """Ours, with a task that iterates over each."""
    from websocket_heartbeat import Connection, Heartbeat, connect

    heartbeat = Heartbeat(interval=interval)
    context = client_context(url)

    async def open_one() -> tuple[Connection, asyncio.Task[None]]:
        connection = connect(url, heartbeat=heartbeat, proxy=None, ssl=context)
        await connection
        await connection.wait_open()
        return connection, asyncio.create_task(_drain(connection))

    return await _each(count, open_one)


async def picows(url: str, count: int, interval: float) -> Keep:
    """Bare picows with its own pings and its default buffers."""
    from picows import WSListener, ws_connect

    async def open_one() -> Any:
        return await ws_connect(
            WSListener,
            url,
            enable_auto_ping=True,
            auto_ping_idle_timeout=interval,
            auto_ping_reply_timeout=interval,
        )

    return await _each(count, open_one)


async def aiohttp(url: str, count: int, interval: float) -> Keep:
    """Connections of aiohttp in one session, and a task that iterates over each."""
    from aiohttp import ClientSession, TCPConnector

    session = ClientSession(connector=TCPConnector(limit=0, ssl=client_context(url) or True))

    async def open_one() -> Any:
        connection = await session.ws_connect(url, heartbeat=interval)
        return connection, asyncio.create_task(_drain(connection))

    return [session, *await _each(count, open_one)]


async def websockets(url: str, count: int, interval: float) -> Keep:
    """Connections of websockets, and a task that iterates over each."""
    from websockets.asyncio.client import connect

    context = client_context(url)

    async def open_one() -> Any:
        connection = await connect(url, ping_interval=interval, proxy=None, compression=None, ssl=context)
        return connection, asyncio.create_task(_drain(connection))

    return await _each(count, open_one)


class Bare(asyncio.Protocol):
    """A protocol that ignores what it receives. is_open: done when the handshake is."""

    def __init__(self) -> None:
        self.is_open = asyncio.get_running_loop().create_future()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if not self.is_open.done():
            self.is_open.set_result(None)


_PING = b"\x89\x80" + bytes(4)


async def open_bare(url: str, make: Callable[[], _P], context: ssl.SSLContext | None = None) -> _P:
    """Do the handshake, through the TLS of the loop where the URL has it."""
    parts = urlsplit(url)
    _, protocol = await asyncio.get_running_loop().create_connection(
        make, parts.hostname or "", parts.port or 80, ssl=context or client_context(url)
    )
    key = base64.b64encode(os.urandom(16)).decode()
    protocol.transport.write(
        (
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        ).encode()
    )
    await protocol.is_open
    return protocol


async def bare(url: str, count: int, interval: float, steps: int = 100) -> Keep:
    """What asyncio itself costs: a protocol that ignores what it receives, and one timer for all pings.

    steps: of the timer in an interval. With 100 a ping may be as late as one of ours. With fewer of them more
    pings share a turn of the loop, and each is cheaper.
    """
    loop = asyncio.get_running_loop()
    context = client_context(url)
    protocols = await _each(count, lambda: open_bare(url, Bare, context))

    async def tick() -> None:
        begun = loop.time()
        turn = 0
        while True:
            for protocol in protocols[turn % steps :: steps]:
                protocol.transport.write(_PING)
            turn += 1
            await asyncio.sleep(begun + turn * interval / steps - loop.time())

    return [loop.create_task(tick()), *protocols]


OPENERS: dict[str, Opener] = {
    "ours, hook": ours_hook,
    "ours, iteration": ours_iteration,
    "bare protocol": bare,
    "picows": picows,
    "aiohttp": aiohttp,
    "websockets": websockets,
}
