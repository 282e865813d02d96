"""A simulated reconnect storm: how a herd of clients comes back to a server that was away.

    python -m benchmarks storm              20,000 clients
    python -m benchmarks storm --long       1,000,000 clients, in some minutes and 300 MiB
    python -m benchmarks storm --machines   with a core.machine.Machine for each of ours, not a table of waits

The clients are the real core (herd.py). The server is a model, harsh or mild:

- It is away from 0 to `outage`: attempts are refused at once, at no cost.
- Then it completes `capacity` handshakes a second. As many as it completes in `backlog` seconds may wait.
- An attempt that finds the backlog full fails: at once, or `silent`ly after the client's open timeout. It
  costs the server `refusal_cost` of a handshake: at once and at no cost it is the kernel that refuses, which
  tells the client nothing; at a cost the server answers 503. These costs come first and can leave nothing for
  handshakes; at most `backlog` seconds of them are carried forward, for beyond that the kernel drops what
  arrives.
- An attempt whose client has given up costs a whole handshake all the same.

With `admission` it is a server whose hub lets in so many clients a second (server/rate.py), and tells each of
the others when to come back, also at `refusal_cost`.
"""

import gc
import math
import statistics
from argparse import ArgumentParser, Namespace
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from benchmarks import figures, report
from benchmarks.herd import (
    Floats,
    Herd,
    Ints,
    MachineHerd,
    Policy,
    TableHerd,
    fixed,
    hints,
    ours,
    phases,
    settings,
    websockets,
)
from websocket_heartbeat.client.retry import LATER
from websocket_heartbeat.server.rate import Rate

STEP = 0.1
"""Seconds of one step of the server."""

OUTAGES = (0.0, 20.0, 120.0)
CAPACITY_SECONDS = 50.0
"""N/C: how long the server takes for the whole herd."""

EVENNESS_OUTAGES = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0)
EVENNESS_CLIENTS = 2000
EVENNESS_SEEDS = 9


@dataclass(frozen=True)
class ServerModel:
    """What the server does; `capacity` in clients per second."""

    outage: float
    capacity: float = math.inf
    backlog: float = 1.0
    refusal_cost: float = 0.0
    silent: bool = False
    admission: float | None = None
    patience: float = 3600.0
    """Simulated seconds after which what has not come back never will."""


@dataclass
class Recovery:
    """How it went; times in seconds since the server was back."""

    clients: int
    back: int
    t50: float
    t99: float
    t100: float
    peak_attempts_per_second: int
    peak_attempts_per_second_once_up: int
    peak_accepts_per_100ms: int
    evenness: float
    attempts_per_client: float
    attempts_per_second: list[int] = field(default_factory=list, repr=False)
    back_per_second: list[int] = field(default_factory=list, repr=False)


class _Server:
    """The model above, from the time at which it is back."""

    def __init__(self, model: ServerModel, herd: Herd) -> None:
        self._model = model
        self._herd = herd
        self._queue: deque[tuple[Ints, Ints]] = deque()
        self._queued = 0
        self._credit = 0.0
        self._rate = None if model.admission is None else Rate(model.admission)

    def step(self, clients: Ints, at: Floats) -> Ints:
        """Take the attempts of one step; return who got in."""
        model = self._model
        if model.capacity == math.inf:
            return clients
        refusals = 0
        if self._rate is not None:
            told = self._told(self._rate, at)
            sent_away = told > 0
            refusals = int(sent_away.sum())
            self._herd.refused(clients[sent_away], at[sent_away], told[sent_away])
            clients, at = clients[~sent_away], at[~sent_away]
        # What is served within this step makes room for what arrives in it.
        room = math.ceil(model.capacity * (model.backlog + STEP)) - self._queued
        taken = max(0, min(len(clients), room))
        if taken:
            self._queue.append((clients[:taken], self._herd.attempts[clients[:taken]]))
            self._queued += taken
        turned_away = clients[taken:]
        if len(turned_away) and not model.silent:
            self._herd.refused(turned_away, at[taken:], LATER if model.refusal_cost > 0 else 0.0)
        earned = model.capacity * STEP - model.refusal_cost * (refusals + len(turned_away))
        self._credit = max(min(self._credit, 1.0) + earned, -model.capacity * model.backlog)
        return self._serve()

    @staticmethod
    def _told(rate: Rate, at: Floats) -> Floats:
        """Return the seconds after which each attempt may come back, 0 for those that are let in."""
        return np.array([0 if rate.take(moment) else rate.come_back(moment) for moment in at.tolist()])

    def _serve(self) -> Ints:
        served = [np.empty(0, np.int64)]
        while self._queue and self._credit >= 1:
            clients, attempts = self._queue.popleft()
            count = min(len(clients), int(self._credit))
            if count < len(clients):
                self._queue.appendleft((clients[count:], attempts[count:]))
            self._credit -= count
            self._queued -= count
            present = self._herd.is_waiting(clients[:count], attempts[:count])
            served.append(clients[:count][present])
        return np.concatenate(served)


def simulate(herd: Herd, model: ServerModel) -> Recovery:
    """Let the herd come back."""
    server = _Server(model, herd)
    count = len(herd.attempts)
    back_at = np.full(count, np.inf)
    missing = count
    histogram: list[int] = []
    while missing and len(histogram) * STEP < model.outage + model.patience:
        end = (len(histogram) + 1) * STEP
        clients, at = herd.due(end)
        histogram.append(len(clients))
        early = at < model.outage
        if early.any():
            herd.refused(clients[early], at[early], 0.0)
            clients, at = clients[~early], at[~early]
        if end > model.outage:
            # A server without limits answers at once, another at the end of the step.
            back_at[clients] = at
            accepted = server.step(clients, at)
            herd.accepted(accepted)
            if model.capacity < math.inf:
                back_at[clients] = np.inf
                back_at[accepted] = end
            missing -= len(accepted)
    return _summary(herd, model, back_at, histogram)


def _summary(herd: Herd, model: ServerModel, back_at: Floats, histogram: list[int]) -> Recovery:
    count = len(back_at)
    came = np.sort(back_at - model.outage)
    back = int(np.isfinite(came).sum())
    # The most that came in any 100 ms, wherever they begin; steps of the server hide nothing from it.
    ends = np.searchsorted(came[:back], came[:back] + 0.1 - 1e-9)
    peak = int((ends - np.arange(back)).max()) if back else 0
    last = float(came[-1])
    seconds = np.bincount(np.maximum(came[:back], 0).astype(np.int64))
    second = np.ones(round(1 / STEP), np.int64)
    up = histogram[round(model.outage / STEP) :]
    return Recovery(
        clients=count,
        back=back,
        t50=float(came[math.ceil(0.5 * count) - 1]),
        t99=float(came[math.ceil(0.99 * count) - 1]),
        t100=last,
        peak_attempts_per_second=int(np.convolve(histogram, second).max()),
        peak_attempts_per_second_once_up=int(np.convolve(up, second).max()),
        peak_accepts_per_100ms=peak,
        evenness=peak * last / (count * 0.1),
        attempts_per_client=float(herd.attempts.mean()),
        attempts_per_second=np.add.reduceat(histogram, np.arange(0, len(histogram), 10)).tolist(),
        back_per_second=seconds.tolist(),
    )


def herd_of(
    count: int,
    policy: Policy,
    seed: int,
    advice_over: float | None = None,
    machines: bool = False,
    deaf: float = 0.0,
) -> Herd:
    """Return clients that have just lost their server; with `advice_over` each was told a time within it."""
    places = phases(count, seed)
    advice = None if advice_over is None else hints(count, advice_over, seed)
    if machines:
        return MachineHerd(settings(), places, advice)
    return TableHerd(count, policy, places, advice, deaf)


def recoveries(count: int, wholes: Sequence[float], machines: bool) -> Iterator[dict[str, Any]]:
    """Let the herd come back under every policy, to a mild server and to a harsh one."""
    policies = [policy for policy in (fixed(), websockets(), ours()) if policy is not None]
    for whole in wholes:
        for outage in OUTAGES:
            for policy in policies:
                for advice in (None, whole) if policy.heeds else (None,):
                    for kind, cost, silent in (
                        ("mild", 0.0, False),
                        ("silent", 0.0, True),
                        ("harsh", 0.1, False),
                    ):
                        model = ServerModel(
                            outage, count / whole, refusal_cost=cost, silent=silent, patience=5 * whole
                        )
                        herd = herd_of(count, policy, 1, advice, machines and policy.heeds)
                        yield {
                            "policy": policy.name + (" with advice" if advice else ""),
                            "outage": outage,
                            "whole": whole,
                            "server": kind,
                            **asdict(simulate(herd, model)),
                        }


def evenness() -> list[dict[str, Any]]:
    """Let small herds come back to a server without limits, after outages of every length."""
    rows = []
    for policy in (fixed(), websockets(), ours()):
        for outage in EVENNESS_OUTAGES if policy is not None else ():
            assert policy is not None
            runs = [
                simulate(herd_of(EVENNESS_CLIENTS, policy, seed), ServerModel(outage))
                for seed in range(EVENNESS_SEEDS)
            ]
            rows.append(
                {
                    "policy": policy.name,
                    "outage": outage,
                    "t100": statistics.median(run.t100 for run in runs),
                    "peak_per_100ms": statistics.median(run.peak_accepts_per_100ms for run in runs),
                    "evenness": statistics.median(run.evenness for run in runs),
                    "evenness_worst": max(run.evenness for run in runs),
                    "attempts_per_client": statistics.median(run.attempts_per_client for run in runs),
                }
            )
    return rows


def add_arguments(parser: ArgumentParser) -> None:
    """Add what only this benchmark can be told."""
    parser.add_argument("--clients", type=int, help="storm: clients (20,000; 1,000,000 if --long)")
    parser.add_argument(
        "--capacity-seconds", type=float, nargs="+", default=[CAPACITY_SECONDS], help="storm: N/C (50)"
    )
    parser.add_argument("--machines", action="store_true", help="storm: a Machine for each client")


def run(options: Namespace) -> None:
    """Simulate, print, save and draw."""
    count = options.clients or (1_000_000 if options.long else 20_000)
    even = evenness()
    report.table(
        f"Evenness: {EVENNESS_CLIENTS:,} clients, a server without limits, median of {EVENNESS_SEEDS}",
        ["policy", "outage s", "T100 s", "peak/100 ms", "evenness", "worst", "attempts/client"],
        [list(row.values()) for row in even],
    )
    gc.disable()  # a herd is a million objects, none of them garbage
    rows = []
    for row in recoveries(count, options.capacity_seconds, options.machines):
        rows.append(row)
        gc.collect()
    gc.enable()
    report.table(
        f"Recovery: {count:,} clients; times in N/C since the server was back, peaks in N per second",
        ["policy", "server", "N/C s", "outage s", "T50", "T99", "T100", "peak", "once up", "attempts/client"],
        [
            [
                row["policy"],
                row["server"],
                row["whole"],
                row["outage"],
                *(row[name] / row["whole"] for name in ("t50", "t99", "t100")),
                row["peak_attempts_per_second"] / count,
                row["peak_attempts_per_second_once_up"] / count,
                row["attempts_per_client"],
            ]
            for row in rows
        ],
    )
    series = {
        row["policy"]: row["attempts_per_second"][:180]
        for row in rows
        if (row["server"], row["whole"], row["outage"]) == ("mild", options.capacity_seconds[0], 20.0)
    }
    for row in rows:
        del row["attempts_per_second"], row["back_per_second"]
    figures.storm(series)
    results = {"clients": count, "evenness": even, "recovery": rows, "attempts_per_second": series}
    report.keep("storm", results)
