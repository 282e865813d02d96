"""The clients of the suite, and what they see of the end of a connection."""

import asyncio
import select
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.server.conformance.app import IDLE_TIMEOUT
from tests.server.conformance.servers import BackEnd
from tests.server.raw import BINARY, CLOSE, PING, PONG, TEXT, Raw, client
from tests.watch import PATIENCE

from websocket_heartbeat import Backoff, Connection, Heartbeat, connect
from websocket_heartbeat.events import SessionEvent
from websocket_heartbeat.system.kernel import Socket


class Client:
    """A healthy client: it reads all the time and answers pings. What else comes waits for `read`."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self._came: asyncio.Queue[tuple[int, bytes] | Exception] = asyncio.Queue()
        self.frame = raw.frame
        self.leave = raw.leave
        self.reset = raw.reset

    async def read_all(self) -> None:
        """Read to the end of the connection."""
        try:
            while True:
                opcode, payload = await self._raw.read()
                if opcode == PING:
                    self.frame(PONG, payload)
                else:
                    self._came.put_nowait((opcode, payload))
        except (OSError, EOFError) as error:
            self._came.put_nowait(error)

    @property
    def has_news(self) -> bool:
        """Whether something has come that waits."""
        return not self._came.empty()

    async def read(self) -> tuple[int, bytes]:
        """Return the next frame; raise how the connection has ended."""
        async with asyncio.timeout(PATIENCE):
            came = await self._came.get()
        if isinstance(came, Exception):
            raise came
        return came

    async def message(self) -> bytes:
        """Return the next message."""
        opcode, payload = await self.read()
        assert opcode in (TEXT, BINARY), (opcode, payload)
        return payload

    async def farewell(self) -> tuple[int, str]:
        """Read on to the close frame and answer it; return its code and its reason."""
        while True:
            opcode, payload = await self.read()
            if opcode == CLOSE:
                assert len(payload) <= 125, "an illegal frame"
                self.frame(CLOSE, payload[:2])
                return int.from_bytes(payload[:2]), payload[2:].decode()


@asynccontextmanager
async def healthy(server: BackEnd, target: str) -> AsyncIterator[Client]:
    """Connect a healthy client."""
    async with client(server, target, tls=server.tls) as raw:
        connected = Client(raw)
        reading = asyncio.create_task(connected.read_all())
        try:
            yield connected
        finally:
            reading.cancel()
            await asyncio.wait([reading])


@asynccontextmanager
async def persistent(url: str) -> AsyncIterator[tuple[Connection, list[SessionEvent]]]:
    """Connect a client with a session; yield what it is told of that, too."""
    events: list[SessionEvent] = []
    connection = connect(
        url, session="require", heartbeat=Heartbeat(2, 2), backoff=Backoff(0.05, 0.2, stable_after=0)
    )
    connection.on_session = events.append
    async with connection:
        yield connection, events


async def how_dropped(raw: Raw | Client) -> str:
    """Read on to the end; say how the connection was dropped."""
    while True:
        try:
            opcode, payload = await raw.read()
        except ConnectionResetError:
            return "reset"
        except asyncio.IncompleteReadError:
            return "end of file"
        if opcode == CLOSE:
            raw.frame(CLOSE, payload[:2])
            hint = " and hint" if b"retry-after=" in payload else ""
            return f"close {int.from_bytes(payload[:2])}{hint}" if payload else "close"


async def fate(sock: Socket) -> str:
    """Say what has become of a connection from which nobody reads: was it reset, closed, or is it open?"""
    poll = select.poll()
    poll.register(sock, getattr(select, "POLLRDHUP", 0x2000))  # PyPy has no name for it
    deadline = time.monotonic() + 3 * IDLE_TIMEOUT
    while time.monotonic() < deadline:
        for _, events in poll.poll(0):
            return "reset" if events & (select.POLLERR | select.POLLHUP) else "end of file"
        await asyncio.sleep(0.02)
    return "stays connected"
