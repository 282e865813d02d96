"""A herd of clients on a simulated clock: the real core decides for each when it tries again."""

import random
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from websocket_heartbeat.config import Backoff
from websocket_heartbeat.core.backoff import LONGEST_HINT, delay
from websocket_heartbeat.core.machine import CONNECTING, WAITING, Machine
from websocket_heartbeat.core.settings import Settings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

OPEN_TIMEOUT = 10.0
"""What connect() gives an attempt by default, in ours and in websockets."""

_ATTEMPTS = 600
"""As many attempts have their waits tabulated; later ones wait like the last, whose window is the widest."""


def settings(backoff: Backoff = Backoff()) -> Settings:  # noqa: B008  # immutable
    """Return the numbers that connect() hands to the core by default."""
    return Settings(
        interval=15,
        timeout=10,
        initial=backoff.initial,
        maximum=backoff.maximum,
        hold=0,
        stable_after=backoff.stable_after,
        open_timeout=OPEN_TIMEOUT,
        close_timeout=5,
        max_attempts=None,
    )


class Herd(Protocol):
    """Clients that all lose their link at 0. `attempts` counts what each has tried so far."""

    attempts: Ints

    def due(self, until: float) -> tuple[Ints, Floats]:
        """Return who tries before `until` and when, in order of time; they await an answer from then on."""

    def refused(self, clients: Ints, at: Floats) -> None:
        """The server turned them away."""

    def accepted(self, clients: Ints) -> None:
        """They are back for good."""

    def is_waiting(self, clients: Ints, attempts: Ints) -> NDArray[np.bool_]:
        """Whether each still awaits the answer to that attempt."""


class Policy:
    """When to try again, for any number of clients at once: linear in each client's own random number.

    least, most: the waits before attempt 1, 2, 3, ... of a client whose number is 0 and of one whose number
    is 1. heeds: whether it keeps to what the server advises.
    """

    def __init__(self, name: str, least: Sequence[float], most: Sequence[float], heeds: bool = False) -> None:
        self.name = name
        self.least = np.array([0.0, *least])
        self.most = np.array([0.0, *most])
        self.heeds = heeds

    def waits(self, attempts: Ints, phases: Floats) -> Floats:
        """Return the seconds before each client's attempt of that number."""
        numbers = np.minimum(attempts, len(self.least) - 1)
        return np.asarray((1 - phases) * self.least[numbers] + phases * self.most[numbers])

    def advised(self, hints: Floats, phases: Floats) -> Floats:
        """Return the seconds before each client's first attempt where the server gave each a hint."""
        return np.minimum(hints, LONGEST_HINT) + self.waits(np.ones(len(hints), np.int64), phases)


def ours(numbers: Settings | None = None) -> Policy:
    """The core's own function, asked for both ends of each window; between them it is linear."""
    numbers = numbers or settings()
    least = [delay(numbers, attempt, 0.0, 0.0) for attempt in range(1, _ATTEMPTS + 1)]
    most = [delay(numbers, attempt, 1.0, 0.0) for attempt in range(1, _ATTEMPTS + 1)]
    return Policy("ours", least, most, heeds=True)


def fixed(seconds: float = 2.0) -> Policy:
    """The JavaScript originals: everybody after the same time."""
    return Policy(f"fixed {seconds:g} s", [seconds], [seconds])


def websockets() -> Policy | None:
    """`async for websocket in connect()`, read from the installed package; None without it.

    A lost connection is replaced at once; only then delays begin, the first of them random.
    """
    try:
        from websockets.client import BACKOFF_INITIAL_DELAY, backoff
    except ImportError:
        return None
    later = list(islice(backoff(), 1, 200))
    return Policy("websockets", [0.0, 0.0, *later], [0.0, BACKOFF_INITIAL_DELAY, *later])


class TableHerd:
    """Any number of clients, their waits looked up in a policy."""

    def __init__(self, count: int, policy: Policy, phases: Floats, hints: Floats | None = None) -> None:
        self.policy = policy
        self.phases = phases
        self.attempts = np.zeros(count, np.int64)
        self._connecting = np.zeros(count, np.bool_)
        if hints is not None and policy.heeds:
            self._next = policy.advised(hints, phases)
        else:
            self._next = policy.waits(self.attempts + 1, phases)

    def due(self, until: float) -> tuple[Ints, Floats]:
        clients: Ints = np.flatnonzero(self._next < until)
        late = self._connecting[clients]
        if late.any():
            # An attempt that is over: the wait begins now, and is never so short that it ends in this step.
            self.refused(clients[late], self._next[clients[late]])
            clients = clients[~late]
        at = self._next[clients]
        order = np.argsort(at, kind="stable")
        clients, at = clients[order], at[order]
        self.attempts[clients] += 1
        self._connecting[clients] = True
        self._next[clients] = at + OPEN_TIMEOUT
        return clients, at

    def refused(self, clients: Ints, at: Floats) -> None:
        self._connecting[clients] = False
        self._next[clients] = at + self.policy.waits(self.attempts[clients] + 1, self.phases[clients])

    def accepted(self, clients: Ints) -> None:
        self._connecting[clients] = False
        self._next[clients] = np.inf

    def is_waiting(self, clients: Ints, attempts: Ints) -> NDArray[np.bool_]:
        return np.asarray(self._connecting[clients] & (self.attempts[clients] == attempts))


class MachineHerd:
    """A core.machine.Machine for each client: about a kilobyte and ten microseconds an attempt each."""

    def __init__(self, numbers: Settings, phases: Floats, hints: Floats | None = None) -> None:
        count = len(phases)
        self.attempts = np.zeros(count, np.int64)
        self._next = np.empty(count)
        self._machines: list[Machine] = []
        for client in range(count):
            machine = Machine(numbers, _drawing(float(phases[client])))
            machine.started(-100.0)
            machine.opened(-100.0, 1)
            machine.lost(0.0, 1, "outage", None, 0.0 if hints is None else float(hints[client]), False)
            machine.take()
            self._machines.append(machine)
            self._note(client)

    def due(self, until: float) -> tuple[Ints, Floats]:
        attempts = []
        for client in np.flatnonzero(self._next < until).tolist():
            machine = self._machines[client]
            at = self._next[client]
            machine.woke(at)
            if machine.state == CONNECTING and self.attempts[client] == machine.link - 1:
                machine.woke(machine.deadline or 0.0)  # it had asked for a moment of grace
            if machine.state == CONNECTING:
                attempts.append((at, client))
            machine.take()
            self._note(client)
        attempts.sort()
        clients: Ints = np.array([client for _, client in attempts], np.int64)
        return clients, np.array([at for at, _ in attempts])

    def refused(self, clients: Ints, at: Floats) -> None:
        for client, when in zip(clients.tolist(), at.tolist(), strict=True):
            machine = self._machines[client]
            machine.lost(when, machine.link, "refused", None, 0.0, False)
            machine.take()
            self._note(client)

    def accepted(self, clients: Ints) -> None:
        for client in clients.tolist():
            machine = self._machines[client]
            machine.opened(machine.deadline or 0.0, machine.link)
            machine.take()
            self._next[client] = np.inf

    def is_waiting(self, clients: Ints, attempts: Ints) -> NDArray[np.bool_]:
        return np.array(
            [
                self._machines[client].state == CONNECTING and self.attempts[client] == attempt
                for client, attempt in zip(clients.tolist(), attempts.tolist(), strict=True)
            ],
            np.bool_,
        )

    def _note(self, client: int) -> None:
        machine = self._machines[client]
        assert machine.state in (CONNECTING, WAITING)
        assert machine.deadline is not None
        self._next[client] = machine.deadline
        self.attempts[client] = machine.link - 1


def _drawing(phase: float) -> Callable[[], float]:
    return lambda: phase


def phases(count: int, seed: int) -> Floats:
    """Return each client's own random number, from 0 to 1."""
    return np.asarray(np.random.default_rng(seed).random(count))


def hints(count: int, over: float, seed: int) -> Floats:
    """Return what Server.send_away tells each client: a slot of its own, in random order."""
    slots = [(slot + 0.5) * over / count for slot in range(count)]
    random.Random(seed).shuffle(slots)
    return np.array(slots)
