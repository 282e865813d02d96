"""The session of a connection: it makes of each link one that goes on where the last one was cut.

To the rest of the client it is an engine over the user's, whose links open when the server has welcomed the
session. What is said in a handshake is decided in core/resume.py; numbers and windows are in core/session.py.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from websocket_heartbeat.config import Session
from websocket_heartbeat.controls import NUMBERED, SUBPROTOCOL, decode, encode, number_of
from websocket_heartbeat.core import resume
from websocket_heartbeat.core.resume import Resumption, Step
from websocket_heartbeat.core.session import OUT_OF_STEP, VIOLATION, Half, Window
from websocket_heartbeat.core.volatile import VOLATILE, Waiting
from websocket_heartbeat.engines.base import Closure, Engine, Evidence, Link, LinkEvents, OpenRequest, marked
from websocket_heartbeat.errors import (
    HandshakeError,
    RedirectRefused,
    ServerClosed,
    SessionNotOffered,
    SessionOver,
)
from websocket_heartbeat.events import Message, SessionEvent, size_of
from websocket_heartbeat.redaction import printable
from websocket_heartbeat.system.stall import Stall

GREETED_WITHIN = 3.0
"""Seconds in which a server greets that has sessions: that travels with the answer to the handshake."""

CLOSED_WITHIN = 3.0
"""Seconds that a server has to close a link that is of no use any more."""

_DISMISSED = 4500
"""A close code that is final, for the end of a session: core/machine.py."""


class SessionEngine(Engine):
    """Opens links that belong to a session, or plain ones, where the server has none."""

    def __init__(self, engine: Engine, session: "ClientSession") -> None:
        self._engine = engine
        self._session = session
        self.name = engine.name
        self.supports = engine.supports

    async def open(self, request: OpenRequest, events: LinkEvents) -> None:
        """As in Engine; a link is open when the session is welcome.

        Raises, besides:
            SessionNotOffered: the server has no sessions, and one is required.
            ServerClosed: it has closed the link before its welcome.
            SessionOver: the server has ended the session, and what it had sent before may still be handled.
        """
        session = self._session
        if session.is_over:
            raise SessionOver(f"the session is over: {printable(session.why)}")
        if request.is_foreign:  # the key of a session is for its own origin
            if session.is_required or session.has_key:
                raise RedirectRefused("the server redirects to another origin, which the session is not for")
            await self._engine.open(request, events)
            return
        greeter = _Greeter(session, events)
        subprotocols = (SUBPROTOCOL, *request.subprotocols)
        offer = replace(request, subprotocols=subprotocols, max_size=request.max_size + 1)
        await self._engine.open(offer, greeter)
        try:
            await greeter.outcome
        except BaseException:
            greeter.abort()
            raise


class _Greeter:
    """Takes the events of a link: its handshake first; then it passes them on.

    outcome: done when the link is open for its user, or cannot be.
    """

    def __init__(self, session: "ClientSession", events: LinkEvents) -> None:
        self._session = session
        self._events = events
        self.outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.physical: Link
        self._protocol: str | None = None
        self._link: SessionLink | None = None  # once the session is attached
        self._is_plain = False
        self._timer: asyncio.TimerHandle | None = None  # for the greeting, or for the end

    def abort(self) -> None:
        """Drop the link, as its attempt is over."""
        self._stop_timer()
        self.physical.abort()
        if self._link is None and not self._is_plain:
            self._session.lost(self, 0)

    # Calls from the link

    def opened(self, link: Link) -> None:
        """Wait for the greeting."""
        self.physical = link
        link.deliver = self._take
        self._timer = asyncio.get_running_loop().call_later(GREETED_WITHIN, self._session.other_frame, self)
        self._session.opened(self, is_selected=link.subprotocol == SUBPROTOCOL)

    def batch_delivered(self) -> None:
        """Pass it on, and acknowledge what a plain hook has handled."""
        if self._link is not None or self._is_plain:
            self._events.batch_delivered()
        self._session.settle_if_pending()

    def deliver_returned(self, result: object) -> None:
        """Pass it on."""
        self._events.deliver_returned(result)

    def deliver_failed(self, error: BaseException) -> None:
        """Pass it on."""
        self._events.deliver_failed(error)

    def ponged(self) -> None:
        """Pass it on."""
        if self._link is not None or self._is_plain:
            self._events.ponged()

    def writable(self) -> None:
        """Pass it on."""
        if self._is_plain:
            self._events.writable()
        elif self._link is not None:
            self._link.writable()

    def closed(self, closure: Closure) -> None:
        """Tell the session, and whoever has the link."""
        self._stop_timer()
        if self._is_plain:
            self._session.lost(self, 0)
            self._events.closed(closure)
            return
        self._session.lost(self, closure.code or 0)
        if self._link is not None:
            is_over = self._session.is_over
            self._link.ended(Closure(_DISMISSED, self._session.why, framed=True) if is_over else closure)
        else:
            self._finish(closure.error or ServerClosed(closure.code, closure.reason))

    # The handshake

    def _take(self, frame: Message) -> Any:
        self._stop_timer()
        control = decode(frame) if isinstance(frame, str) and frame[:1] == "{" else None
        if control is None:
            self._session.other_frame(self)
        else:
            if control.kind == resume.GREETING_CONTROL:
                self._protocol = control.protocol or None
            self._session.control(self, control)
        # If the link is plain after that, it was the first message.
        return self.physical.deliver(frame) if self._is_plain else None

    def be_plain(self) -> None:
        """Let the link be what it is."""
        self._is_plain = True
        self._events.opened(self.physical)
        self._finish(None)

    def attached(self, link: "SessionLink") -> None:
        """Let the link be the session's."""
        self._link = link
        self.physical.deliver = link.take
        link.subprotocol = self._protocol
        self._events.opened(link)
        self._finish(None)

    def fail(self, error: Exception) -> None:
        """Give the link up."""
        self.physical.abort()
        self._finish(error)

    def refuse(self, code: int) -> None:
        """Close the link, which breaks the protocol."""
        self._close(code)
        if self._link is not None:
            self._link.ended(Closure(error=HandshakeError(f"the session was out of step: {code}")))
        else:
            self._finish(HandshakeError(f"the server broke the protocol of sessions: {code}"))

    def oust(self) -> None:
        """Drop a link that has lost the session to another one, which is lost too."""
        self.physical.abort()
        if self._link is not None:
            self._link.ended(Closure(error=HandshakeError("the link that was to take its place was lost")))

    def end(self, why: str) -> None:
        """Close the link: the session is over for good."""
        self._close(1000)
        if self._link is not None:
            self._link.ended(Closure(_DISMISSED, why, framed=True))
        else:
            self._finish(SessionOver(f"the session is over: {printable(why)}"))

    def _close(self, code: int) -> None:
        """Close the link, of which nobody knows any more; drop it, if its server does not answer."""
        self._stop_timer()
        self.physical.deliver = _discard
        self._timer = asyncio.get_running_loop().call_later(CLOSED_WITHIN, self.physical.abort)
        self.physical.close(code, "")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _finish(self, error: Exception | None) -> None:
        self._stop_timer()
        if self.outcome.done():
            return
        if error is None:
            self.outcome.set_result(None)
        else:
            self.outcome.set_exception(error)
            self.outcome.exception()  # whoever waited for it may have been cancelled


class ClientSession:
    """The session of one connection, over all its links.

    their_max: bytes of the largest message that the server takes.
    tell: called with a SessionEvent. changed: called when messages were acknowledged. ended: called when the
    server has answered our end. report: called with messages that the server does not take. max_size: the
    largest that we take, in bytes. probes: whether a probe of the session stands for a ping, as heartbeats
    are to be messages.
    kind, why: what the user was told last: of the newest link that has a session, how that began.
    dropped: volatile messages that were thrown away, as they came faster than the user took them.
    """

    def __init__(
        self,
        options: Session,
        tell: Callable[[SessionEvent], None],
        changed: Callable[[], None],
        ended: Callable[[], None],
        report: Callable[[Sequence[Message]], None],
        *,
        max_size: int,
        probes: bool,
    ) -> None:
        window = Window(options.window, options.window_bytes)
        self.is_required = options.mode == "require"
        self.report = report
        self.probes = probes
        self._max_size = max_size
        self.their_max = 0
        self._ousted: _Greeter | None = None  # whose session waits for the welcome of another link
        self._tell = tell
        self._changed = changed
        self._ended = ended
        self._resumption = Resumption(self.is_required, window)
        self._greeter: _Greeter | None = None  # of the newest link
        self.link: SessionLink | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._is_pending = False  # whether `_settle` is to be called later in this turn of the loop
        self.kind = ""
        self.why = ""
        self.dropped = 0
        # Volatile messages that wait for the user: the number of the message before each, and its size.
        self._volatile: deque[tuple[int, int]] = deque()
        self._waiting = Waiting(window)
        # Messages of sessions before that were received and are not handled yet: those come first.
        self._stale = 0

    @property
    def is_over(self) -> bool:
        """Whether the server has ended the session: then there is to be no further link."""
        return self._resumption.state in (resume.DISMISSED, resume.OVER)

    @property
    def has_key(self) -> bool:
        """Whether there is a session to resume."""
        return self._resumption.key != ""

    @property
    def half(self) -> Half:
        """The messages."""
        return self._resumption.half

    # Links come and go

    def opened(self, greeter: _Greeter, *, is_selected: bool) -> None:
        """Take a link that is open; one before it is the session's no more."""
        if self._greeter is not None:
            if self.link is not None:
                self._ousted = self._greeter
            self._detach(0)
        self._greeter = greeter
        self._settled().opened(is_selected)
        self._carry_out()

    def lost(self, greeter: _Greeter, code: int) -> None:
        """Take the news that a link is gone."""
        if greeter is self._greeter:
            self._detach(code)
            self._end_ousted()
        elif greeter is self._ousted:
            self._ousted = None

    def _detach(self, code: int) -> None:
        self._let_go()
        self._settled().lost(code)
        self._carry_out()
        if self.is_ending and self._resumption.state in (resume.ENDED, resume.OVER):
            self._ended()

    def _let_go(self) -> None:
        """Have no link."""
        self._greeter = None
        link, self.link = self.link, None
        if link is not None:
            link.is_left()

    def _end_ousted(self) -> None:
        """End the link before, as the one that was to take the session from it is lost: it is nobody's."""
        ousted, self._ousted = self._ousted, None
        if ousted is not None:
            ousted.oust()

    def control(self, greeter: _Greeter, control: resume.Control) -> None:
        """Take a control that has come on a link."""
        if greeter is self._greeter:
            if control.kind == resume.GREETING_CONTROL:
                self.their_max = control.max
            self._settled().control_received(control)
            self._carry_out()

    def other_frame(self, greeter: _Greeter) -> None:
        """Take the news that something else has come before the welcome."""
        if greeter is self._greeter:
            self._settled().frame_received()
            self._carry_out()

    def violated(self, code: int) -> None:
        """Give the link up, which is out of step, or breaks the protocol."""
        greeter = self._greeter
        self._settled().violated(code)
        self._let_go()
        for step in self._resumption.take_steps():
            if step.kind == resume.TELL:
                self._told(step)
        if greeter is not None:
            greeter.refuse(code)
        self._end_ousted()

    def end(self, reason: str) -> None:
        """End the session: the server handles what was sent, acknowledges, and closes the link."""
        resumption = self._settled()
        if self.link is not None and self.half.recorded > self.half.told:
            self.link.say(f"={self.half.acknowledge()}")
        resumption.end(reason)
        self._carry_out()

    # Messages

    @property
    def awaits_end(self) -> bool:
        """Whether the server is still to answer that the session ends."""
        return self._resumption.awaits_end()

    @property
    def is_ending(self) -> bool:
        """Whether the user closes: then nothing more is sent."""
        return self._resumption.is_ending

    def handled(self) -> None:
        """Note that the user has done with the oldest message."""
        if self._stale:
            self._stale -= 1
            return
        half = self._resumption.half
        if self._volatile and self._volatile[0][0] == half.done:
            self._waiting.remove(self._volatile.popleft()[1])
            return
        if half.got == half.done:
            return  # it came on a plain link
        half.handled()
        if half.done - half.told == 1 or self._resumption.state == resume.DISMISSED:
            self._settle()
        elif half.is_much_handled and not self._is_pending:
            self._is_pending = True
            asyncio.get_running_loop().call_soon(self.settle_if_pending)

    def answer_probe(self) -> None:
        """Acknowledge at once."""
        self._settled()
        if self.link is not None:
            self.link.say(f"={self.half.acknowledge()}?")

    def may_give(self, volatile: Message) -> bool:
        """Whether the user is to get a volatile message that has come; else it is counted."""
        size = size_of(volatile)
        if not self._waiting.add(size):
            self.dropped += 1
            return False
        self._volatile.append((self.half.got, size))
        return True

    def acknowledged(self, number: int) -> bool:
        """Take an acknowledgement; false if it breaks the protocol."""
        is_right = self.half.acknowledged(number)
        self._changed()
        return is_right

    def stalled(self) -> None:
        """Tell that the server has handled nothing for long of what fills its window."""
        self._tell(SessionEvent("stalled"))

    def settle_if_pending(self) -> None:
        """Acknowledge what was handled in this turn of the loop, if it is that much."""
        if self._is_pending:
            self._settle()

    def _settle(self) -> None:
        """Acknowledge what was handled, now if that is due, or a little later."""
        self._is_pending = False
        self._settled()
        self._carry_out()
        if self.link is None:
            return
        loop = asyncio.get_running_loop()
        due = self.half.acknowledgement_due_at()
        if self.half.is_acknowledgement_due(loop.time()):
            self.link.say(f"={self.half.acknowledge()}")
        elif due is not None and self._alarm is None:
            self._alarm = loop.call_at(due, self._alarm_rang)

    def _settled(self) -> Resumption:
        """Return what decides, which knows now of all that was handled."""
        self._resumption.settle(asyncio.get_running_loop().time())
        return self._resumption

    def _alarm_rang(self) -> None:
        self._alarm = None
        self._settle()

    def unacknowledged(self) -> tuple[Message, ...]:
        """Return what was sent and is not acknowledged, oldest first."""
        return _messages_after(self.half, self.half.acked)

    def stop(self) -> tuple[Message, ...]:
        """Be done, as the connection has ended; return what is not acknowledged, if it was not told yet."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._let_go()
        return () if self.is_over else self.unacknowledged()

    # What was decided

    def _carry_out(self) -> None:
        for step in self._resumption.take_steps():
            greeter = self._greeter
            if step.kind == resume.TELL:
                self._told(step)
            elif greeter is None:
                continue
            elif step.kind == resume.SAY and step.control is not None:
                step.control.max = self._max_size
                greeter.physical.send(encode(step.control))
            elif step.kind == resume.READY:
                self._ousted = None
                self.link = SessionLink(self, greeter.physical, greeter)
                greeter.physical.send_all(_frames_after(self.half, step.number))
                self.link.note_room()
                greeter.attached(self.link)
                self._settle()  # what was handled since the resume
            elif step.kind == resume.BE_PLAIN:
                greeter.be_plain()
            elif step.kind == resume.REFUSE:
                greeter.fail(SessionNotOffered("the server offers no session"))
            elif step.kind == resume.DROP_LINK:
                self._let_go()
                greeter.refuse(step.code)
                self._end_ousted()
            elif step.kind == resume.CLOSE_LINK:
                if self.link is not None:
                    self.link.say(f"={self.half.acknowledge()}")
                if self.is_ending:
                    self._ended()
                greeter.end(self.why)

    def _told(self, step: Step) -> None:
        self.why = step.why
        self.kind = step.answer
        uncertain: tuple[Message, ...] = ()
        if step.before is not None:
            uncertain = _messages_after(step.before, step.number)
            if step.answer == resume.RESET:
                self._stale += step.before.got - step.before.done + len(self._volatile)
                self._volatile.clear()
                self._waiting = Waiting(self._resumption.half.ours)
        self._tell(SessionEvent(step.answer, step.why, uncertain))


def _frames_after(half: Half, number: int) -> list[Message]:
    """Return what a link owes that was attached, as it goes there."""
    frames = []
    kept = half.after(number)
    while kept is not None:
        frames.append(marked(kept.character, kept.payload))
        kept = kept.next
    return frames


def _messages_after(half: Half, number: int) -> tuple[Message, ...]:
    messages = []
    kept = half.after(number)
    while kept is not None:
        messages.append(kept.payload)
        kept = kept.next
    return tuple(messages)


class SessionLink(Link):
    """A link of a session: what is sent is numbered and kept, what comes is taken once and in order."""

    is_session = True

    __slots__ = (
        "_events",
        "_half",
        "_physical",
        "_session",
        "_stall",
        "deliver",
        "full",
        "subprotocol",
    )

    def __init__(self, session: ClientSession, physical: Link, greeter: _Greeter) -> None:
        self._session = session
        self._half = session.half  # for as long as this is the session's link
        self._physical = physical
        self._events = greeter._events
        self._stall: Stall | None = None  # once the window was full
        self.full = False
        self.deliver = _discard
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
            assert session._greeter is not None
            session.control(session._greeter, control)
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
        self._physical.abort()
        self._detach()

    def _detach(self) -> None:
        greeter = self._session._greeter
        if self._session.link is self and greeter is not None:
            self._session.lost(greeter, 0)

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


def _discard(message: Message) -> None:
    """Take what comes after the end."""
