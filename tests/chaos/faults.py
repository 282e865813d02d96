"""What happens to the links of the chaos load, and to the process of its back end."""

import asyncio
import json
import random
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.chaos.clients import Client

from websocket_heartbeat.testing import FaultProxy
from websocket_heartbeat.testing.fault_proxy.faults import Direction


async def trouble(proxy: FaultProxy, clients: Sequence[Client], chance: random.Random, pause: float) -> None:
    """Do to the links of one proxy what networks do, for ever; pause: seconds between, on the average."""
    while True:
        await asyncio.sleep(chance.uniform(0, 2 * pause))
        what = chance.choices(
            ("reset", "disconnect", "cut", "freeze", "half-freeze", "refuse", "slow", "meddle"),
            (4, 2, 8, 1, 3, 1, 1, 5),
        )[0]
        ways: tuple[Direction, ...] = ("to_client", "to_server")
        way = chance.choice(ways)
        if what == "reset":
            proxy.reset()
        elif what == "disconnect":
            proxy.disconnect()
        elif what == "cut":
            size = int(10 ** chance.uniform(0, 4.5))
            proxy.cut_after(size, "to_client" if way == "to_client" else "to_server")
        elif what in ("freeze", "half-freeze"):
            proxy.freeze("both" if what == "freeze" else way)
            # For longer than a link may be silent, or not.
            await asyncio.sleep(chance.choice((0.05, 0.5, 3)) * chance.random())
            if chance.random() < 0.5:
                proxy.reset()
            proxy.thaw()
        elif what == "refuse":
            proxy.refuse()
            proxy.reset()
            await asyncio.sleep(chance.uniform(0, 0.3))
            proxy.accept()
        elif what == "slow":
            proxy.delay(chance.uniform(0, 0.05), way)
            proxy.throttle(chance.choice((None, 200_000)), way)
            await asyncio.sleep(chance.uniform(0, 1))
            proxy.delay(0)
            proxy.throttle(None)
        else:
            chance.choice(clients).meddle()


class BackEndProcess:
    """The process of the back end, over its lives.

    killed: the lives that a kill has ended. places: the files of what each has done, the first life first.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process
        self.places: list[Path] = []
        self.killed: set[int] = set()
        self.complaints = folder / "complaints.log"

    async def start(self) -> list[int]:
        """Start the next life; return its ports."""
        life = len(self.places) + 1
        self.places.append(self._folder / f"{life}.jsonl")
        with self.complaints.open("ab") as complaints:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.chaos.backend"),
                *(f"sqlite:///{self._folder / 'sessions.db'}", str(self.places[-1]), str(life), "through"),
                stdout=asyncio.subprocess.PIPE,
                stderr=complaints,
            )
        assert self._process.stdout is not None
        ports = json.loads(await self._process.stdout.readline())
        assert isinstance(ports, list)
        return ports

    async def end(self, how: signal.Signals) -> None:
        """End the life: by SIGTERM, which sends its clients away, or by SIGKILL."""
        if how is signal.SIGKILL:
            self.killed.add(len(self.places))
        self._process.send_signal(how)
        await self._process.wait()

    @property
    def exit_code(self) -> int | None:
        """That of the last life."""
        return self._process.returncode


class Restarts:
    """Restarts the back end for as long as it is not told to stop, by a kill or politely.

    pause: seconds between, on the average. done: how many there were, by the name of the signal.
    """

    def __init__(
        self, back_end: BackEndProcess, proxies: Sequence[FaultProxy], chance: random.Random, pause: float
    ) -> None:
        self._back_end = back_end
        self._proxies = proxies
        self._chance = chance
        self._pause = pause
        self._stopped = asyncio.Event()
        self.done: Counter[str] = Counter()

    def stop(self) -> None:
        """Let the one that is under way be the last."""
        self._stopped.set()

    async def run(self) -> None:
        """Restart it again and again."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._chance.uniform(0.5, 1.5) * self._pause):
                    await self._stopped.wait()
            if self._stopped.is_set():
                return
            how = self._chance.choice((signal.SIGKILL, signal.SIGTERM))
            await self._back_end.end(how)
            for proxy, port in zip(self._proxies, await self._back_end.start(), strict=True):
                proxy.retarget("127.0.0.1", port)
            self.done[how.name] += 1
