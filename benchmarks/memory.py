"""The memory of an idle connection, without TLS and with it: the growth of the client's process for each."""

import asyncio
import gc
import os
from argparse import Namespace
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import crowd, figures, report
from benchmarks.processes import take_turns

Answer = dict[str, float]


def _resident() -> int:
    """Bytes of this process in memory: Linux only."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _measure(opener: crowd.Opener, url: str, count: int) -> Answer:
    first = await opener(f"{url}/idle", 10, 15.0)
    gc.collect()
    before = _resident()
    kept = await opener(f"{url}/idle", count, 15.0)
    await asyncio.sleep(1)
    gc.collect()
    grown = _resident() - before
    del first, kept
    return {"kib": grown / count / 1024}


CONTENDERS: dict[str, Callable[..., Awaitable[Answer]]] = {
    name: partial(_measure, opener) for name, opener in crowd.OPENERS.items()
}


_TLS_COUNT = 500
_WITH_TLS = ("ours, hook", "bare protocol", "aiohttp", "websockets")


def run(options: Namespace) -> None:
    """Measure, print, save and draw."""
    rows: list[dict[str, Any]] = []
    for count in _counts(options.long):
        rows += _rows("ws", count, [(name, "asyncio") for name in CONTENDERS], 3 if options.long else 1)
    with_tls = [(name, loop) for loop in ("asyncio", "uvloop") for name in _WITH_TLS]
    rows += _rows("wss", _TLS_COUNT, with_tls, 3 if options.long else 1)
    report.table(
        "Memory of an idle connection: growth of the client process",
        ["", "contender", "connections", "KiB", "least", "most"],
        [
            [
                row["scheme"],
                row["contender"],
                row["connections"],
                *(row["kib"][name] for name in ("median", "min", "max")),
            ]
            for row in rows
        ],
    )
    report.keep("memory", {"rows": rows})
    most = max(row["connections"] for row in rows)
    chart = {row["contender"]: row["kib"]["median"] for row in rows if row["connections"] == most}
    figures.bars("memory", f"KiB per idle connection, of {most:,}", chart)


def _rows(scheme: str, count: int, names: list[tuple[str, str]], rounds: int) -> list[dict[str, Any]]:
    answers = take_turns(
        "memory",
        names,
        rounds if count < 5000 else 1,
        lambda name: {"count": count},
        fresh=True,
        scheme=scheme,
    )
    return [
        {
            "scheme": scheme,
            "contender": label,
            "connections": count,
            "kib": report.spread([each["kib"] for each in rounds]),
        }
        for label, rounds in answers.items()
    ]


def _counts(long: bool) -> list[int]:
    limit = raise_file_limit()
    return [min(count, limit - 200) for count in ((2000, 10_000) if long else (2000,))]


def raise_file_limit() -> int:
    """Let this process and those that it starts have as many files open as the system grants."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
