"""A server, a proxy before it and clients, over real sockets."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

import pytest
from tests.watch import PATIENCE

from websocket_heartbeat.testing import FaultProxy

SILENCE = 0.15
"""Seconds in which something that must not happen would have happened."""

NOTICEABLE = 0.6
"""Seconds of a delay within which a test, on a busy machine too, sees that bytes are held."""


class End:
    """One end of a TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def receives(self, data: bytes) -> None:
        """Wait for exactly this."""
        assert await asyncio.wait_for(self.reader.readexactly(len(data)), PATIENCE) == data

    async def is_silent(self) -> None:
        """Nothing arrives: no byte, no end, no reset."""
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.reader.read(1), SILENCE)

    async def ends(self) -> None:
        """A clean end of the stream arrives."""
        assert await asyncio.wait_for(self.reader.read(), PATIENCE) == b""

    async def is_reset(self) -> None:
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(self.reader.read(), PATIENCE)

    def end(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Server:
    """Accepts connections and hands the ends to the test."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[End] = asyncio.Queue()
        self.port = 0

    async def next(self) -> End:
        return await asyncio.wait_for(self.arrived.get(), PATIENCE)


@contextlib.asynccontextmanager
async def server() -> AsyncIterator[Server]:
    self = Server()
    ends = []

    def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(End(reader, writer))
        self.arrived.put_nowait(ends[-1])

    listener = await asyncio.start_server(take, "127.0.0.1", 0)
    self.port = listener.sockets[0].getsockname()[1]
    try:
        yield self
    finally:
        listener.close()
        for end in ends:
            end.writer.transport.abort()
        # Let the aborted sockets close before the loop does.
        await asyncio.sleep(0)
        await asyncio.sleep(0)


class Stage:
    """A server, a proxy before it, and the clients of a test."""

    def __init__(self, server: Server, proxy: FaultProxy) -> None:
        self.server = server
        self.proxy = proxy
        self.clients: list[End] = []

    async def client(self) -> End:
        """Connect to the proxy, wherever that leads."""
        end = End(
            *await asyncio.wait_for(asyncio.open_connection(self.proxy.host, self.proxy.port), PATIENCE)
        )
        self.clients.append(end)
        return end

    async def pair(self) -> tuple[End, End]:
        """Return the client's and the server's end of a new connection."""
        client = await self.client()
        return client, await self.server.next()


@contextlib.asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    async with server() as behind, FaultProxy("127.0.0.1", behind.port) as proxy:
        self = Stage(behind, proxy)
        try:
            yield self
        finally:
            for client in self.clients:
                client.writer.transport.abort()


def events(proxy: FaultProxy) -> list[str]:
    return [entry.event for entry in proxy.log]
