"""What the client of a session sends: taken in order, given to the peer one by one, and acknowledged.

A message is given when the one before was handled, and that is recorded. docs/session.md, chapters 5 and 6.
"""

import asyncio
from typing import TYPE_CHECKING

from websocket_heartbeat.controls import NUMBERED, decode, number_of, unframed
from websocket_heartbeat.core.resume import END
from websocket_heartbeat.core.session import OUT_OF_STEP, VIOLATION
from websocket_heartbeat.core.volatile import VOLATILE, Waiting
from websocket_heartbeat.events import Message, size_of

if TYPE_CHECKING:
    from websocket_heartbeat.server.sessions.link import SessionLink
    from websocket_heartbeat.server.sessions.writer import Writer


class _Volatile:
    """A volatile message, among the numbered ones that wait."""

    __slots__ = ("message",)

    def __init__(self, message: Message) -> None:
        self.message = message


class Incoming:
    """See above.

    volatile: those that wait; None as long as there was none. is_handling: whether the peer has a message.
    is_leaving: whether it is to get no more, as this process gives the session up. end: the reason, when the
    client wants to end the session. is_committed: whether what the peer has counts as handled already.
    """

    __slots__ = (
        "_alarm",
        "_half",
        "_is_giving",
        "_is_volatile",
        "_session",
        "_waiting",
        "_writer",
        "end",
        "is_committed",
        "is_handling",
        "is_leaving",
        "volatile",
    )

    def __init__(self, session: "SessionLink", writer: "Writer") -> None:
        self._session = session
        self._writer = writer
        self._half = session.half
        self._waiting: list[Message | _Volatile] = []  # an empty deque takes 0.6 KiB
        self.volatile: Waiting | None = None
        self.is_handling: bool = False
        self.is_committed: bool = False
        self._is_volatile = False  # whether what the peer has is a volatile message
        self._is_giving = False
        self.is_leaving: bool = False
        self.end: str | None = None
        self._alarm: asyncio.TimerHandle | None = None  # for an acknowledgement

    # Frames

    def take(self, frame: Message) -> None:
        """Take a frame of the link."""
        first = frame[:1] if isinstance(frame, str) else frame[:1].decode("latin-1")
        session = self._session
        attachment = session.attachment
        if attachment is not None:
            attachment.is_reading = True
        if first in NUMBERED:
            code = self._half.take(first, len(frame) - 1)
            if code != 0:
                session.drop(code)
                return
            self._waiting.append(frame[1:])
            self.give()
            if self._waiting:
                session.note_held()
        elif first == VOLATILE:
            self._take_volatile(frame[1:])
        elif not isinstance(frame, str):
            session.drop(VIOLATION)
        elif first == "%" and (binary := unframed(str(frame[1:]))) is not None:
            self.take(binary)
        elif first == "=":
            self._acknowledged(number_of(frame[1:].removesuffix("?")))
        elif first == "?":
            self._probed(number_of(frame[1:]))
        elif first == "{" and (control := decode(frame)) is not None and control.kind == END:
            self.end = control.why
            session.end_if_due()
        else:
            session.drop(VIOLATION)

    def _take_volatile(self, message: Message) -> None:
        if self.volatile is None:
            self.volatile = Waiting(self._half.ours)
        if self.volatile.add(size_of(message)):
            self._waiting.append(_Volatile(message))
            self.give()
            self._session.note_held()
        else:
            self._session.volatile_dropped()

    def _acknowledged(self, number: int | None) -> None:
        if number is None or not self._half.acknowledged(number):
            self._session.drop(VIOLATION)
        else:
            self._session.note_room()
            self._writer.acknowledged()

    def _probed(self, sent: int | None) -> None:
        attachment = self._session.attachment
        if sent is None:
            self._session.drop(VIOLATION)
        elif not self._half.is_in_step(sent):
            self._session.drop(OUT_OF_STEP)
        elif attachment is not None:
            self._writer.record()
            attachment.link.send(f"={self._half.acknowledge()}?")

    def read_ended(self) -> None:
        """Take the news that a read of the link has brought its last frame."""
        if self._session.attachment is not None:
            self._session.attachment.is_reading = False
        self._writer.read_ended()

    # Messages

    def give(self) -> None:
        """Give the peer the next message, if it has handled the last one and that is recorded."""
        if self._is_giving or self.is_leaving:
            return
        self._is_giving = True
        try:
            half = self._half
            while self._waiting and not self.is_handling:
                if self._writer.records_first and half.recorded != half.done:
                    break
                self.is_handling = True
                message = self._waiting.pop(0)
                if isinstance(message, _Volatile):
                    message = self._begin_volatile(message)
                try:
                    self._session.deliver(message)
                except (Exception, asyncio.CancelledError) as error:
                    self._session.events.deliver_failed(error)
                    self._session.handled()
        finally:
            self._is_giving = False

    def _begin_volatile(self, volatile: _Volatile) -> Message:
        assert self.volatile is not None
        self.volatile.remove(size_of(volatile.message))
        self._is_volatile = True
        return volatile.message

    @property
    def number(self) -> int:
        """The number of the message that is being handled, or that comes next; 0: it is a volatile one."""
        if self._is_volatile:
            return 0
        return self._half.done if self.is_committed else self._half.done + 1

    @property
    def begun(self) -> int:
        """The number of the last message that was given to the peer; volatile ones have none."""
        is_ahead = self.is_handling and not self._is_volatile and not self.is_committed
        return self._half.done + is_ahead

    def handled(self) -> bool:
        """Note that the peer has handled what it has; return whether that is to be recorded."""
        self.is_handling = False
        is_recorded = self._is_volatile or self.is_committed
        self._is_volatile = self.is_committed = False
        if not is_recorded:
            self._half.handled()
        return not is_recorded

    def committed(self) -> None:
        """Note that what the peer has counts as handled, and that this is recorded."""
        self.is_committed = True
        self._half.handled()

    def forget(self) -> None:
        """Give the peer nothing more, as the session is over here."""
        self._waiting.clear()
        self.stop()

    # Acknowledgements

    def acknowledge_if_due(self) -> None:
        """Acknowledge what is recorded, now or a little later."""
        attachment = self._session.attachment
        if attachment is None:
            return
        loop = self._session.loop
        due = self._half.acknowledgement_due_at()
        if self._half.is_acknowledgement_due(loop.time()):
            attachment.acknowledge(self._half)
        elif due is not None and self._alarm is None:
            self._alarm = loop.call_at(due, self._alarm_rang)

    def _alarm_rang(self) -> None:
        self._alarm = None
        self.acknowledge_if_due()

    def stop(self) -> None:
        """Acknowledge nothing later."""
        if self._alarm is not None:
            self._alarm.cancel()
