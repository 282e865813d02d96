"""The session of a connection: its messages and decisions, over all the links that it has.

Numbers and windows are in core/session.py, what is decided about a resume in core/resume.py.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from websocket_heartbeat.client.session_link import SessionLink
from websocket_heartbeat.config import Session
from websocket_heartbeat.controls import encode
from websocket_heartbeat.core import resume
from websocket_heartbeat.core.resume import Resumption, Step
from websocket_heartbeat.core.session import Half, Window
from websocket_heartbeat.core.volatile import Waiting
from websocket_heartbeat.engines.base import marked
from websocket_heartbeat.errors import SessionNotOffered
from websocket_heartbeat.events import Message, SessionEvent, size_of

if TYPE_CHECKING:
    from websocket_heartbeat.client.greeter import Greeter


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
        self.is_required: bool = options.mode == "require"
        self.report = report
        self.probes = probes
        self._max_size = max_size
        self.their_max: int = 0
        self._ousted: Greeter | None = None  # whose session waits for the welcome of another link
        self._tell = tell
        self._changed = changed
        self._ended = ended
        self._resumption = Resumption(self.is_required, window)
        self._greeter: Greeter | None = None  # of the newest link
        self.link: SessionLink | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._is_pending = False  # whether `_settle` is to be called later in this turn of the loop
        self.kind: str = ""
        self.why: str = ""
        self.dropped: int = 0
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

    def opened(self, greeter: "Greeter", *, is_selected: bool) -> None:
        """Take a link that is open; one before it is the session's no more."""
        if self._greeter is not None:
            if self.link is not None:
                self._ousted = self._greeter
            self._detach(0)
        self._greeter = greeter
        self._settled().opened(is_selected)
        self._carry_out()

    def lost(self, greeter: "Greeter", code: int) -> None:
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
        """End the previous link: the one that was to take over the session is lost, so neither has it."""
        ousted, self._ousted = self._ousted, None
        if ousted is not None:
            ousted.oust()

    def control(self, greeter: "Greeter", control: resume.Control) -> None:
        """Take a control that has come on a link."""
        if greeter is self._greeter:
            if control.kind == resume.GREETING_CONTROL:
                self.their_max = control.max
            self._settled().control_received(control)
            self._carry_out()

    def other_frame(self, greeter: "Greeter") -> None:
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
                self.link = SessionLink(self, greeter)
                greeter.physical.send_all(_frames_after(self.half, step.number))
                self.link.note_room()
                greeter.attached(self.link)
                self._settle()  # what was handled since the resume
            elif step.kind == resume.BE_PLAIN:
                greeter.be_plain()
            elif step.kind == resume.REFUSE:
                greeter.fail(
                    SessionNotOffered(
                        'the server offers no session: give its Hub sessions=, or use session="prefer" here'
                    )
                )
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
