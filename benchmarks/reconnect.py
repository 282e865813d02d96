"""A storm with real sockets: many clients of one process, whose server is away for three seconds."""

import asyncio
import json
import math
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from benchmarks import report
from benchmarks.processes import take_turns

Answer = dict[str, float]
Start = Callable[[str, int], Awaitable[list[Any]]]

AWAY = 3.0
_LONGEST = 15.0


async def _ours(url: str, count: int) -> list[Any]:
    from benchmarks.crowd import ours_hook

    return await ours_hook(url, count, 15.0)


async def _websockets(url: str, count: int) -> list[Any]:
    from websockets.asyncio.client import connect

    opened = asyncio.Semaphore(0)

    async def stay() -> None:
        async for connection in connect(url, proxy=None, compression=None):
            opened.release()
            await connection.wait_closed()

    tasks = []
    for _ in range(count):
        tasks.append(asyncio.create_task(stay()))
        if len(tasks) % 100 == 0:
            for _ in range(100):
                await opened.acquire()
    return tasks


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

    tasks = []
    for _ in range(count):
        tasks.append(asyncio.create_task(stay()))
        if len(tasks) % 100 == 0:
            for _ in range(100):
                await opened.acquire()
    return tasks


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


async def _measure(start: Start, url: str, count: int) -> Answer:
    kept = await start(f"{url}/idle", count)
    cpu = time.process_time()
    await _ask(f"{url}/down/{AWAY}")
    up = time.monotonic() + AWAY
    arrivals: list[float] = []
    await asyncio.sleep(AWAY + 2)
    while len(arrivals) < count and time.monotonic() < up + _LONGEST:
        await asyncio.sleep(0.5)
        arrivals = json.loads(await _ask(f"{url}/arrivals"))
    cpu = time.process_time() - cpu
    times = sorted(at - up for at in arrivals)
    for each in kept:
        if isinstance(each, asyncio.Task):
            each.cancel()
    peak = max(sum(begin <= at < begin + 0.1 for at in times[i : i + count]) for i, begin in enumerate(times))
    last = times[count - 1] if len(times) >= count else math.inf
    return {
        "t50": times[count // 2],
        "t100": last,
        "peak_per_100ms": peak,
        "evenness": peak * last / (count * 0.1),
        "cpu": cpu,
    }


CONTENDERS: dict[str, Callable[..., Awaitable[Answer]]] = {
    name: partial(_measure, start)
    for name, start in {"ours": _ours, "websockets": _websockets, "picows, fixed 2 s": _fixed}.items()
}


def run(options: Namespace) -> None:
    """Let them come back, print and keep."""
    from benchmarks.memory import raise_file_limit

    raise_file_limit()
    count = 2000
    answers = take_turns(
        "reconnect",
        [(name, "asyncio") for name in CONTENDERS],
        5 if options.long else 1,
        lambda name: {"count": count},
        fresh=True,
    )
    rows: list[dict[str, Any]] = [
        {
            "contender": label,
            **{name: report.spread([each[name] for each in rounds]) for name in rounds[0]},
        }
        for label, rounds in answers.items()
    ]
    report.table(
        f"{count:,} clients over real sockets, server away for {AWAY:g} s",
        ["contender", "T50 s", "T100 s", "peak/100 ms", "evenness", "client CPU s"],
        [
            [
                row["contender"],
                *(row[name]["median"] for name in ("t50", "t100", "peak_per_100ms", "evenness", "cpu")),
            ]
            for row in rows
        ],
    )
    report.keep("reconnect", {"clients": count, "rows": rows})
