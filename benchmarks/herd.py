"""A herd of clients on a simulated clock: the real core decides for each when it tries again."""

import random
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain, count, islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from websocket_heartbeat.config import Backoff
from websocket_heartbeat.core.backoff import LONGEST_HINT, delay
from websocket_heartbeat.core.machine import CONNECTING, WAITING, Machine
from websocket_heartbeat.core.settings import Settings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Table = Sequence[Sequence[float]]

OPEN_TIMEOUT = 10.0
"""What connect() gives an attempt by default, in ours and in websockets."""

_OVERLOADS = 12
"""How often an overloaded server widens windows until the first is as wide as the maximum."""

_ATTEMPTS = 600
"""How many attempts have their waits in a table; later ones wait like the last, in the widest window."""


def settings(backoff: Backoff = Backoff()) -> Settings:  # noqa: B008  # immutable
    """Return the numbers that connect() hands to the core by default."""
    return Settings(
        interval=15,
        timeout=10,
        both_directions=True,
        message_timeout=None,
        initial=backoff.initial,
        maximum=backoff.maximum,
        hold=0,
        stable_after=backoff.stable_after,
        open_timeout=OPEN_TIMEOUT,
        close_timeout=5,
        max_retries=None,
        final_codes=None,
    )


class Herd(Protocol):
    """Clients that all lose their link at 0. `attempts` counts what each has tried so far."""

    attempts: Ints

    def due(self, until: float) -> tuple[Ints, Floats]:
        """Return who tries before `until` and when, in order of time; they await an answer from then on."""

    def refused(self, clients: Ints, at: Floats, hints: Floats | float) -> None:
        """They were refused, and told to stay away for so many seconds; 0: told nothing."""

    def accepted(self, clients: Ints) -> None:
        """They are back for good."""

    def is_waiting(self, clients: Ints, attempts: Ints) -> NDArray[np.bool_]:
        """Whether each still awaits the answer to that attempt."""


class Policy:
    """When to try again, for any number of clients at once: linear in each client's own random number.

    least, most: the waits before attempt 1, 2, 3, ... of a client whose number is 0 and of one whose number
    is 1; a row for each time that an overloaded server failed an attempt of the client.
    fresh: the same of one whose number is 1 and whose last attempt failed so; None is a policy to which all
    failures are alike, and which does not keep to what the server advises.
    """

    def __init__(self, name: str, least: Table, most: Table, fresh: Table | None = None) -> None:
        self.name = name
        self.heeds = fresh is not None
        self._least, self._most = _from_zero(least), _from_zero(most)
        self._fresh = self._most if fresh is None else _from_zero(fresh)

    def waits(self, attempts: Ints, phases: Floats, overloads: Ints) -> Floats:
        """Return the seconds before each client's attempt of that number."""
        cells = self._cells(attempts, overloads)
        return np.asarray((1 - phases) * self._least[cells] + phases * self._most[cells])

    def advised(self, attempts: Ints, phases: Floats, overloads: Ints, hints: Floats | float) -> Floats:
        """Return the same where the server gave hints, or let attempts time out: hints of 0."""
        return np.minimum(hints, LONGEST_HINT) + phases * self._fresh[self._cells(attempts, overloads)]

    def _cells(self, attempts: Ints, overloads: Ints) -> tuple[Ints, Ints]:
        rows, columns = self._least.shape
        return np.minimum(overloads, rows - 1), np.minimum(attempts, columns - 1)


def _from_zero(table: Table) -> Floats:
    """Let the column of an attempt have its number."""
    return np.array([[0.0, *row] for row in table])


@cache
def ours() -> Policy:
    """The core's own function, asked for both ends of each window; between them it is linear."""
    numbers = settings()
    factors = [1.5**overload for overload in range(_OVERLOADS)]

    def table(phase: float, is_new_phase: bool) -> Table:
        return [
            [delay(numbers, attempt, phase, 0.0, factor, is_new_phase) for attempt in range(1, _ATTEMPTS + 1)]
            for factor in factors
        ]

    return Policy("ours", table(0.0, False), table(1.0, False), table(1.0, True))


def fixed(seconds: float = 2.0) -> Policy:
    """The JavaScript originals: every client after the same time."""
    return Policy(f"fixed {seconds:g} s", [[seconds]], [[seconds]])


def websockets() -> Policy | None:
    """`async for websocket in connect()`, read from the installed package; None without it.

    A lost connection is replaced at once; only then delays begin, the first of them random.
    """
    try:
        from websockets.client import BACKOFF_INITIAL_DELAY, backoff
    except ImportError:
        return None
    later = list(islice(backoff(), 1, 200))
    return Policy("websockets", [[0.0, 0.0, *later]], [[0.0, BACKOFF_INITIAL_DELAY, *later]])


class TableHerd:
    """Any number of clients, their waits looked up in a policy.

    deaf: the share of them that are not told why they were refused, as scripts in browsers.
    """

    def __init__(
        self, count: int, policy: Policy, phases: Floats, hints: Floats | None = None, deaf: float = 0.0
    ) -> None:
        self.policy = policy
        self.attempts = np.zeros(count, np.int64)
        self._first = phases
        self._phases = phases.copy()
        self._overloads = np.zeros(count, np.int64)
        self._connecting = np.zeros(count, np.bool_)
        self._is_deaf = np.arange(count) < deaf * count
        first = self.attempts + 1
        if hints is not None and policy.heeds:
            self._next = policy.advised(first, phases, self._overloads, hints)
        else:
            self._next = policy.waits(first, phases, self._overloads)

    def due(self, until: float) -> tuple[Ints, Floats]:
        clients: Ints = np.flatnonzero(self._next < until)
        late = self._connecting[clients]
        if late.any():
            # An attempt that is over: the wait begins now, and is never so short that it ends in this step.
            self._failed_by_an_overloaded_server(clients[late], self._next[clients[late]], 0.0)
            clients = clients[~late]
        at = self._next[clients]
        order = np.argsort(at, kind="stable")
        clients, at = clients[order], at[order]
        self.attempts[clients] += 1
        self._connecting[clients] = True
        self._next[clients] = at + OPEN_TIMEOUT
        return clients, at

    def refused(self, clients: Ints, at: Floats, hints: Floats | float) -> None:
        each = np.broadcast_to(hints, len(clients))
        hears = (each > 0) & ~self._is_deaf[clients]
        self._failed_by_an_overloaded_server(clients[hears], at[hears], each[hears])
        others = clients[~hears]
        self._retry(others, at[~hears] + self.policy.waits(*self._places(others)))

    def _failed_by_an_overloaded_server(self, clients: Ints, at: Floats, hint: Floats | float) -> None:
        if not self.policy.heeds:
            self._retry(clients, at + self.policy.waits(*self._places(clients)))
            return
        self._overloads[clients] += 1
        self._phases[clients] = redrawn(self._first[clients], self._overloads[clients])
        self._retry(clients, at + self.policy.advised(*self._places(clients), hint))

    def _places(self, clients: Ints) -> tuple[Ints, Floats, Ints]:
        return self.attempts[clients] + 1, self._phases[clients], self._overloads[clients]

    def _retry(self, clients: Ints, at: Floats) -> None:
        self._connecting[clients] = False
        self._next[clients] = at

    def accepted(self, clients: Ints) -> None:
        self._connecting[clients] = False
        self._next[clients] = np.inf

    def is_waiting(self, clients: Ints, attempts: Ints) -> NDArray[np.bool_]:
        return np.asarray(self._connecting[clients] & (self.attempts[clients] == attempts))


class MachineHerd:
    """A core.machine.Machine for each client: about a kilobyte and ten microseconds an attempt each."""

    def __init__(self, numbers: Settings, phases: Floats, hints: Floats | None = None) -> None:
        self.attempts = np.zeros(len(phases), np.int64)
        self._next = np.empty(len(phases))
        self._machines: list[Machine] = []
        for client in range(len(phases)):
            machine = Machine(numbers, _drawing(float(phases[client])))
            machine.started(-100.0)
            machine.opened(-100.0, 1)
            machine.lost(0.0, 1, hint=0.0 if hints is None else float(hints[client]))
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
                machine.woke(machine.deadline or 0.0)  # it was in its grace period
            if machine.state == CONNECTING:
                attempts.append((at, client))
            machine.take()
            self._note(client)
        attempts.sort()
        clients: Ints = np.array([client for _, client in attempts], np.int64)
        return clients, np.array([at for at, _ in attempts])

    def refused(self, clients: Ints, at: Floats, hints: Floats | float) -> None:
        each = np.broadcast_to(hints, len(clients)).tolist()
        for client, when, hint in zip(clients.tolist(), at.tolist(), each, strict=True):
            machine = self._machines[client]
            machine.lost(when, machine.link, hint=hint)
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
    draws = (float(redrawn(np.array([phase]), np.array([draw]))[0]) for draw in count(1))
    return chain([phase], draws).__next__


def redrawn(first: Floats, draw: Ints) -> Floats:
    """Return what each client draws when it draws again for the first, second, ... time: SplitMix64."""
    bits = first.view(np.uint64) + draw.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(((bits ^ (bits >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53)


def phases(count: int, seed: int) -> Floats:
    """Return each client's own random number, from 0 to 1."""
    return np.asarray(np.random.default_rng(seed).random(count))


def hints(count: int, over: float, seed: int) -> Floats:
    """Return what Server.send_away tells each client: a slot of its own, in random order."""
    slots = [(slot + 0.5) * over / count for slot in range(count)]
    random.Random(seed).shuffle(slots)
    return np.array(slots)
