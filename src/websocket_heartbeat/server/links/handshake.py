"""One accepted connection, until it is a link or has ended: TLS, the request and its answer."""

import asyncio
import logging
import socket
import ssl as ssl_module
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from websocket_heartbeat.engines.answer import HeadReader
from websocket_heartbeat.engines.base import LinkEvents
from websocket_heartbeat.engines.dial import accept
from websocket_heartbeat.engines.wire_server import ServerLink
from websocket_heartbeat.server.admission import Refusal, Request
from websocket_heartbeat.server.links.http import read_request, write_refusal
from websocket_heartbeat.server.links.upgrade import Upgrade, upgrade
from websocket_heartbeat.system.kernel import end_by_reset

_logger = logging.getLogger("websocket_heartbeat.server")


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every handshake of a listener.

    open_timeout: seconds that TLS may take, and the request and its answer after it. max_size: of a message,
    in bytes. compression: whether permessage-deflate is agreed on. subprotocols: those spoken here, best
    first. ssl: for wss.
    """

    open_timeout: float
    max_size: int
    compression: bool
    subprotocols: Sequence[str]
    ssl: ssl_module.SSLContext | None


class Keeper(Protocol):
    """What a handshake needs of the listener that has accepted it: listener.py."""

    @property
    def terms(self) -> Terms:
        """What holds for all handshakes."""

    def begun(self, handshake: "Handshake") -> None:
        """Keep a handshake."""

    def ended(self, handshake: "Handshake") -> None:
        """Forget it, if that has not been done."""

    def admit(self, request: Request) -> LinkEvents | Refusal:
        """Decide about a request: return how it is refused, or what takes the events of its link."""


class Handshake(HeadReader):
    """One accepted connection, until it is a link or has ended."""

    def __init__(self, keeper: Keeper, sock: socket.socket) -> None:
        super().__init__()
        sock.setblocking(False)
        with suppress(OSError):  # some systems refuse options on a socket whose peer is gone already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keeper.begun(self)
        self._keeper = keeper
        self._sock = sock
        self._timer: asyncio.TimerHandle | None = None
        self._has_begun = False
        self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        """Put a transport on the socket, with TLS where it is asked for."""
        if self._sock.fileno() < 0:  # aborted before this began
            return
        self._has_begun = True
        terms = self._keeper.terms
        try:
            await accept(self, self._sock, terms.ssl, terms.open_timeout)
        except OSError as error:  # such as ssl.SSLError: the client may have left, or speak no TLS
            _logger.debug("an accepted connection ended before its handshake: %s", type(error).__name__)
        finally:
            if self.transport is None:
                self._done()

    def abort(self) -> None:
        """Reset the connection, however far it has come."""
        end_by_reset(self._sock)
        if self.transport is not None:
            self.transport.abort()
        elif self._has_begun:
            self._opening.cancel()  # which aborts its transport
        else:
            self._sock.close()
            self._done()

    # Calls from the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the request."""
        super().connection_made(transport)
        self._timer = asyncio.get_running_loop().call_later(self._keeper.terms.open_timeout, self.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the news that the connection has ended."""
        self._done()

    def head_too_long(self) -> None:
        """Refuse a request that does not end."""
        self._refuse(Refusal(431))

    def head_read(self, head: bytes, rest: bytes) -> None:
        """Answer a request."""
        asked = read_request(head)
        if asked is None:
            self._refuse(Refusal(400))
            return
        admitted = self._keeper.admit(asked.request())
        if self.transport.is_closing():  # the hook has aborted the server
            return
        if isinstance(admitted, Refusal):
            self._refuse(admitted, with_body=asked.method != "HEAD")
            return
        terms = self._keeper.terms
        upgraded = upgrade(
            asked, terms.max_size, compression=terms.compression, subprotocols=terms.subprotocols
        )
        if isinstance(upgraded, Refusal):
            self._refuse(upgraded)
        else:
            self._become_link(upgraded, admitted, rest)

    # The answer

    def _become_link(self, upgraded: Upgrade, events: LinkEvents, rest: bytes) -> None:
        self._done()
        self.transport.write(upgraded.answer)
        link = ServerLink(events, self._keeper.terms.max_size, upgraded.subprotocol, upgraded.extensions)
        self.link = link
        link.begin(self.transport, rest)

    def _refuse(self, refusal: Refusal, *, with_body: bool = True) -> None:
        self.transport.write(write_refusal(refusal, with_body=with_body))
        self.transport.close()  # the timer goes on: the client may never read this

    def _done(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._keeper.ended(self)
