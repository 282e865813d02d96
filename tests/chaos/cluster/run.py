"""One row of the cluster chaos: clients, workers, a store, what happens to them; and what came of it."""

import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.clients import Client
from tests.chaos.cluster.rows import Row
from tests.chaos.cluster.seen import KILLED, Seen
from tests.chaos.cluster.stage import Stage
from tests.chaos.history import History
from tests.chaos.load import Crowd, Outcome, Plan


@dataclass
class RowPlan(Plan):
    """As for one back end, with fewer faults of links and more of processes."""

    pause: float = 0.6
    calm: float = 2.0
    patience: float = 60.0


@dataclass(kw_only=True)
class RowOutcome(Outcome):
    """What came of a row; again: why messages were handled again."""

    row: Row
    again: Counter[str] = field(default_factory=Counter)

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


async def run(row: Row, plan: RowPlan) -> RowOutcome:
    """Play it; return when all that was sent has been handled, or nothing moves any more."""
    outcome = RowOutcome(plan.seed, row=row)
    chance = random.Random(plan.seed)
    with tempfile.TemporaryDirectory() as folder:
        async with Stage(Path(folder), row, random.Random(chance.random())) as stage:
            crowd = Crowd(plan, stage.proxies, chance)
            begun = time.monotonic()
            while crowd.budget.left > 0 and time.monotonic() - begun < plan.seconds:
                await asyncio.sleep(chance.uniform(0.5, 1.5) * plan.calm)
                if row.faults:
                    await stage.strike()
                if ended := crowd.ended():
                    outcome.problems += ended
                    break
            await crowd.finish(outcome, plan.patience)
        outcome.done = stage.done
        outcome.seconds = time.monotonic() - begun
        _judge(outcome, crowd.clients, stage)
    return outcome


def _judge(outcome: RowOutcome, clients: list[Client], stage: Stage) -> None:
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
        if not outcome.note_sessions(client):
            continue  # with new numbers, by which messages are not found again
        outcome.again.update(told.again())
        told.interrupt(KILLED)  # the last life may have been killed too
        up = History(range(1, client.accepted + 1), told.begun, client.told, kills=told.whys)
        down = History(told.answers, client.handled, in_hand=told.in_hand)
        outcome.judge(client, up, down)
    complaints = stage.complaints.read_text()
    for word in ("Traceback", "Error:"):
        if word in complaints:
            place = complaints.index(word)
            outcome.problems.insert(0, complaints[max(0, place - 300) : place + 2000])
            break
