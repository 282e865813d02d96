"""The chaos load: clients, a back end in a process of its own, faults between them; and what came of it.

make chaos                  a million messages in each direction, or what fits into 15 minutes
python -m tests.chaos --seed 7 --messages 20000 --seconds 60
"""

import asyncio
import json
import logging
import random
import signal
import tempfile
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import messages
from tests.chaos.clients import Client
from tests.chaos.faults import BackEndProcess, Restarts
from tests.chaos.history import History
from tests.chaos.load import Crowd, Outcome, Plan

from websocket_heartbeat.testing import FaultProxy

_logger = logging.getLogger("tests.chaos")


@dataclass
class ChaosOutcome(Outcome):
    """What came of it. cuts: links that have ended, those of handshakes too."""

    cuts: int = 0

    def table(self) -> str:
        """Return it as a table."""
        rows = (
            ("seed", self.seed),
            ("seconds", f"{self.seconds:.0f}"),
            ("messages to the server", f"{self.up:,}"),
            ("messages to the clients", f"{self.down:,}"),
            ("links ended by proxy, client or server", f"{self.cuts:,}"),
            ("sessions resumed", f"{self.resumed:,}"),
            ("sessions reset", f"{self.resets:,}"),
            ("back end killed (SIGKILL)", self.done["SIGKILL"]),
            ("back end restarted (SIGTERM)", self.done["SIGTERM"]),
            ("in progress at a kill, handled again", len(self.verdict.again)),
            ("answers in hand at a kill, sent again", len(self.verdict.gone)),
        )
        lines = [f"| {name:<40} | {value!s:>12} |" for name, value in rows]
        return "\n".join([*lines, "", str(self.verdict), *self.problems[:30]])


async def run(plan: Plan) -> ChaosOutcome:
    """Play it; return when all that was sent has been handled, or nothing moves any more."""
    outcome = ChaosOutcome(plan.seed)
    chance = random.Random(plan.seed)
    with tempfile.TemporaryDirectory() as folder:
        back_end = BackEndProcess(Path(folder))
        async with AsyncExitStack() as stack:
            ports = await back_end.start()
            proxies = [await stack.enter_async_context(FaultProxy("127.0.0.1", port)) for port in ports]
            crowd = Crowd(plan, proxies, chance)
            begun = shown = time.monotonic()
            restarts = Restarts(back_end, proxies, random.Random(chance.random()), plan.calm)
            restarting = asyncio.create_task(restarts.run())
            while crowd.budget.left > 0 and time.monotonic() - begun < plan.seconds:
                await asyncio.sleep(0.1)
                if time.monotonic() > shown + 30:
                    shown = time.monotonic()
                    left = f"{crowd.budget.left:,}"
                    _logger.info("%d s, %s messages left, %s", shown - begun, left, restarts.done)
                if ended := crowd.ended(restarting):
                    outcome.problems += ended
                    break
            crowd.budget.stop()
            restarts.stop()
            await restarting
            outcome.done = restarts.done
            await crowd.finish(outcome, plan.patience)
            outcome.cuts = sum(entry.event == "closed" for proxy in proxies for entry in proxy.log)
            await back_end.end(signal.SIGTERM)
        if back_end.exit_code != 0:
            outcome.problems.append(f"the back end has ended with {back_end.exit_code}")
        outcome.seconds = time.monotonic() - begun
        _judge(outcome, crowd.clients, back_end)
    return outcome


def _judge(outcome: ChaosOutcome, clients: list[Client], back_end: BackEndProcess) -> None:
    """Compare what both sides have written down."""
    ledger = _Ledger()
    for life, place in enumerate(back_end.places, 1):
        facts = [json.loads(line) for line in place.read_text().splitlines()]
        ledger.read(life, facts, life in back_end.killed)
    outcome.problems += ledger.problems
    for client in clients:
        number = client.number
        up = History(
            range(1, client.accepted + 1), ledger.begun[number], client.told, kills=ledger.kills[number]
        )
        down = History(ledger.answers[number], client.handled, in_hand=ledger.in_hand[number])
        outcome.judge(client, up, down)
        outcome.note_sessions(client)
    complaints = back_end.complaints.read_text()
    if "Traceback" in complaints or "Error" in complaints:
        outcome.problems.append(complaints[-3000:])


class _Ledger:
    """What the back end has written down, of each client.

    begun: the numbers of its messages as they were begun. kills: places there at which a life has ended that
    may not have recorded the last one. answers: those that were to be sent, and in_hand the parts of them
    that such a life may not have stored.
    """

    def __init__(self) -> None:
        self.begun: dict[int, list[int]] = defaultdict(list)
        self.kills: dict[int, set[int]] = defaultdict(set)
        self.answers: dict[int, list[int]] = defaultdict(list)
        self.in_hand: dict[int, list[range]] = defaultdict(list)
        self.problems: list[str] = []
        self._misnumbered: set[int] = set()

    def read(self, life: int, facts: list[list[object]], was_killed: bool) -> None:
        """Take in one life."""
        last: dict[int, str] = {}
        for _, what, *rest in facts:
            if what == "begun":
                client, number, said, by = (int(str(value)) for value in rest)
                last[client] = "begun"
                self.begun[client].append(number)
                if number != said and client not in self._misnumbered:
                    self._misnumbered.add(client)  # and so are most that follow
                    self.problems.append(f"client {client}: message {number} has the number {said}")
                self.answers[client] += (
                    messages.answer_number(by, number, place)
                    for place in range(messages.answers_to(client, number))
                )
            elif what == "ended":
                last[int(str(rest[0]))] = "ended"
            elif what == "over" and rest[1] not in ("", "expired"):
                self.problems.append(f"life {life}: session {rest[0]} is over: {rest[1]}")
        for client, state in last.items():
            if was_killed or state == "begun":
                self.kills[client].add(len(self.begun[client]))
                count = messages.answers_to(client, self.begun[client][-1])
                end = len(self.answers[client])
                self.in_hand[client].append(range(end - count, end))
