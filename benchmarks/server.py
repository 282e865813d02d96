"""The server of the benchmarks, a process of its own: picows on uvloop where there is one.

    /echo      sends each message back                 /frozen    sends the time, then never reads again
    /idle      answers pings, and nothing else         /arrivals  sends when connections were accepted
    /pings     sends the number of pings so far

`/flood/SIZE/N` sends N texts of that size as fast as it can. `/down/S` stops listening and drops every
connection, and listens again S seconds later. With the argument "wss" all that is over TLS.
"""

import asyncio
import json
import socket
import ssl
import sys
import time
from typing import Any

import picows

from benchmarks import tls
from benchmarks.processes import SERVER_CORE, loop_factory, pin

TEXT = "0123456789abcdef0123456789abcdef"
_BLOCK = 17_000
"""Bytes of a flood that are written at a time, or one message if that is longer."""


def _frame(payload: bytes) -> bytes:
    """Return a text frame."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2) + payload
    return b"\x81\x7f" + size.to_bytes(8) + payload


class _Connection(picows.WSListener):
    def __init__(self, server: "_Server", path: str) -> None:
        self.server = server
        self.path = path
        self.left = 0
        self.frame = b""
        self.full = False
        self.transport: Any = None

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport
        self.server.connected(self)
        if self.path.startswith("/flood/"):
            size, self.left = map(int, self.path[7:].split("/"))
            self.frame = _frame((TEXT * (size // len(TEXT))).encode())
            self.feed()
        elif self.path == "/pings":
            transport.send(picows.WSMsgType.TEXT, str(self.server.pings))
        elif self.path == "/arrivals":
            transport.send(picows.WSMsgType.TEXT, json.dumps(self.server.arrivals))
        elif self.path == "/frozen":
            transport.send(picows.WSMsgType.TEXT, str(time.monotonic()))
            transport.underlying_transport.pause_reading()
        elif self.path.startswith("/down/"):
            asyncio.get_running_loop().call_soon(self.server.go_down, float(self.path[6:]))

    def feed(self) -> None:
        while self.left and not self.full:
            count = min(self.left, max(1, _BLOCK // len(self.frame)))
            self.left -= count
            self.transport.underlying_transport.write(self.frame * count)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        self.feed()

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        kind = frame.msg_type
        if kind is picows.WSMsgType.PING:
            self.server.pings += 1
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind is picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif self.path == "/echo":
            transport.send(kind, frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self.server.connections.discard(self)


class _Server:
    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.context = context
        self.pings = 0
        self.arrivals: list[float] = []
        self.connections: set[_Connection] = set()
        self.listener: asyncio.Server | None = None
        self.port = 0

    async def listen(self) -> None:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", self.port))
        self.port = sock.getsockname()[1]
        self.listener = await picows.ws_create_server(
            lambda request: _Connection(self, request.path.decode()),
            sock=sock,
            ssl=self.context,
            backlog=4096,
            enable_auto_pong=False,
            websocket_handshake_timeout=60,
        )

    def connected(self, connection: _Connection) -> None:
        self.connections.add(connection)
        if connection.path == "/idle":
            self.arrivals.append(time.monotonic())

    def go_down(self, seconds: float) -> None:
        assert self.listener is not None
        self.listener.close()
        for connection in list(self.connections):
            connection.transport.disconnect(False)
        self.arrivals = []
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, lambda: loop.create_task(self.listen()))


async def main() -> None:
    """Serve until standard input ends."""
    server = _Server(tls.server_context() if sys.argv[1:] == ["wss"] else None)
    await server.listen()
    print(server.port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    pin(SERVER_CORE)
    with asyncio.Runner(loop_factory=loop_factory("uvloop")) as runner:
        runner.run(main())
