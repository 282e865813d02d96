"""What both chaos loads have in common: how much it is, the clients among faults, and what came of it."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos import messages
from tests.chaos.clients import WAYS, Budget, Client, make
from tests.chaos.faults import trouble
from tests.chaos.history import History, Verdict, check

from websocket_heartbeat.testing import FaultProxy


@dataclass
class Plan:
    """How much, and how long: `seconds` bounds the sending, after which what was sent is handled.

    pause, calm: seconds from one fault of a proxy to the next, and from one of what is behind them.
    patience: seconds in which some client must handle something, until all have handled all.
    """

    seed: int
    messages: int
    seconds: float
    pause: float = 0.4
    calm: float = 12.0
    clients: int = 21
    patience: float = 25.0


@dataclass
class Outcome:
    """What came of it.

    done: how often the processes had which fault. problems: what else is wrong, in words.
    """

    seed: int
    seconds: float = 0.0
    up: int = 0
    down: int = 0
    resumed: int = 0
    resets: int = 0
    done: Counter[str] = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)
    problems: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return self.verdict.is_clean and not self.problems

    def note_sessions(self, client: Client) -> bool:
        """Count what a client was told of its sessions; return whether it had one alone."""
        self.resumed += sum(kind == "resumed" for kind, _ in client.sessions)
        resets = [event for event in client.sessions if event[0] in ("reset", "over")]
        self.resets += len(resets)
        if resets:
            self.problems.append(f"client {client.number}: {resets}")
        return not resets

    def judge(self, client: Client, up: History, down: History) -> None:
        """Judge both streams of a client."""
        self.up += client.accepted
        self.down += len(client.handled)
        for name, history in (("up", up), ("down", down)):
            verdict = check(history)
            self.verdict.add(verdict)
            if not verdict.is_clean:
                self.problems.append(f"{name}, client {client.number}: {verdict} {vars(verdict)}"[:400])


class Crowd:
    """Clients that send, each over one of the proxies, to which things happen meanwhile."""

    def __init__(self, plan: Plan, proxies: Sequence[FaultProxy], chance: random.Random) -> None:
        self._proxies = proxies
        self.clients = [
            make(
                WAYS[number % len(WAYS)],
                number,
                proxies[number % len(proxies)].url(),
                plan.seed,
                is_bounded=messages.WAYS[number % len(proxies)] == "function",
            )
            for number in range(plan.clients)
        ]
        self.budget = Budget(plan.messages)
        self._running = [asyncio.create_task(client.run(self.budget)) for client in self.clients]
        self._troubles = [
            asyncio.create_task(
                trouble(proxy, self.clients[each :: len(proxies)], random.Random(chance.random()), plan.pause)
            )
            for each, proxy in enumerate(proxies)
        ]

    def ended(self, *others: asyncio.Task[None]) -> list[str]:
        """Return what has ended too early; others: tasks that do not end either."""
        endless = (*self._troubles, *others)
        return [
            f"ended: {task.exception()!r}"
            for task in (*endless, *self._running)
            if task.done() and (task in endless or task.exception() is not None)
        ]

    async def finish(self, outcome: Outcome, patience: float) -> None:
        """Send no more, end all faults, and wait until what was sent has been handled; note who is stuck."""
        self.budget.stop()
        for task in self._troubles:
            task.cancel()
        await asyncio.wait(self._troubles)
        for proxy in self._proxies:
            proxy.heal()
        late = await self._late(patience)
        for client, task in zip(self.clients, self._running, strict=True):
            if task in late:
                outcome.problems.append(f"stuck: {_describe(client)}")
            elif task.exception() is not None:
                outcome.problems.append(f"failed: {task.exception()!r} {_describe(client)}")
        await asyncio.gather(*(client.close() for client in self.clients))
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _late(self, patience: float) -> set[asyncio.Task[None]]:
        """Wait until they are done; return who is not when none has handled anything for so long."""
        running, before = set(self._running), -1
        while running and before != (before := sum(len(client.handled) for client in self.clients)):
            _, running = await asyncio.wait(running, timeout=patience)
        return running


def _describe(client: Client) -> str:
    """Return where a client stands, for who looks for the cause."""
    connection = getattr(client, "connection", None) or client._connection._connection  # type: ignore[attr-defined]
    half = connection._host._session.half
    positions = {name: getattr(half, name) for name in ("sent", "acked", "got", "done", "recorded", "told")}
    return f"client {client.number}, {client.accepted} accepted, {len(client.handled)} answers, {positions}"
