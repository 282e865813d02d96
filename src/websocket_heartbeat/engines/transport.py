"""What all links over an asyncio transport have in common, whatever library speaks RFC 6455 above it."""

import asyncio
import logging
import ssl
from abc import abstractmethod
from functools import cache
from typing import cast

from websocket_heartbeat.engines.base import WRITE_LIMIT, Closure, Link, LinkEvents
from websocket_heartbeat.errors import MessageTooBig, ProtocolViolation
from websocket_heartbeat.events import Message
from websocket_heartbeat.system.kernel import since_data

NOT_UTF8 = "the peer sent text that is not UTF-8"

SILENT = logging.Logger("websockets", logging.CRITICAL + 1)
"""A logger that writes nothing: the lines of websockets hold URLs and headers."""


@cache
def default_ssl_context() -> ssl.SSLContext:
    """One for all links: it holds the certificates of every authority, and takes 10 ms to make."""
    return ssl.create_default_context()


def discard(message: Message) -> None:
    """Take a message that comes after the end."""


class Ended:
    """Takes the place of the events of a link that has ended.

    It passes on what a call of `deliver` came to that has ended the link itself, and nothing else.
    """

    __slots__ = ("deliver_failed", "deliver_returned")

    def __init__(self, events: LinkEvents) -> None:
        self.deliver_failed = events.deliver_failed
        self.deliver_returned = events.deliver_returned

    def _nothing(self, *_: object) -> None:
        """Do nothing."""

    opened = batch_delivered = ponged = writable = closed = _nothing


class TransportLink(asyncio.Protocol, Link):
    """One open WebSocket over a transport, which calls it as its protocol.

    A subclass parses in `data_received`, calls `_stamp` first there, and says how to send a close frame.
    """

    def __init__(self, events: LinkEvents, max_size: int) -> None:
        self.deliver = discard
        self._events: LinkEvents = events
        self._max_size = max_size
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._transport: asyncio.Transport | None = None
        self._full = False
        self._ended = False

    @abstractmethod
    def _write_close(self, code: int, reason: str) -> None:
        """Write a close frame, unless one has been written; reason has at most 123 bytes."""

    def close(self, code: int, reason: str) -> None:
        if not self._ended:
            self._write_close(code, reason)

    def abort(self) -> None:
        self._end()
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    @property
    def buffered(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    @property
    def full(self) -> bool:
        return self._full

    @property
    def heard_at(self) -> float:
        seconds = since_data(self.socket)
        return self._heard_at if seconds is None else self._loop.time() - seconds

    # Calls from the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # which that of uvloop is not by its class
        self.socket = transport.get_extra_info("socket")
        self._transport.set_write_buffer_limits(high=WRITE_LIMIT)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(Closure(error=exc))
        self._transport = None
        self.socket = None

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._events.writable()

    # Calls from the subclass

    def _stamp(self) -> None:
        self._heard_at = self._loop.time()

    def _hand_over(self, message: Message) -> None:
        try:
            result = self.deliver(message)
        except (Exception, asyncio.CancelledError) as error:
            self._events.deliver_failed(error)
        else:
            if result is not None:
                self._events.deliver_returned(result)

    def _peer_closed(self, code: int | None, reason: str) -> None:
        """Take the server's close frame, which has been answered."""
        unsent = self.buffered
        self._leave()
        self._finish(Closure(code=code, reason=reason, unsent_bytes=unsent, framed=True))

    def _give_up(self, code: int, reason: str) -> None:
        """Fail the link, as RFC 6455, section 7.1.7, has it: say why, then drop it."""
        violation = MessageTooBig(self._max_size) if code == 1009 else ProtocolViolation(code, reason)
        unsent = self.buffered
        self._write_close(code, reason.encode()[:123].decode(errors="ignore"))
        self._leave()
        self._finish(Closure(error=violation, unsent_bytes=unsent))

    def _leave(self) -> None:
        """Give the loop one turn to write what it can, then drop the socket: the peer may never read."""
        if self._transport is not None:
            self._transport.close()
            self._loop.call_soon(drop, self._transport)

    def _finish(self, closure: Closure) -> None:
        events = self._events
        self._end()
        events.closed(closure)

    def _end(self) -> None:
        self._ended = True
        self._events = Ended(self._events)
        self.deliver = discard


def drop(transport: asyncio.WriteTransport) -> None:
    """Abort the transport, if it has not closed meanwhile."""
    try:
        transport.abort()
    except AttributeError:  # a TLS transport that has closed meanwhile, in Python before 3.11.3
        pass
