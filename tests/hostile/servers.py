"""Servers that are wrong on purpose, and what the user of a connection is told of them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.client.servers import well_behaved
from tests.engines import peers
from tests.engines.peers import Handler, Peer
from tests.hostile.memory import Peak
from tests.watch import PATIENCE, until

from websocket_heartbeat import (
    Backoff,
    CloseEvent,
    Connection,
    Heartbeat,
    connect,
)

MIB = 2**20
MAX_SIZE = 64 * 1024
SMALL = 8 * MIB
"""What the client and the server of a test may hold together; the attacks offer gigabytes or never end."""

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\n"
HEARTBEAT = Heartbeat(0.3, 0.3)
OPEN_TIMEOUT = 1.5
SLACK = 6.0
"""Seconds that a loaded machine may add."""

ENGINES = ["websockets", "aiohttp"]


@dataclass
class Report:
    """What the user of a connection was told."""

    opens: int = 0
    closes: list[CloseEvent] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def of(self, connection: Connection) -> "Report":
        @connection.on_open
        def opened(event: Any) -> None:
            self.opens += 1

        connection.on_close = self.closes.append
        connection.on_error = self.errors.append
        connection.on_reconnect = lambda event: self.reasons.append(event.reason)
        return self


@asynccontextmanager
async def faulty_once(faulty: Handler, good: Handler = well_behaved) -> AsyncIterator[peers.RawServer]:
    """Run a server whose first connection meets `faulty`, all of it, and each later one `good`."""
    met: list[Peer] = []

    async def handler(peer: Peer) -> None:
        await peer.read_request()
        met.append(peer)
        if len(met) == 1:
            await faulty(peer)
        else:
            peer.write(peer.response())
            await good(peer)

    async with peers.raw_server(handler) as server:
        yield server


def connection_to(server: peers.RawServer, **options: Any) -> Connection:
    defaults: dict[str, Any] = {
        "engine": "websockets",
        "heartbeat": HEARTBEAT,
        "backoff": Backoff(0.05, 1, 30),
        "open_timeout": OPEN_TIMEOUT,
        "close_timeout": 1,
        "max_size": MAX_SIZE,
    }
    return connect(server.url(), **(defaults | options))


async def recover(faulty: Handler, within: float, **options: Any) -> Report:
    """Meet a faulty server, then get an echo through a good one; return what was told; check memory."""
    async with faulty_once(faulty) as server:
        connection = connection_to(server, **options)
        report = Report().of(connection)
        with Peak() as peak:
            begun = time.monotonic()
            async with connection:
                await until(lambda: report.reasons)
                assert time.monotonic() - begun <= within + SLACK
                await connection.send("still here")
                async with asyncio.timeout(PATIENCE):
                    while await connection.recv() != "still here":
                        pass
        assert peak.python < SMALL
        if peak.process is not None:
            assert peak.process < 3 * SMALL
        return report


async def forever(peer: Peer, *data: bytes) -> None:
    """Write as fast as the client takes it, until it goes; never read."""
    while True:
        for part in data:
            peer.write(part)
        await peer.writer.drain()
        await asyncio.sleep(0)
