"""A link that tells of its frames, by type and size: what a link is put into while the log is at DEBUG.

It stands between a link and its owner, so that the others cost nothing for it. What a link does by itself is
not told: that it answers pings, takes messages from fragments, and compresses them.
"""

from collections.abc import Callable, Sequence
from typing import Any

from websocket_heartbeat.engines.base import Closure, Evidence, Link, LinkEvents, SharedMessage, discard
from websocket_heartbeat.events import Message, size_of
from websocket_heartbeat.system.kernel import Socket

Tell = Callable[[str, str, int], None]
"""Takes what becomes of a frame: "sent" or "received", its type, and the bytes of its payload."""


class LoggedLink(Link):
    """Passes on what a link is asked for, and tells of its frames."""

    __slots__ = (
        "_link",
        "_tell",
        "can_ping",
        "deliver",
        "native",
        "response_headers",
        "socket",
        "subprotocol",
    )

    def __init__(self, link: Link, tell: Tell) -> None:
        self._link = link
        self._tell = tell
        self.native: Any = link.native
        self.subprotocol: str | None = link.subprotocol
        self.response_headers: Sequence[tuple[str, str]] = link.response_headers
        self.socket: Socket | None = link.socket
        self.can_ping: bool = link.can_ping
        self.deliver: Callable[[Message], Any] = discard
        link.deliver = self._received

    @property
    def full(self) -> bool:  # type: ignore[override]
        return self._link.full

    def _received(self, message: Message) -> Any:
        self._tell("received", _type_of(message), size_of(message))
        return self.deliver(message)

    def _told(self, message: Message) -> None:
        self._tell("sent", _type_of(message), size_of(message))

    def send(self, message: Message) -> None:
        self._told(message)
        self._link.send(message)

    def send_all(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._told(message)
        self._link.send_all(messages)

    def send_shared(self, shared: SharedMessage) -> None:
        self._told(shared.message)
        self._link.send_shared(shared)

    def send_volatile(self, message: Message) -> bool:
        was_sent = self._link.send_volatile(message)
        if was_sent:
            self._told(message)
        return was_sent

    def send_shared_volatile(self, shared: SharedMessage) -> bool:
        was_sent = self._link.send_shared_volatile(shared)
        if was_sent:
            self._told(shared.message)
        return was_sent

    def flush(self) -> None:
        self._link.flush()

    def ping(self) -> None:
        self._tell("sent", "ping", 0)
        self._link.ping()

    def close(self, code: int, reason: str) -> None:
        self._tell("sent", "close", 2 + len(reason.encode()))
        self._link.close(code, reason)

    def abort(self) -> None:
        self._link.abort()

    def accept_up_to(self, size: int) -> None:
        self._link.accept_up_to(size)

    def pause_reading(self) -> None:
        self._link.pause_reading()

    def resume_reading(self) -> None:
        self._link.resume_reading()

    @property
    def buffered(self) -> int:
        return self._link.buffered

    def evidence(self) -> Evidence:
        return self._link.evidence()

    @property
    def position(self) -> int:
        return self._link.position

    @property
    def uncertain(self) -> int | None:
        return self._link.uncertain


class LoggedEvents(LinkEvents):
    """Passes on what a link reports, and tells of the frames that are no messages."""

    __slots__ = ("_events", "_tell")

    def __init__(self, events: LinkEvents, tell: Tell) -> None:
        self._events = events
        self._tell = tell

    def opened(self, link: Link) -> None:
        self._events.opened(LoggedLink(link, self._tell))

    def batch_delivered(self) -> None:
        self._events.batch_delivered()

    def deliver_returned(self, result: object) -> None:
        self._events.deliver_returned(result)

    def deliver_failed(self, error: BaseException) -> None:
        self._events.deliver_failed(error)

    def ponged(self) -> None:
        self._tell("received", "pong", 0)
        self._events.ponged()

    def writable(self) -> None:
        self._events.writable()

    def closed(self, closure: Closure) -> None:
        if closure.framed:
            size = 0 if closure.code is None else 2 + len(closure.reason.encode(errors="replace"))
            self._tell("received", "close", size)
        self._events.closed(closure)


def _type_of(message: Message) -> str:
    return "text" if isinstance(message, str) else "binary"
