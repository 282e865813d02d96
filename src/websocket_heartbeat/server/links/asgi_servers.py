"""What each ASGI server can do with a WebSocket, and where it keeps its transport.

Undocumented, so each place is looked at with care: where it is not what we know, the server counts as one of
which nothing is known. docs/server.md has a table.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from websocket_heartbeat.system.kernel import Socket, end_by_reset

_PING = b"\x89\x00"
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
            self._transport.write(_PING)

    def reset(self) -> None:
        """As in Wire."""
        end_by_reset(self.socket)
        self._transport.abort()


class TwistedWire:
    """A transport of Twisted, as daphne has it."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.socket: Socket | None = transport.getHandle()

    @property
    def buffered(self) -> int:
        """As in Wire."""
        transport = self._transport
        return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)

    def ping(self) -> None:
        """As in Wire."""
        self._transport.write(_PING)

    def reset(self) -> None:
        """As in Wire."""
        self._transport.abortConnection()


@dataclass(frozen=True, slots=True)
class AsgiServer:
    """What a server can do.

    find_wire: takes the raw `send` of a connection and returns its transport; None: unknown.
    sends_standard_codes: whether close codes from 1001 to 2999 may be sent; else they are sent 2000 higher.
    disconnects_twice: whether the application is told of a disconnect at once when it has sent a close event,
    and once more at the end of the connection.
    """

    name: str
    find_wire: Callable[[Any], Wire | None] = lambda send: None
    sends_standard_codes: bool = True
    disconnects_twice: bool = False


def _uvicorn(send: Any) -> Wire | None:
    return AsyncioWire(send.__self__.transport)


def _hypercorn(send: Any) -> Wire | None:
    return AsyncioWire(send.__self__.send.__self__.send.__self__.writer.transport)


def _daphne(send: Any) -> Wire | None:
    return TwistedWire(send.args[0].transport)


_SERVERS = (
    AsgiServer("uvicorn", _uvicorn, disconnects_twice=True),
    AsgiServer("hypercorn", _hypercorn),
    AsgiServer("daphne", _daphne, sends_standard_codes=False),
)
_UNKNOWN = AsgiServer("unknown")


def server_of(send: Any) -> AsgiServer:
    """Return what is known of the server whose raw `send` this is."""
    owner = getattr(send, "__self__", None) or next(iter(getattr(send, "args", ())), None)
    package = type(owner).__module__.partition(".")[0]
    return next((server for server in _SERVERS if server.name == package), _UNKNOWN)


def wire_of(send: Any, http_version: str) -> Wire | None:
    """Return the transport of a connection; None where it is unknown, or carries other streams as well."""
    if http_version != "1.1":
        return None
    try:
        return server_of(send).find_wire(send)
    except (AttributeError, IndexError, TypeError):  # a version that we do not know
        return None
