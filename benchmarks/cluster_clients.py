"""The clients of benchmarks/cluster.py: `python -m benchmarks.cluster_clients NAME SECONDS PORT...`.

Each asks its worker for a burst whenever it has the one before. Prints how many messages came in the time.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.cluster_worker import BURST
from websocket_heartbeat import connect

CLIENTS = 30

Ask = Callable[[], Awaitable[Any]]


class _Client:
    """What one has had. ask: sends a message to its worker."""

    def __init__(self) -> None:
        self.got = 0
        self.ask: Ask
        self._asking: set[asyncio.Future[Any]] = set()

    def take(self, *_: object) -> None:
        """Take a message; ask for more after the last one of a burst."""
        self.got += 1
        if self.got % BURST == 0:
            asking = asyncio.ensure_future(self.ask())
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)


async def _open(name: str, port: int) -> _Client:
    client = _Client()
    if name == "socketio":
        import socketio

        connection = socketio.AsyncClient()
        connection.on("message", client.take)
        await connection.connect(f"http://127.0.0.1:{port}", transports=["websocket"])

        async def ask() -> None:
            await connection.emit("message", "go")

        client.ask = ask
    else:
        session: Any = "require" if name == "ours" else "off"
        ours = connect(f"ws://127.0.0.1:{port}/", proxy=None, session=session, on_message=client.take)
        await ours
        client.ask = lambda: ours.send("go")
    return client


async def main(name: str, seconds: float, ports: list[int]) -> None:
    """Measure after two seconds, in which all gets under way."""
    clients = [await _open(name, ports[number % len(ports)]) for number in range(CLIENTS)]
    await asyncio.gather(*(client.ask() for client in clients))
    await asyncio.sleep(2)
    loop = asyncio.get_running_loop()
    begun, before = loop.time(), sum(client.got for client in clients)
    await asyncio.sleep(seconds)
    got = sum(client.got for client in clients) - before
    print(got / (loop.time() - begun), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), [int(port) for port in sys.argv[3:]]))
