"""What lies beneath the WebSocket of a framework: its transport, for pings, resets and what waits there."""

import asyncio
from typing import Protocol

from websocket_heartbeat.system.kernel import Socket, end_by_reset

PING = b"\x89\x00"
"""A ping of a server, RFC 6455, section 5.5.2. Servers write whole frames, so it may come between any two."""


class Wire(Protocol):
    """The transport of one connection, which nothing else uses."""

    @property
    def socket(self) -> Socket | None:
        """The TCP socket, for questions only."""

    @property
    def buffered(self) -> int:
        """Bytes that wait to be written."""

    def ping(self) -> None:
        """Write a ping."""

    def reset(self) -> None:
        """Drop the connection by a TCP reset."""

    def pause_reading(self) -> None:
        """Stop reading from the socket, where the server would go on and keep what comes."""

    def resume_reading(self) -> None:
        """Read again."""


class AsyncioWire:
    """An asyncio transport, or one of uvloop."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.socket: Socket | None = transport.get_extra_info("socket")

    @property
    def buffered(self) -> int:
        """As in Wire."""
        return self._transport.get_write_buffer_size()

    def ping(self) -> None:
        """As in Wire."""
        if not self._transport.is_closing():
            self._transport.write(PING)

    def reset(self) -> None:
        """As in Wire."""
        end_by_reset(self.socket)
        self._transport.abort()

    def pause_reading(self) -> None:
        """Do nothing: the server stops by itself, and would be confused by who else does it."""

    def resume_reading(self) -> None:
        """Do nothing, either."""
