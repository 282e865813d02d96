"""Whether a healthy client and our server ever part: each client in each traffic, over many idle timeouts.

Heartbeats are the defaults of `connect` and `serve`, scaled to a tenth. Traffic is a message every 0.1 s, by
nobody, by the server, by the client, or by both. It goes on for 10 idle timeouts, which is 60 s, and with
--long for 100. A client is what CLIENTS has, and may be a process of its own.
"""

import asyncio
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import websockets

from benchmarks import report
from websocket_heartbeat import Heartbeat, connect
from websocket_heartbeat.server import Peer, serve

HEARTBEAT = Heartbeat(interval=1.5, timeout=1)
IDLE_TIMEOUT = 6.0
TICK = 0.1

Client = Callable[[str, bool, float], Awaitable[int]]
"""Connects to a URL and stays for so many seconds, sends a text every TICK if it is to talk, and reads what
comes. Returns how many links it lost, and so had to open again."""


async def _ours(url: str, talks: bool, seconds: float) -> int:
    async with connect(url, heartbeat=HEARTBEAT, proxy=None) as connection:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), _talking(connection.send, talks):
                async for _ in connection:
                    pass
        return connection.stats.links - 1


async def _bare_websockets(url: str, talks: bool, seconds: float) -> int:
    lost = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                async with websockets.connect(url, ping_interval=None, proxy=None) as connection:
                    with suppress(websockets.ConnectionClosed):
                        async with _talking(connection.send, talks):
                            async for _ in connection:
                                pass
                lost += 1
    return lost


@asynccontextmanager
async def _talking(send: Callable[[str], Awaitable[Any]], talks: bool) -> AsyncIterator[None]:
    async def talk() -> None:
        while talks:
            await send("tick")
            await asyncio.sleep(TICK)

    task = asyncio.create_task(talk())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


CLIENTS: dict[str, Client] = {"ours": _ours, "bare websockets": _bare_websockets}

TRAFFIC = {"none": (False, False), "server": (True, False), "client": (False, True), "both": (True, True)}
"""Who talks: the server, the client."""


@dataclass
class Pair:
    """What came of a client in one traffic.

    opened: links that the server saw. lost: links that the client lost. heard: messages from the client.
    reasons: why links ended, as the server tells it, but for those that their client closed.
    """

    client: str
    traffic: str
    opened: int = 0
    lost: int = 0
    heard: int = 0
    reasons: tuple[str, ...] = ()


async def agree(seconds: float, clients: Mapping[str, Client] = CLIENTS) -> list[Pair]:
    """Let every client stay for so long in every traffic, all of them at once."""
    pairs: dict[str, Pair] = {}
    feeds: dict[int, asyncio.Task[None]] = {}

    async def feed(peer: Peer) -> None:
        while True:
            peer.send("tick")
            await asyncio.sleep(TICK)

    def opened(peer: Peer) -> None:
        pair = pairs[peer.request.path]
        pair.opened += 1
        if TRAFFIC[pair.traffic][0]:
            feeds[peer.id] = asyncio.create_task(feed(peer))

    def heard(peer: Peer, _: object) -> None:
        pairs[peer.request.path].heard += 1

    def closed(peer: Peer, code: int | None, reason: str) -> None:
        if peer.id in feeds:
            feeds.pop(peer.id).cancel()
        if code is None:
            pairs[peer.request.path].reasons += (reason,)

    async def stay(client: Client, pair: Pair) -> None:
        path = f"/{len(pairs)}"
        pairs[path] = pair
        pair.lost = await client(server.url(path), TRAFFIC[pair.traffic][1], seconds)

    async with serve(heard, on_open=opened, on_close=closed, idle_timeout=IDLE_TIMEOUT) as server:
        await asyncio.gather(
            *(stay(client, Pair(name, traffic)) for name, client in clients.items() for traffic in TRAFFIC)
        )
    return list(pairs.values())


def run(options: Namespace) -> None:
    """Measure, print and save."""
    timeouts = 100 if options.long else 10
    pairs = asyncio.run(agree(timeouts * IDLE_TIMEOUT))
    report.table(
        f"Links that healthy clients lost over {timeouts} idle timeouts of the server",
        ["client", "traffic by", "lost", "messages to the server", "reasons"],
        [[pair.client, pair.traffic, pair.lost, pair.heard, "; ".join(pair.reasons)] for pair in pairs],
    )
    report.keep("agreement", {"idle_timeouts": timeouts, "rows": [vars(pair) for pair in pairs]})
