"""What the dashboard costs a back end, and its clients, with 10,000 connections: CPU time and memory.

Two processes: a back end, and a fleet of 10,000 connections to it over loopback, each with a heartbeat every
10 s. In each process the dashboard is off and on by turns, without a viewer and with one; and all links are
lost at once, and come back at the rate of the fleet. It is the CPU time of the processes that is read, which
other work on the machine changes little.
"""

import asyncio
import gc
import json
import logging
import os
import sys
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from benchmarks import report
from benchmarks.memory import raise_file_limit
from websocket_heartbeat import Backoff, Fleet, Heartbeat, State, connect
from websocket_heartbeat.server import Hub, serve, serve_dashboard

CONNECTIONS = 10_000
GOAL = 0.02
"""Of a core, with a viewer."""

_INTERVAL = 20.0
"""Seconds of each turn: two heartbeats of each connection."""

_OPEN_RATE = 150.0

_SIDES = ("back end", "clients")
_OFF = "off"
_ON = "on, nobody looks"
_VIEWED = "on, with a viewer"


def run(options: Namespace) -> None:
    """Measure, print and save."""
    count = min(CONNECTIONS, raise_file_limit() - 500)
    rows = asyncio.run(_measure(count, 6 if options.long else 2))
    report.table(
        f"The dashboard with {count:,} connections over loopback (goal: {GOAL:.0%} of a core)",
        ["", *(head for side in _SIDES for head in (side, "least", "most"))],
        [
            [row["what"], *(row[side][name] for side in _SIDES for name in ("median", "min", "max"))]
            for row in rows
        ],
    )
    report.keep("dashboard", {"connections": count, "rows": rows})


# A process that is measured


async def _be(side: str, *arguments: str) -> None:
    logging.disable()
    async with AsyncExitStack() as stack:
        if side == "back end":
            hub = Hub(open_timeout=60, idle_timeout=300)
            server = await stack.enter_async_context(serve(hub=hub, port=0))
            _answer(server.url())

            def drop() -> None:
                for peer in hub.peers:
                    peer.abort()

            await _obey(lambda: len(hub.peers), drop)
        else:
            url, count = arguments
            fleet = await stack.enter_async_context(Fleet(open_rate=_OPEN_RATE))
            for _ in range(int(count)):
                backoff = Backoff(initial=1, maximum=5)
                fleet.add(connect(url, heartbeat=Heartbeat(10, 60), backoff=backoff, open_timeout=60))
            _answer("")
            await _obey(lambda: fleet.states[State.OPEN], lambda: None)


async def _obey(count: Callable[[], int], drop: Callable[[], None]) -> None:
    """Answer each line of standard input."""
    loop = asyncio.get_running_loop()
    dashboard: Any = None
    while order := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        answer: object = None
        if order == "cpu":
            answer = time.process_time()
        elif order == "count":
            answer = count()
        elif order == "resident":
            gc.collect()
            answer = _resident()
        elif order == "drop":
            drop()
        elif order == "on":
            dashboard = serve_dashboard()
            await dashboard.__aenter__()
            answer = dashboard.url
        elif order == "off":
            await dashboard.__aexit__(None, None, None)
        _answer(answer)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _answer(value: object) -> None:
    print(json.dumps(value), flush=True)


# The process that measures


class _Side:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def told(self) -> Any:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process of the benchmark died")
        return json.loads(line)

    async def ask(self, order: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n".encode())
        return await self.told()

    async def end(self) -> None:
        self._process.kill()
        await self._process.wait()


async def _started(*arguments: str) -> _Side:
    program = "import asyncio, sys; from benchmarks.dashboard import _be; asyncio.run(_be(*sys.argv[1:]))"
    return _Side(
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
    )


async def _measure(count: int, rounds: int) -> list[dict[str, Any]]:
    back_end = await _started("back end")
    clients = await _started("clients", await back_end.told(), str(count))
    try:
        await clients.told()
        both = _Both([back_end, clients], count)
        await both.all_open()
        return await both.rows(rounds)
    finally:
        await clients.end()
        await back_end.end()


class _Both:
    def __init__(self, sides: list[_Side], count: int) -> None:
        self._sides = sides
        self._count = count

    async def all_open(self) -> None:
        while await self._ask("count") != [self._count] * 2:  # noqa: ASYNC110  # of other processes
            await asyncio.sleep(1)
        await asyncio.sleep(2)

    async def rows(self, rounds: int) -> list[dict[str, Any]]:
        before = await self._ask("resident")
        await self._ask("on")
        await asyncio.sleep(3)
        grown = [each - old for each, old in zip(await self._ask("resident"), before, strict=True)]
        await self._ask("off")
        shares: dict[str, list[list[float]]] = {}
        herds: dict[str, list[list[float]]] = {}
        for _ in range(rounds):
            for how in (_OFF, _ON, _VIEWED):
                await self._with(how, self._share, shares)
            for how in (_OFF, _VIEWED):
                await self._with(how, self._herd, herds)
        rows = [_row("bytes of a connection", [[each / self._count for each in grown]])]
        rows += [_row(f"share of a core, {how}", found) for how, found in shares.items()]
        rows += [_row(f"it takes, {how}", _differences(shares[_OFF], shares[how])) for how in (_ON, _VIEWED)]
        rows += [_row(f"CPU seconds, all links are lost, {how}", found) for how, found in herds.items()]
        return rows

    async def _with(
        self, how: str, measure: Callable[[], Awaitable[list[float]]], found: dict[str, list[list[float]]]
    ) -> None:
        async with AsyncExitStack() as stack:
            if how != _OFF:
                urls = await self._ask("on")
                stack.push_async_callback(self._ask, "off")
                for url in urls if how == _VIEWED else ():
                    viewer = await stack.enter_async_context(connect(await _feed_url(url), max_size=2**26))
                    reading = asyncio.create_task(_read(viewer))
                    stack.callback(reading.cancel)
            await asyncio.sleep(2)  # for what is done once
            found.setdefault(how, []).append(await measure())

    async def _share(self) -> list[float]:
        begun, before = time.monotonic(), await self._ask("cpu")
        await asyncio.sleep(_INTERVAL)
        after, span = await self._ask("cpu"), time.monotonic() - begun
        return [(each - old) / span for each, old in zip(after, before, strict=True)]

    async def _herd(self) -> list[float]:
        before = await self._ask("cpu")
        await self._sides[0].ask("drop")
        await asyncio.sleep(self._count / _OPEN_RATE)
        await self.all_open()
        return [each - old for each, old in zip(await self._ask("cpu"), before, strict=True)]

    async def _ask(self, order: str) -> list[Any]:
        return list(await asyncio.gather(*(side.ask(order) for side in self._sides)))


def _differences(without: list[list[float]], having: list[list[float]]) -> list[list[float]]:
    """Return what each round has more than the one just before it."""
    return [
        [each - old for each, old in zip(later, earlier, strict=True)]
        for earlier, later in zip(without, having, strict=True)
    ]


def _row(what: str, found: list[list[float]]) -> dict[str, Any]:
    return {"what": what} | {
        side: report.spread(values) for side, values in zip(_SIDES, zip(*found, strict=True), strict=True)
    }


async def _feed_url(url: str) -> str:
    def ticket() -> str:
        with urlopen(f"{url}ticket") as answer:
            text: str = answer.read().decode()
        return text

    return f"{url.replace('http', 'ws', 1)}feed/{await asyncio.to_thread(ticket)}"


async def _read(viewer: Any) -> None:
    async for _ in viewer:
        pass


if __name__ == "__main__":
    run(Namespace(long=False))
