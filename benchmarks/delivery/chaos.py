"""Runs one pair of client and server while links die by a timetable, and counts what has arrived."""

import asyncio
import contextlib
import os
import random
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.delivery.contestants import HERE, Contestant, End
from websocket_heartbeat.testing import FaultProxy

RESTART = "restart"
"""In a timetable: the server's process is killed, and started again."""

DELAY = 0.02
"""Seconds that each byte is on its way, as in a network."""

SETTLE = 15.0
"""Seconds without news after which nothing more is waited for."""
LONGEST = 60.0
"""Seconds after the faults in which everything must have arrived."""

Line = tuple[float, str, *tuple[float | str, ...]]


def timetable(seed: int, seconds: float, restarts: int) -> list[Line]:
    """Return the faults of a run: what happens to links, and when; the same for every pair.

    restarts: how often the server is killed, at even intervals.
    """
    draw = random.Random(seed)
    lines: list[Line] = []
    at = 1.0
    while at < seconds:
        fault = draw.choice(["reset", "disconnect", "cut_after", "freeze"])
        if fault == "cut_after":
            lines.append((at, fault, draw.randrange(1, 4000)))
        elif fault == "freeze":
            length = draw.uniform(0.2, 3)
            direction = draw.choice(["both", "to_client", "to_server"])
            lines += [(at, fault, direction), (at + length, "reset"), (at + length, "thaw", direction)]
            at += length
        else:
            lines.append((at, fault))
        at += draw.uniform(0.3, 1.5)
    lines += [(seconds * (k + 1) / (restarts + 1), RESTART) for k in range(restarts)]
    lines.sort(key=lambda line: line[0])
    return [*lines, (max(seconds, lines[-1][0]) + 0.1, "heal")]


@dataclass(frozen=True)
class Count:
    """What became of the messages of one direction.

    sent: taken by the library without an error. lost: of those, not received. doubled: received again.
    late: received after a later one, though not again. is_whole: whether all were sent that were to be.
    """

    sent: int
    lost: int
    doubled: int
    late: int
    is_whole: bool


@dataclass(frozen=True)
class Result:
    """Of one pair. links: how many there were, in all. failed: a program that ended by itself, or ""."""

    up: Count
    down: Count
    links: int
    seconds: float
    failed: str


class Trial:
    """One run of one pair. count: messages of each direction. interval: seconds between two of them."""

    def __init__(self, contestant: Contestant, count: int, interval: float, lines: Sequence[Line]) -> None:
        self._contestant = contestant
        self._count = count
        self._interval = interval
        self._lines = lines
        self._done: set[str] = set()
        self._failed = ""
        self._listening: set[asyncio.Task[None]] = set()

    async def run(self) -> Result:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="delivery-") as name:
            self._folder = Path(name)
            self._server = await self._start(self._contestant.server, "server")
            async with FaultProxy("127.0.0.1", await self._port()) as proxy:
                client = await self._start(self._contestant.client, "client", proxy.url("/"))
                try:
                    await self._play(proxy)
                    await self._until_settled()
                finally:
                    for process in (client, self._server):
                        await self._end(process)
                links = proxy.connections_accepted
            return Result(
                self._tally("client", "server"),
                self._tally("server", "client"),
                links,
                time.monotonic() - begun,
                self._failed,
            )

    # The programs

    async def _start(self, end: End, role: str, url: str = "") -> asyncio.subprocess.Process:
        options = {"url": url, "folder": str(self._folder), "count": self._count, "interval": self._interval}
        process = await asyncio.create_subprocess_exec(
            *end.command(role, options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # tracebacks of connections that are gone
            cwd=HERE.parents[1],
            env={name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        )
        if role == "client":
            self._listen(process, role)
        return process

    async def _port(self) -> int:
        assert self._server.stdout is not None
        port = int(await self._server.stdout.readline())
        self._listen(self._server, "server")
        return port

    def _listen(self, process: asyncio.subprocess.Process, role: str) -> None:
        task = asyncio.create_task(self._hear(process, role))
        self._listening.add(task)
        task.add_done_callback(self._listening.discard)

    async def _hear(self, process: asyncio.subprocess.Process, role: str) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            if line.strip() == b"sent":
                self._done.add(role)
        status = await process.wait()
        if status > 0:
            self._failed = f"the {role} ended with status {status}"

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()

    # The faults

    async def _play(self, proxy: FaultProxy) -> None:
        proxy.delay(DELAY)
        await self._until_messages_flow()
        loop = asyncio.get_running_loop()
        start = loop.time()
        restarting = asyncio.create_task(asyncio.sleep(0))
        for at, name, *arguments in self._lines:
            await asyncio.sleep(start + at - loop.time())
            if name == RESTART:
                await restarting
                restarting = asyncio.create_task(self._restart(proxy))
            else:
                getattr(proxy, name)(*arguments)
        await restarting

    async def _until_messages_flow(self) -> None:
        deadline = asyncio.get_running_loop().time() + LONGEST
        while not (self._received("client") and self._received("server")):
            if self._failed or asyncio.get_running_loop().time() > deadline:
                raise RuntimeError(f"{self._contestant.name}: no messages flow {self._failed}")
            await asyncio.sleep(0.1)

    async def _restart(self, proxy: FaultProxy) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._server.kill()
        await self._server.wait()
        proxy.reset()
        self._server = await self._start(self._contestant.server, "server")
        proxy.retarget("127.0.0.1", await self._port())

    async def _until_settled(self) -> None:
        """Wait until all has arrived, or nothing comes any more."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LONGEST
        news, size = loop.time(), -1
        while loop.time() < deadline and not self._failed:
            received = [self._received(role) for role in ("client", "server")]
            in_hand = len(self._numbers("server", "in_hand"))
            if len(self._done) == 2 and all(
                len(set(numbers)) >= self._count - in_hand for numbers in received
            ):
                await asyncio.sleep(2)  # for what comes again
                return
            if sum(map(len, received)) != size:
                news, size = loop.time(), sum(map(len, received))
            elif loop.time() > news + SETTLE:
                return
            await asyncio.sleep(0.5)

    # What has arrived

    def _received(self, role: str) -> list[int]:
        return self._numbers(role, "received")

    def _numbers(self, role: str, what: str) -> list[int]:
        path = self._folder / f"{role}.{what}"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def _tally(self, sender: str, receiver: str) -> Count:
        _, sent = self._numbers(sender, "sent") or [0, 0]
        return tally(sent, self._received(receiver), self._numbers(sender, "in_hand"), self._count)


def tally(sent: int, received: Sequence[int], in_hand: Sequence[int], wanted: int) -> Count:
    """Count what has arrived of the numbers 1 to sent.

    in_hand: those that a sender was killed with, of which nobody can say whether they were sent.
    wanted: how many were to be sent.
    """
    counts = Counter(received)
    first = list(counts)  # in the order in which each came first
    return Count(
        sent=sent,
        lost=sum(number not in counts for number in set(range(1, sent + 1)).difference(in_hand)),
        doubled=len(received) - len(counts),
        late=sum(later < earlier for earlier, later in pairwise(first)),
        is_whole=sent == wanted,
    )
