"""How long until the user is told of a frozen link, whose server neither reads nor writes any more.

Four cases: nothing to send, or a task that sends until its send buffers are full; left to the heartbeat (1 s
of silence, then 1 s for an answer), or closed by the user half a second later with a close timeout of 1 s.
The user goes on when they are told of the loss, or when close() returns. Then 200 idle links of ours, frozen
at once in one process: the 99th percentile of the time until their users are told.
"""

import asyncio
import contextlib
import statistics
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from benchmarks import report
from benchmarks.processes import take_turns

Answer = dict[str, float | None]

_CHUNK = "x" * 60_000
_CLOSE_AFTER = 0.5
IDEAL = {"noticed": 2.0, "closed": 1.0}
LINKS = 200
CROWD = "ours, together"


class _User:
    """Waits to go on, and remembers since when."""

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.begun = 0.0
        self.tasks: list[asyncio.Future[None]] = []

    async def go_on(
        self,
        send: Callable[[str], Awaitable[Any]],
        flood: bool,
        closes: bool,
        close: Callable[[], Awaitable[Any]],
    ) -> float:
        """Return the seconds until the user went on, counted from the freeze or from the call of close()."""
        self.begun = time.monotonic()
        if flood:
            self.tasks.append(asyncio.ensure_future(_flood(send)))
        if closes:
            await asyncio.sleep(_CLOSE_AFTER)
            self.begun = time.monotonic()
            await close()
        else:
            await self.told.wait()
        return time.monotonic() - self.begun

    def read(self, messages: Any) -> None:
        """Be told of the loss by the end of an iteration."""
        self.tasks.append(asyncio.ensure_future(self._read(messages)))

    async def _read(self, messages: Any) -> None:
        with contextlib.suppress(Exception):
            async for _ in messages:
                pass
        self.told.set()


async def _ours(url: str, flood: bool, closes: bool, user: _User) -> float:
    from websocket_heartbeat import Heartbeat, connect

    heartbeat = Heartbeat(interval=1, timeout=1)
    connection = connect(url, heartbeat=heartbeat, proxy=None, close_timeout=1, max_retries=0)
    first = asyncio.Event()
    connection.on_message = lambda _: first.set()
    connection.on_close = lambda _: user.told.set()
    await connection
    await first.wait()
    return await user.go_on(connection.send, flood, closes, connection.close)


async def _websockets(url: str, flood: bool, closes: bool, user: _User) -> float:
    from websockets.asyncio.client import connect

    connection = await connect(
        url, ping_interval=1, ping_timeout=1, close_timeout=1, proxy=None, compression=None
    )
    await connection.recv()
    user.read(connection)
    return await user.go_on(connection.send, flood, closes, connection.close)


async def _picows_iteration(url: str, flood: bool, closes: bool, user: _User) -> float:
    from picows.websockets import connect

    connection = await connect(
        url, ping_interval=1, ping_timeout=1, close_timeout=1, proxy=None, compression=None
    )
    await connection.recv()
    user.read(connection)
    return await user.go_on(connection.send, flood, closes, connection.close)


async def _aiohttp(url: str, flood: bool, closes: bool, user: _User) -> float:
    from aiohttp import ClientSession, ClientWSTimeout

    # Its timeout is always half of its interval: 4/3 s of silence, then 2/3 s.
    async with ClientSession() as session:
        timeout = ClientWSTimeout(ws_close=1)
        connection = await session.ws_connect(url, heartbeat=4 / 3, timeout=timeout)
        await connection.receive()
        user.read(connection)
        return await user.go_on(connection.send_str, flood, closes, connection.close)


async def _flood(send: Callable[[str], Awaitable[Any]]) -> None:
    with contextlib.suppress(Exception):
        while True:
            await send(_CHUNK)


async def _measure(client: Callable[..., Coroutine[Any, Any, float]], url: str, limit: float) -> Answer:
    async def one(flood: bool, closes: bool) -> float | None:
        task = asyncio.ensure_future(client(f"{url}/frozen", flood, closes, _User()))
        done, _ = await asyncio.wait({task}, timeout=limit)
        return task.result() if done else None

    return {
        f"{'closed' if closes else 'noticed'}, {'full' if flood else 'idle'}": await one(flood, closes)
        for closes in (False, True)
        for flood in (False, True)
    }


async def _together(url: str) -> dict[str, list[float]]:
    """Return the seconds from each server's freeze, as it reports it, until the user is told."""
    from websocket_heartbeat import CloseEvent, Heartbeat, Message, connect

    seconds: list[float] = []

    async def one() -> None:
        connection = connect(
            f"{url}/frozen", heartbeat=Heartbeat(interval=1, timeout=1), proxy=None, max_retries=0
        )
        frozen_at: list[float] = []
        told = asyncio.Event()

        @connection.on_message
        def froze(message: Message) -> None:
            frozen_at.append(float(message))

        @connection.on_close
        def lost(event: CloseEvent) -> None:
            seconds.append(time.monotonic() - frozen_at[0])
            told.set()

        connection.start()
        await told.wait()
        await connection.close()

    await asyncio.gather(*(one() for _ in range(LINKS)))
    return {"seconds": seconds}


CONTENDERS: dict[str, Callable[..., Awaitable[Any]]] = {CROWD: _together} | {
    name: partial(_measure, client)
    for name, client in {
        "ours": _ours,
        "picows, iteration": _picows_iteration,
        "aiohttp": _aiohttp,
        "websockets": _websockets,
    }.items()
}


def run(options: Namespace) -> None:
    """Freeze, print and save."""
    limit = 30.0 if options.long else 5.0
    answers = take_turns(
        "detection",
        [(name, "asyncio") for name in CONTENDERS],
        3 if options.long else 1,
        lambda name: {} if name == CROWD else {"limit": limit},
        fresh=True,
    )
    together = [seconds for each in answers.pop(CROWD) for seconds in each["seconds"]]
    rows: list[dict[str, Any]] = []
    for label, rounds in answers.items():
        for case in rounds[0]:
            seconds = [each[case] for each in rounds if each[case] is not None]
            rows.append(
                {
                    "contender": label,
                    "case": case,
                    "ideal": IDEAL[case.split(",")[0]],
                    "seconds": report.spread(seconds) if len(seconds) == len(rounds) else None,
                }
            )
    report.table(
        f"A frozen link: seconds until the user goes on (- is above {limit:g})",
        ["contender", "case", "ideal", "s", "off the ideal"],
        [
            [
                row["contender"],
                row["case"],
                row["ideal"],
                row["seconds"] and row["seconds"]["median"],
                row["seconds"] and f"{100 * (row['seconds']['median'] / row['ideal'] - 1):+.1f} %",
            ]
            for row in rows
        ],
    )
    percentiles = statistics.quantiles(together, n=100, method="inclusive")
    spread: dict[str, float] = {
        "links": len(together),
        "median": percentiles[49],
        "p99": percentiles[98],
        "max": max(together),
    }
    report.table(
        f"{LINKS} frozen links in one process: seconds until the user knows",
        ["", "s", "off the bound"],
        [
            [name, spread[name], f"{100 * (spread[name] / IDEAL['noticed'] - 1):+.1f} %"]
            for name in ("median", "p99", "max")
        ],
    )
    report.keep("detection", {"limit": limit, "together": spread, "rows": rows})
