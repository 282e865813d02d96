"""The whole run: the connections, what our side does to them, and what must be true in the end."""

import asyncio
import gc
import json
import os
import random
import statistics
import sys
import time
import tracemalloc
from typing import Any

from benchmarks.soak.clients import AFTERMATH, Client, Ledger
from benchmarks.soak.constants import BOUND, SITES
from websocket_heartbeat import Connection

SAMPLED_EVERY = 5
"""Seconds."""


class Soak:
    """The whole run."""

    def __init__(self, minutes: float, connections: int, seed: int, healthy: float, blocks: bool) -> None:
        self.seconds = minutes * 60
        self.count = connections
        self.seed = seed
        self.healthy = round(SITES * healthy)
        self.blocks = blocks
        self.random = random.Random(seed)
        self.ledger = Ledger()
        self.samples: list[dict[str, float]] = []
        self.seconds_watched = 0
        self.clients: list[Client] = []
        self.leaving: asyncio.Task[None] | None = None
        self.made = 0
        self.ports: list[int] = []
        self.ready = asyncio.Event()
        self.faults_are_over = asyncio.Event()

    async def run(self) -> bool:
        """Return whether nothing was violated."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.soak", "--faulty-servers", str(self.seed), str(self.healthy),
            stdin=pipe, stdout=pipe,
        )  # fmt: skip
        assert process.stdin is not None
        listening = asyncio.create_task(self.listen(process))
        await self.ready.wait()
        if not self.ports:
            return False
        before = _descriptors()
        begun = time.monotonic()
        for _ in range(self.count):
            self.add()
            await asyncio.sleep(0)
        others = [asyncio.create_task(work()) for work in (self.watch, self.churn, self.block)]
        await asyncio.wait([listening], timeout=self.seconds)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        others.clear()
        if self.leaving is not None:
            await self.leaving

        if not listening.done():
            process.stdin.write(b"stop faults\n")
        await self.faults_are_over.wait()
        await self.settle()
        lasted = time.monotonic() - begun
        await asyncio.gather(*(client.close() for client in self.clients))
        await asyncio.sleep(2.5)
        self.ledger.judge(time.monotonic())
        self.clients.clear()
        self.check_nothing_left(before, {listening, asyncio.current_task()})
        process.stdin.write(b"end\n")
        await listening
        await process.wait()
        self.report(lasted)
        return not self.ledger.violations

    async def listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            news = json.loads(line)
            if "ports" in news:
                self.ports = news["ports"]
                self.ready.set()
            elif "fault" in news:
                self.ledger.faults[news["fault"], news["since"]] = news["until"]
            elif "late" in news:
                self.ledger.late.append((news["late"], news["until"]))
                self.ledger.counts["times the loop of the servers was late"] += 1
            elif "faults_are_over" in news:
                self.faults_are_over.set()
        if not self.faults_are_over.is_set():
            self.ledger.violate("the process of the servers died")
            self.ready.set()
            self.faults_are_over.set()

    def add(self) -> None:
        site = self.made % SITES
        self.made += 1
        chance = random.Random(self.seed * 1_000_003 + self.made)
        client = Client(f"ws://127.0.0.1:{self.ports[site]}/", site, self.made, self.ledger, chance)
        self.clients.append(client)
        client.start()

    async def watch(self) -> None:
        """Take samples, judge losses, and count the time of links without a fault."""
        loop: Any = asyncio.get_running_loop()
        last = time.monotonic()
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            self.ledger.judge(now)
            had_fault = {
                number
                for (number, _), until in self.ledger.faults.items()
                if until is None or until > now - BOUND - AFTERMATH
            }
            up = [client for client in self.clients if client.connection.state in ("open", "probing")]
            self.ledger.healthy_seconds += sum(client.site not in had_fault for client in up) * (now - last)
            last = now
            self.seconds_watched += 1
            if self.seconds_watched % SAMPLED_EVERY:
                continue
            # Links that were lost are in cycles: what counts is what stays once Python has looked for them.
            gc.collect()
            self.samples.append(
                {
                    "at": now,
                    "traced": tracemalloc.get_traced_memory()[0],
                    "resident": _resident(),
                    "tasks": len(asyncio.all_tasks()),
                    "timers": len(loop._scheduled),
                    "descriptors": len(_descriptors()),
                    "open": len(up),
                }
            )
            if self.seconds_watched % 30 == 0:
                print(
                    f"{self.seconds_watched:5} s: {len(up)} of {len(self.clients)} open, "
                    f"{self.ledger.counts['links lost']} links lost, "
                    f"{self.ledger.counts['delivered']} of {self.ledger.counts['sent']} delivered, "
                    f"{self.samples[-1]['resident'] / 2**20:.0f} MiB",
                    flush=True,
                )

    async def churn(self) -> None:
        """Close a connection in the middle of things, and take another."""
        while True:
            await asyncio.sleep(self.random.uniform(0.5, 5))
            client = self.clients.pop(self.random.randrange(len(self.clients)))
            self.add()
            self.leaving = asyncio.create_task(client.close())
            await asyncio.shield(self.leaving)  # at the end of the run it goes on, and is awaited
            self.ledger.counts["connections replaced"] += 1

    async def block(self) -> None:
        """Block our own event loop, sometimes for longer than any heartbeat allows."""
        while self.blocks:
            await asyncio.sleep(self.random.uniform(3, 20))
            seconds = self.random.choice([0.3, 1, 3, BOUND + 1]) * self.random.random()
            time.sleep(seconds)  # noqa: ASYNC251  # that is the point
            self.ledger.blocked += seconds
            self.ledger.counts["times our loop was blocked"] += 1

    async def settle(self) -> None:
        """Without faults, wait until everything has been delivered that can be."""
        for client in self.clients:
            client.stopped = True
        for _ in range(450):
            if not any(client.pending for client in self.clients):
                break
            await asyncio.sleep(0.1)
        now = time.monotonic()
        for client in self.clients:
            if client.connection.state not in ("open", "probing"):
                self.ledger.violate(
                    f"client {client.number} is {client.connection.state} 45 s after the last fault"
                )
            for number in list(client.pending):
                client.account(number, now)

    def check_nothing_left(self, before: set[str], ours: set[asyncio.Task[Any] | None]) -> None:
        loop: Any = asyncio.get_running_loop()
        gc.collect()
        tasks = asyncio.all_tasks() - ours
        timers = [timer for timer in loop._scheduled if not timer.cancelled()]
        descriptors = _descriptors() - before
        connections = [thing for thing in gc.get_objects() if isinstance(thing, Connection)]
        for name, left in (
            ("tasks", tasks),
            ("timers", timers),
            ("descriptors", descriptors),
            ("connections", connections),
        ):
            if left:
                self.ledger.violate(f"{len(left)} {name} left after close: {list(map(str, left))[:3]}")

    def report(self, lasted: float) -> None:
        print()
        counts = self.ledger.counts
        accounted = counts["delivered"] + counts["undeliverable"]
        accounted += counts["uncertain at a loss"] + counts["uncertain at our own close"]
        if accounted != counts["sent"]:
            self.ledger.violate(f"{counts['sent']} messages sent, {accounted} accounted for")
        print(
            f"{lasted / 60:.1f} minutes, seed {self.seed}, {self.count} connections in {SITES} sites, "
            f"load {os.getloadavg()[0]:.1f}"
        )
        for name, number in sorted(counts.items()):
            print(f"  {name}: {number}")
        print(f"  our loop blocked in all: {self.ledger.blocked:.0f} s")
        print(f"  healthy link-minutes: {self.ledger.healthy_seconds / 60:.0f}")
        print(f"  healthy links lost: {self.ledger.healthy_lost}")
        for reason, number in self.ledger.reasons.most_common(12):
            print(f"  lost by {reason!r}: {number}")
        # What is made once is made in the first quarter.
        steady = self.samples[len(self.samples) // 4 :]
        if len(steady) >= 8:
            for key, room in (("traced", 2**20), ("resident", 8 * 2**20)):
                self.judge_growth(steady, key, room)
            for key in ("tasks", "timers", "descriptors"):
                values = [sample[key] for sample in steady]
                print(f"  {key}: median {statistics.median(values):.0f}, most {max(values):.0f}")
        print("  violations:", len(self.ledger.violations) or "none")

    def judge_growth(self, samples: list[dict[str, float]], key: str, room: float) -> None:
        """Compare the ends of the line through the samples: it may rise by 5 % and a little room."""
        minutes = [(sample["at"] - samples[0]["at"]) / 60 for sample in samples]
        values = [sample[key] for sample in samples]
        slope, start = statistics.linear_regression(minutes, values)
        growth = slope * minutes[-1]
        print(
            f"  {key}: {statistics.median(values) / 2**20:.1f} MiB, "
            f"slope {slope / 1024:+.1f} KiB a minute, {growth / 1024:+.0f} KiB in all"
        )
        if growth > max(room, 0.05 * start):
            self.ledger.violate(f"{key} memory grows by {slope / 1024:.0f} KiB a minute")


def _descriptors() -> set[str]:
    names = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            names.add(f"{descriptor} {os.readlink(f'/proc/self/fd/{descriptor}')}")
        except OSError:  # the one of listdir itself
            continue
    return names


def _resident() -> float:
    with open("/proc/self/statm") as file:
        return float(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
