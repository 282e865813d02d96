"""One row of the cluster chaos: clients, workers, a store, what happens to them; and what came of it."""

import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import messages
from tests.chaos.clients import WAYS, Budget, Client, make
from tests.chaos.cluster.rows import Row
from tests.chaos.cluster.seen import KILLED, Seen
from tests.chaos.cluster.stage import Stage
from tests.chaos.faults import trouble
from tests.chaos.history import History, Verdict, check
from tests.chaos.run import describe


@dataclass
class Plan:
    """How much, and how long: `seconds` bounds the sending, after which what was sent is handled.

    pause, calm: seconds from one fault of a proxy to the next, and from one of the row to the next.
    """

    seed: int
    messages: int
    seconds: float
    pause: float = 0.6
    calm: float = 2.0
    clients: int = 21
    patience: float = 60.0


@dataclass
class Outcome:
    """What came of it; again: why messages were handled again. problems: what else is wrong, in words."""

    row: Row
    seed: int
    seconds: float = 0.0
    up: int = 0
    down: int = 0
    resumed: int = 0
    resets: int = 0
    done: Counter[str] = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)
    again: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return self.verdict.is_clean and not self.problems

    def text(self) -> str:
        """Return it in words."""
        again = f"handled again: {dict(self.again)}, {len(self.verdict.gone)} answers sent again"
        sizes = f"{self.up:,} up, {self.down:,} down, {self.resumed:,} resumed, {self.resets} reset"
        return "\n".join(
            [
                f"{self.row.name} (seed {self.seed}): {self.seconds:.0f} s, {sizes}, {dict(self.done)}",
                f"{self.verdict}; {again}",
                *self.problems[:20],
            ]
        )


async def run(row: Row, plan: Plan) -> Outcome:
    """Play it; return when all that was sent has been handled, or nothing moves any more."""
    outcome = Outcome(row, plan.seed)
    chance = random.Random(plan.seed)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        async with Stage(Path(folder), row, random.Random(chance.random())) as stage:
            clients = [
                make(
                    WAYS[number % len(WAYS)],
                    number,
                    stage.proxies[number % len(stage.proxies)].url(),
                    plan.seed,
                    is_bounded=messages.WAYS[number % len(stage.proxies)] == "function",
                )
                for number in range(plan.clients)
            ]
            budget = Budget(plan.messages)
            running = [asyncio.create_task(client.run(budget)) for client in clients]
            links = [
                asyncio.create_task(
                    trouble(
                        proxy, clients[each :: len(stage.proxies)], random.Random(chance.random()), plan.pause
                    )
                )
                for each, proxy in enumerate(stage.proxies)
            ]
            until = time.monotonic() + plan.seconds
            while budget.left > 0 and time.monotonic() < until:
                await asyncio.sleep(chance.uniform(0.5, 1.5) * plan.calm)
                if row.faults:
                    await stage.strike()
                outcome.problems += (
                    f"ended: {task.exception()!r}"
                    for task in (*links, *running)
                    if task.done() and (task in links or task.exception() is not None)
                )
                if outcome.problems:
                    break
            budget.stop()
            for task in links:
                task.cancel()
            await asyncio.wait(links)
            for proxy in stage.proxies:
                proxy.heal()
            late = await _moving(clients, set(running), plan.patience)
            for client, task in zip(clients, running, strict=True):
                if task in late:
                    outcome.problems.append(f"stuck: {describe(client)}")
                elif task.exception() is not None:
                    outcome.problems.append(f"failed: {task.exception()!r} {describe(client)}")
            await asyncio.gather(*(client.close() for client in clients))
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        outcome.done = stage.done
        outcome.seconds = time.monotonic() - begun
        _judge(outcome, clients, stage)
    return outcome


async def _moving(
    clients: list[Client], running: set[asyncio.Task[None]], patience: float
) -> set[asyncio.Task[None]]:
    """Wait until they are done; return those that are not when no client has handled anything for so long."""
    before = -1
    while running and before != (before := sum(len(client.handled) for client in clients)):
        _, running = await asyncio.wait(running, timeout=patience)
    return running


def _judge(outcome: Outcome, clients: list[Client], stage: Stage) -> None:
    """Compare what clients and workers have written down."""
    facts = [
        (*json.loads(line), life)
        for life, place in enumerate(stage.places, 1)
        for line in place.read_text().splitlines()
    ]
    seen = {client.number: Seen(client.number) for client in clients}
    of: dict[str, Seen] = {}  # by the session
    for at, what, *rest, life in sorted(facts, key=lambda fact: int(fact[0])):
        if what == "opened":
            of[rest[1]] = seen[int(rest[0])]
            of[rest[1]].opened(life)
        elif what == "begun":
            client, content, number, by = rest
            seen[client].take(content, number, by, at, stage.killed)
        elif what == "interrupted" and rest[0] in of:
            of[rest[0]].interrupted(rest[1], life, at)
        elif what == "forced" and rest[0] in of:
            of[rest[0]].forced(life)
        elif what == "over" and rest[1] not in ("", "expired"):
            outcome.problems.append(f"life {life}: session {rest[0]} is over: {rest[1]}")
    for client in clients:
        number, told = client.number, seen[client.number]
        outcome.resumed += sum(kind == "resumed" for kind, _ in client.sessions)
        resets = [event for event in client.sessions if event[0] in ("reset", "over")]
        if resets:  # with new numbers, by which messages are not found again
            outcome.resets += len(resets)
            outcome.problems.append(f"client {number}: {resets}")
            continue
        outcome.again.update(told.again())
        told.interrupt(KILLED)  # the last life may have been killed too
        up = History(range(1, client.accepted + 1), told.begun, client.told, kills=told.whys)
        down = History(told.answers, client.handled, in_hand=told.in_hand)
        outcome.up += client.accepted
        outcome.down += len(client.handled)
        for name, history in (("up", up), ("down", down)):
            verdict = check(history)
            outcome.verdict.add(verdict)
            if not verdict.is_clean:
                outcome.problems.append(f"{name}, client {number}: {verdict} {vars(verdict)}"[:400])
    complaints = stage.complaints.read_text()
    for word in ("Traceback", "Error:"):
        if word in complaints:
            place = complaints.index(word)
            outcome.problems.insert(0, complaints[max(0, place - 300) : place + 2000])
            break
