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
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import messages
from tests.chaos.clients import WAYS, Budget, Client, make
from tests.chaos.faults import BackEndProcess, Restarts, trouble
from tests.chaos.history import History, Verdict, check

from websocket_heartbeat.testing import FaultProxy

_logger = logging.getLogger("tests.chaos")


@dataclass
class Plan:
    """How much, and how long: `seconds` bounds the sending, after which what was sent is handled.

    pause, life: seconds from one fault of a proxy to the next, and from one restart to the next.
    """

    seed: int
    messages: int
    seconds: float
    pause: float = 0.4
    life: float = 12.0
    clients: int = 21
    patience: float = 25.0


@dataclass
class Outcome:
    """What came of it; problems: what else is wrong, in words."""

    seed: int
    seconds: float = 0.0
    up: int = 0
    down: int = 0
    cuts: int = 0  # links that have ended, those of handshakes too
    resumed: int = 0
    resets: int = 0
    restarts: Counter[str] = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)
    problems: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return self.verdict.is_clean and not self.problems

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
            ("back end killed (SIGKILL)", self.restarts["SIGKILL"]),
            ("back end restarted (SIGTERM)", self.restarts["SIGTERM"]),
            ("in progress at a kill, handled again", len(self.verdict.again)),
            ("answers in hand at a kill, sent again", len(self.verdict.gone)),
        )
        lines = [f"| {name:<40} | {value!s:>12} |" for name, value in rows]
        return "\n".join([*lines, "", str(self.verdict), *self.problems[:30]])


async def run(plan: Plan) -> Outcome:
    """Play it; return when all that was sent has been handled, or nothing moves any more."""
    outcome = Outcome(plan.seed)
    chance = random.Random(plan.seed)
    begun = shown = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        back_end = BackEndProcess(Path(folder))
        async with AsyncExitStack() as stack:
            ports = await back_end.start()
            proxies = [await stack.enter_async_context(FaultProxy("127.0.0.1", port)) for port in ports]
            clients = [
                make(
                    WAYS[number % len(WAYS)],
                    number,
                    proxies[number % len(proxies)].url(),
                    plan.seed,
                    is_bounded=messages.WAYS[number % len(proxies)] == "function",
                )
                for number in range(plan.clients)
            ]
            budget = Budget(plan.messages)
            running = [asyncio.create_task(client.run(budget)) for client in clients]
            faults = [
                asyncio.create_task(
                    trouble(proxy, clients[each :: len(proxies)], random.Random(chance.random()), plan.pause)
                )
                for each, proxy in enumerate(proxies)
            ]
            restarts = Restarts(back_end, proxies, random.Random(chance.random()), plan.life)
            faults.append(asyncio.create_task(restarts.run()))
            while budget.left > 0 and time.monotonic() - begun < plan.seconds:
                await asyncio.sleep(0.1)
                if time.monotonic() > shown + 30:
                    shown = time.monotonic()
                    _logger.info(
                        "%d s, %s messages left, %s", shown - begun, f"{budget.left:,}", restarts.done
                    )
                for task in (*faults, *running):
                    if task.done() and (task in faults or task.exception() is not None):
                        outcome.problems.append(f"ended: {task.exception()!r}")
                        budget.stop()
            budget.stop()
            restarts.stop()
            await faults.pop()
            outcome.restarts = restarts.done
            await _calm(faults, proxies)
            _, late = await asyncio.wait(running, timeout=plan.patience)
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
            outcome.cuts = sum(entry.event == "closed" for proxy in proxies for entry in proxy.log)
            await back_end.end(signal.SIGTERM)
        if back_end.exit_code != 0:
            outcome.problems.append(f"the back end has ended with {back_end.exit_code}")
        outcome.seconds = time.monotonic() - begun
        _judge(outcome, clients, back_end)
    return outcome


async def _calm(troubles: list[asyncio.Task[None]], proxies: list[FaultProxy]) -> None:
    """End all faults."""
    for task in troubles:
        task.cancel()
    await asyncio.wait(troubles)
    for proxy in proxies:
        proxy.heal()


def describe(client: Client) -> str:
    """Return where a client stands, for who looks for the cause."""
    connection = getattr(client, "connection", None) or client._connection._connection  # type: ignore[attr-defined]
    half = connection._host._session.half
    positions = {name: getattr(half, name) for name in ("sent", "acked", "got", "done", "recorded", "told")}
    return f"client {client.number}, {client.accepted} accepted, {len(client.handled)} answers, {positions}"


def _judge(outcome: Outcome, clients: list[Client], back_end: BackEndProcess) -> None:
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
        outcome.up += client.accepted
        outcome.down += len(client.handled)
        for name, history in (("up", up), ("down", down)):
            verdict = check(history)
            outcome.verdict.add(verdict)
            if not verdict.is_clean:
                outcome.problems.append(f"{name}, client {number}: {verdict} {vars(verdict)}"[:400])
        outcome.resumed += sum(kind == "resumed" for kind, _ in client.sessions)
        resets = [event for event in client.sessions if event[0] in ("reset", "over")]
        outcome.resets += len(resets)
        if resets:
            outcome.problems.append(f"client {number}: {resets}")
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
