"""What a session costs: a message at both halves, receiving and echoing beside links without one, and memory.

Links with no session, with one in memory and with one in SQLite take turns of a tenth of a second or so, in
the same two processes: so each is compared with what ran a moment before. Both tell their CPU time.
"""

import asyncio
import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from benchmarks import report
from benchmarks.memory import raise_file_limit
from benchmarks.processes import CLIENT_CORE, pin, running
from benchmarks.session_server import BURST
from websocket_heartbeat import Connection, Message, connect
from websocket_heartbeat.core.session import Half, Window

STORES = ("off", "memory", "sqlite")
SIZE = 64
_TEXT = "x" * SIZE
_PIPELINED = 32
_IDLE = 2000

Way = Callable[[Connection, int], Awaitable[None]]


# The halves alone


def _halves(count: int) -> float:
    """Return the CPU time of a message, in us: sent, taken, handled, and acknowledged with others."""
    window = Window(256, 2**20)
    sender, receiver = Half(window), Half(window)
    sender.theirs = window
    begun = time.process_time()
    for _ in range(count):
        if sender.has_room():
            frame = sender.accept(_TEXT, SIZE) + _TEXT
        if receiver.take(frame[:1], len(frame) - 1):
            raise AssertionError
        payload = frame[1:]
        receiver.handled()
        receiver.record(receiver.done, 0.0)
        if receiver.is_acknowledgement_due(0.0):
            sender.acknowledged(receiver.acknowledge())
    assert payload == _TEXT
    return (time.process_time() - begun) / count * 1e6


# What a client does with a connection


class _Countdown:
    """Done after so many messages."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self, message: Message) -> None:
        self.left -= 1
        if self.left == 0:
            self.done.set_result(None)


async def _hook(connection: Connection, count: int) -> None:
    """Receive with a plain on_message."""
    countdown = _Countdown(count)
    connection.on_message = countdown.take
    await connection.send(f"flood {count} {SIZE}")
    await countdown.done


async def _iteration(connection: Connection, count: int) -> None:
    """Receive with async for."""
    await connection.send(f"flood {count} {SIZE}")
    async for _ in connection:
        count -= 1
        if count == 0:
            break


async def _recv(connection: Connection, count: int) -> None:
    """Receive with recv."""
    await connection.send(f"flood {count} {SIZE}")
    for _ in range(count):
        await connection.recv()


async def _echo_hook(connection: Connection, count: int) -> None:
    """Send each message when the one before has come back, by a plain on_message."""
    countdown = _Countdown(count)

    def again(message: Message) -> None:
        countdown.take(message)
        if countdown.left:
            connection.send_nowait(_TEXT)

    connection.on_message = again
    connection.send_nowait(_TEXT)
    await countdown.done


async def _echo(connection: Connection, count: int) -> None:
    """Send each message when the one before has come back, by send and recv."""
    for _ in range(count):
        await connection.send(_TEXT)
        await connection.recv()


async def _pipelined(connection: Connection, count: int) -> None:
    """Send several messages, wait until all have come back, and so on."""
    for _ in range(count // _PIPELINED):
        for _ in range(_PIPELINED):
            await connection.send(_TEXT)
        for _ in range(_PIPELINED):
            await connection.recv()


WAYS: dict[str, tuple[Way, dict[str, int]]] = {
    "receive, hook": (_hook, {"off": 19_200, "memory": 19_200, "sqlite": 9600}),
    "receive, iteration": (_iteration, {"off": 19_200, "memory": 19_200, "sqlite": 9600}),
    "receive, recv": (_recv, {"off": 9600, "memory": 9600, "sqlite": 9600}),
    "echo, hook": (_echo_hook, {"off": 1000, "memory": 1000, "sqlite": 100}),
    "echo, recv": (_echo, {"off": 1000, "memory": 1000, "sqlite": 100}),
    f"echo, {_PIPELINED} under way": (_pipelined, {"off": 6400, "memory": 6400, "sqlite": 320}),
}
"""What is done, and for how many messages."""


# The server


class _Server:
    def __init__(self, process: Any) -> None:
        self._process = process
        self.ports: list[int] = json.loads(process.stdout.readline())

    def ask(self, order: str) -> Any:
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def url(self, store: str) -> str:
        return f"ws://127.0.0.1:{self.ports[STORES.index(store)]}"

    def connection(self, store: str) -> Connection:
        return connect(self.url(store), proxy=None, session="off" if store == "off" else "require")


@contextmanager
def _serving() -> Iterator[_Server]:
    with running("benchmarks.session_server") as process:
        yield _Server(process)


# Time


async def _turn(server: _Server, store: str, way: Way, count: int) -> dict[str, float]:
    """Do it once; return us for a message: by the clock, and of CPU at the client, the server and both."""
    async with server.connection(store) as connection:
        await connection.wait_open()
        await way(connection, BURST)  # before the time is taken
        connection.on_message = None
        there, here, clock = server.ask("cpu"), time.process_time(), time.perf_counter()
        await way(connection, count)
        clock, here = time.perf_counter() - clock, time.process_time() - here
        there = server.ask("cpu") - there
    spent = {"clock": clock, "client": here, "server": there, "cpu": here + there}
    return {name: seconds / count * 1e6 for name, seconds in spent.items()}


def _compare(server: _Server, rounds: int) -> list[dict[str, Any]]:
    rows = []
    for name, (way, counts) in WAYS.items():
        turns: dict[str, list[dict[str, float]]] = {store: [] for store in STORES}
        for _ in range(rounds):
            for store in STORES:
                turns[store].append(asyncio.run(_turn(server, store, way, counts[store])))
        for store in STORES:
            row: dict[str, Any] = {"way": name, "store": store}
            for kind in ("clock", "client", "server", "cpu"):
                row[kind] = report.spread([turn[kind] for turn in turns[store]])
                row[f"{kind}_ratio"] = median(
                    without[kind] / turn[kind]
                    for turn, without in zip(turns[store], turns["off"], strict=True)
                )
            rows.append(row)
    return rows


# Bytes and memory


async def _bytes(server: _Server, store: str) -> float:
    """Return the bytes on the wire of a message that the client sends, with its share of acknowledgements."""
    async with server.connection(store) as connection:
        await connection.wait_open()
        link = connection._host.link
        assert link is not None
        before = link.position
        await _pipelined(connection, 6400)
        await connection.flush()
        return (link.position - before) / 6400


def _idle(store: str, count: int, measure: str) -> dict[str, float]:
    """Return the bytes that a peer takes at the server: idle, and when the client of its session is gone.

    measure: "rss", the growth of the process, or "traced", what Python has allocated.
    """
    with _serving() as server:
        if measure == "traced":
            server.ask("trace")
        url, session = server.url(store), "off" if store == "off" else "require"
        with _clients(url, 50, session):  # what is made once
            before = server.ask("memory")[measure]
            with _clients(url, count, session):
                answer = {"idle": (server.ask("memory")[measure] - before) / count}
            if store != "off":
                time.sleep(2)
                answer["detached"] = (server.ask("memory")[measure] - before) / count
    return answer


@contextmanager
def _clients(url: str, count: int, session: str) -> Iterator[None]:
    with running("benchmarks.session_clients", url, str(count), session) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(1.5)  # in which the acknowledgements travel
        yield


def run(options: Namespace) -> None:
    """Measure, print and save."""
    rounds = 15 if options.long else 5
    affinity = os.sched_getaffinity(0) if sys.platform == "linux" else None
    try:
        pin(CLIENT_CORE)
        halves = report.spread([_halves(20_000) for _ in range(4 * rounds)])
        with _serving() as server:
            rows = _compare(server, rounds)
            wire = {store: asyncio.run(_bytes(server, store)) for store in STORES}
        raise_file_limit()
        memory = [
            {"session": store, "measure": measure, **_idle(store, _IDLE, measure)}
            for measure in ("rss", "traced")
            for store in STORES
        ]
    finally:
        if affinity is not None:
            os.sched_setaffinity(0, affinity)
    report.table(
        f"Messages of {SIZE} B, us each (x: without a session to with it, of the same round, median)",
        ["", "session", "clock", "x", "CPU of both", "x", "client", "x", "server", "x"],
        [
            [row["way"], row["store"]]
            + [
                value
                for kind in ("clock", "cpu", "client", "server")
                for value in (row[kind]["median"], row[f"{kind}_ratio"])
            ]
            for row in rows
        ],
    )
    print(f"both halves alone: {halves['median']:.2f} us a message (least {halves['min']:.2f})")
    print("bytes on the wire of a message:", ", ".join(f"{store} {size:.2f}" for store, size in wire.items()))
    report.table(
        f"Memory of a peer at the server, bytes, of {_IDLE}",
        ["session", "", "idle", "without its client"],
        [[each["session"], each["measure"], each["idle"], each.get("detached")] for each in memory],
    )
    report.keep("sessions", {"halves": halves, "wire": wire, "rows": rows, "memory": memory})
