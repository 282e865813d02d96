"""What one peer can do to a server: how long a flood stalls its loop, and what is kept of a large message.

`python -m benchmarks.flood KIND PORT` is the attacker, a process of its own on the other core.
"""

import asyncio
import gc
import socket
import struct
import sys
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.processes import SERVER_CORE, contender, pin

Answer = dict[str, float]
Serving = Callable[[Callable[[], None]], AbstractAsyncContextManager[int]]
"""Serves, calling a function with each message that comes, and yields its port."""

MIB = 2**20
SECONDS = 3.0
PEERS = 50


# The servers, as their documentation shows them


@asynccontextmanager
async def ours(took: Callable[[], None]) -> AsyncIterator[int]:
    """Ours, with an on_message hook."""
    from websocket_heartbeat.server import serve

    async with serve(lambda peer, message: took()) as server:
        yield server.port


@asynccontextmanager
async def websockets(took: Callable[[], None]) -> AsyncIterator[int]:
    """The server of websockets, whose handler iterates."""
    from websockets.asyncio.server import ServerConnection, serve

    async def handler(connection: ServerConnection) -> None:
        async for _ in connection:
            took()

    async with serve(handler, "127.0.0.1", 0, compression=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


@asynccontextmanager
async def aiohttp(took: Callable[[], None]) -> AsyncIterator[int]:
    """A handler of aiohttp, which iterates."""
    from aiohttp import web

    async def handler(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        async for _ in response:
            took()
        return response

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


# What is measured


async def _measure(serving: Serving, url: str, kind: str) -> Answer:
    messages = 0
    one_of_each = asyncio.Event()

    def took() -> None:
        nonlocal messages
        messages += 1
        if messages == PEERS:
            one_of_each.set()

    async with serving(took) as port:
        attacker = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.flood",
            kind,
            str(port),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert attacker.stdin is not None
        assert attacker.stdout is not None
        try:
            await attacker.stdout.readline()  # its peers are connected
            gc.collect()
            before = _memory("VmRSS")
            _forget_peak()
            attacker.stdin.write(b"\n")
            if kind == "once":
                await one_of_each.wait()
                await asyncio.sleep(0.5)
                gc.collect()
                return {"kept": (_memory("VmRSS") - before) / PEERS / 1024}
            flooding = asyncio.create_task(attacker.stdout.readline())
            stall = await _longest_stall(flooding)
            grown = _memory("VmHWM") - before
            return {"stall": stall * 1e3, "grown": grown / MIB, "messages": messages}
        finally:
            attacker.kill()
            await attacker.wait()


async def _longest_stall(flooding: "asyncio.Task[bytes]") -> float:
    """Return the longest time between two turns of the loop while the flood lasts.

    In CPU time of its thread: what other programs take of this machine does not count.
    """
    longest = 0.0
    last = time.thread_time()
    while not flooding.done():
        await asyncio.sleep(0.001)
        now = time.thread_time()
        longest = max(longest, now - last)
        last = now
    return longest


def _forget_peak() -> None:
    """Have VmHWM begin anew: proc(5)."""
    Path("/proc/self/clear_refs").write_text("5")


def _memory(name: str) -> int:
    """Return the bytes of this process in memory, now (VmRSS) or at most (VmHWM): Linux only."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[name].split()[0]) * 1024


CONTENDERS: dict[str, Callable[..., Awaitable[Answer]]] = {
    "ours": partial(_measure, ours),
    "websockets": partial(_measure, websockets),
    "aiohttp": partial(_measure, aiohttp),
}
_KINDS = {"tiny": "empty messages", "large": "messages of 1 MiB", "once": "one message of 1 MiB"}


def run(options: Namespace) -> None:
    """Attack, print and save."""
    rows: list[dict[str, Any]] = []
    for loop in ("asyncio", "uvloop"):
        for name in CONTENDERS:
            row: dict[str, Any] = {}
            for kind in _KINDS:
                rounds = []
                for _ in range(3 if options.long else 1):
                    with contender("flood", name, loop) as process:
                        answer = process.round("", kind=kind)
                    if answer is not None:
                        rounds.append(answer)
                        row["contender"] = process.label
                if rounds:
                    row[kind] = {key: report.spread([answer[key] for answer in rounds]) for key in rounds[0]}
            if row:
                rows.append(row)
    report.table(
        f"One peer that floods for {SECONDS:g} s, and {PEERS} peers that send 1 MiB once",
        [
            "contender",
            "empty messages: stall, ms",
            "grown, MiB",
            "1 MiB messages: stall, ms",
            "grown, MiB",
            "kept a peer, KiB",
        ],
        [
            [
                row["contender"],
                row["tiny"]["stall"]["median"],
                row["tiny"]["grown"]["median"],
                row["large"]["stall"]["median"],
                row["large"]["grown"]["median"],
                row["once"]["kept"]["median"],
            ]
            for row in rows
        ],
    )
    report.keep("flood", {"rows": rows})


# The attacker


def _connect(port: int) -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", port))
    peer.sendall(
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += peer.recv(1000)
    return peer


def _attack(kind: str, port: int) -> None:
    """Connect and say so; wait for a line; then flood, say so and stay."""
    peers = [_connect(port) for _ in range(PEERS if kind == "once" else 1)]
    print("connected", flush=True)
    sys.stdin.readline()
    large = b"\x82\xff" + struct.pack("!Q", MIB) + bytes(4) + bytes(MIB)
    if kind == "once":
        for peer in peers:
            peer.sendall(large)
    else:
        data = large if kind == "large" else b"\x82\x80\0\0\0\0" * 200_000
        peers[0].settimeout(SECONDS)  # of a server that reads no more
        end = time.monotonic() + SECONDS
        try:
            while time.monotonic() < end:
                peers[0].sendall(data)
        except OSError:
            pass
    print("done", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    pin(SERVER_CORE)
    _attack(sys.argv[1], int(sys.argv[2]))
