"""Servers and proxies that do byte for byte what a test says, right or wrong."""

import asyncio
import base64
import hashlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import websockets.asyncio.server
from tests.watch import PATIENCE

TEXT, BINARY, CONTINUATION = 1, 2, 0
CLOSE, PING, PONG = 8, 9, 10


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = False
) -> bytes:
    """Encode one frame, as a server sends it unless `masked`."""
    head = bytes([(fin << 7) | (rsv << 4) | opcode])
    mark = masked << 7
    if len(payload) < 126:
        head += bytes([mark | len(payload)])
    elif len(payload) < 65536:
        head += bytes([mark | 126]) + struct.pack("!H", len(payload))
    else:
        head += bytes([mark | 127]) + struct.pack("!Q", len(payload))
    return head + (bytes(4) if masked else b"") + payload


def close_frame(code: int | None = None, reason: str = "") -> bytes:
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason.encode())


@dataclass
class Frame:
    """One frame that the client sent."""

    opcode: int
    payload: bytes
    fin: bool
    rsv: int
    masked: bool

    @property
    def close_code(self) -> int | None:
        assert self.opcode == CLOSE
        code: int | None = struct.unpack("!H", self.payload[:2])[0] if self.payload else None
        return code


class Peer:
    """The server's end of one connection.

    request: the request line. headers: those of the request, names in lower case.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.request = ""
        self.headers: list[tuple[str, str]] = []

    def header(self, name: str) -> str:
        return ", ".join(value for key, value in self.headers if key == name)

    async def read_request(self) -> None:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        self.request, *lines = head.rstrip("\r\n").split("\r\n")
        self.headers = [
            (key.lower(), value.strip()) for key, _, value in (line.partition(":") for line in lines)
        ]

    def response(self, *extra: str) -> bytes:
        """Return the answer that accepts the handshake, with extra header lines."""
        key = self.header("sec-websocket-key").encode()
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept.decode()}",
            *extra,
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def read_frame(self, patience: float = PATIENCE) -> Frame:
        """Read one frame within so many seconds; raises IncompleteReadError at the end of the stream."""
        async with asyncio.timeout(patience):
            first, second = await self.reader.readexactly(2)
            size = second & 127
            if size == 126:
                (size,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
            mask = await self.reader.readexactly(4) if second & 128 else b""
            payload = await self.reader.readexactly(size)
        if mask:
            pad = (mask * (size // 4 + 1))[:size]
            payload = (int.from_bytes(payload) ^ int.from_bytes(pad)).to_bytes(size)
        return Frame(first & 15, payload, bool(first & 128), first >> 4 & 7, bool(mask))

    async def gone(self) -> bool:
        """Read until the client has dropped the connection; whether it did so by a reset."""
        async with asyncio.timeout(PATIENCE):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                return True
        return False

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Handler = Callable[[Peer], Awaitable[Any]]


@dataclass
class RawServer:
    """A server on loopback, or on a Unix socket, that hands each connection to a handler.

    port: where it listens. requests: how many connections came.
    """

    port: int = 0
    connections: int = 0
    errors: list[BaseException] = field(default_factory=list)

    def url(self, path: str = "/", scheme: str = "ws") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"


@asynccontextmanager
async def raw_server(
    handler: Handler, tls: ssl.SSLContext | None = None, unix_path: str | None = None
) -> AsyncIterator[RawServer]:
    """Run a server whose handler does everything, the handshake included; its errors fail the test."""
    running = RawServer()
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        running.connections += 1
        try:
            await handler(Peer(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left
        except Exception as error:
            running.errors.append(error)
        finally:
            writer.transport.abort()

    server: asyncio.Server
    if unix_path is not None:
        server = await asyncio.start_unix_server(connected, unix_path, ssl=tls)
    else:
        server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
        running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Transports that were aborted close their sockets in the next turns of the loop.
        for _ in range(5):
            await asyncio.sleep(0)
    if running.errors:
        raise running.errors[0]


@asynccontextmanager
async def ws_server(
    handler: Handler,
    *extra: str,
    first: bytes = b"",
    tls: ssl.SSLContext | None = None,
    unix_path: str | None = None,
) -> AsyncIterator[RawServer]:
    """Run a server that accepts the handshake with extra header lines and hands over then.

    first: bytes that go out in the same write as the answer.
    """

    async def accepted(peer: Peer) -> None:
        await peer.read_request()
        peer.write(peer.response(*extra) + first)
        await handler(peer)

    async with raw_server(accepted, tls, unix_path) as running:
        yield running


async def warm_up(peer: Peer) -> None:
    """Send "first" when the client pings, and wait for its next ping.

    So it comes in a read of its own: what comes with the answer to the handshake takes another way.
    """
    await peer.read_frame()
    peer.write(frame(TEXT, b"first"))
    await peer.read_frame()


async def hang(peer: Peer) -> None:
    """Read, answer nothing, and stay until the client leaves."""
    await peer.gone()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


async def _tunnel(peer: Peer, port: int, answer: bytes) -> None:
    """Pass everything on to a port of loopback, after an answer to the client."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        peer.write(answer)
        async with asyncio.TaskGroup() as group:
            group.create_task(_pipe(peer.reader, writer))
            group.create_task(_pipe(reader, peer.writer))
    finally:
        writer.transport.abort()


def http_proxy(credentials: str | None = None) -> Handler:
    """A CONNECT proxy; with credentials ("user:password") it answers 407 to all others."""

    async def handler(peer: Peer) -> None:
        await peer.read_request()
        wanted = credentials and "Basic " + base64.b64encode(credentials.encode()).decode()
        if wanted and peer.header("proxy-authorization") != wanted:
            peer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            await peer.gone()
            return
        method, target, _ = peer.request.split(" ")
        assert method == "CONNECT"
        await _tunnel(peer, int(target.rpartition(":")[2]), b"HTTP/1.1 200 OK\r\n\r\n")

    return handler


def socks5_proxy(credentials: str | None = None) -> Handler:
    """A SOCKS5 proxy (RFC 1928, 1929); with credentials ("user:password") it refuses all others."""

    async def handler(peer: Peer) -> None:
        read = peer.reader.readexactly
        assert (await read(1)) == b"\x05"
        methods = await read((await read(1))[0])
        if credentials is None:
            peer.write(b"\x05\x00")
        elif 2 not in methods:
            peer.write(b"\x05\xff")
            return
        else:
            peer.write(b"\x05\x02")
            await read(1)
            user = await read((await read(1))[0])
            password = await read((await read(1))[0])
            right = b"%b:%b" % (user, password) == credentials.encode()
            peer.write(b"\x01\x00" if right else b"\x01\x01")
            if not right:
                return
        assert (await read(3)) == b"\x05\x01\x00"
        kind = (await read(1))[0]
        if kind == 3:
            await read((await read(1))[0])
        else:
            await read(4 if kind == 1 else 16)
        (port,) = struct.unpack("!H", await read(2))
        await _tunnel(peer, port, b"\x05\x00\x00\x01" + bytes(6))

    return handler


def socks4_proxy(credentials: str | None = None) -> Handler:
    """A SOCKS4 proxy, which knows users but no passwords."""

    async def handler(peer: Peer) -> None:
        assert (await peer.reader.readexactly(2)) == b"\x04\x01"
        (port,) = struct.unpack("!H", await peer.reader.readexactly(2))
        await peer.reader.readexactly(4)
        user = (await peer.reader.readuntil(b"\0"))[:-1].decode()
        assert user == (credentials or "").partition(":")[0]
        await _tunnel(peer, port, b"\x00\x5a" + bytes(6))

    return handler


async def refusing_socks5_proxy(peer: Peer) -> None:
    """A SOCKS5 proxy that may not connect to anything."""
    await peer.reader.readexactly(3)
    peer.write(b"\x05\x00")
    await peer.reader.read(64)
    peer.write(b"\x05\x02\x00\x01" + bytes(6))
    await peer.gone()


async def echo(connection: websockets.asyncio.server.ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def serve_echo(**options: Any) -> Any:
    return websockets.asyncio.server.serve(
        echo, "127.0.0.1", 0, **{"max_size": None, "compression": None, "ping_interval": None, **options}
    )


def port_of(server: websockets.asyncio.server.Server) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port


async def quiet(peer: Peer) -> None:
    """Say nothing until the client leaves."""
    await peer.gone()
