"""One accepted connection, until it is a link or has ended: TLS, the request and its answer."""

import asyncio
import logging
import socket
from contextlib import suppress
from typing import Protocol

from websocket_heartbeat.controls import SUBPROTOCOL
from websocket_heartbeat.engines.answer import MAX_HEAD, HeadReader
from websocket_heartbeat.engines.base import LinkEvents
from websocket_heartbeat.engines.dial import accept
from websocket_heartbeat.engines.wire_server import ServerLink
from websocket_heartbeat.server.admission import Refusal
from websocket_heartbeat.server.gate import Decision, Gate
from websocket_heartbeat.server.links.http import read_request, write_refusal
from websocket_heartbeat.server.links.terms import Terms
from websocket_heartbeat.server.links.upgrade import Upgrade, upgrade
from websocket_heartbeat.system.kernel import end_by_reset

_logger = logging.getLogger("websocket_heartbeat.server")


class Keeper(Protocol):
    """What a handshake needs of the listener that has accepted it: listener.py."""

    @property
    def terms(self) -> Terms:
        """What holds for all handshakes."""

    def begun(self, handshake: "Handshake") -> None:
        """Keep a handshake."""

    def ended(self, handshake: "Handshake") -> None:
        """Forget it, if that has not been done."""

    @property
    def is_listening(self) -> bool:
        """Whether clients are let in."""

    @property
    def gate(self) -> Gate:
        """Who decides about requests."""


class Handshake(HeadReader):
    """One accepted connection, until it is a link or has ended."""

    def __init__(self, keeper: Keeper, sock: socket.socket) -> None:
        super().__init__()
        sock.setblocking(False)
        with suppress(OSError):  # some systems refuse options on a socket whose peer is gone already
            # For a peer whose machine is gone, where nobody pings it: the system notices in some hours.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keeper.begun(self)
        self._keeper = keeper
        self._sock = sock
        self._timer: asyncio.TimerHandle | None = None
        self._has_begun = False
        self._wants_body = True  # it does not ask by HEAD
        self._upgraded: Upgrade | Refusal = Refusal(400)
        self._rest = b""  # what was read behind the request
        self._deciding: asyncio.Task[Decision] | None = None
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
            kind = type(error).__name__
            words = "an accepted connection ended before its handshake: %s"
            _logger.debug(words, kind, extra={"error": kind})
        finally:
            if self.transport is None:
                self._done()

    # Calls from the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the news that the connection has ended."""
        self._done()

    def may_be_head(self, come: bytes) -> bool:
        """Whether it begins as a method of HTTP does. TLS does not: wss:// was used for a server of ws://."""
        return come[:1].isalpha()

    def not_http(self) -> None:
        """Answer by HTTP: a client that speaks TLS learns from that what is wrong."""
        self._refuse(Refusal(400))

    def head_too_long(self) -> None:
        """Refuse a request that does not end."""
        self._refuse(Refusal(431))

    def head_read(self, head: bytes, rest: bytes) -> None:
        """Have a request decided about."""
        asked = read_request(head)
        if asked is None:
            self._refuse(Refusal(400))
            return
        self._rest = rest
        self._wants_body = asked.method != "HEAD"
        if not self._keeper.is_listening:
            self._refuse(Refusal(503))
            return
        self._upgraded = upgrade(asked, self._keeper.terms, has_sessions=self._keeper.gate.has_sessions)
        decision = self._keeper.gate.admit(
            asked.request(self.transport), takes_place=isinstance(self._upgraded, Upgrade)
        )
        if isinstance(decision, asyncio.Task):
            self._deciding = decision
            decision.add_done_callback(self._decided_later)
        else:
            self._decided(decision)

    def read_behind(self, data: bytes) -> None:
        """Keep what comes while the request is decided about: RFC 6455 has the client wait for the answer."""
        if self._deciding is not None:
            self._rest += data
            if len(self._rest) > MAX_HEAD:
                self._refuse(Refusal(400))

    def eof_received(self) -> bool:
        """Stay open for the answer to a check that has nothing more to say, as that of nc in containers."""
        return self._deciding is not None and isinstance(self._upgraded, Refusal)

    # Calls from the listener

    def listener_stopped(self) -> None:
        """Do not wait for a decision any more."""
        if self._deciding is not None:
            self._refuse(Refusal(503))

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

    # The decision and the answer

    def _time_is_up(self) -> None:
        if self._deciding is None:
            self.abort()
            return
        self._refuse(self._keeper.gate.too_late(self._keeper.terms.open_timeout))
        self._wait()  # until the client has read that

    def _decided_later(self, deciding: asyncio.Task[Decision]) -> None:
        failed = not deciding.cancelled() and deciding.exception() is not None
        if self._deciding is None:  # it comes too late
            return
        self._deciding = None
        if deciding.cancelled():
            self._decided(self._keeper.gate.cancelled())
        elif failed:  # by what ends the program
            self.abort()
        else:
            self._decided(deciding.result())

    def _decided(self, decision: Decision) -> None:
        if self.transport.is_closing():  # the hook has aborted the server
            if not isinstance(decision, Refusal):
                decision.never_opened()
            return
        upgraded = self._upgraded
        if isinstance(decision, Refusal):
            self._refuse(decision)
            return
        if isinstance(upgraded, Refusal):
            self._refuse(upgraded)
            return
        self._done()
        self.transport.write(upgraded.answer)
        events: LinkEvents = decision
        max_size = self._keeper.terms.max_size
        if upgraded.subprotocol == SUBPROTOCOL:
            events = self._keeper.gate.door(decision, upgraded.protocol, max_size)
            max_size += 1  # for the character before each message
        link = ServerLink(events, max_size, upgraded.subprotocol, upgraded.extensions)
        self.link = link
        link.begin(self.transport, self._rest)

    def _refuse(self, refusal: Refusal) -> None:
        self._decide_no_more()
        self.transport.write(write_refusal(refusal, with_body=self._wants_body))
        self.transport.close()  # the timer goes on: the client may never read this

    def _decide_no_more(self) -> None:
        if self._deciding is not None:
            deciding, self._deciding = self._deciding, None
            deciding.cancel()

    def _wait(self) -> None:
        """Give the client time for its next step."""
        self._timer = asyncio.get_running_loop().call_later(self._keeper.terms.open_timeout, self._time_is_up)

    def _done(self) -> None:
        self._decide_no_more()
        if self._timer is not None:
            self._timer.cancel()
        self._keeper.ended(self)
