"""A client that sends byte for byte what a test says, and records what a server and its peers do."""

import asyncio
import base64
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from tests.watch import PATIENCE

from websocket_heartbeat.server import Peer
from websocket_heartbeat.system.kernel import end_by_reset

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Place(Protocol):
    """Where a server listens, such as our Server."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...


@dataclass
class Raw:
    """A client over bare streams. Answers nothing by itself, neither pings nor close frames."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: bytes = b""

    @property
    def status(self) -> int:
        """The HTTP status of the answer to the handshake."""
        return int(self.head.split(b" ", 2)[1])

    def frame(self, opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True) -> None:
        """Write one frame."""
        self.writer.write(frame(opcode, payload, fin=fin, masked=masked))

    def leave(self) -> None:
        """Close the connection in order."""
        self.writer.close()

    def reset(self) -> None:
        """Reset the connection."""
        end_by_reset(self.writer.get_extra_info("socket"))
        self.writer.transport.abort()

    async def read(self) -> tuple[int, bytes]:
        """Read one whole frame."""
        async with asyncio.timeout(PATIENCE):
            first, second = await self.reader.readexactly(2)
            size = second & 127
            if size >= 126:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8))
            return first & 15, await self.reader.readexactly(size)

    async def close_code(self) -> int:
        """Read on to the close frame and return its code."""
        while True:
            opcode, payload = await self.read()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2])

    async def end(self) -> str:
        """Read to the end of the connection, and say whether it was an end of file or a reset."""
        async with asyncio.timeout(PATIENCE):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionResetError:
                return "reset"
            return "end of file"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True) -> bytes:
    """Return one frame as a client sends it."""
    mask = os.urandom(4) if masked else b""
    bit = 128 if masked else 0
    if len(payload) < 126:
        size = bytes([bit | len(payload)])
    elif len(payload) < 65536:
        size = bytes([bit | 126]) + len(payload).to_bytes(2)
    else:
        size = bytes([bit | 127]) + len(payload).to_bytes(8)
    if masked:
        key = (mask * (len(payload) // 4 + 1))[: len(payload)]
        payload = (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(len(payload))
    return bytes([(128 if fin else 0) | opcode]) + size + mask + payload


def _request(target: str, headers: str, host: str = "test") -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{headers}\r\n"
    ).encode("latin-1")


@asynccontextmanager
async def connect(server: Place) -> AsyncIterator[Raw]:
    """Open a bare TCP connection to the server."""
    reader, writer = await asyncio.open_connection(server.host, server.port, limit=2**24)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def client(
    server: Place,
    target: str = "/",
    headers: str = "",
    tail: bytes = b"",
    tls: ssl.SSLContext | None = None,
    host: str = "test",
) -> AsyncIterator[Raw]:
    """Connect and do the handshake; `tail` goes out in the same write."""
    reader, writer = await asyncio.open_connection(server.host, server.port, limit=2**24, ssl=tls)
    try:
        writer.write(_request(target, headers, host) + tail)
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
        yield Raw(reader, writer, head)
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def reluctant(server: Place, target: str = "/", *, room: int = 4096) -> AsyncIterator[socket.socket]:
    """Open a connection of which nothing is read but what the test reads, by `loop.sock_recv`.

    room: bytes that its kernel may hold meanwhile, of those that the server sends.
    """
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        sock.setblocking(False)
        await loop.sock_connect(sock, (server.host, server.port))
        await loop.sock_sendall(sock, _request(target, ""))
        head = b""
        async with asyncio.timeout(PATIENCE):
            while not head.endswith(b"\r\n\r\n"):
                head += await loop.sock_recv(sock, 1)
        yield sock


class Closes:
    """An on_close hook that remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int | None, str]] = []

    def __call__(self, peer: Peer, code: int | None, reason: str) -> None:
        self.seen.append((peer.id, code, reason))
