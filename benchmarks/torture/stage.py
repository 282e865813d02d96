"""Where a trap is run: the client, its server, and the proxy between them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.torture.clients import Client, ClientProcess
from benchmarks.torture.server import Handler, Link, Server, well_behaved
from benchmarks.torture.verdict import PATIENCE, NotProvoked
from websocket_heartbeat.testing import FaultProxy

BOUND = 2.0
"""Seconds: interval and timeout, of one second each."""
SLACK = 0.5
"""Seconds by which a busy machine may delay what a client does in time."""
STARTING = 20.0
STALL = 6.0
MIB = 2**20


class Stage:
    """A client, its server, and the proxy between them."""

    def __init__(self, process: ClientProcess, server: Server, proxy: FaultProxy) -> None:
        self.process = process
        self.server = server
        self.proxy = proxy

    async def opened(self) -> Link:
        """Wait until the first link is open and its user knows."""
        if not await self.process.until(
            lambda: self.process.told("open") and any(link.ready.is_set() for link in self.server.links),
            STARTING,
        ):
            last = self.process.events[-1:] or self.process.stderr[-300:]
            raise NotProvoked(f"it did not open: {last}")
        return self.server.links[-1]

    def noticed(self, since: float) -> float | None:
        """When the user was told of a loss, or a new link was tried: what came first."""
        times = [event["at"] for event in self.process.told("lost", "failed", "ended", "exited", since=since)]
        times += [at for at in self.server.arrivals if at >= since]
        times += [entry.at for entry in self.proxy.log if entry.event == "accepted" and entry.at >= since]
        return min(times, default=None)

    async def seconds_to_notice(self, since: float, patience: float = PATIENCE) -> float | None:
        await self.process.until(lambda: self.noticed(since) is not None, patience)
        at = self.noticed(since)
        return None if at is None else at - since


@asynccontextmanager
async def stage(client: Client, handler: Handler = well_behaved, **options: Any) -> AsyncIterator[Stage]:
    """Set up a server with that handler, a proxy before it, and the client."""
    interval = options.get("interval", 1.0)
    async with (
        Server(handler, client.dialect, interval) as server,
        FaultProxy("127.0.0.1", server.port) as proxy,
        ClientProcess(client, url(client, proxy.port), **options) as process,
    ):
        yield Stage(process, server, proxy)


def url(client: Client, port: int, scheme: str = "ws") -> str:
    """Return the address in the form that the client takes."""
    if client.dialect == "socketio":
        scheme = {"ws": "http", "wss": "https"}[scheme]
    return f"{scheme}://localhost:{port}" + ("" if client.dialect == "socketio" else "/")


@asynccontextmanager
async def behaving(link: Link) -> AsyncIterator[asyncio.Task[None]]:
    """Let a client in and answer it beside what the trap does, once it is ready; the value is that task."""
    await link.read_request()
    await link.accept()
    answering = asyncio.create_task(link.behave())
    try:
        await link.ready.wait()
        yield answering
    finally:
        answering.cancel()
