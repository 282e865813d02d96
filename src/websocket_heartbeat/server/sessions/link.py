"""A session, as a link that outlives links: what a peer has in place of one, over whatever link there is.

What the peer sends is numbered, stored, and then put on the link. What its client sends is given to the peer
one by one, each when the one before was handled and that is recorded. docs/session.md, chapters 5 to 7.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from websocket_heartbeat.controls import NUMBERED, decode, encode, number_of
from websocket_heartbeat.core.resume import END, Control
from websocket_heartbeat.core.session import OUT_OF_STEP, REPLACED, VIOLATION, Half, Kept
from websocket_heartbeat.engines.base import Closure, Evidence, Link, LinkEvents
from websocket_heartbeat.errors import SessionOver
from websocket_heartbeat.events import Message, size_of
from websocket_heartbeat.server.sessions.store import OVER, Record, Refused, Store
from websocket_heartbeat.server.sessions.store import REPLACED as RESET
from websocket_heartbeat.system.kernel import Socket

_SHORT_TTL = 10.0
"""Seconds that a session is kept whose client has neither sent nor acknowledged anything."""


Parting = Callable[[int, str], None]


class Keeper(Protocol):
    """What a session needs of whoever keeps all of them: book.py."""

    @property
    def store(self) -> Store:
        """Where they are kept."""

    @property
    def ttl(self) -> float:
        """Seconds that one is kept without a link."""

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be written any more."""

    def finish(self, id: str, generation: int, kind: str, why: str) -> None:
        """Have the store end a session."""

    async def may_write_again(self, error: OSError) -> bool:
        """Wait a while after the store could not be written; return whether to try again."""

    def over(self, session: "SessionLink", why: str, unacknowledged: tuple[Message, ...]) -> None:
        """Forget a session, and tell the user."""

    def moved(self, session: "SessionLink") -> None:
        """Forget a session that another process has."""


class SessionLink(Link):
    """See above. The inside of its peer takes its events: `closed` comes when the session is over.

    id: public, and in logs. half: its messages. has_begun: whether there is a peer that it is the link of.
    has_ended: whether this process has nothing to do with it any more.
    """

    __slots__ = (
        "_alarm",
        "_deadline",
        "_ending",
        "_events",
        "_generation",
        "_half_window",
        "_inbox",
        "_is_giving",
        "_is_handling",
        "_is_immediate",
        "_is_leaving",
        "_is_scheduled",
        "_is_writing",
        "_keeper",
        "_loop",
        "_marked_acked",
        "_marked_deadline",
        "_marked_ending",
        "_max",
        "_parting",
        "_physical",
        "_reading",
        "_said_end_on",
        "_settled",
        "_stored",
        "_surely_fits",
        "_their_end",
        "_unstored",
        "_writer",
        "deliver",
        "full",
        "half",
        "has_begun",
        "has_ended",
        "id",
        "subprotocol",
    )

    is_session = True

    def __init__(self, keeper: Keeper, record: Record, half: Half) -> None:
        self.id = record.id
        self.half = half
        self.full = False
        self.has_begun = False
        self.has_ended = False
        self._keeper = keeper
        self._loop = asyncio.get_running_loop()
        self._generation = record.generation
        self._max = record.max  # bytes of the largest message that the client takes
        self._surely_fits = record.max // 4  # a text that long: a character has four bytes at most
        self._half_window = half.theirs.messages / 2
        self._events: LinkEvents
        self._physical: Link | None = None
        self._parting: Parting = _no_parting
        # The last message that the store has, the first that it does not have yet, and what it knows besides.
        self._stored = half.sent
        self._unstored: Kept | None = None
        self._marked_acked = half.acked
        self._deadline = self._marked_deadline = record.deadline
        self._ending = self._marked_ending = record.ending
        self._said_end_on: Link | None = None
        self._is_immediate = keeper.store.is_immediate
        self._is_writing = False
        self._is_scheduled = False  # whether that begins with the next turn of the loop
        self._reading: Link | None = None  # the link in whose read we are: at its end we write
        self._writer: asyncio.Task[None] | None = None
        # What has come and waits until the peer has handled what it has. No deque: an empty one takes 0.6 KiB.
        self._inbox: list[Message] = []
        self._is_handling = False
        self._is_giving = False
        self._is_leaving = False  # whether another process is to have the session
        self._settled: asyncio.Future[None] | None = None  # done when nothing is handled or written any more
        self._their_end: str | None = None  # the reason, when the client wants to end the session
        self._alarm: asyncio.TimerHandle | None = None  # for an acknowledgement

    def begin(self, events: LinkEvents, subprotocol: str | None) -> None:
        """Be the link of a peer."""
        self.has_begun = True
        self.subprotocol = subprotocol
        self._events = events
        events.opened(self)

    # The link beneath

    @property
    def physical(self) -> Link | None:
        """The link that there is now."""
        return self._physical

    def claimed(self, generation: int) -> bool:
        """Take the news that a link has claimed the session; false if another process had it meanwhile."""
        is_ours = generation == self._generation + 1
        if is_ours:
            self._generation = generation
        else:
            self._refused()
        return is_ours

    def attach(self, physical: Link, part: Parting, got: int, acked: int) -> None:
        """Go on over a link whose client has received messages up to `got`, and handled up to `acked`.

        part: closes the link, and drops it if its client does not answer.
        """
        self._part(REPLACED)
        self._physical, self._parting = physical, part
        self._deadline = None
        physical.deliver = self._take
        self.half.acknowledged(acked)
        self._note_room()
        self.half.attached(self.half.recorded)
        physical.send_all(_frames(self.half.after(got), self._stored))
        self._say_end()
        self._write()

    def detached(self, physical: Link) -> None:
        """Take the news that a link has ended."""
        if physical is self._physical:
            self._physical = None
            self._is_away()

    def _is_away(self) -> None:
        """Let the session expire, unless its client comes back in time."""
        ttl = self._keeper.ttl
        is_unused = self.half.got == 0 and self.half.acked == 0
        self._deadline = time.time() + (min(_SHORT_TTL, ttl) if is_unused else ttl)
        self._write()

    def _part(self, code: int) -> Link | None:
        """Close the link that there is, and take nothing more that comes on it."""
        physical, self._physical = self._physical, None
        if physical is not None:
            physical.deliver = _discard
            self._parting(code, "")
        return physical

    def _drop(self, code: int) -> None:
        """Close a link that breaks the protocol; its client resumes."""
        if self._part(code) is not None:
            self._is_away()

    # What the client sends

    def _take(self, frame: Message) -> None:
        first = frame[:1] if isinstance(frame, str) else frame[:1].decode("latin-1")
        self._reading = self._physical
        if first in NUMBERED:
            code = self.half.take(first, len(frame) - 1)
            if code != 0:
                self._drop(code)
                return
            self._inbox.append(frame[1:])
            self._give()
        elif not isinstance(frame, str):
            self._drop(VIOLATION)
        elif first == "=":
            self._acknowledged(number_of(frame[1:].removesuffix("?")))
        elif first == "?":
            self._probed(number_of(frame[1:]))
        elif first == "{":
            control = decode(frame)
            if control is None or control.kind != END:
                self._drop(VIOLATION)
            else:
                self._their_end = control.why
                self._end_if_handled()
        else:
            self._drop(VIOLATION)

    def _acknowledged(self, number: int | None) -> None:
        if number is None or not self.half.acknowledged(number):
            self._drop(VIOLATION)
            return
        self._note_room()
        if self.half.acked == self.half.sent:  # else the store is told with the next message, or the last one
            self._write()

    def _probed(self, sent: int | None) -> None:
        if sent is None:
            self._drop(VIOLATION)
        elif not self.half.is_in_step(sent):
            self._drop(OUT_OF_STEP)
        elif self._physical is not None:
            self._physical.send(f"={self.half.acknowledge()}?")

    def _give(self) -> None:
        """Give the peer the next message, if it has handled the last one."""
        if self._is_giving or self._is_leaving:
            return
        self._is_giving = True
        try:
            while self._inbox and not self._is_handling and self._may_handle():
                self._is_handling = True
                try:
                    self.deliver(self._inbox.pop(0))
                except (Exception, asyncio.CancelledError) as error:
                    self._events.deliver_failed(error)
                    self.handled()
        finally:
            self._is_giving = False

    def _may_handle(self) -> bool:
        """Whether what was handled is recorded; in the memory of this process that can wait."""
        return self._is_immediate or self.half.recorded == self.half.done

    def handled(self) -> None:
        """Take the news that the peer has handled the last message that it was given."""
        if self._is_handling:
            self._is_handling = False
            self.half.handled()
            self._write()

    def _acknowledgement(self) -> list[Message]:
        """Return the frame of one that is due, if there is a link for it."""
        if self._physical is None:
            return []
        if self.half.is_acknowledgement_due(self._loop.time()):
            return [f"={self.half.acknowledge()}"]
        due = self.half.acknowledgement_due_at()
        if due is not None and self._alarm is None:
            self._alarm = self._loop.call_at(due, self._alarm_rang)
        return []

    def _alarm_rang(self) -> None:
        self._alarm = None
        acknowledgement = self._acknowledgement()
        if self._physical is not None:
            self._physical.send_all(acknowledgement)

    # What the peer sends

    def send(self, message: Message) -> None:
        """As in Link."""
        if self.has_ended or self._ending is not None:
            return
        half = self.half
        size = len(message)
        if not half.has_room(size) or (size > self._surely_fits and size_of(message) > self._max):
            self._finish(RESET, "overflow", message)
            return
        half.accept(message, size)
        if self._unstored is None:
            self._unstored = half.newest
        self.full = half.sent - half.acked > self._half_window
        self._write()

    def _note_room(self) -> None:
        """Count as full while more than half of the client's window is unacknowledged."""
        was_full, self.full = self.full, self.half.sent - self.half.acked > self._half_window
        if was_full and not self.full and self.has_begun:
            self._events.writable()

    # What is written

    def _write(self) -> None:
        """Have the store know what it does not know: soon, and once for all that comes until then."""
        if self._is_writing or self._is_scheduled or self._keeper.is_closed:
            return
        if not self._is_immediate:
            self._is_writing = True
            self._writer = self._loop.create_task(self._bring_up_to_date())
        elif self._reading is None or self._reading is not self._physical:
            self._is_scheduled = True
            self._loop.call_soon(self._write_now)

    def _write_now(self) -> None:
        """Write to a store that never waits."""
        self._is_scheduled = False
        if self._is_immediate and not self._is_writing:
            self._is_writing = True
            try:
                self._bring_up_to_date().send(None)
            except StopIteration:
                pass

    def batch_delivered(self) -> None:
        """Take the news that a read of the link has brought its last frame."""
        self._reading = None
        self._write_now()

    async def _bring_up_to_date(self) -> None:
        try:
            while not self._keeper.is_closed:
                try:
                    if not await self._write_once():
                        break
                except OSError as error:
                    if not await self._keeper.may_write_again(error):
                        break
        finally:
            self._is_writing = False
            self._note_settled()

    async def _write_once(self) -> bool:
        """Write what the store does not know; return whether there was anything."""
        half = self.half
        messages = _payloads(self._unstored)
        done, acked, deadline, ending = half.done, half.acked, self._deadline, self._ending
        is_known = done == half.recorded and acked == self._marked_acked
        if not messages and is_known and deadline == self._marked_deadline and ending == self._marked_ending:
            return False
        generation = self._generation
        answer = await self._keeper.store.write(
            self.id,
            generation,
            self._stored,
            messages,
            done=done,
            acked=acked,
            deadline=deadline,
            ending=ending,
        )
        if isinstance(answer, Refused):
            if self._generation != generation:
                return True  # it is us who have claimed it since, for another link
            self._refused()
            return False
        self._stored = answer
        self._marked_acked, self._marked_deadline, self._marked_ending = acked, deadline, ending
        frames = _frames(self._unstored, answer)
        self._unstored = None if answer == half.sent else half.after(answer)
        half.record(done, self._loop.time())
        frames += self._acknowledgement()
        if self._physical is not None:
            self._physical.send_all(frames)
        self._say_end()
        self._end_if_handled()
        self._give()
        return True

    def _refused(self) -> None:
        """Be gone: another process has the session."""
        self._part(REPLACED)
        if self._end_here():
            self._keeper.moved(self)
            self._tell_peer("goes on in another process")

    async def hand_over(self, patience: float) -> None:
        """Give the session up to another process: when what is being handled is done, or after `patience`."""
        if self._settled is None:
            self._is_leaving = True
            self._settled = self._loop.create_future()
            self._note_settled()
        await asyncio.wait([self._settled], timeout=patience)
        self._refused()

    def _note_settled(self) -> None:
        is_busy = self._is_handling or self._is_writing or self._is_scheduled
        if self._settled is not None and not (is_busy or self._settled.done()):
            self._settled.set_result(None)

    # The end

    def close(self, code: int, reason: str) -> None:
        """Close the link that there is; the client comes back, and the session goes on."""
        self._write_now()  # what was sent before goes first, where it can
        if self._physical is not None:
            self._parting(code, reason)

    def abort(self) -> None:
        """Drop the link that there is; the client comes back, and the session goes on."""
        if self._physical is not None:
            physical = self._physical
            physical.deliver = _discard
            physical.abort()
            self.detached(physical)

    def end(self, code: int, reason: str) -> None:
        """End the session: the client handles all that was sent before, and does not come back."""
        if self._ending is None and not self.has_ended:
            self._ending = reason
            self._write()

    def _say_end(self) -> None:
        is_due = self._marked_ending is not None and self._stored == self.half.sent
        if is_due and self._physical is not None and self._said_end_on is not self._physical:
            self._said_end_on = self._physical
            control = Control(END)
            control.why = self._marked_ending or ""
            self._physical.send(encode(control))

    def _end_if_handled(self) -> None:
        """End the session, if one of the two wants that and has what it is owed."""
        if self.has_ended:
            return
        if self._their_end is not None and self.half.done == self.half.got == self.half.recorded:
            if self._physical is not None:
                self._physical.send(f"={self.half.acknowledge()}")
            self._finish(OVER, self._their_end)
        elif self._ending is not None and self.half.acked == self.half.sent:
            self._finish(OVER, self._ending)

    def reset(self, why: str) -> None:
        """Give the session up: its client gets another one."""
        self._finish(RESET, why)

    def release(self) -> None:
        """Let the session go, with what is in the store: the next resume finds it there."""
        self.has_ended = True
        self.close(1001, "")
        if self._alarm is not None:
            self._alarm.cancel()

    async def written(self) -> None:
        """Wait until all is written that was to be."""
        if self._writer is not None:
            await asyncio.wait([self._writer])

    def _finish(self, kind: str, why: str, *refused: Message) -> None:
        unacknowledged = (*self._unacknowledged(), *refused)
        self._part(1000 if kind == OVER else 1012)
        self._keeper.finish(self.id, self._generation, kind, why)
        self._over(why, unacknowledged)

    def expired(self, why: str) -> None:
        """Take the news that the store has ended the session."""
        self._part(1012)
        self._over(why, self._unacknowledged())

    def _unacknowledged(self) -> tuple[Message, ...]:
        return tuple(_payloads(self.half.after(self.half.acked)))

    def _over(self, why: str, unacknowledged: tuple[Message, ...]) -> None:
        if self._end_here():
            self._keeper.over(self, why, unacknowledged)
            self._tell_peer(why)

    def _end_here(self) -> bool:
        """Have nothing to do with the session any more; false if that is so already."""
        if self.has_ended:
            return False
        self.has_ended = True
        self._inbox.clear()
        if self._alarm is not None:
            self._alarm.cancel()
        return True

    def _tell_peer(self, why: str) -> None:
        if self.has_begun:
            self._events.closed(Closure(error=SessionOver(why)))

    # The link beneath

    def ponged(self) -> None:
        """Take the news that a pong has come."""
        self._events.ponged()

    def pause_reading(self) -> None:
        """Nothing to do: the window bounds what comes, and acknowledgements must be read."""

    def resume_reading(self) -> None:
        """Nothing to do."""

    def ping(self) -> None:
        """As in Link."""
        if self._physical is not None:
            self._physical.ping()

    @property
    def can_ping(self) -> bool:  # type: ignore[override]
        """Whether silence of the link beneath says something; there is none to be silent while detached."""
        return self._physical is not None and self._physical.can_ping

    @property
    def socket(self) -> Socket | None:  # type: ignore[override]
        """That of the link beneath."""
        return None if self._physical is None else self._physical.socket

    @property
    def native(self) -> object:
        """That of the link beneath."""
        return None if self._physical is None else self._physical.native

    @property
    def buffered(self) -> int:
        """As in Link."""
        return 0 if self._physical is None else self._physical.buffered

    @property
    def uncertain(self) -> int | None:
        """Nothing is: what was not acknowledged is sent again, or reported."""
        return 0

    def evidence(self) -> Evidence:
        """As in Link; without a link beneath, nobody is silent."""
        if self._physical is None:
            now = self._loop.time()
            return Evidence(now, now, 0)
        return self._physical.evidence()

    @property
    def position(self) -> int:
        """As in Link."""
        return 0 if self._physical is None else self._physical.position


def _payloads(kept: Kept | None) -> list[Message]:
    """Return a message of the outbox and all after it."""
    messages = []
    while kept is not None:
        messages.append(kept.payload)
        kept = kept.next
    return messages


def _frames(kept: Kept | None, last: int) -> list[Message]:
    """Return them as they go on the link, up to that number."""
    frames: list[Message] = []
    while kept is not None and kept.number <= last:
        message: Message = kept.payload
        frames.append(
            kept.character + message if isinstance(message, str) else kept.character.encode() + message
        )
        kept = kept.next
    return frames


def _discard(message: Message) -> None:
    """Take what comes on a link that is the session's no more."""


def _no_parting(code: int, reason: str) -> None:
    """Close the link that there is: there is none."""
