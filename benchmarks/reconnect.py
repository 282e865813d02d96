"""A reconnect storm with real sockets: many clients whose server is away for three seconds.

Once they share one process, whose garbage collections stop all of them at once, and once four: real clients
have a machine each, and the more processes there are, the less the process itself is measured. What counts is
when the server has completed each handshake.
"""

import asyncio
import json
import math
import time
from argparse import Namespace
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks import report
from benchmarks.processes import contender, serving

Answer = dict[str, float]
Start = Callable[[str, int], Awaitable[list[Any]]]

CLIENTS = 2000
PROCESSES = (1, 4)
AWAY = 3.0

_QUIET = 3.5
_LONGEST = 15.0


async def _ours(url: str, count: int) -> list[Any]:
    from benchmarks.crowd import ours_hook

    return await ours_hook(url, count, 15.0)


async def _in_hundreds(
    stay: Callable[[], Coroutine[Any, Any, None]], opened: asyncio.Semaphore, count: int
) -> list[Any]:
    """Begin so many that stay, a hundred at a time, and return their tasks; each releases `opened`."""
    tasks = []
    for _ in range(count):
        tasks.append(asyncio.create_task(stay()))
        if len(tasks) % 100 == 0:
            for _ in range(100):
                await opened.acquire()
    return tasks


async def _websockets(url: str, count: int) -> list[Any]:
    from websockets.asyncio.client import connect

    opened = asyncio.Semaphore(0)

    async def stay() -> None:
        async for connection in connect(url, proxy=None, compression=None):
            opened.release()
            await connection.wait_closed()

    return await _in_hundreds(stay, opened, count)


async def _fixed(url: str, count: int) -> list[Any]:
    """As the JavaScript originals: two seconds after every loss."""
    from picows import WSListener, ws_connect

    opened = asyncio.Semaphore(0)

    async def stay() -> None:
        while True:
            try:
                transport, _ = await ws_connect(WSListener, url, websocket_handshake_timeout=10)
                opened.release()
                await transport.wait_disconnected()
            except (OSError, Exception):
                pass
            await asyncio.sleep(2)

    return await _in_hundreds(stay, opened, count)


async def _ask(url: str) -> str:
    from picows import WSFrame, WSListener, WSTransport, ws_connect

    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    class Listener(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if not answer.done():
                answer.set_result(frame.get_payload_as_utf8_text())

        def on_ws_disconnected(self, transport: WSTransport) -> None:
            if not answer.done():
                answer.set_result("")

    transport, _ = await ws_connect(Listener, url, websocket_handshake_timeout=60, max_frame_size=2**24)
    text = await answer
    transport.disconnect(False)
    return text


async def _play(start: Start, url: str, count: int, everybody: int, leads: bool) -> Answer:
    """Be `count` of the clients of a herd; the process that leads sends the server away."""
    kept = await start(f"{url}/idle", count)
    missing = everybody
    while missing > 0:
        await asyncio.sleep(0.1)
        missing = everybody - len(await _arrivals(url))
    await asyncio.sleep(1)  # by then every process has seen that
    cpu = time.process_time()
    if leads:
        await _ask(f"{url}/down/{AWAY}")
    up = time.monotonic() + AWAY
    # The server is not asked while they return: its answer would delay them.
    await asyncio.sleep(AWAY + _QUIET)
    times: list[float] = []
    while len(times) < everybody and time.monotonic() < up + _LONGEST:
        times = sorted(at - up for at in await _arrivals(url))
        await asyncio.sleep(0.5)
    cpu = time.process_time() - cpu
    for each in kept:
        if isinstance(each, asyncio.Task):
            each.cancel()
    return {**_evenness(times, everybody), "cpu": cpu}


async def _arrivals(url: str) -> list[float]:
    arrivals: list[float] = json.loads(await _ask(f"{url}/arrivals") or "[]")
    return arrivals


def _evenness(times: list[float], everybody: int) -> Answer:
    peak = max((bisect_left(times, begin + 0.1) - i for i, begin in enumerate(times)), default=0)
    last = times[everybody - 1] if len(times) >= everybody else math.inf
    return {
        "t50": times[everybody // 2] if len(times) > everybody // 2 else math.inf,
        "t100": last,
        "peak_per_100ms": peak,
        "evenness": peak * last / (everybody * 0.1),
    }


CONTENDERS: dict[str, Callable[..., Awaitable[Answer]]] = {
    name: partial(_play, start)
    for name, start in {"ours": _ours, "websockets": _websockets, "picows, fixed 2 s": _fixed}.items()
}


def _storm(name: str, count: int, processes: int) -> Answer | None:
    """Let one herd lose its server and return; None where the package is missing."""
    with ExitStack() as stack:
        url = stack.enter_context(serving())
        herd = [stack.enter_context(contender("reconnect", name)) for _ in range(processes)]
        pool = stack.enter_context(ThreadPoolExecutor(processes))
        rounds = [
            pool.submit(part.round, url, count=count // processes, everybody=count, leads=part is herd[0])
            for part in herd
        ]
        answers = [answer for answer in (each.result() for each in rounds) if answer is not None]
    return {**answers[0], "cpu": sum(answer["cpu"] for answer in answers)} if answers else None


def run(options: Namespace) -> None:
    """Let them come back, print and save."""
    from benchmarks.memory import raise_file_limit

    raise_file_limit()
    rows: list[dict[str, Any]] = []
    for processes in PROCESSES:
        answers: dict[str, list[Answer]] = {}
        for _ in range(5 if options.long else 1):
            for name in CONTENDERS:
                answer = _storm(name, CLIENTS, processes)
                if answer is not None:
                    answers.setdefault(name, []).append(answer)
        rows += [
            {
                "contender": name,
                "processes": processes,
                **{key: report.spread([each[key] for each in rounds]) for key in rounds[0]},
            }
            for name, rounds in answers.items()
        ]
    report.table(
        f"{CLIENTS:,} clients over real sockets, server away for {AWAY:g} s",
        ["contender", "processes", "T50 s", "T100 s", "peak/100 ms", "evenness", "client CPU s"],
        [
            [
                row["contender"],
                row["processes"],
                *(row[name]["median"] for name in ("t50", "t100", "peak_per_100ms", "evenness", "cpu")),
            ]
            for row in rows
        ],
    )
    report.keep("reconnect", {"clients": CLIENTS, "rows": rows})
