"""A link over the WebSocket of a framework, whose calls are coroutines: one task reads, another one writes.

So pings and heartbeats are answered while an endpoint works, and `send` never waits. What a transport can do
beyond that, its Channel says.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from websocket_heartbeat.engines.base import WRITE_LIMIT, Closure, Evidence, Link, LinkEvents
from websocket_heartbeat.events import Message, size_of
from websocket_heartbeat.system.kernel import Socket, bytes_written, tcp_info

_EMPTY_ENOUGH = WRITE_LIMIT // 4

_AT_ONCE = 100
"""Messages that are read before the loop has a turn for others: a framework may have many that wait."""

_TELLING = 1.0
"""Seconds within which a framework tells its reader of an end that it has told our writer."""


class Channel(ABC):
    """One open WebSocket of a framework, and what can be done with it.

    subprotocol: the one agreed on. socket: the TCP socket beneath, if nothing else uses it, or None; for
    questions only. can_ping: as that of Link. ponged: to be called when a pong has come; the link
    sets it.
    """

    subprotocol: str | None = None
    socket: Socket | None = None
    can_ping: bool = False
    ponged: Callable[[], None]

    @abstractmethod
    async def receive(self) -> Message | Closure | None:
        """Wait for a message, or for the end; None: something else came that is a sign of life."""

    @abstractmethod
    async def send(self, message: Message) -> None:
        """Hand a message over; wait while the framework has enough to write."""

    def send_at_once(self, message: Message) -> bool:
        """Hand a message over without a wait, if the framework can and has little to write; return whether.

        Called where no `send` is under way. Never raises.
        """
        return False

    @abstractmethod
    async def close(self, code: int, reason: str) -> None:
        """Send a close frame, as far as the framework can say this; it may wait for the answer."""

    @abstractmethod
    def reset(self) -> None:
        """Drop the connection, as hard as the framework can; never waits, never raises."""

    @abstractmethod
    def ping(self) -> None:
        """Send a ping, if it can; never waits, never raises."""

    def pause_reading(self) -> None:  # noqa: B027  # needed only where the framework keeps all that comes
        """Take nothing from the socket until `resume_reading`; nobody calls `receive` meanwhile."""

    def resume_reading(self) -> None:  # noqa: B027
        """Read again."""

    @property
    @abstractmethod
    def buffered(self) -> int:
        """Bytes that the framework holds, as far as is known."""


class _Farewell(NamedTuple):
    code: int
    reason: str


class PumpedLink(Link):
    """A link over a channel; reads from `begin` on.

    is_closing: whether the closing handshake has begun: what is sent from then on is dropped.
    """

    __slots__ = (
        "_channel",
        "_ended",
        "_events",
        "_failure",
        "_heard_at",
        "_loop",
        "_outgoing",
        "_paused",
        "_reader",
        "_sent_at",
        "_waiting",
        "_writer",
        "can_ping",
        "deliver",
        "full",
        "is_closing",
        "socket",
        "subprotocol",
    )

    def __init__(self, channel: Channel, events: LinkEvents) -> None:
        self._channel = channel
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._sent_at = self._loop.time()
        self._outgoing: deque[Message | _Farewell] = deque()
        self._waiting = 0  # the size of what the framework has not taken yet
        self._paused: asyncio.Future[None] | None = None  # done when reading goes on
        self.is_closing: bool = False
        self._ended = False
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._failure: asyncio.TimerHandle | None = None  # ends the link after a failed write
        channel.ponged = self.ponged
        self.subprotocol: str | None = channel.subprotocol
        self.socket: Socket | None = channel.socket
        self.can_ping: bool = channel.can_ping
        self.full: bool = False

    def begin(self) -> None:
        """Report that the link is open, and read."""
        self._events.opened(self)
        if not self._ended:
            self._reader = self._loop.create_task(self._read())

    # Reading

    async def _read(self) -> None:
        received: Message | Closure | None = None
        left = _AT_ONCE
        try:
            while not self._ended:
                left -= 1
                if not left:
                    await asyncio.sleep(0)
                    left = _AT_ONCE
                if self._paused is not None:
                    await self._paused
                try:
                    received = await self._channel.receive()
                except Exception as error:  # of the framework's
                    received = Closure(error=error)
                self._heard_at = self._loop.time()
                if isinstance(received, Closure):
                    return
                if received is not None:
                    try:
                        self.deliver(received)
                    except (Exception, asyncio.CancelledError) as error:
                        self._events.deliver_failed(error)
                    self._events.batch_delivered()
        finally:
            # Also where this task is cancelled by others, as at the end of the loop.
            self._closed(received if isinstance(received, Closure) else Closure())

    def pause_reading(self) -> None:
        """As in Link."""
        if self._paused is None:
            self._paused = self._loop.create_future()
            self._channel.pause_reading()

    def resume_reading(self) -> None:
        """As in Link."""
        if self._paused is not None:
            if not self._paused.done():  # cancelled with the reader, as at the end of the loop
                self._paused.set_result(None)
            self._paused = None
            self._channel.resume_reading()

    def ponged(self) -> None:
        """Take the news from the channel that a pong has come."""
        self._heard_at = self._loop.time()
        self._events.ponged()

    # Writing

    def send(self, message: Message) -> None:
        """As in Link."""
        if self._ended or self.is_closing:
            return
        if self._writer is None and self._channel.send_at_once(message):
            self._sent_at = self._loop.time()
            return
        self._waiting += size_of(message)
        if self._waiting > WRITE_LIMIT:
            self.full = True
        self._put(message)

    async def send_now(self, message: Message) -> None:
        """Send a message after all that were sent before, wait until the framework has taken it.

        Raises what the framework raises.
        """
        while self._writer is not None:
            await self.wait_written()
        if not (self._ended or self.is_closing):
            self._sent_at = self._loop.time()
            await self._channel.send(message)

    async def wait_written(self, timeout: float | None = None) -> None:
        """Wait until the framework has taken what was sent, for so many seconds at most."""
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=timeout)

    def close(self, code: int, reason: str) -> None:
        """As in Link."""
        if not (self._ended or self.is_closing):
            self.is_closing = True
            self._put(_Farewell(code, reason))

    def _put(self, item: Message | _Farewell) -> None:
        self._outgoing.append(item)
        if self._writer is None:
            self._writer = self._loop.create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._outgoing:
                item = self._outgoing.popleft()
                self._sent_at = self._loop.time()
                try:
                    if isinstance(item, _Farewell):
                        await self._channel.close(item.code, item.reason)
                        continue
                    await self._channel.send(item)
                except Exception as error:
                    self._fail(error)
                    return
                self._waiting -= size_of(item)
                if self.full and self._waiting <= _EMPTY_ENOUGH:
                    self.full = False
                    self._events.writable()
        finally:
            self._writer = None

    def _fail(self, error: Exception) -> None:
        """End the link, unless the framework tells us how it has ended."""
        self._outgoing.clear()
        self.is_closing = True
        if self._failure is None:
            self._failure = self._loop.call_later(_TELLING, self._failed, error)

    def _failed(self, error: Exception) -> None:
        self.abort()
        self._events.closed(Closure(error=error))

    def ping(self) -> None:
        """As in Link."""
        if not (self._ended or self.is_closing):
            self._channel.ping()

    # The end

    def abort(self) -> None:
        """As in Link."""
        if not self._ended:
            self._end()
            if self._reader is not None:
                self._reader.cancel()
            self._channel.reset()

    def _closed(self, closure: Closure) -> None:
        if not self._ended:
            self._end()
            self._events.closed(closure)

    def _end(self) -> None:
        self._ended = True
        self._outgoing.clear()
        if self._failure is not None:
            self._failure.cancel()
        if self._writer is not None:
            self._writer.cancel()

    # Questions

    @property
    def buffered(self) -> int:
        """As in Link."""
        return self._waiting + self._channel.buffered

    @property
    def uncertain(self) -> int | None:
        """As in Link; not known here."""
        return None

    def evidence(self) -> Evidence:
        """As in Link."""
        info = tcp_info(self.socket)
        if info is None:
            return Evidence(self._heard_at, self._sent_at, -self.buffered)
        heard_at = max(self._heard_at, self._loop.time() - info.since_data)
        return Evidence(heard_at, self._sent_at, info.bytes_acked, info)

    @property
    def position(self) -> int:
        """As in Link."""
        written = bytes_written(self.socket)
        return 0 if written is None else written + self.buffered
