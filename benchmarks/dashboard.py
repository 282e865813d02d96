"""What the dashboard costs a process with 10,000 connections: CPU time as a share of a core, and memory.

Two processes have as many connections over the memory engine, each with a heartbeat every 10 s; one has the
dashboard too. Both run at the same time, and tell their CPU time: while nobody looks, while a viewer of this
process does, and for a herd, as all links are lost at once and come back.
"""

import asyncio
import gc
import json
import logging
import os
import sys
import time
from argparse import Namespace
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from benchmarks import report
from websocket_heartbeat import Backoff, Connection, Heartbeat, connect
from websocket_heartbeat.engines.memory import MemoryEngine
from websocket_heartbeat.server import serve_dashboard

CONNECTIONS = 10_000
GOAL = 0.02
"""Of a core, with a viewer."""

_INTERVAL = 10.0
"""Seconds, of heartbeats and of what is measured: so each has as many."""


def run(options: Namespace) -> None:
    """Measure, print and save."""
    rows = asyncio.run(_measure(3 if options.long else 1))
    report.table(
        f"The dashboard of a process with {CONNECTIONS:,} connections (goal: {GOAL:.0%} of a core)",
        ["", "without it", "with it", "takes"],
        [[row["what"], row["without"], row["with"], row["with"] - row["without"]] for row in rows],
    )
    report.keep("dashboard", {"rows": rows})


# The process that is measured


async def _serve(has_dashboard: bool) -> None:
    """Have connections, and answer each line of standard input with a JSON object."""
    logging.disable()
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        url = ""
        gc.collect()
        before = _resident()
        if has_dashboard:
            url = (await stack.enter_async_context(serve_dashboard())).url
        engine = MemoryEngine()
        connections: list[Connection] = []
        for number in range(CONNECTIONS):
            connection = connect(
                f"ws://example/{number % 10}",
                engine=engine,
                heartbeat=Heartbeat(_INTERVAL),
                backoff=Backoff(initial=1, maximum=2),
            )
            connection.start()
            connections.append(connection)
            if number % 10 == 0:  # heartbeats spread over time
                await asyncio.sleep(_INTERVAL / CONNECTIONS)
        await asyncio.sleep(1)
        gc.collect()
        print(json.dumps({"url": url, "bytes": (_resident() - before) / CONNECTIONS}), flush=True)
        while order := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
            begun = time.process_time()
            if order == "herd":
                for peer in engine.live_peers:
                    peer.reset()
            await asyncio.sleep(_INTERVAL)
            print(json.dumps({"cpu": (time.process_time() - begun) / _INTERVAL}), flush=True)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# The process that measures


class _Measured:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def told(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return answer

    async def cpu(self, order: str) -> float:
        """Return the share of a core that it takes in the next seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n".encode())
        return float((await self.told())["cpu"])

    async def end(self) -> None:
        self._process.kill()
        await self._process.wait()


async def _started(has_dashboard: bool) -> _Measured:
    return _Measured(
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            f"import asyncio; from benchmarks.dashboard import _serve; asyncio.run(_serve({has_dashboard}))",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
    )


async def _measure(rounds: int) -> list[dict[str, Any]]:
    without, having = await _started(False), await _started(True)
    try:
        first, second = await asyncio.gather(without.told(), having.told())
        rows: list[dict[str, Any]] = [
            {"what": "bytes a connection", "without": first["bytes"], "with": second["bytes"]}
        ]
        for _ in range(rounds):
            rows.append(await _compared("share of a core, nobody looks", without, having, "quiet"))
            async with connect(await _feed_url(str(second["url"])), max_size=2**26) as viewer:
                reading = asyncio.create_task(_read(viewer))
                rows.append(await _compared("the same, a viewer looks", without, having, "quiet"))
                rows.append(await _compared("the same, and all links are lost", without, having, "herd"))
                reading.cancel()
        return rows
    finally:
        await without.end()
        await having.end()


async def _compared(what: str, without: _Measured, having: _Measured, order: str) -> dict[str, Any]:
    first, second = await asyncio.gather(without.cpu(order), having.cpu(order))
    return {"what": what, "without": first, "with": second}


async def _feed_url(url: str) -> str:
    def ticket() -> str:
        with urlopen(f"{url}ticket") as answer:
            text: str = answer.read().decode()
        return text

    return f"{url.replace('http', 'ws', 1)}feed/{await asyncio.to_thread(ticket)}"


async def _read(viewer: Connection) -> None:
    async for _ in viewer:
        pass


if __name__ == "__main__":
    run(Namespace(long=False))
