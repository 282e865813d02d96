"""One row of the cluster chaos: clients, workers, a store, what happens to them; and what came of it."""

import asyncio
import json
import random
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import messages
from tests.chaos.backend import AGAIN
from tests.chaos.clients import Client
from tests.chaos.cluster.rows import Row
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
    """What came of a row."""

    row: Row

    def text(self) -> str:
        """Return it in words."""
        again = f"{len(self.verdict.again)} handled again, {len(self.verdict.gone)} answers sent again"
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


@dataclass
class _Seen:
    """What the workers have seen of one client, in the order of time.

    begun: its messages. kills: places there before which a life has ended, or has lost the session, before it
    was known whether the last one was handled. answers: those that were to be sent; in_hand: parts of them
    that were perhaps not stored then.
    """

    begun: list[int] = field(default_factory=list)
    kills: set[int] = field(default_factory=set)
    answers: list[int] = field(default_factory=list)
    in_hand: list[range] = field(default_factory=list)
    life: int = 0
    has_ended: bool = True


def _judge(outcome: RowOutcome, clients: list[Client], stage: Stage) -> None:
    """Compare what clients and workers have written down."""
    facts = [
        (*json.loads(line), life)
        for life, place in enumerate(stage.places, 1)
        for line in place.read_text().splitlines()
    ]
    seen: dict[int, _Seen] = defaultdict(_Seen)
    for _, what, *rest, life in sorted(facts, key=lambda fact: int(fact[0])):
        if what == "begun":
            client, number, _, by = rest
            _take(seen[client], number, by, client, outcome.row.is_forced, stage.killed)
        elif what == "ended" and seen[rest[0]].life % AGAIN == life:
            seen[rest[0]].has_ended = True
        elif what == "over" and rest[1] not in ("", "expired"):
            outcome.problems.append(f"life {life}: session {rest[0]} is over: {rest[1]}")
    for client in clients:
        number, told = client.number, seen[client.number]
        if not outcome.note_sessions(client):
            continue  # with new numbers, by which messages are not found again
        _interrupt(told, number)  # the last life may have been killed too
        up = History(range(1, client.accepted + 1), told.begun, client.told, kills=told.kills)
        down = History(told.answers, client.handled, in_hand=told.in_hand)
        outcome.judge(client, up, down)
    complaints = stage.complaints.read_text()
    for word in ("Traceback", "Error:"):
        if word in complaints:
            place = complaints.index(word)
            outcome.problems.insert(0, complaints[max(0, place - 300) : place + 2000])
            break


def _take(seen: _Seen, number: int, life: int, client: int, is_forced: bool, killed: set[int]) -> None:
    """Take in that a life has begun to handle a message."""
    if life != seen.life and (seen.life % AGAIN in killed or not seen.has_ended or is_forced):
        _interrupt(seen, client)
    seen.life, seen.has_ended = life, False
    seen.begun.append(number)
    seen.answers += (
        messages.answer_number(life, number, place) for place in range(messages.answers_to(client, number))
    )


def _interrupt(seen: _Seen, client: int) -> None:
    if seen.begun:
        seen.kills.add(len(seen.begun))
        end = len(seen.answers)
        seen.in_hand.append(range(end - messages.answers_to(client, seen.begun[-1]), end))
