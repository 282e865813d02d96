"""How a herd comes back to a hub that lets in what it can serve: simulated, and with real clients.

    python -m benchmarks admission            20,000 simulated clients
    python -m benchmarks admission --long     1,000,000, in some minutes; and 2,000 real ones

The simulated server is the harsh one of storm.py: to refuse an attempt costs a tenth of a handshake. The hub
is told of nine tenths of what it can serve (`max_new_peers_per_second`): it needs time to refuse as well.
"""

import gc
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from benchmarks import figures, report
from benchmarks.herd import ours
from benchmarks.memory import raise_file_limit
from benchmarks.returning import AWAY, CLIENTS, KINDS, LIMIT, come_back
from benchmarks.storm import CAPACITY_SECONDS, OUTAGES, ServerModel, herd_of, simulate

LET_IN = 0.9
ROUNDS = 3
DRAWN = 20.0
"""The outage that the figure shows."""

# Of each case: whether the hub has a limit; over which share of N/C its clients were sent away before, None:
# not at all; and the share of them that are not told why they are refused, as scripts in browsers.
CASES: dict[str, tuple[bool, float | None, float]] = {
    "no limit": (False, None, 0.0),
    "limit": (True, None, 0.0),
    "limit, half of them deaf": (True, None, 0.5),
    "limit, sent away over N/C": (True, 1.0, 0.0),
    "limit, sent away over N/2C": (True, 0.5, 0.0),
}


def simulated(count: int) -> Iterator[dict[str, Any]]:
    """Let the herd come back in each case after each outage."""
    capacity = count / CAPACITY_SECONDS
    for outage in OUTAGES:
        for case, (limits, sent_away, deaf) in CASES.items():
            model = ServerModel(
                outage,
                capacity,
                refusal_cost=0.1,
                admission=LET_IN * capacity if limits else None,
                patience=5 * CAPACITY_SECONDS,
            )
            advice = None if sent_away is None else sent_away * CAPACITY_SECONDS
            recovery = simulate(herd_of(count, ours(), 1, advice, deaf=deaf), model)
            yield {"case": case, "outage": outage, **asdict(recovery)}


def real() -> list[dict[str, Any]]:
    """Let real clients come back to each kind of server; return the middle one of its runs, by T99."""
    raise_file_limit()
    rows = []
    for name, kind in KINDS.items():
        runs = sorted((come_back(kind) for _ in range(ROUNDS)), key=lambda run: float(run["t99"]))
        rows.append({"server": name, "t99_of_each": [run["t99"] for run in runs], **runs[ROUNDS // 2]})
    return rows


def run(options: Namespace) -> None:
    """Simulate, print, save and draw."""
    count = options.clients or (1_000_000 if options.long else 20_000)
    gc.disable()  # arrays of a million, none of them garbage
    rows = list(simulated(count))
    gc.enable()
    report.table(
        f"Admission: {count:,} clients, N/C {CAPACITY_SECONDS:g} s; times in N/C, peak in N per second",
        ["case", "outage s", "T50", "T99", "T100", "peak once up", "attempts/client"],
        [
            [
                row["case"],
                row["outage"],
                *(row[name] / CAPACITY_SECONDS for name in ("t50", "t99", "t100")),
                row["peak_attempts_per_second_once_up"] / count,
                row["attempts_per_client"],
            ]
            for row in rows
        ],
    )
    back = {row["case"]: row["back_per_second"] for row in rows if row["outage"] == DRAWN}
    for row in rows:
        del row["attempts_per_second"], row["back_per_second"]
    figures.admission(back, count, CAPACITY_SECONDS)
    results: dict[str, Any] = {"clients": count, "simulated": rows, "back_per_second": back}
    if options.long:
        results["real"] = real()
        report.table(
            f"{CLIENTS:,} real clients, server away for {AWAY:g} s, {LIMIT} let in a second",
            [
                "server",
                "T99 s",
                "T100 s",
                "refusals/client",
                "most",
                "least delay s",
                "server CPU s",
                "clients'",
            ],
            [
                [
                    row["server"],
                    row["t99"],
                    row["t100"],
                    row["refusals_mean"],
                    row["refusals_most"],
                    row["least_delay"],
                    row["server_cpu"],
                    row["client_cpu"],
                ]
                for row in results["real"]
            ],
        )
    report.keep("admission", results)
