"""What every link over an asyncio transport has in common: flow control, evidence of life, and its end.

How the link of any library ends (RFC 6455, sections 5.5.1 and 7.1.7): the peer's close frame is answered, a
violation is told to the peer; then the loop gets one turn to write what the socket takes, and the socket is
dropped. The peer, who may never read, is not waited for.
"""

import asyncio
import ssl
import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from websocket_heartbeat.engines.base import WRITE_LIMIT, Closure, Evidence, Link, LinkEvents, discard
from websocket_heartbeat.errors import ProtocolViolation
from websocket_heartbeat.events import Message, size_of
from websocket_heartbeat.system.kernel import Socket, bytes_written, tcp_info

READ = 32 * 1024
"""Bytes that are read at a time, but for the rest of a long frame: no flood of tiny ones may stall a loop."""


class _Scratch(threading.local):
    """The buffer that all of a thread read to: what was read is taken before the next one reads.

    view: what is read to as a rule. large: with more behind it, for what is known to be long. spare: a buffer
    for the next long frame, which needs one of its own.
    """

    def __init__(self) -> None:
        self.spare: bytearray = bytearray()
        self.large: memoryview = memoryview(bytearray(8 * READ))
        self.view: memoryview = self.large[:READ]


SCRATCH = _Scratch()


class FairReading:
    """Reads from a transport in turns, so that others of the same loop have theirs.

    A subclass calls `_put_off` where it has enough to do for one turn, and `_yield_after_read` after a full
    read. The transport is paused while the user has paused us, and until the next turn after `_put_off`.
    """

    __slots__ = ("_is_paused", "_is_put_off", "_must_yield", "_transport")

    def __init__(self) -> None:
        self._transport: Any = None  # an asyncio.Transport, which uvloop's is not by its class
        self._must_yield = False  # the transport reads on and on
        self._is_paused = False  # by the user
        self._is_put_off = False  # until the next turn of the loop

    @staticmethod
    def _reads_on_and_on(transport: Any) -> bool:
        """Whether a transport reads again within one turn of the loop: uvloop's does, up to 32 times."""
        return type(transport).__module__.partition(".")[0] not in ("asyncio", "websocket_heartbeat")

    def pause_reading(self) -> None:
        self._is_paused = True
        self._hold()

    def resume_reading(self) -> None:
        self._is_paused = False
        if not self._is_put_off:
            self._read_on()

    def _yield_after_read(self) -> None:
        """Give the loop a turn after a full read, where the transport would not."""
        if self._must_yield:
            self._put_off()

    def _put_off(self) -> None:
        """Read on in the next turn of the loop."""
        if not self._is_put_off:
            self._is_put_off = True
            self._hold()
            asyncio.get_running_loop().call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._is_put_off = False
        if not self._is_paused:
            self._read_on()

    def _hold(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _read_on(self) -> None:
        """Read again; a subclass first takes what it has left."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


@cache
def default_ssl_context() -> ssl.SSLContext:
    """One for all links: it holds the certificates of every authority, and takes 10 ms to make."""
    return ssl.create_default_context()


class _Ended:
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


class TransportLink(FairReading, Link):
    """One open WebSocket over a transport, which calls it as its protocol.

    A subclass reads in `data_received` or `buffer_updated`, tells by `_hand_over`, `_peer_closed` and
    `_give_up` what it read, and says how to write.
    """

    __slots__ = (
        "_closes_at",
        "_ended",
        "_events",
        "_heard_at",
        "_is_counted",
        "_loop",
        "_max_size",
        "_sends",
        "_sent_at",
        "_written",
        "deliver",
        "full",
        "native",
        "response_headers",
        "socket",
        "subprotocol",
    )

    def __init__(self, events: LinkEvents, max_size: int, subprotocol: str | None) -> None:
        super().__init__()
        self.deliver: Callable[[Message], Any] = discard
        self.subprotocol: str | None = subprotocol
        self.response_headers: Sequence[tuple[str, str]] = ()
        self.native: Any = None
        self.socket: Socket | None = None
        self._events: LinkEvents = events
        self._max_size = max_size
        self._loop = asyncio.get_running_loop()
        # When bytes were last read and written, for systems whose kernel does not tell when they travelled.
        self._heard_at = self._sent_at = self._loop.time()
        self._transport: Any = (
            None  # an asyncio.Transport, which uvloop's is not by its class; None at the end
        )
        # Bytes given to the transport, counted from where the kernel counts those acknowledged, and where
        # among them a close frame of ours begins: what follows it, such as a pong, is nothing of the user's.
        self._written = 0
        self._closes_at: int | None = None
        # Whether the kernel counts the same bytes: of a TLS that is not ours, nobody knows how many it makes
        # of those that we give it.
        self._is_counted = False
        self.full: bool = False
        self._sends = True  # until a close frame was sent, or the link has ended
        self._ended = False  # nothing is read or reported any more

    def _take_over(self, transport: Any) -> None:
        """Begin to work over a transport whose handshake is done."""
        self._transport = transport
        self._must_yield = self._reads_on_and_on(transport)
        self.socket = transport.get_extra_info("socket")
        transport.set_write_buffer_limits(high=WRITE_LIMIT)
        transport.set_protocol(self)
        if (written := bytes_written(self.socket)) is not None:
            overhead = self._overhead()
            self._is_counted = overhead > 0 or transport.get_extra_info("ssl_object") is None
            self._written = written + self.buffered - overhead

    @abstractmethod
    def _write_close(self, payload: bytes) -> None:
        """Write a close frame with that payload."""

    # Calls from the client or the server

    def close(self, code: int, reason: str) -> None:
        self._say_close(code.to_bytes(2) + reason.encode())

    def abort(self) -> None:
        self._end()
        if self._transport is not None:
            self._transport.abort()

    @property
    def buffered(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    @property
    def uncertain(self) -> int | None:
        return self._uncertain()

    def _uncertain(self, *, is_broken: bool = False) -> int | None:
        """As `uncertain`; is_broken: the transport has lost its connection, and so what it had buffered."""
        info = tcp_info(self.socket)
        if info is None or (is_broken and not self._is_counted):
            return None
        end = self.position if self._closes_at is None else self._closes_at
        return max(0, end - info.bytes_acked)

    def evidence(self) -> Evidence:
        info = tcp_info(self.socket)
        if info is None:
            return Evidence(self._heard_at, self._sent_at, -self.buffered)
        now = self._loop.time()
        return Evidence(now - info.since_data, now - info.since_sent, info.bytes_acked, info)

    @property
    def position(self) -> int:
        if self._is_counted:
            return self._end_of_stream()
        written = bytes_written(self.socket)
        return 0 if written is None else written + self.buffered

    def _end_of_stream(self) -> int:
        """Return `position`, where the kernel counts as we do."""
        return self._written + self._overhead()

    def _overhead(self) -> int:
        """Return how many bytes TLS has added; 0 without, or where it does not tell."""
        return self._transport.get_extra_info("overhead") or 0

    # Calls from the transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(Closure(error=exc, uncertain_bytes=self._uncertain(is_broken=True)))
        self._transport = None
        self.socket = None
        self._is_counted = False

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        # In a turn of its own: asyncio's transport calls this in the middle of a write, and if it is closed
        # here, or a write fails, it tells of its end twice.
        self._loop.call_soon(self._tell_writable)

    def _tell_writable(self) -> None:
        if not self.full:
            self._events.writable()

    # Calls from the subclass

    def _came_too_late(self, message: Message) -> None:
        """Count a message given to a transport that has ended, of which the owner is about to be told."""
        self._written += size_of(message)

    def _hand_over(self, message: Message) -> None:
        try:
            result = self.deliver(message)
        except (Exception, asyncio.CancelledError) as error:
            self._events.deliver_failed(error)
        else:
            if result is not None:
                self._events.deliver_returned(result)

    def _say_close(self, payload: bytes) -> None:
        if self._sends:
            if self._is_counted:
                self._closes_at = self._end_of_stream()
            self._sends = False
            self._write_close(payload)

    def _peer_closed(self, closure: Closure) -> None:
        """Take the peer's close frame, and answer with its code, or 1000 if it has none."""
        self._leave(closure, (closure.code or 1000).to_bytes(2))

    def _give_up(self, violation: ProtocolViolation) -> None:
        """Fail the link over what the peer did: say why."""
        # A close frame carries at most 123 bytes of reason: section 5.5.
        self._leave(Closure(error=violation), violation.code.to_bytes(2) + str(violation).encode()[:123])

    def _leave(self, closure: Closure, farewell: bytes) -> None:
        """Send a last close frame of that payload, unless one was sent, and end the link."""
        closure = replace(closure, uncertain_bytes=self.uncertain)
        self._say_close(farewell)
        if self._transport is not None:
            self._transport.close()
            self._loop.call_soon(drop, self._transport)
        self._finish(closure)

    def _finish(self, closure: Closure) -> None:
        events = self._events
        self._end()
        events.closed(closure)

    def _end(self) -> None:
        self._ended = True
        self._sends = False
        self._events = _Ended(self._events)
        self.deliver = discard


def drop(transport: asyncio.WriteTransport) -> None:
    """Abort the transport, if it has not closed meanwhile."""
    try:
        transport.abort()
    except AttributeError:  # a TLS transport that has closed meanwhile, in Python before 3.11.3
        pass
