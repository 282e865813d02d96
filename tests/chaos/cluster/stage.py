"""The workers and the store of the cluster chaos, all of them processes, and what happens to them."""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import messages
from tests.chaos.cluster.rows import Row
from tests.chaos.cluster.store import Store
from tests.chaos.cluster.wires import Wires

from websocket_heartbeat.testing import FaultProxy

WORKERS = 3


@dataclass
class Worker:
    """place: the store, as it has it. host: where it listens. ports: None while it is not there."""

    place: str
    host: str
    namespace: str
    process: asyncio.subprocess.Process | None = None
    life: int = 0
    ports: Sequence[int] | None = None


class Stage:
    """See above. folder: for everything that is written. row: says how the store is run.

    killed: when a kill has ended which life, on the clock of the ledgers. places: the files of what each life
    has done. proxies: what clients connect to, one for each of messages.WAYS. done: how often what has
    happened.
    """

    def __init__(self, folder: Path, row: Row, chance: random.Random) -> None:
        self._folder = folder
        self._row = row
        self._chance = chance
        self._store = Store(folder, row.store)
        self._wires: Wires | None = None
        self._workers: list[Worker] = []
        self._moving: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()
        self.proxies: list[FaultProxy] = []
        self.places: list[Path] = []
        self.killed: dict[int, int] = {}
        self.done: Counter[str] = Counter()
        self.complaints = folder / "complaints.log"

    async def __aenter__(self) -> "Stage":
        try:
            await self._store.start(self._stack, is_public="part" in self._row.faults)
            if "part" in self._row.faults:
                self._wires = Wires(WORKERS)
                self._stack.push_async_callback(asyncio.to_thread, self._wires.remove)
                await asyncio.to_thread(self._wires.make)
            for number in range(WORKERS):
                host, namespace, store_host = "127.0.0.1", "", "127.0.0.1"
                if self._wires is not None:
                    host, namespace, store_host = self._wires.ends(number)
                self._workers.append(Worker(f"valkey://{store_host}:{self._store.port}", host, namespace))
            self._stack.push_async_callback(self._end_all)
            await asyncio.gather(*(self._start(worker) for worker in self._workers))
            for way in range(len(messages.WAYS)):
                proxy = FaultProxy(*self._target(way))
                self.proxies.append(await self._stack.enter_async_context(proxy))
            self._moving = asyncio.create_task(self._move())
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._moving is not None:
            self._moving.cancel()
            await asyncio.wait([self._moving])
        await self._stack.aclose()

    def _target(self, way: int) -> tuple[str, int]:
        """Return where a worker serves that way, any one of those that are there."""
        worker = self._chance.choice([worker for worker in self._workers if worker.ports is not None])
        assert worker.ports is not None
        return worker.host, worker.ports[way]

    async def _move(self) -> None:
        """Have new links come to any worker, for ever, as a balancer does it."""
        while True:
            await asyncio.sleep(0.1)
            for way, proxy in enumerate(self.proxies):
                proxy.retarget(*self._target(way))

    async def _start(self, worker: Worker) -> None:
        self.places.append(self._folder / f"{len(self.places) + 1}.jsonl")
        worker.life = len(self.places)
        where = (worker.host, worker.namespace) if worker.namespace else ()
        with self.complaints.open("ab") as complaints:
            worker.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.chaos.backend", worker.place, str(self.places[-1])),
                *(str(worker.life), self._row.durability, *where),
                stdout=asyncio.subprocess.PIPE,
                stderr=complaints,
            )
        assert worker.process.stdout is not None
        line = await worker.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker did not start: {self.complaints.read_text()[-2000:]}")
        worker.ports = json.loads(line)

    async def _end(self, worker: Worker, how: signal.Signals) -> None:
        worker.ports = None
        if how is signal.SIGKILL:
            self.killed[worker.life] = time.monotonic_ns()
        assert worker.process is not None
        worker.process.send_signal(how)
        code = await worker.process.wait()
        if how is signal.SIGTERM and code != 0:
            with self.complaints.open("a") as complaints:
                complaints.write(f"Error: life {worker.life} has ended with {code}\n")

    async def _end_all(self) -> None:
        here = [worker for worker in self._workers if worker.ports is not None]
        await asyncio.gather(*(self._end(worker, signal.SIGTERM) for worker in here))

    # What happens

    async def strike(self) -> None:
        """Have one of the row's faults happen, and wait until it is over."""
        name = self._chance.choice(self._row.faults)
        await getattr(self, name)()
        self.done[name] += 1

    async def kill_worker(self) -> None:
        """Kill a worker, and start it again."""
        await self._begin_again(signal.SIGKILL)

    async def restart_worker(self) -> None:
        """Restart a worker."""
        await self._begin_again(signal.SIGTERM)

    async def _begin_again(self, how: signal.Signals) -> None:
        worker = self._chance.choice(self._workers)
        await self._end(worker, how)
        await self._start(worker)

    async def kill_store(self) -> None:
        """Kill the store, and start it again a little later."""
        await self._store.kill_and_start(self._chance.uniform(0, 1.5))

    async def fail_over(self) -> None:
        """Have a replica that lacks the last writes take the place of the store."""
        self.done["bytes of writes that a replica lacked"] += await self._store.fail_over(
            self._chance.uniform(0.1, 0.7)
        )

    async def part(self) -> None:
        """Cut a worker off from the store for a while."""
        assert self._wires is not None
        number = self._chance.randrange(WORKERS)
        await asyncio.to_thread(self._wires.cut, number)
        await asyncio.sleep(self._chance.choice((0.3, 3, 8)) * self._chance.uniform(0.3, 1))
        await asyncio.to_thread(self._wires.mend, number)


def may_part() -> bool:
    """Whether this process may have networks of its own."""
    return sys.platform == "linux" and os.geteuid() == 0
