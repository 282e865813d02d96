"""The link that a connection has of a session: it numbers what is sent, and takes each message once."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from websocket_heartbeat.controls import NUMBERED, decode, number_of
from websocket_heartbeat.core.session import OUT_OF_STEP, VIOLATION
from websocket_heartbeat.core.volatile import VOLATILE
from websocket_heartbeat.engines.base import Closure, Evidence, Link, discard, marked
from websocket_heartbeat.events import Message, size_of
from websocket_heartbeat.system.stall import Stall

if TYPE_CHECKING:
    from websocket_heartbeat.client.greeter import Greeter
    from websocket_heartbeat.client.session import ClientSession


class SessionLink(Link):
    """A link of a session: what is sent is numbered and kept, what comes is taken once and in order."""

    is_session = True

    __slots__ = (
        "_events",
        "_greeter",
        "_half",
        "_physical",
        "_session",
        "_stall",
        "deliver",
        "full",
        "subprotocol",
    )

    def __init__(self, session: "ClientSession", greeter: "Greeter") -> None:
        self._session = session
        self._half = session.half  # for as long as this is the session's link
        self._greeter = greeter
        self._physical = greeter.physical
        self._events = greeter.events
        self._stall: Stall | None = None  # once the window was full
        self.full: bool = False
        self.deliver: Callable[[Message], Any] = discard
        self.subprotocol: str | None = None

    # What is sent

    def send(self, message: Message) -> None:
        """As in Link."""
        session = self._session
        size = size_of(message)
        if size > session.their_max or session.is_ending:
            session.report((message,))  # the server would close the link for it, again and again
            return
        newest = session.link  # another one, while an on_open hook runs on a link that is to replace us
        character = session.half.accept(message, size)
        if newest is not None:
            newest._physical.send(marked(character, message))
        self.note_room()

    def send_volatile(self, message: Message) -> bool:
        """As in Link; what the server does not take is not sent."""
        session = self._session
        if session.link is not self or size_of(message) > session.their_max:
            return False
        return self._physical.send_volatile(marked(VOLATILE, message))

    def say(self, text: str) -> None:
        """Send what is no message."""
        self._physical.send(text)

    def note_room(self) -> None:
        """Count as full while the link beneath does, or the window of the server is full."""
        self.full = self._physical.full
        if not self._session.half.has_room():
            self.full = True
            if self._stall is None:
                self._stall = Stall(self._session.half, self._is_window_full, self._session.stalled)
            self._stall.begins()

    def _is_window_full(self) -> bool:
        return not self._session.half.has_room()

    def is_left(self) -> None:
        """Take the news that the session has this link no more."""
        if self._stall is not None:
            self._stall.stop()

    def writable(self) -> None:
        """Take the news that the link beneath is not full any more, or that the window has room."""
        was_full = self.full
        self.note_room()
        if was_full and not self.full:
            self._events.writable()

    # What comes

    def take(self, frame: Message) -> Any:
        """Take a frame."""
        first = frame[:1] if isinstance(frame, str) else frame[:1].decode("latin-1")
        session = self._session
        if session.link is not self:
            return None
        if first in NUMBERED:
            code = self._half.take(first, len(frame) - 1)
            if code != 0:
                session.violated(code)
                return None
            return self.deliver(frame[1:])
        if first == VOLATILE:
            message = frame[1:]
            return self.deliver(message) if session.may_give(message) else None
        if not isinstance(frame, str):
            session.violated(VIOLATION)
        elif first == "=":
            number = number_of(frame[1:].removesuffix("?"))
            if number is None or not session.acknowledged(number):
                session.violated(VIOLATION)
            else:
                self.writable()
                if frame[-1:] == "?":
                    self._events.ponged()
        elif first == "?":
            number = number_of(frame[1:])
            if number is None or not session.half.is_in_step(number):
                session.violated(VIOLATION if number is None else OUT_OF_STEP)
            else:
                session.answer_probe()
        elif first == "{" and (control := decode(frame)) is not None:
            session.control(self._greeter, control)
        else:
            session.violated(VIOLATION)
        return None

    # Its end

    def ended(self, closure: Closure) -> None:
        """Take the news that the link beneath has ended, or is not the session's any more."""
        self._events.closed(replace(closure, uncertain_bytes=0))

    def close(self, code: int, reason: str) -> None:
        """As in Link; the session goes on, and what comes here is taken no more: it comes again."""
        self._physical.close(code, reason)
        self._detach()

    def end(self, code: int, reason: str) -> None:
        """As in Link: the session ends."""
        if self._session.link is self:
            self._session.end(reason)
        else:
            self._physical.close(code, reason)

    def abort(self) -> None:
        """As in Link; the session goes on."""
        self._greeter.abort()
        self._detach()

    def _detach(self) -> None:
        if self._session.link is self:
            self._session.lost(self._greeter, 0)

    # The link beneath

    def ping(self) -> None:
        """As in Link; by a probe, where heartbeats are to be messages."""
        if not self._session.probes:
            self._physical.ping()
        elif self._session.link is self:
            self.say(f"?{self._session.half.sent}")

    def pause_reading(self) -> None:
        """Nothing to do: the window bounds what comes, and acknowledgements must be read."""

    def resume_reading(self) -> None:
        """Nothing to do."""

    @property
    def native(self) -> Any:
        """As in Link."""
        return self._physical.native

    @property
    def socket(self) -> Any:  # type: ignore[override]
        """As in Link."""
        return self._physical.socket

    @property
    def response_headers(self) -> Any:  # type: ignore[override]
        """As in Link."""
        return self._physical.response_headers

    @property
    def buffered(self) -> int:
        """As in Link."""
        return self._physical.buffered

    def evidence(self) -> Evidence:
        """As in Link."""
        return self._physical.evidence()

    @property
    def position(self) -> int:
        """As in Link."""
        return self._physical.position

    @property
    def uncertain(self) -> int | None:
        """Nothing is uncertain: what was not acknowledged is sent again, or told."""
        return 0
