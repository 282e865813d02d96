"""Many messages behind a consumer that is slower than who sends them: how far ahead, and in how much memory.

python -m tests.chaos.slow              a million each way, in one process: the memory is that of both sides
"""

import asyncio
import sys
import tracemalloc
from dataclasses import dataclass

from tests.watch import until

from websocket_heartbeat import connect
from websocket_heartbeat.server import Hub, Peer, serve

_MESSAGE = "x" * 1000


@dataclass
class Measured:
    """count: messages handled. ahead: most that were sent and not handled. grown: most bytes of Python."""

    count: int
    ahead: int
    grown: int


class Consumer:
    """Counts what it handles, and how far the sender is ahead; it stops at first, and then now and again."""

    def __init__(self) -> None:
        self.sent = 0
        self.handled = 0
        self.ahead = 0
        self.may_begin = asyncio.Event()

    def send(self) -> str:
        self.sent += 1
        self.ahead = max(self.ahead, self.sent - self.handled)
        return _MESSAGE

    async def handle(self) -> None:
        await self.may_begin.wait()
        self.handled += 1
        if self.handled % 2000 == 0:
            await asyncio.sleep(0.02)

    async def stand_still(self) -> None:
        """Begin only when the sender waits."""
        sent = -1
        while sent != self.sent:
            sent = self.sent
            await asyncio.sleep(0.3)
        self.may_begin.set()


async def to_server(count: int) -> Measured:
    """Send to a hook that is slow."""
    consumer = Consumer()

    async def on_message(peer: Peer, message: object) -> None:
        await consumer.handle()

    hub = Hub(sessions="memory", on_message=on_message)
    async with serve(hub=hub) as server, connect(server.url(), session="require") as connection:
        await until(lambda: hub.peers)
        tracemalloc.start()
        standing = asyncio.create_task(consumer.stand_still())
        for _ in range(count):
            await connection.send(consumer.send())
        await connection.flush()
        await standing
        measured = Measured(consumer.handled, consumer.ahead, tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    await hub.close()
    return measured


async def to_client(count: int) -> Measured:
    """Send to an iteration that is slow."""
    consumer = Consumer()

    async def feed(peer: Peer) -> None:
        for _ in range(count):
            await peer.drain()
            peer.send(consumer.send())

    hub = Hub(sessions="memory", on_open=feed)
    tracemalloc.start()
    async with serve(hub=hub) as server, connect(server.url(), session="require") as connection:
        standing = asyncio.create_task(consumer.stand_still())
        async for _ in connection:
            await consumer.handle()
            if consumer.handled == count:
                break
        await standing
        measured = Measured(consumer.handled, consumer.ahead, tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    await hub.close()
    return measured


if __name__ == "__main__":
    COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    for direction in (to_server, to_client):
        result = asyncio.run(direction(COUNT))
        print(
            f"{direction.__name__}: {result.count:,} messages, at most {result.ahead} ahead,"
            f" {result.grown / 2**20:.1f} MiB at most for both sides"
        )
