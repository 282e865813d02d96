"""One connection that accounts for each of its messages, and the ledger of them all."""

import asyncio
import random
import time
from collections import Counter

from benchmarks.soak.constants import BOUND, CLOSE_TIMEOUT, HEARTBEAT
from websocket_heartbeat import Backoff, CloseEvent, ConnectionClosed, ConnectionFailed, Undelivered, connect

AFTERMATH = 3.0
"""Seconds after the bound within which a fault may still cost a link: a slow heal, a busy machine."""


class Ledger:
    """What all connections together have done, and what must not have happened."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.violations: list[str] = []
        self.faults: dict[tuple[int, float], float | None] = {}
        self.late: list[tuple[float, float]] = []
        self.losses: list[tuple[float, int, str]] = []
        self.healthy_seconds = 0.0
        self.healthy_lost = 0
        self.blocked: float = 0.0

    def violate(self, text: str) -> None:
        self.violations.append(text)
        print(f"VIOLATION: {text}", flush=True)

    def lost(self, site: int, reason: str) -> None:
        self.losses.append((time.monotonic(), site, reason))
        self.reasons[reason.partition(":")[0]] += 1

    def judge(self, now: float) -> None:
        """Look for the cause of each loss, once the news of it must have come."""
        due = [loss for loss in self.losses if loss[0] < now - 2]
        self.losses = [loss for loss in self.losses if loss[0] >= now - 2]
        for at, site, reason in due:
            had_fault = any(
                number == site and since <= at + 0.1 and (until is None or at <= until + BOUND + AFTERMATH)
                for (number, since), until in self.faults.items()
            )
            if not had_fault:
                late = max((late for late, until in self.late if at - BOUND <= until <= at + 2), default=0.0)
                self.healthy_lost += 1
                self.violate(
                    f"a healthy link of site {site} was lost: {reason}"
                    + (f" (the loop of the servers was {late:.1f} s late)" if late else "")
                )
        self.faults = {
            key: until for key, until in self.faults.items() if until is None or until > now - 4 * BOUND
        }
        self.late = [entry for entry in self.late if entry[1] > now - 4 * BOUND]


class Client:
    """One connection: sends numbers, gets them back, and accounts for each."""

    def __init__(self, url: str, site: int, number: int, ledger: Ledger, chance: random.Random) -> None:
        self.site = site
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
        self.ledger.lost(self.site, event.reason)

    def failed(self, error: Exception) -> None:
        if isinstance(error, Undelivered):
            for message in error.messages:
                number = int(str(message).partition(" ")[0])
                if self.pending.pop(number, None) is None:
                    self.ledger.violate(f"client {self.number}: {number} undeliverable, but was not pending")
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
            self.ledger.violate(f"client {self.number} failed for good: {failed}")

    def echoed(self, number: int) -> None:
        now = time.monotonic()
        if self.pending.pop(number, None) is None:
            self.ledger.violate(f"client {self.number}: {number} came twice, or was never sent")
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
            self.ledger.violate(f"client {self.number}: {number} was lost without a word")

    def account_at_close(self, had_link: bool) -> None:
        """What was handed to a link is uncertain; what never was must have been reported by now."""
        lost = max(self.losses, default=0.0)
        for number, sent_at in self.pending.items():
            if had_link or sent_at < lost:
                self.ledger.counts["uncertain at our own close"] += 1
            else:
                self.ledger.violate(f"client {self.number}: {number} waited at close and was not reported")

    def start(self) -> None:
        self.connection.start()
        self.tasks = [asyncio.create_task(self.send()), asyncio.create_task(self.receive())]

    async def close(self) -> None:
        """Close, and see to it that nothing takes long or is left open."""
        self.stopped = True
        begun = time.monotonic()
        blocked = self.ledger.blocked
        has_link = self.connection.state in ("open", "probing")
        links = self.connection.stats.links
        await self.connection.close()
        has_link = has_link or self.connection.stats.links > links  # by which what waited was sent
        took = time.monotonic() - begun - (self.ledger.blocked - blocked)
        if took > CLOSE_TIMEOUT + 2:
            self.ledger.violate(f"client {self.number}: close() took {took:.1f} s")
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()  # their tracebacks hold the connection
        self.account_at_close(has_link)
        self.ledger.counts["links"] += self.connection.stats.links
        self.ledger.counts["pings"] += self.connection.stats.pings
