"""What the hub costs an ASGI application: server CPU time a message and a heartbeat, with it and without it.

The same echo, as an endpoint of Starlette, three times: plain, behind `hub.asgi`, and by `hub.accept`. The
clients are bare sockets, each with one message under way. The server tells its own CPU time.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks import report
from benchmarks.processes import CLIENT_CORE, SERVER_CORE, pin

SERVERS = ("uvicorn sansio", "uvicorn wsproto", "hypercorn", "granian")
WAYS = ("plain", "hub.asgi", "hub.accept")

_CLIENTS = 20
_SECONDS = 0.25
_GOAL = 1.15
_MASK = b"\0\0\0\0"  # a mask that changes nothing


def _frame(text: bytes) -> bytes:
    return bytes((0x81, 0x80 | len(text))) + _MASK + text


_MESSAGE = _frame(b'{"type":"chat","text":"hello"}')
_HEARTBEAT = _frame(b"heartbeat")


# The clients


async def _open(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def _talk(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, frame: bytes, until: float
) -> int:
    """Send the frame again and again, each time its echo has come; return how often."""
    count = 0
    size = len(frame) - len(_MASK)
    while time.monotonic() < until:
        writer.write(frame)
        await reader.readexactly(size)
        count += 1
    return count


async def _cpu(port: int) -> float:
    """Ask the server for the CPU time that it has taken."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /cpu HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return float(answer.partition(b"\r\n\r\n")[2])


class _Crowd:
    """The clients of one server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._clients: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def come(self) -> None:
        self._clients = [await _open(self._port) for _ in range(_CLIENTS)]

    def leave(self) -> None:
        for _, writer in self._clients:
            writer.close()

    async def measure(self, seconds: float) -> dict[str, float]:
        """Return the microseconds of the server for a message, and for a heartbeat."""
        answer = {}
        for name, frame in (("message", _MESSAGE), ("heartbeat", _HEARTBEAT)):
            await self._talk(frame, seconds / 5)
            before = await _cpu(self._port)
            count = await self._talk(frame, seconds)
            answer[name] = (await _cpu(self._port) - before) / count * 1e6
        return answer

    async def _talk(self, frame: bytes, seconds: float) -> int:
        until = time.monotonic() + seconds
        return sum(await asyncio.gather(*(_talk(*client, frame, until) for client in self._clients)))


# The server


def _app(way: str) -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket

    from websocket_heartbeat.server import Hub

    hub = Hub(idle_timeout=None)  # the clients know of no pings

    async def plain(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    async def accepted(websocket: WebSocket) -> None:
        async with hub.accept(websocket) as peer:
            async for message in peer:
                peer.send(message)

    async def cpu(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(time.process_time()))

    echo = accepted if way == "hub.accept" else plain
    app = Starlette(routes=[WebSocketRoute("/echo", echo), Route("/cpu", cpu)])
    if way != "plain":
        app.add_middleware(hub.asgi)
    return app


async def _uvicorn(app: Any, sock: socket.socket, ws: str) -> None:
    import uvicorn

    config = uvicorn.Config(app, ws=ws, log_level="warning", loop="asyncio", ws_ping_interval=None)
    await uvicorn.Server(config).serve(sockets=[sock])


async def _hypercorn(app: Any, sock: socket.socket) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{sock.fileno()}"]
    config.loglevel = "WARNING"
    await serve(app, config)


async def _granian(app: Any, sock: socket.socket) -> None:
    from granian.constants import Interfaces
    from granian.server.embed import Server

    port = sock.getsockname()[1]
    sock.close()
    await Server(app, address="127.0.0.1", port=port, interface=Interfaces.ASGI, log_enabled=False).serve()


def _serve(server: str, way: str, descriptor: int) -> None:
    pin(SERVER_CORE)
    sock = socket.socket(fileno=descriptor)
    runs: dict[str, Callable[[], Awaitable[None]]] = {
        "uvicorn sansio": lambda: _uvicorn(_app(way), sock, "websockets-sansio"),
        "uvicorn wsproto": lambda: _uvicorn(_app(way), sock, "wsproto"),
        "hypercorn": lambda: _hypercorn(_app(way), sock),
        "granian": lambda: _granian(_app(way), sock),
    }

    async def main() -> None:
        await runs[server]()

    asyncio.run(main())


@contextmanager
def _serving(server: str, way: str) -> Iterator[int]:
    """Run a server in a process of its own; the value is its port."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.set_inheritable(True)
        port = sock.getsockname()[1]
        command = [sys.executable, "-m", "benchmarks.middleware", server, way, str(sock.fileno())]
        process = subprocess.Popen(command, pass_fds=[sock.fileno()])
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(1000):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with status {process.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
                sock.sendall(b"GET /cpu HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                if sock.recv(1):
                    return
        except OSError:
            pass
        time.sleep(0.02)
    raise RuntimeError("the server does not answer")


# The benchmark


def run(options: Namespace) -> None:
    """Let the ways take turns; print and save."""
    affinity = os.sched_getaffinity(0) if sys.platform == "linux" else None
    rows: list[dict[str, Any]] = []
    try:
        pin(CLIENT_CORE)
        for server in SERVERS:
            rows += _compare(server, 12 if options.long else 5, 4)
    finally:
        if affinity is not None:
            os.sched_setaffinity(0, affinity)
    report.table(
        "An echo over ASGI: messages and heartbeats a second a core of the server",
        ["server", "way", "messages/s", "cost", "heartbeats/s", "cost"],
        [
            [
                row["server"],
                row["way"],
                1e6 / row["message"]["median"],
                row["message_ratio"]["median"],
                1e6 / row["heartbeat"]["median"],
                row["heartbeat_ratio"]["median"],
            ]
            for row in rows
        ],
    )
    report.keep("middleware", {"goal": _GOAL, "rows": rows})


def _compare(server: str, fresh: int, rounds: int) -> list[dict[str, Any]]:
    """Let the ways take turns, in so many rounds, with so many fresh processes for each.

    What else the machine does changes: so each is compared within its round.
    """
    answers = []
    for _ in range(fresh):
        with ExitStack() as stack:
            ports = {way: stack.enter_context(_serving(server, way)) for way in WAYS}
            answers += asyncio.run(_take_turns(ports, rounds))
    rows: list[dict[str, Any]] = []
    for way in WAYS:
        row: dict[str, Any] = {"server": server, "way": way}
        for name in ("message", "heartbeat"):
            row[name] = report.spread([each[way][name] for each in answers])
            row[f"{name}_ratio"] = report.spread([each[way][name] / each["plain"][name] for each in answers])
        rows.append(row)
    return rows


async def _take_turns(ports: dict[str, int], rounds: int) -> list[dict[str, dict[str, float]]]:
    crowds = {way: _Crowd(port) for way, port in ports.items()}
    for crowd in crowds.values():
        await crowd.come()
    answers = [{way: await crowd.measure(_SECONDS) for way, crowd in crowds.items()} for _ in range(rounds)]
    for crowd in crowds.values():
        crowd.leave()
    return answers


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
