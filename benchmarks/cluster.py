"""Workers that share a Valkey: messages a second to clients, beside the peers, and memory of idle sessions.

Each message goes through Valkey: ours is kept there with its session until the client has it, those of the
peers are passed on. Clients are in a process of their own. The tables go to docs/benchmarks.md.
"""

import subprocess
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import redis

from benchmarks import report
from benchmarks.processes import running
from benchmarks.shared_rooms import valkey

CONTENDERS = {
    "ours": "ours, with sessions",
    "socketio": "python-socketio, Redis manager",
    "channels": "Channels, channels_redis",
}
WORKERS = (1, 3)
ROUNDS = 3
SECONDS = 4
IDLE = (1000, 10_000, 100_000)

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- cluster: written by the benchmark -->", "<!-- cluster: end -->"


def _throughput(name: str, count: int, seconds: int) -> float:
    """Return the messages a second that all clients have."""
    with ExitStack() as stack:
        store = stack.enter_context(valkey())
        workers = [
            stack.enter_context(running("benchmarks.cluster_worker", name, store)) for _ in range(count)
        ]
        ports = [worker.stdout.readline().strip() for worker in workers]  # type: ignore[union-attr]
        command = [sys.executable, "-m", "benchmarks.cluster_clients", name, str(seconds), *ports]
        return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def _idle() -> list[list[Any]]:
    """Return the KiB that a session takes in the node and in the store, by how many there are."""
    rows = []
    with valkey() as store, running("benchmarks.cluster_worker", "idle", store) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        with redis.Redis.from_url(store.replace("valkey", "redis")) as client:
            empty = int(worker.stdout.readline())
            before = client.info("memory")["used_memory"]
            for count in IDLE:
                worker.stdin.write(f"{count}\n")
                worker.stdin.flush()
                node = int(worker.stdout.readline()) - empty
                kept = client.info("memory")["used_memory"] - before
                rows.append([count, node / count / 1024, kept / count / 1024])
    return rows


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [heads, ["---"] * len(heads), *([_shown(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(cell: Any) -> str:
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.1f}" if isinstance(cell, float) else str(cell)


def _write(*tables: str) -> None:
    """Put the tables between their markers."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    text = "\n\n".join([before + BEGIN, *tables, END + after])
    PAGE.write_text(text, encoding="utf-8")


def run(options: Namespace) -> None:
    """Measure, print, save, and write the page."""
    seconds = 4 * SECONDS if options.long else SECONDS
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(ROUNDS):
        for count in WORKERS:
            for name in CONTENDERS:
                rates.setdefault((name, count), []).append(_throughput(name, count, seconds))
    rows: list[list[Any]] = []
    for name, title in CONTENDERS.items():
        rows.append([title, *(round(median(rates[name, count])) for count in WORKERS)])
    heads = ["messages a second", *(f"{count} worker{'s' * (count > 1)}" for count in WORKERS)]
    report.table("messages to clients by way of one Valkey", heads, rows)
    idle = _idle()
    idle_heads = ["idle sessions", "KiB a session, node", "KiB a session, Valkey"]
    report.table("memory of idle sessions", idle_heads, idle)
    report.keep("cluster", {"rates": rows, "idle": idle})
    _write(_markdown(heads, rows), _markdown(idle_heads, idle))
