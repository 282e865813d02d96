"""`make cluster-demo`: three workers, one Valkey and 200 clients, while workers and Valkey are killed.

Every process is a real one, and so is every kill. At the end the histories that clients and workers have
written are compared; they stay where the last line says, for whoever wants to check them.
"""

import argparse
import asyncio
import logging
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from examples.cluster.balancer import Balancer
from examples.cluster.crowd import Client
from examples.cluster.ledger import read, told
from examples.cluster.store import Store
from examples.cluster.workers import Workers

WORKERS = 3
_PATIENCE = 60.0
"""Seconds in which all clients are served again after a fault, or else something is wrong."""
_CALM = 1.5
"""Seconds from then to the next fault."""


class Demo:
    """One run. folder: of the histories, and of the store. pause: seconds from a message to the next one."""

    def __init__(self, folder: Path, clients: int, pause: float, seed: int) -> None:
        self._folder = folder
        self._count = clients
        self._pause = pause
        self._chance = random.Random(seed)
        self._start = time.monotonic()
        self._store = Store(folder / "valkey")
        self._workers = Workers(folder, self._store.url)

    async def run(self, seconds: float) -> bool:
        """Play it; return whether nothing is wrong."""
        self._tell("Valkey", "is started: every write is on the disk before it is acknowledged")
        async with AsyncExitStack() as stack:
            await self._store.start()
            stack.push_async_callback(self._store.end, signal.SIGTERM)
            stack.push_async_callback(self._workers.end_all)
            ports = [await self._workers.start(place) for place in range(WORKERS)]
            self._balancer = await stack.enter_async_context(Balancer(ports))
            self._tell("3 workers", "are started behind a plain TCP balancer")
            async with self._crowd() as clients:
                await self._served(clients)
                self._tell(f"{self._count} clients", "are served")
                faults = (self._kill_worker, self._kill_store, self._restart_worker)
                turn = 0
                while turn < len(faults) or time.monotonic() - self._start < seconds - 3:
                    await asyncio.sleep(_CALM)
                    await self._strike(faults[turn % len(faults)], clients)
                    turn += 1
                await asyncio.sleep(_CALM)
            self._tell("all clients", "have ended")
        ledger = read(self._folder)
        print(f"\n{told(ledger)}\n")
        print(
            f"The histories: {self._folder}\nTo check them: python -m examples.cluster.ledger {self._folder}"
        )
        return ledger.is_clean

    def _tell(self, who: str, what: str) -> None:
        print(f"{time.monotonic() - self._start:6.1f}  {who:<12}  {what}", flush=True)

    # The clients

    @asynccontextmanager
    async def _crowd(self) -> AsyncIterator[list[Client]]:
        """Have the clients talk within the block, and wait at its end until all is answered."""
        url = f"ws://127.0.0.1:{self._balancer.port}/"
        until = asyncio.Event()
        with (self._folder / "clients.txt").open("w") as notes:
            clients = [Client(url, f"c{number}", notes) for number in range(self._count)]
            talking = [asyncio.create_task(client.talk(self._pause, until)) for client in clients]
            try:
                yield clients
                until.set()
                _, late = await asyncio.wait(talking, timeout=_PATIENCE)
                for client, task in zip(clients, talking, strict=True):
                    if task in late:
                        self._tell(client.name, f"has no answer to {client.answered + 1} of {client.sent}")
                    else:
                        task.result()
            finally:
                for task in talking:
                    task.cancel()
                await asyncio.wait(talking)

    async def _served(self, clients: list[Client]) -> float:
        """Wait until each client has an answer to what it has sent since now; return how long that took."""
        begun = time.monotonic()
        sent = [client.sent for client in clients]
        while time.monotonic() < begun + _PATIENCE:
            if all(client.answered > before for client, before in zip(clients, sent, strict=True)):
                break
            await asyncio.sleep(0.02)
        return time.monotonic() - begun

    # The faults

    async def _strike(self, fault: Callable[[], Coroutine[None, None, None]], clients: list[Client]) -> None:
        await fault()
        seconds = await self._served(clients)
        self._tell("", f"all {self._count} clients have new answers {seconds:.1f} s later")

    async def _kill_worker(self) -> None:
        place = self._chance.randrange(WORKERS)
        self._tell(f"worker {place + 1}", "is killed (SIGKILL), and started again")
        await self._workers.end(place, signal.SIGKILL)
        self._balancer.workers[place] = await self._workers.start(place)

    async def _kill_store(self) -> None:
        self._tell("Valkey", "is killed (SIGKILL), and started again a second later")
        await self._store.end(signal.SIGKILL)
        await asyncio.sleep(1)
        await self._store.start()

    async def _restart_worker(self) -> None:
        place = self._chance.randrange(WORKERS)
        self._tell(f"worker {place + 1}", "is restarted (SIGTERM): it sends its clients away")
        await self._workers.end(place, signal.SIGTERM)
        self._balancer.workers[place] = await self._workers.start(place)


def main() -> int:
    """Read the command line, and run the demo."""
    parser = argparse.ArgumentParser(prog="python -m examples.cluster", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="about how long to take (default: 60)")
    parser.add_argument("--clients", type=int, default=200, help="how many (default: 200)")
    parser.add_argument(
        "--pause",
        type=float,
        default=0.5,
        help="seconds from a message of a client to its next (default: 0.5)",
    )
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="which workers are killed")
    parser.add_argument("--folder", type=Path, help="where the histories go (default: a new one)")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)  # faults are what it is for, and the timeline tells of them
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="heartbeat-cluster-"))
    folder.mkdir(parents=True, exist_ok=True)
    demo = Demo(folder, arguments.clients, arguments.pause, arguments.seed)
    return 0 if asyncio.run(demo.run(arguments.seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())
