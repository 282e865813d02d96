"""A server that does to each connection what a trap asks for, in the protocol that the client speaks."""

import asyncio
import base64
import contextlib
import hashlib
import json
import socket
import ssl
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def frame(opcode: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    if size < 126:
        return bytes([0x80 | opcode, size]) + payload
    if size < 65536:
        return bytes([0x80 | opcode, 126]) + struct.pack("!H", size) + payload
    return bytes([0x80 | opcode, 127]) + struct.pack("!Q", size) + payload


@dataclass
class Link:
    """The server's end of one connection.

    number: 1 for the first, and so on. headers: of its request, names in lower case. pings: when heartbeats
    came. pongs: when answers to the server's own pings came. got: what the application sent; data_seen: set
    when there is some. first: the kind of the first frame. ended_at: when the client left. dropped_at: when
    `keep_alive` gave it up. finished: nothing more may be written.
    mute: reads, but answers nothing and pings nothing. pong_gate: holds back pongs until it is set.
    """

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    dialect: str
    interval: float
    headers: dict[str, str] = field(default_factory=dict)
    pings: list[float] = field(default_factory=list)
    pongs: list[float] = field(default_factory=list)
    got: list[str] = field(default_factory=list)
    first: str = ""
    ended_at: float | None = None
    dropped_at: float | None = None
    mute: bool = False
    finished: bool = False
    pong_gate: asyncio.Event | None = None
    ping_seen: asyncio.Event = field(default_factory=asyncio.Event)
    data_seen: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    # What the server says

    def write(self, data: bytes) -> None:
        if not self.writer.is_closing() and not self.finished:
            self.writer.write(data)

    def text(self, text: str) -> bytes:
        """Encode a message for the application of the client."""
        if self.dialect == "socketio":
            return frame(TEXT, b"42" + json.dumps(["m", text]).encode())
        if self.dialect == "centrifuge":
            push = {"push": {"channel": "c", "pub": {"data": text}}}
            return frame(TEXT, json.dumps(push).encode())
        return frame(TEXT, text.encode())

    def say(self, text: str) -> None:
        self.write(self.text(text))

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake; `behave` ends, and the stream with it, when the client answers."""
        self.write(frame(CLOSE, struct.pack("!H", code) + reason.encode()))
        self.finished = True

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    # The handshake

    async def read_request(self) -> None:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        for line in head.split("\r\n")[1:]:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()

    def answer(self, connection: str = "Upgrade") -> bytes:
        key = self.headers.get("sec-websocket-key", "").encode()
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        head = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: {connection}\r\n"
        return f"{head}Sec-WebSocket-Accept: {accept.decode()}\r\n\r\n".encode()

    async def accept(self, connection: str = "Upgrade") -> None:
        """Answer the handshake, and greet as the protocol of the application has it.

        connection: the value of that header.
        """
        self.write(self.answer(connection))
        if self.dialect == "socketio":
            milliseconds = int(self.interval * 1000)
            hello = {"sid": str(self.number), "upgrades": [], "maxPayload": 10**6}
            hello |= {"pingInterval": milliseconds, "pingTimeout": self.ping_timeout}
            self.write(frame(TEXT, b"0" + json.dumps(hello).encode()))
        elif self.dialect == "plain":
            self.ready.set()

    @property
    def ping_timeout(self) -> int:
        return 1000

    # What a server that behaves does

    async def behave(self) -> None:
        """Answer heartbeats, or send them where that is the server's part, until the client leaves."""
        pinging = asyncio.create_task(self._ping()) if self.dialect != "plain" else None
        try:
            while True:
                opcode, payload = await self._frame()
                await self._take(opcode, payload)
                if opcode == CLOSE and not self.mute:
                    return
        finally:
            if pinging is not None:
                pinging.cancel()

    async def refuse(self, status: str) -> None:
        """Answer the handshake with a status such as "403 Forbidden", and hang up."""
        self.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        self.writer.close()

    async def keep_alive(self, interval: float, timeout: float) -> None:
        """Ping the client and drop it when an answer is late, as the servers of Python do by default."""
        while True:
            await asyncio.sleep(interval)
            pinged_at = time.monotonic()
            self._say_ping()
            await asyncio.sleep(timeout)
            if not self._heard_since(pinged_at):
                self.dropped_at = time.monotonic()
                self.reset()
                return

    def _heard_since(self, at: float) -> bool:
        answers = self.pongs if self.dialect == "plain" else self.pings
        return bool(answers) and answers[-1] >= at

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self.interval)
            if not self.mute and self.ready.is_set():
                self._say_ping()

    def _say_ping(self) -> None:
        pings = {"socketio": frame(TEXT, b"2"), "centrifuge": frame(TEXT, b"{}"), "plain": frame(PING)}
        self.write(pings[self.dialect])

    async def _frame(self) -> tuple[int, bytes]:
        first, second = await self.reader.readexactly(2)
        size = second & 127
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        mask = await self.reader.readexactly(4) if second & 128 else bytes(4)
        payload = await self.reader.readexactly(size)
        pad = (mask * (size // 4 + 1))[:size]
        return first & 15, (int.from_bytes(payload) ^ int.from_bytes(pad)).to_bytes(size)

    async def _take(self, opcode: int, payload: bytes) -> None:
        is_beat = (
            opcode == PING
            or (self.dialect == "plain" and payload == b"heartbeat")
            or (self.dialect == "socketio" and payload == b"3")
            or (self.dialect == "centrifuge" and payload == b"{}")
        )
        if opcode != CLOSE:
            self.first = self.first or ("heartbeat" if is_beat else "data")
        if is_beat:
            self.pings.append(time.monotonic())
            self.ping_seen.set()
        if opcode == PONG:
            self.pongs.append(time.monotonic())
        if self.mute:
            return
        if is_beat and self.pong_gate is not None:
            await self.pong_gate.wait()
        if opcode == PING:
            self.write(frame(PONG, payload))
        elif opcode == CLOSE:
            self.write(frame(CLOSE, payload))
        elif is_beat and self.dialect == "plain":
            self.write(frame(TEXT, payload))
        elif not is_beat and opcode == TEXT:
            self._converse(payload)

    def _converse(self, payload: bytes) -> None:
        if self.dialect == "socketio":
            if payload[:2] == b"40":
                self.write(frame(TEXT, b'40{"sid":"x"}'))
                self.ready.set()
            else:
                self.got.append(payload.decode()[:100])
        elif self.dialect == "centrifuge":
            for line in payload.split(b"\n"):
                command = json.loads(line)
                if "connect" in command:
                    connect = {
                        "client": "x",
                        "version": "1",
                        "ping": max(1, int(self.interval)),
                        "pong": True,
                    }
                    connect |= {"subs": {"c": {}}}
                    self.write(frame(TEXT, json.dumps({"id": command["id"], "connect": connect}).encode()))
                    self.ready.set()
                elif "publish" in command:
                    self.got.append(str(command["publish"])[:100])
                    self.write(frame(TEXT, json.dumps({"id": command["id"], "publish": {}}).encode()))
        else:
            self.got.append(payload.decode()[:100])
        if self.got:
            self.data_seen.set()


Handler = Callable[[Link], Awaitable[None]]


class Server:
    """Listens on loopback and hands each connection to a handler, which does everything."""

    def __init__(
        self, handler: Handler, dialect: str, interval: float, tls: ssl.SSLContext | None = None
    ) -> None:
        self._handler = handler
        self._dialect = dialect
        self._interval = interval
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self.links: list[Link] = []
        self.arrivals: list[float] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def open_links(self) -> list[Link]:
        """Those whose clients have not left."""
        return [link for link in self.links if link.ended_at is None]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.arrivals.append(time.monotonic())
        link = Link(len(self.links) + 1, reader, writer, self._dialect, self._interval)
        self.links.append(link)
        try:
            await self._handler(link)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # the client left
        finally:
            link.ended_at = link.ended_at or time.monotonic()
            writer.transport.abort()


async def well_behaved(link: Link) -> None:
    await link.read_request()
    await link.accept()
    await link.behave()
