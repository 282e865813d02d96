"""Hundreds of connections in bad weather for as long as wished: `make soak`, or `python -m benchmarks.soak`.

The weather, which is servers behind fault-injecting proxies, has a process of its own, so that it goes on
while this one blocks its event loop on purpose. It tells when it did harm to whom; whoever loses a link at
another time lost a healthy one. The run fails, with a status other than 0, if that happens, if a message is
lost without a word, delivered twice or out of order, if memory grows, or if anything is left after the end.
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import random
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, cast

from websocket_heartbeat import (
    Backoff,
    CloseEvent,
    Connection,
    ConnectionClosed,
    ConnectionFailed,
    Heartbeat,
    Undelivered,
    connect,
)
from websocket_heartbeat.server import Server, serve
from websocket_heartbeat.testing import FaultProxy

HEARTBEAT = Heartbeat(2, 3)
BOUND = HEARTBEAT.interval + HEARTBEAT.timeout
CLOSE_TIMEOUT = 2.0
TOWNS = 20
"""Proxies, each with a server behind it: the connections of a town meet the same weather."""

AFTERMATH = 3.0
"""Seconds after the bound within which harm may still cost a link: a slow heal, a busy machine."""

SAMPLED_EVERY = 5
"""Seconds."""

CODES = (1000, 1001, 1011, 1012, 1013, 4000)


# The weather, in a process of its own


class Town:
    """A server, the proxy before it, and what befalls them. A healthy town has nothing but mild weather."""

    def __init__(self, number: int, healthy: bool, seed: int) -> None:
        self.number = number
        self.healthy = healthy
        self.random = random.Random(seed * 1000 + number)
        self.peers: set[Any] = set()
        self.is_away = False

    async def live(self, stack: AsyncExitStack, ready: Callable[[int], None]) -> None:
        """Run until cancelled."""
        self.stack = stack
        self.server = await self.new_server()
        self.proxy = await stack.enter_async_context(FaultProxy("127.0.0.1", self.server.port))
        ready(self.proxy.port)
        try:
            while True:
                await asyncio.sleep(self.random.uniform(1, 10))
                if self.healthy or self.random.random() < 0.3:
                    await self.mild()
                else:
                    await self.harsh()
        finally:
            self.proxy.heal()
            if self.is_away:
                await self.come_back()

    async def new_server(self) -> Server:
        server = serve(
            on_open=self.peers.add,
            on_close=lambda peer, code, reason: self.peers.discard(peer),
            idle_timeout=None,
            close_timeout=0.5,
        )
        return await self.stack.enter_async_context(server)

    async def mild(self) -> None:
        """What a living network does: no link may be lost by it."""
        kind = self.random.choice(["delay", "throttle", "freeze", "freeze to_client", "freeze to_server"])
        if kind == "delay":
            self.proxy.delay(self.random.uniform(0.01, 0.4))
        elif kind == "throttle":
            self.proxy.throttle(self.random.randint(200_000, 1_000_000))
        else:
            self.proxy.freeze(cast(Any, kind.partition(" ")[2] or "both"))
            await asyncio.sleep(self.random.uniform(0.05, 1))
            self.proxy.heal()
            return
        await asyncio.sleep(self.random.uniform(1, 8))
        self.proxy.heal()

    async def harsh(self) -> None:
        """What costs links."""
        faults: list[Callable[[], Any]] = [
            lambda: self.proxy.freeze(),
            lambda: self.proxy.freeze("to_client"),
            lambda: self.proxy.freeze("to_server"),
            self.refuse,
            self.hang,
            lambda: self.proxy.delay(self.random.uniform(3, 6)),
            lambda: self.proxy.throttle(self.random.randint(200, 2000)),
            lambda: self.proxy.cut_after(self.random.randint(1, 20_000)),
            self.proxy.reset,
            self.proxy.disconnect,
            self.send_away,
            self.restart,
        ]
        since = time.monotonic()
        tell(harm=self.number, since=since, until=None)
        try:
            result = self.random.choice(faults)()
            if asyncio.iscoroutine(result):
                await result
            else:
                await asyncio.sleep(self.random.uniform(0.1, 12))
        finally:
            self.proxy.heal()
            tell(harm=self.number, since=since, until=time.monotonic())

    def refuse(self) -> None:
        self.proxy.reset()
        self.proxy.refuse()

    def hang(self) -> None:
        self.proxy.disconnect()
        self.proxy.hang()

    async def send_away(self) -> None:
        for peer in list(self.peers):
            peer.close(self.random.choice(CODES), self.random.choice(["", "maintenance", "retry-after=1"]))
        await asyncio.sleep(1)

    async def restart(self) -> None:
        """Stop the server, stay away a while, come back on another port."""
        self.is_away = True
        await self.server.close()
        await asyncio.sleep(self.random.uniform(0, 5))
        await self.come_back()

    async def come_back(self) -> None:
        self.server = await self.new_server()
        self.proxy.retarget("127.0.0.1", self.server.port)
        self.is_away = False


def tell(**facts: Any) -> None:
    """Write one line for the other process."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


async def weather(seed: int, healthy: int) -> None:
    """Be the weather: tell the ports, then every harm and how late this loop is, until told to be calm."""
    calm = asyncio.Event()
    loop = asyncio.get_running_loop()

    def become_calm() -> None:
        loop.remove_reader(0)
        os.read(0, 100)
        calm.set()

    loop.add_reader(0, become_calm)
    ports: dict[int, int] = {}
    async with AsyncExitStack() as stack:
        towns = [Town(number, number < healthy, seed) for number in range(TOWNS)]

        def ready(number: int) -> Callable[[int], None]:
            def note(port: int) -> None:
                ports[number] = port
                if len(ports) == TOWNS:
                    tell(ports=[ports[number] for number in range(TOWNS)])

            return note

        living = [asyncio.create_task(town.live(stack, ready(town.number))) for town in towns]
        late = asyncio.create_task(_lateness())
        await asyncio.wait([*living, asyncio.create_task(calm.wait())], return_when=asyncio.FIRST_COMPLETED)
        for task in [*living, late]:
            task.cancel()
        for result in await asyncio.gather(*living, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        tell(calm=True)
        end = asyncio.Event()
        loop.add_reader(0, end.set)
        await end.wait()


async def _lateness() -> None:
    while True:
        due = time.monotonic() + 0.1
        await asyncio.sleep(0.1)
        late = time.monotonic() - due
        if late > 0.5:
            tell(late=late, until=time.monotonic())


# The connections


class Ledger:
    """What all connections together have done, and what must not have happened."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.violations: list[str] = []
        self.harms: dict[tuple[int, float], float | None] = {}
        self.late: list[tuple[float, float]] = []
        self.losses: list[tuple[float, int, str]] = []
        self.healthy_seconds = 0.0
        self.healthy_lost = 0
        self.blocked: float = 0.0

    def violate(self, text: str) -> None:
        self.violations.append(text)
        print(f"VIOLATION: {text}", flush=True)

    def lost(self, town: int, reason: str) -> None:
        self.losses.append((time.monotonic(), town, reason))
        self.reasons[reason.partition(":")[0]] += 1

    def judge(self, now: float) -> None:
        """Look for the cause of each loss, once the news of it must have come."""
        due = [loss for loss in self.losses if loss[0] < now - 2]
        self.losses = [loss for loss in self.losses if loss[0] >= now - 2]
        for at, town, reason in due:
            harmed = any(
                number == town and since <= at + 0.1 and (until is None or at <= until + BOUND + AFTERMATH)
                for (number, since), until in self.harms.items()
            )
            if not harmed:
                late = max((late for late, until in self.late if at - BOUND <= until <= at + 2), default=0.0)
                self.healthy_lost += 1
                self.violate(
                    f"a healthy link of town {town} was lost: {reason}"
                    + (f" (the weather's own loop was {late:.1f} s late)" if late else "")
                )
        self.harms = {
            key: until for key, until in self.harms.items() if until is None or until > now - 4 * BOUND
        }
        self.late = [entry for entry in self.late if entry[1] > now - 4 * BOUND]


class Line:
    """One connection: sends numbers, gets them back, and accounts for each."""

    def __init__(self, url: str, town: int, number: int, ledger: Ledger, chance: random.Random) -> None:
        self.town = town
        self.number = number
        self.ledger = ledger
        self.random = chance
        self.pending: dict[int, float] = {}
        self.losses: list[float] = []
        self.next = 1
        self.connection = connect(
            url,
            heartbeat=HEARTBEAT,
            backoff=Backoff(0.5, 5, 5),
            open_timeout=5,
            close_timeout=CLOSE_TIMEOUT,
            send_queue=16,
            receive_queue=4,
            proxy=None,
        )
        self.connection.on_close = self.closed
        self.connection.on_error = self.failed
        self.stopped = False

    def closed(self, event: CloseEvent) -> None:
        if self.connection.state in ("closing", "closed"):
            return
        self.losses.append(time.monotonic())
        self.ledger.counts["links lost"] += 1
        self.ledger.lost(self.town, event.reason)

    def failed(self, error: Exception) -> None:
        if isinstance(error, Undelivered):
            for message in error.messages:
                number = int(str(message).partition(" ")[0])
                if self.pending.pop(number, None) is None:
                    self.ledger.violate(f"line {self.number}: {number} undeliverable, but was not pending")
                self.ledger.counts["undeliverable"] += 1

    async def send(self) -> None:
        """Send until stopped, some often and some seldom, so that there are pings too."""
        pace = self.random.choice([0.5, 2, 8, 20])
        while True:
            await asyncio.sleep(self.random.uniform(0, pace))
            if self.stopped:
                return
            number = self.next
            self.next += 1
            self.pending[number] = time.monotonic()
            # A link's buffers keep the size of its largest message: no growth, if that comes early.
            is_large = number == 1 or self.random.random() < 0.02
            size = 20_000 if is_large else self.random.randint(0, 1000)
            try:
                await self.connection.send(f"{number} " + "x" * size)
            except ConnectionClosed:
                self.pending.pop(number, None)
                self.ledger.counts["refused after close"] += 1
                return
            except asyncio.CancelledError:
                self.pending.pop(number, None)  # it waited for room in the queue, and was not taken
                raise
            self.ledger.counts["sent"] += 1

    async def receive(self) -> None:
        """Receive to the end, slowly now and then."""
        try:
            async for message in self.connection:
                self.echoed(int(str(message).partition(" ")[0]))
                if self.random.random() < 0.01 and not self.stopped:
                    await asyncio.sleep(self.random.uniform(1, 10))
        except ConnectionFailed as failed:
            self.ledger.violate(f"line {self.number} failed for good: {failed}")

    def echoed(self, number: int) -> None:
        now = time.monotonic()
        if self.pending.pop(number, None) is None:
            self.ledger.violate(f"line {self.number}: {number} came twice, or was never sent")
            return
        self.ledger.counts["delivered"] += 1
        # Older ones cannot come any more, as each link keeps the order: a loss must have taken them.
        for other in [other for other in self.pending if other < number]:
            self.account(other, now)
        oldest = min(self.pending.values(), default=now)
        self.losses = [at for at in self.losses if at >= oldest]

    def account(self, number: int, now: float) -> None:
        sent_at = self.pending.pop(number)
        if any(sent_at <= at <= now for at in self.losses):
            self.ledger.counts["uncertain at a loss"] += 1
        else:
            self.ledger.violate(f"line {self.number}: {number} was lost without a word")

    def account_at_close(self, had_link: bool) -> None:
        """What was handed to a link is uncertain; what never was must have been reported by now."""
        lost = max(self.losses, default=0.0)
        for number, sent_at in self.pending.items():
            if had_link or sent_at < lost:
                self.ledger.counts["uncertain at our own close"] += 1
            else:
                self.ledger.violate(f"line {self.number}: {number} waited at close and was not reported")

    def start(self) -> None:
        self.connection.start()
        self.tasks = [asyncio.create_task(self.send()), asyncio.create_task(self.receive())]

    async def close(self) -> None:
        """Close, and see to it that nothing takes long or is left open."""
        self.stopped = True
        begun = time.monotonic()
        blocked = self.ledger.blocked
        has_link = self.connection.state in ("open", "probing")
        await self.connection.close()
        took = time.monotonic() - begun - (self.ledger.blocked - blocked)
        if took > CLOSE_TIMEOUT + 2:
            self.ledger.violate(f"line {self.number}: close() took {took:.1f} s")
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()  # their tracebacks hold the connection
        self.account_at_close(has_link)
        self.ledger.counts["links"] += self.connection.stats.links
        self.ledger.counts["pings"] += self.connection.stats.pings


class Soak:
    """The whole run."""

    def __init__(self, minutes: float, connections: int, seed: int, healthy: float, blocks: bool) -> None:
        self.seconds = minutes * 60
        self.count = connections
        self.seed = seed
        self.healthy = round(TOWNS * healthy)
        self.blocks = blocks
        self.random = random.Random(seed)
        self.ledger = Ledger()
        self.samples: list[dict[str, float]] = []
        self.seconds_watched = 0
        self.lines: list[Line] = []
        self.leaving: asyncio.Task[None] | None = None
        self.made = 0
        self.ports: list[int] = []
        self.ready = asyncio.Event()
        self.is_calm = asyncio.Event()

    async def run(self) -> bool:
        """Return whether nothing was violated."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.soak", "--weather", str(self.seed), str(self.healthy),
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
            process.stdin.write(b"calm\n")
        await self.is_calm.wait()
        await self.settle()
        lasted = time.monotonic() - begun
        await asyncio.gather(*(line.close() for line in self.lines))
        await asyncio.sleep(2.5)
        self.ledger.judge(time.monotonic())
        self.lines.clear()
        self.look_for_remains(before, {listening, asyncio.current_task()})
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
            elif "harm" in news:
                self.ledger.harms[news["harm"], news["since"]] = news["until"]
            elif "late" in news:
                self.ledger.late.append((news["late"], news["until"]))
                self.ledger.counts["times the weather's loop was late"] += 1
            elif "calm" in news:
                self.is_calm.set()
        if not self.is_calm.is_set():
            self.ledger.violate("the process of the weather died")
            self.ready.set()
            self.is_calm.set()

    def add(self) -> None:
        town = self.made % TOWNS
        self.made += 1
        chance = random.Random(self.seed * 1_000_003 + self.made)
        line = Line(f"ws://127.0.0.1:{self.ports[town]}/", town, self.made, self.ledger, chance)
        self.lines.append(line)
        line.start()

    async def watch(self) -> None:
        """Take samples, judge losses, and count the time of links that nobody harms."""
        loop: Any = asyncio.get_running_loop()
        last = time.monotonic()
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            self.ledger.judge(now)
            harmed = {
                number
                for (number, _), until in self.ledger.harms.items()
                if until is None or until > now - BOUND - AFTERMATH
            }
            up = [line for line in self.lines if line.connection.state in ("open", "probing")]
            self.ledger.healthy_seconds += sum(line.town not in harmed for line in up) * (now - last)
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
                    f"{self.seconds_watched:5} s: {len(up)} of {len(self.lines)} open, "
                    f"{self.ledger.counts['links lost']} links lost, "
                    f"{self.ledger.counts['delivered']} of {self.ledger.counts['sent']} delivered, "
                    f"{self.samples[-1]['resident'] / 2**20:.0f} MiB",
                    flush=True,
                )

    async def churn(self) -> None:
        """Close a connection in the middle of things, and take another."""
        while True:
            await asyncio.sleep(self.random.uniform(0.5, 5))
            line = self.lines.pop(self.random.randrange(len(self.lines)))
            self.add()
            self.leaving = asyncio.create_task(line.close())
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
        """In good weather again, wait until everything has been delivered that can be."""
        for line in self.lines:
            line.stopped = True
        for _ in range(450):
            if not any(line.pending for line in self.lines):
                break
            await asyncio.sleep(0.1)
        now = time.monotonic()
        for line in self.lines:
            if line.connection.state not in ("open", "probing"):
                self.ledger.violate(f"line {line.number} is {line.connection.state} 45 s after the storm")
            for number in list(line.pending):
                line.account(number, now)

    def look_for_remains(self, before: set[str], ours: set[asyncio.Task[Any] | None]) -> None:
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
            f"{lasted / 60:.1f} minutes, seed {self.seed}, {self.count} connections in {TOWNS} towns, "
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


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Have that many processes loop for nothing meanwhile."""
    # They end by themselves should this one be killed.
    idler = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
    processes = [subprocess.Popen([sys.executable, "-c", idler]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


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


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None, help="of the weather; printed, random by default")
    parser.add_argument(
        "--healthy", type=float, default=0.4, help="share of the towns with mild weather only; 0.4 by default"
    )
    parser.add_argument("--no-blocks", action="store_true", help="do not block our own event loop")
    parser.add_argument("--busy", type=int, default=0, help="processes that loop for nothing meanwhile; 0")
    parser.add_argument("--weather", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    who = "weather" if options.weather else "connections"
    logging.basicConfig(format=f"({who}, %(name)s: %(message)s)", level=logging.ERROR)
    if options.weather:
        asyncio.run(weather(*options.weather))
        return
    seed = random.randrange(2**31) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    tracemalloc.start()

    async def run() -> bool:
        return await Soak(
            options.minutes, options.connections, seed, options.healthy, not options.no_blocks
        ).run()

    with busy(options.busy):
        is_sound = asyncio.run(run())
    sys.exit(0 if is_sound else 1)


if __name__ == "__main__":
    main()
