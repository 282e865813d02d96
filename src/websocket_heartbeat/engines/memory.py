"""The engine without sockets: links in this process, deterministic, for tests on a simulated clock.

A test sets `MemoryEngine.answer` to decide what each attempt meets, and plays the server as `MemoryPeer`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from websocket_heartbeat.engines.base import (
    WRITE_LIMIT,
    Closure,
    Engine,
    Evidence,
    Link,
    LinkEvents,
    OpenRequest,
)
from websocket_heartbeat.events import Message, size_of

__all__ = ["MemoryEngine", "MemoryPeer"]


class MemoryPeer:
    """The server's end of one link."""

    link: "MemoryLink"
    """The client's end."""
    received: list[Message]
    """Messages that the client sent, oldest first."""
    unread: list[Message]
    """Messages to the client that wait because it paused reading."""
    pings: int
    """How many pings arrived."""
    close_code: int | None
    """That of the client's close frame, or None."""
    aborted: bool
    """Whether the client dropped the link."""
    answers_pings: bool
    """Whether the peer answers pings by itself; True at first."""
    answers_close: bool
    """Whether the peer answers close frames by itself; True at first."""
    frozen: bool
    """While True nothing passes in either direction, and nothing arrives later."""
    reads: bool
    """False between `stop_reading` and `start_reading`."""

    def __init__(self, events: LinkEvents) -> None:
        self._events = events
        self.link = MemoryLink(self, events)
        self.received = []
        self.unread = []
        self.pings = 0
        self.close_code = None
        self.aborted = False
        self.answers_pings = True
        self.answers_close = True
        self.frozen = False
        self.reads = True

    def send(self, message: Message) -> None:
        """Deliver a message to the client; after it paused reading, when it reads again."""
        if not self.frozen:
            self.link.arrive(message)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the link as a server does, with a code."""
        self._end(Closure(code=code, reason=reason, framed=True))

    def reset(self) -> None:
        """Break the link without a close frame."""
        self._end(Closure(error=ConnectionResetError("connection reset by peer")))

    def stop_reading(self) -> None:
        """Let what the client sends pile up in its write buffer."""
        self.reads = False

    def start_reading(self) -> None:
        """Take all that has piled up, and read on."""
        self.reads = True
        self.link.drain()

    def _end(self, closure: Closure) -> None:
        if not self.link.ended:
            self.link.ended = True
            self._events.closed(closure)


class MemoryLink(Link):
    """The client's end of one link. ended: by either end."""

    def __init__(self, peer: MemoryPeer, events: LinkEvents) -> None:
        self._peer = peer
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._sent_at = self._loop.time()
        self._paused = False
        self._unsent: list[Message] = []
        self._vanished = 0  # bytes sent while the peer was frozen
        self.native = peer
        self.ended: bool = False

    def arrive(self, message: Message) -> None:
        """Take a message from the peer."""
        if self.ended:
            return
        self._heard_at = self._loop.time()
        if self._paused or self._peer.unread:
            self._peer.unread.append(message)
            return
        self._deliver(message)
        self._events.batch_delivered()

    def _deliver(self, message: Message) -> None:
        try:
            result = self.deliver(message)
        except (Exception, asyncio.CancelledError) as error:
            self._events.deliver_failed(error)
        else:
            if result is not None:
                self._events.deliver_returned(result)

    def send(self, message: Message) -> None:
        if self.ended:
            return
        if self._peer.frozen:
            self._vanished += size_of(message)
            return
        self._sent_at = self._loop.time()
        if self._peer.reads:
            self._peer.received.append(message)
        else:
            self._unsent.append(message)

    def drain(self) -> None:
        """Give the peer what has piled up."""
        was_full = self.full
        self._peer.received += self._unsent
        self._unsent.clear()
        if was_full and not self.ended:
            self._events.writable()

    def ping(self) -> None:
        if self._peer.frozen or not self._peer.reads:
            return
        self._peer.pings += 1
        if self._peer.answers_pings:
            self._loop.call_soon(self._pong)

    def _pong(self) -> None:
        if not self.ended and not self._peer.frozen:
            self._heard_at = self._loop.time()
            if not self._paused:
                self._events.ponged()

    def close(self, code: int, reason: str) -> None:
        if self._peer.frozen:
            return
        self._peer.close_code = code
        if self._peer.answers_close:
            self._loop.call_soon(self._peer.close, code, reason)

    def abort(self) -> None:
        self.ended = True
        self._peer.aborted = True

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._loop.call_soon(self._read)

    def _read(self) -> None:
        while self._peer.unread and not self._paused and not self.ended:
            self._deliver(self._peer.unread.pop(0))
            self._events.batch_delivered()

    @property
    def buffered(self) -> int:
        return sum(map(size_of, self._unsent))

    def evidence(self) -> Evidence:
        return Evidence(self._heard_at, self._sent_at, -self.buffered)

    @property
    def position(self) -> int:
        return 0

    @property
    def uncertain(self) -> int:
        return self.buffered + self._vanished

    @property
    def full(self) -> bool:  # type: ignore[override]
        return self.buffered > WRITE_LIMIT


class MemoryEngine(Engine):
    """Opens links to peers that the test plays.

    answer: called for every attempt with its request; it may return (the link opens), raise (the attempt
    fails) or wait.
    on_peer: called with each new peer, in the callback in which its link opens.
    """

    answer: Callable[[OpenRequest], Awaitable[Any]] | None
    """As it was given; it may be set."""
    on_peer: Callable[[MemoryPeer], Any] | None
    """As it was given; it may be set."""
    peers: list[MemoryPeer]
    """All peers so far."""
    requests: list[OpenRequest]
    """All requests so far."""

    name = "memory"
    # Whatever they are: its messages never become bytes, and its links lead nowhere.
    supports: Collection[str] = ("compression", "unix_path", "local_addr", "server_hostname")

    def __init__(
        self,
        answer: Callable[[OpenRequest], Awaitable[Any]] | None = None,
        on_peer: Callable[[MemoryPeer], Any] | None = None,
    ) -> None:
        self.answer = answer
        self.on_peer = on_peer
        self.peers = []
        self.requests = []

    @property
    def live_peers(self) -> Sequence[MemoryPeer]:
        """The peers whose links have not ended."""
        return [peer for peer in self.peers if not peer.link.ended]

    async def open(self, request: OpenRequest, events: LinkEvents) -> None:
        self.requests.append(request)
        if self.answer is not None:
            await self.answer(request)
        peer = MemoryPeer(events)
        self.peers.append(peer)
        events.opened(peer.link)
        if self.on_peer is not None:
            self.on_peer(peer)
