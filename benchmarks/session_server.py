"""The server of benchmarks/sessions.py, a process of its own: hubs without sessions, in memory, in SQLite.

Prints their ports. Then it does what each line of standard input asks, and answers with JSON: "cpu" with the
seconds of CPU time so far; "trace" begins to trace memory, and "memory" tells how much there is.
A message "flood N SIZE" is answered with N messages of that size; every other one is sent back.
"""

import asyncio
import gc
import json
import os
import sys
import tempfile
import threading
import time
import tracemalloc
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from benchmarks.processes import SERVER_CORE, pin
from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Hub, Peer, serve

BURST = 32
"""Messages of a flood that are sent before its producer waits until there is room."""


async def _flood(peer: Peer, count: int, message: str) -> None:
    for _ in range(count // BURST):
        for _ in range(BURST):
            peer.send(message)
        await peer.drain()


class _Floods:
    """The tasks that send floods."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, peer: Peer, order: str) -> None:
        _, count, size = order.split()
        task = asyncio.get_running_loop().create_task(_flood(peer, int(count), "x" * int(size)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _memory() -> dict[str, float]:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"rss": pages * os.sysconf("SC_PAGE_SIZE"), "traced": tracemalloc.get_traced_memory()[0]}


async def _answer(order: str) -> Any:
    if order == "trace":
        return tracemalloc.start()
    if order == "memory":
        return _memory()
    return time.process_time()


async def main() -> None:
    """Serve until standard input ends."""
    floods = _Floods()

    def on_message(peer: Peer, message: Message) -> None:
        if isinstance(message, str) and message.startswith("flood "):
            floods.begin(peer, message)
        else:
            peer.send(message)

    loop = asyncio.get_running_loop()
    end = asyncio.Event()
    with tempfile.TemporaryDirectory() as folder:
        places = {"off": None, "memory": "memory", "sqlite": f"sqlite:///{folder}/sessions.db"}
        hubs = {name: Hub(sessions=place, session_ttl=600) for name, place in places.items()}
        async with AsyncExitStack() as stack:
            servers = [await stack.enter_async_context(serve(on_message, hub=hub)) for hub in hubs.values()]
            print(json.dumps([server.port for server in servers]), flush=True)

            def obey() -> None:
                for line in sys.stdin:
                    done = asyncio.run_coroutine_threadsafe(_answer(line.strip()), loop).result()
                    print(json.dumps(done), flush=True)
                loop.call_soon_threadsafe(end.set)

            threading.Thread(target=obey, daemon=True).start()
            await end.wait()


if __name__ == "__main__":
    pin(SERVER_CORE)
    asyncio.run(main())
