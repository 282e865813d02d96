"""A session, as a link that outlives links: what a peer has in place of one, over whatever link there is.

What the peer sends is numbered, stored, and then put on the link. What its client sends is given to the peer
one by one, each when the one before was handled and that is recorded. docs/session.md, chapters 5 to 7.
"""

import asyncio
import time
from typing import Protocol

from websocket_heartbeat.controls import NUMBERED, decode, encode, marked_as_text, number_of, unframed
from websocket_heartbeat.core.resume import END, Control
from websocket_heartbeat.core.session import (
    OUT_OF_STEP,
    REPLACED,
    VIOLATION,
    Half,
    Kept,
    Window,
)
from websocket_heartbeat.core.volatile import VOLATILE, Waiting
from websocket_heartbeat.engines.base import (
    WRITE_LIMIT,
    Closure,
    Evidence,
    Link,
    LinkEvents,
    SharedMessage,
    discard,
    marked,
)
from websocket_heartbeat.errors import SessionOver
from websocket_heartbeat.events import Message, size_of
from websocket_heartbeat.redaction import printable
from websocket_heartbeat.server.sessions.state import PeerState
from websocket_heartbeat.server.sessions.store import EXPIRED, OVER, Record, Refused, Store
from websocket_heartbeat.server.sessions.store import REPLACED as RESET
from websocket_heartbeat.system.kernel import Socket
from websocket_heartbeat.system.stall import Stall

MESSAGE_OVERHEAD = 200
"""Bytes that a message takes in memory besides its own, about."""

FAILED = "failed"
"""The reason of a reset: what served the session has raised, or has closed it by a code."""

_SHORT_TTL = 10.0
"""Seconds that a session is kept whose client has neither sent nor acknowledged anything."""

_BEHIND = Window(256, WRITE_LIMIT)
"""Volatile messages that may wait until the store has those before them."""

_SHORT = 8 * 1024
"""Bytes of a message that is written with others: for a longer one, a system call of its own costs little."""


class Carrier(Protocol):
    """What a session needs of whoever has taken in the link beneath: door.py."""

    def part(self, code: int, reason: str) -> None:
        """Close the link, and drop it if its client does not answer."""

    def abort(self) -> None:
        """Drop the link; `SessionLink.detached` follows at once."""

    def gone(self) -> asyncio.Future[None]:
        """Return a future that is done when the link has ended."""


class PeerEvents(LinkEvents, Protocol):
    """What a session calls: the inside of its peer."""

    def volatile_dropped(self) -> None:
        """A volatile message was dropped, of those to the client or from it."""

    def stalled(self) -> None:
        """The client has handled nothing for long, though its link lives, and others wait for it to do so."""


class _Volatile:
    """One that has come, among the messages that have a number."""

    __slots__ = ("message",)

    def __init__(self, message: Message) -> None:
        self.message = message


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

    def held(self, size: float) -> None:
        """Count so many bytes more that messages take, or less."""

    def over(self, session: "SessionLink", why: str, unacknowledged: tuple[Message, ...]) -> None:
        """Forget a session, and tell the user."""

    def moved(self, session: "SessionLink") -> None:
        """Forget a session that another process has."""


class SessionLink(Link):
    """See above. The inside of its peer takes its events: `closed` comes when the session is over.

    id: public, and in logs. principal: whose it is, in text, or None. half: its messages. has_begun: whether
    there is a peer that it is the link of. has_ended: whether this process is done with it; why: the reason.
    held: bytes that its messages take, about. busy_until: for limits.py, which says how often it is resumed.
    """

    __slots__ = (
        "_alarm",
        "_behind",
        "_carrier",
        "_deadline",
        "_ending",
        "_events",
        "_framed",
        "_generation",
        "_inbox",
        "_is_giving",
        "_is_handling",
        "_is_leaving",
        "_is_scheduled",
        "_is_state_new",
        "_is_through",
        "_is_volatile",
        "_is_writing",
        "_keeper",
        "_loop",
        "_marked_acked",
        "_marked_deadline",
        "_marked_ending",
        "_max",
        "_physical",
        "_reading",
        "_said_end_on",
        "_saved_state",
        "_settled",
        "_stall",
        "_state",
        "_state_due",
        "_stored",
        "_their_end",
        "_unstored",
        "_waiting",
        "_writer",
        "busy_until",
        "deliver",
        "full",
        "half",
        "has_begun",
        "has_ended",
        "held",
        "id",
        "principal",
        "subprotocol",
        "why",
    )

    is_session = True

    def __init__(self, keeper: Keeper, record: Record, half: Half, principal: str | None) -> None:
        self.id = record.id
        self.principal = principal
        self.half = half
        self.held = 0.0
        self.busy_until = 0.0
        self.full = False
        self.has_begun = False
        self.has_ended = False
        self.why = ""
        self._keeper = keeper
        self._loop = asyncio.get_running_loop()
        self._generation = record.generation
        self._max = record.max  # the largest message that the client takes
        self._events: PeerEvents
        self._physical: Link | None = None
        self._carrier: Carrier | None = None  # of the link beneath
        self._framed = marked  # what makes a frame of a message
        # Whether the store is to have each message before it is sent. The memory of this process is not: what
        # it had would be lost with the session.
        self._is_through = not keeper.store.is_immediate
        # What the store does not have yet, or the link: messages, as they go there, and what was marked in
        # the store last. Lists, as an empty deque takes 0.6 KiB.
        self._unstored: list[tuple[str, Message]] = []
        self._behind: Waiting | None = None  # the volatile ones among them
        self._stored = half.sent
        self._marked_acked = half.acked
        self._deadline = self._marked_deadline = record.deadline
        self._ending = self._marked_ending = record.ending
        self._said_end_on: Link | None = None
        # What the application keeps with the session: as it was found, as it is, and as it is to be written.
        self._saved_state = record.state
        self._state: PeerState | None = None
        self._is_state_new = False
        self._state_due: bytes | None = None
        self._is_writing = False
        self._is_scheduled = False  # whether `_turn_ends` is to be called
        self._writer: asyncio.Task[None] | None = None
        # What has come and waits until the peer has handled what it has.
        self._inbox: list[Message | _Volatile] = []
        self._waiting: Waiting | None = None  # the volatile ones there
        self._reading: Link | None = None  # the link in whose read we are
        self._is_handling = False
        self._is_volatile = False  # whether what it has is a volatile message
        self._is_giving = False
        self._is_leaving = False  # whether another process is to have the session
        self._settled: asyncio.Future[None] | None = None  # done when nothing is handled or written any more
        self._their_end: str | None = None  # the reason, when the client wants to end the session
        self._alarm: asyncio.TimerHandle | None = None  # for an acknowledgement
        self._stall: Stall | None = None  # once it was full

    def begin(self, events: PeerEvents, subprotocol: str | None) -> None:
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

    @property
    def deadline(self) -> float | None:
        """When the session expires, in seconds since the epoch; None while it has a link."""
        return self._deadline

    def claimed(self, generation: int) -> bool:
        """Take the news that a link has claimed the session; false if another process had it meanwhile."""
        is_ours = generation == self._generation + 1
        if is_ours:
            self._generation = generation
        else:
            self._refused()
        return is_ours

    def attach(self, physical: Link, carrier: Carrier, got: int, acked: int, *, is_text_only: bool) -> None:
        """Go on over a link whose client has received messages up to `got`, and handled up to `acked`.

        is_text_only: whether the client has no binary frames.
        """
        self._part(REPLACED)
        self._physical, self._carrier = physical, carrier
        self._framed = marked_as_text if is_text_only else marked
        self._marked_deadline = None  # as the claim has left it
        if self._ending is None:
            self._deadline = None
        else:
            self._expire_after(self._keeper.ttl)
        physical.deliver = self._take
        self.half.acknowledged(acked)
        self._note_room()
        self._note_held()
        self.half.attached(self.half.recorded)
        last = self.half.sent - sum(character != VOLATILE for character, _ in self._unstored)
        frames = []
        kept = self.half.after(got)
        while kept is not None and kept.number <= last:
            frames.append(self._framed(kept.character, kept.payload))
            kept = kept.next
        physical.send_all(frames)
        self._say_end()
        self._write()

    def detached(self, physical: Link) -> None:
        """Take the news that a link has ended."""
        if physical is self._physical:
            self._let_go()
            self._is_away()

    def _is_away(self) -> None:
        """Let the session expire, unless its client comes back in time."""
        ttl = self._keeper.ttl
        is_unused = self.half.got == 0 and self.half.acked == 0
        self._expire_after(min(_SHORT_TTL, ttl) if is_unused else ttl)
        self._write()

    def _expire_after(self, seconds: float) -> None:
        """Be over in so many seconds, if that is not to be sooner already."""
        if self._deadline is None:
            self._deadline = time.time() + seconds

    def wait_for_client(self) -> None:
        """Take the news that this process has the session, and no link of it."""
        self._is_away()

    async def keep(self, message: Message) -> None:
        """Send a message, and wait until the store has it.

        Raises:
            SessionOver: it does not take it, as it is over.
            OSError: the hub is closed.
        """
        if self._ending is not None:
            raise SessionOver(f"the session is being ended: {printable(self._ending)}")
        self.send(message)
        number = self.half.sent
        while self._is_through and self._stored < number and self._is_writing and self._writer is not None:
            await asyncio.wait([self._writer])
        if self.has_ended:
            raise SessionOver(f"the session is over: {printable(self.why)}")
        if self._is_through and self._stored < number:
            raise OSError("the hub is closed")

    def _part(self, code: int, reason: str = "") -> Link | None:
        """Close the link that there is, and take nothing more that comes on it."""
        physical, carrier = self._let_go()
        if physical is not None and carrier is not None:
            physical.deliver = discard
            carrier.part(code, reason)
        return physical

    def _let_go(self) -> tuple[Link | None, Carrier | None]:
        """Have no link; return the one that there was, and what carries it."""
        was = self._physical, self._carrier
        self._physical = self._carrier = None
        if self._stall is not None:
            self._stall.stop()
        return was

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
            if self._inbox:
                self._note_held()
        elif first == VOLATILE:
            self._volatile_came(frame[1:])
        elif not isinstance(frame, str):
            self._drop(VIOLATION)
        elif first == "%" and (binary := unframed(str(frame[1:]))) is not None:
            self._take(binary)
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

    def _volatile_came(self, message: Message) -> None:
        if self._waiting is None:
            self._waiting = Waiting(self.half.ours)
        if self._waiting.add(size_of(message)):
            self._inbox.append(_Volatile(message))
            self._give()
            self._note_held()
        elif self.has_begun:
            self._events.volatile_dropped()

    def _acknowledged(self, number: int | None) -> None:
        if number is None or not self.half.acknowledged(number):
            self._drop(VIOLATION)
            return
        self._note_room()
        if not self._is_through:
            self._end_if_handled()
        elif self.half.acked == self.half.sent:  # else that is written with the next message, or the last one
            self._write()

    def batch_delivered(self) -> None:
        """Take the news that a read of the link has brought its last frame."""
        self._reading = None
        if not self._is_through:
            if self.half.done > self.half.recorded:
                self._settle()
            self._note_held()

    def _probed(self, sent: int | None) -> None:
        if sent is None:
            self._drop(VIOLATION)
        elif not self.half.is_in_step(sent):
            self._drop(OUT_OF_STEP)
        elif self._physical is not None:
            if not self._is_through:
                self.half.record(self.half.done, self._loop.time())
            self._physical.send(f"={self.half.acknowledge()}?")

    def _give(self) -> None:
        """Give the peer the next message, if it has handled the last one."""
        if self._is_giving or self._is_leaving:
            return
        self._is_giving = True
        try:
            half = self.half
            while self._inbox and not self._is_handling:
                if self._is_through and half.recorded != half.done:
                    break
                self._is_handling = True
                message = self._inbox.pop(0)
                if isinstance(message, _Volatile):
                    message = self._begin_volatile(message)
                try:
                    self.deliver(message)
                except (Exception, asyncio.CancelledError) as error:
                    self._events.deliver_failed(error)
                    self.handled()
        finally:
            self._is_giving = False

    def _begin_volatile(self, volatile: _Volatile) -> Message:
        assert self._waiting is not None
        self._waiting.remove(size_of(volatile.message))
        self._is_volatile = True
        return volatile.message

    @property
    def number(self) -> int:
        """The number of the message that is being handled, or that comes next; 0: it is a volatile one."""
        return 0 if self._is_volatile else self.half.done + 1

    def handled(self) -> None:
        """Take the news that the peer has handled the last message that it was given."""
        if not self._is_handling:
            return
        self._is_handling = False
        is_volatile, self._is_volatile = self._is_volatile, False
        if not is_volatile:
            self.half.handled()
        if self._is_state_new:
            self._write_state()
        if is_volatile:
            self._note_held()
            self._note_settled()
            self._give()
        elif self._is_through or self._physical is None:
            self._write()
        elif self._reading is not self._physical:  # else at the end of the read
            self._settle()

    def _settle(self) -> None:
        """Acknowledge what was handled, if that is due, as nothing is to be written first; and go on."""
        self.half.record(self.half.done, self._loop.time())
        self._acknowledge_if_due()
        self._end_if_handled()
        self._note_settled()
        self._give()

    # What the application keeps with the session

    @property
    def state(self) -> PeerState:
        """As `Peer.state`. Written with the message that is being handled: if not, it is handled again."""
        if self._state is None:
            self._state = PeerState(self._saved_state, self._state_changed)
            self._saved_state = b""
        return self._state

    def _state_changed(self) -> None:
        self._is_state_new = True
        if not self._is_handling:
            self._write_state()

    def _write_state(self) -> None:
        self._is_state_new = False
        if not self.has_ended:
            self._state_due = self.state.encoded()
            self._write()

    def _acknowledge_if_due(self) -> None:
        if self._physical is None:
            return
        now = self._loop.time()
        due = self.half.acknowledgement_due_at()
        if self.half.is_acknowledgement_due(now):
            self._physical.send(f"={self.half.acknowledge()}")
        elif due is not None and self._alarm is None:
            self._alarm = self._loop.call_at(due, self._alarm_rang)

    def _alarm_rang(self) -> None:
        self._alarm = None
        self._acknowledge_if_due()

    # What the peer sends

    def send(self, message: Message) -> None:
        """As in Link."""
        if self.has_ended or self._ending is not None:
            return
        half = self.half
        size = size_of(message)
        if not half.has_room() or size > self._max:
            self._finish(RESET, "overflow", message)
            return
        character = half.accept(message, size)
        self._note_room()
        if self._is_through:
            self._unstored.append((character, message))
            self._write()
        elif self._physical is None:
            self._note_held()
        elif self._reading is self._physical and not self._unstored:
            self._physical.send(
                self._framed(character, message)
            )  # written at the end of the read, with others
        else:
            self._unstored.append((character, message))
            if size > _SHORT:
                self._write()
            elif not self._is_scheduled:
                self._is_scheduled = True
                self._loop.call_soon(self._turn_ends)

    def send_volatile(self, message: Message) -> bool:
        """As in Link: not without a link beneath, and behind what the store does not have yet."""
        if self.has_ended or self._ending is not None:
            return True  # as `send`, which does nothing
        self._write_out()
        physical = self._physical
        if physical is None or size_of(message) > self._max:
            return False
        if not self._unstored:
            return physical.send_volatile(self._framed(VOLATILE, message))
        if self._behind is None:
            self._behind = Waiting(_BEHIND)
        has_room = self._behind.add(size_of(message))
        if has_room:
            self._unstored.append((VOLATILE, message))
        return has_room

    def send_shared_volatile(self, shared: SharedMessage) -> bool:
        """As in Link."""
        self._write_out()
        physical = self._physical
        is_free = not (self.has_ended or self._ending is not None or self._unstored)
        if (
            physical is None
            or not is_free
            or self._framed is not marked
            or size_of(shared.message) > self._max
        ):
            return self.send_volatile(shared.message)
        return physical.send_shared_volatile(shared.marked(VOLATILE))

    def _send_stored(self, batch: list[tuple[str, Message]]) -> None:
        """Send what the store has now, and the volatile messages among it."""
        del self._unstored[: len(batch)]
        frames: list[Message] = []
        for character, message in batch:
            if character == VOLATILE:
                self._send_numbered(frames)
                frames = []
                self._send_behind(message)
            else:
                frames.append(self._framed(character, message))
        self._send_numbered(frames)

    def _send_numbered(self, frames: list[Message]) -> None:
        if frames and self._physical is not None:
            self._physical.send_all(frames)

    def _send_behind(self, message: Message) -> None:
        """Send a volatile message that has waited for the store."""
        assert self._behind is not None
        self._behind.remove(size_of(message))
        physical = self._physical
        if (
            physical is None or not physical.send_volatile(self._framed(VOLATILE, message))
        ) and self.has_begun:
            self._events.volatile_dropped()

    def _note_room(self) -> None:
        """Count as full while more than half of the client's window is taken."""
        half = self.half
        was_full = self.full
        self.full = half.is_half_full()
        if self.full and self._physical is not None and self.has_begun:
            if self._stall is None:
                self._stall = Stall(half, lambda: self.full, self._events.stalled)
            self._stall.begins()
        if was_full and not self.full and self.has_begun:
            self._events.writable()

    def _note_held(self) -> None:
        """Have it counted what the messages take that are not acknowledged, or not handled."""
        half = self.half
        held = half.size() + MESSAGE_OVERHEAD * (half.sent - half.acked + half.got - half.done)
        for volatile in (self._waiting, self._behind):
            if volatile is not None:
                held += volatile.size + MESSAGE_OVERHEAD * volatile.messages
        if held != self.held and not self.has_ended:
            more, self.held = held - self.held, held
            self._keeper.held(more)

    # What is written

    def _write(self) -> None:
        """Have the store know what it does not know."""
        if self._is_writing or self._keeper.is_closed:
            return
        self._is_writing = True
        if self._is_through:
            self._writer = self._loop.create_task(self._bring_up_to_date())
            return
        try:
            self._bring_up_to_date().send(None)
        except StopIteration:
            pass

    def _turn_ends(self) -> None:
        self._is_scheduled = False
        self._write_out()

    def _write_out(self) -> None:
        """Send what waits for others to be written with, and for nothing else."""
        if self._unstored and not self._is_through:
            self._write()

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
        batch = list(self._unstored)
        messages = [message for character, message in batch if character != VOLATILE and self._is_through]
        done, acked, deadline, ending = half.done, half.acked, self._deadline, self._ending
        state = self._state_due
        is_known = done == half.recorded and acked == self._marked_acked and state is None
        is_kept = deadline == self._marked_deadline and ending == self._marked_ending
        if not messages and is_known and is_kept:
            self._send_stored(batch)
            self._note_held()
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
            state=state,
            ending=ending,
        )
        if isinstance(answer, Refused):
            if self._generation != generation:
                return True  # it is us who have claimed it since, for another link
            self._refused()
            return False
        self._stored = answer
        self._marked_acked, self._marked_deadline, self._marked_ending = acked, deadline, ending
        if self._state_due is state:
            self._state_due = None
        self._send_stored(batch)
        half.record(done, self._loop.time())
        self._note_held()
        self._say_end()
        self._acknowledge_if_due()
        self._end_if_handled()
        self._give()
        return True

    def _refused(self) -> None:
        """Be gone: another process has the session."""
        self._part(REPLACED)
        if self._end_here("goes on in another process"):
            self._keeper.moved(self)
            self._tell_peer(Closure(error=SessionOver(self.why)))

    async def hand_over(self, patience: float) -> None:
        """Give the session up to another process: when what is being handled is done, or after `patience`."""
        await self.settle(patience)
        self._refused()

    async def settle(self, patience: float) -> None:
        """Give the peer nothing more; return when what it handles is written, or after `patience`."""
        if self._settled is None:
            self._is_leaving = True
            self._settled = self._loop.create_future()
            self._note_settled()
        await asyncio.wait([self._settled], timeout=patience)

    def _note_settled(self) -> None:
        is_busy = (self._is_handling or self._is_writing) and not self.has_ended
        if self._settled is not None and not is_busy and not self._settled.done():
            self._settled.set_result(None)

    # The end

    def close(self, code: int, reason: str) -> None:
        """Close the link that there is; the client comes back, and the session goes on."""
        self._write_out()
        if self._carrier is not None:
            self._carrier.part(code, reason)

    def abort(self) -> None:
        """Drop the link that there is; the client comes back, and the session goes on."""
        if self._physical is not None and self._carrier is not None:
            self._physical.deliver = discard
            self._carrier.abort()

    def link_gone(self) -> asyncio.Future[None] | None:
        """As in Link."""
        return None if self._carrier is None else self._carrier.gone()

    def end(self, code: int, reason: str) -> None:
        """End the session: the client handles what was sent before, within a ttl, and does not come back."""
        if self._ending is None and not self.has_ended:
            self._ending = reason
            self._expire_after(self._keeper.ttl)
            self._write()

    def end_now(self) -> None:
        """Wait no more for the client, which has not handled all that was sent before the end."""
        if self._ending is not None and not self.has_ended:
            self._finish(OVER, self._ending)

    def _say_end(self) -> None:
        is_due = self._marked_ending is not None and not self._unstored
        if is_due and self._physical is not None and self._said_end_on is not self._physical:
            self._said_end_on = self._physical
            if self.half.recorded > self.half.told:  # what is not told by now would count as uncertain
                self._physical.send(f"={self.half.acknowledge()}")
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
            self._finish(OVER, self._their_end, closure=Closure(1000, self._their_end, framed=True))
        elif self._ending is not None and self.half.acked == self.half.sent:
            self._finish(OVER, self._ending)

    def reset(self, why: str) -> None:
        """Give the session up: its client gets another one."""
        self._finish(RESET, why)

    def expire(self) -> None:
        """End the session before its time."""
        self._finish(EXPIRED, EXPIRED)

    def put_off(self) -> None:
        """Let the session have no link: it was claimed for one that may not go on with it yet."""
        self._part(REPLACED)
        self._is_away()

    def fail(self, code: int, reason: str) -> None:
        """Give the session up, and close its link so: what served it has failed. Its client begins anew."""
        if not self.has_ended:
            self._finish(RESET, FAILED, code=code, reason=reason)

    def release(self) -> None:
        """Let the session go, with what is in the store: the next resume finds it there."""
        self.has_ended = True
        self._keeper.held(-self.held)
        self.close(1001, "")
        if self._alarm is not None:
            self._alarm.cancel()

    async def written(self) -> None:
        """Wait until all is written that was to be."""
        if self._writer is not None:
            await asyncio.wait([self._writer])

    def _finish(
        self,
        kind: str,
        why: str,
        *refused: Message,
        code: int = 1012,
        reason: str = "",
        closure: Closure | None = None,
    ) -> None:
        unacknowledged = (*self._unacknowledged(), *refused)
        if not self._is_through:
            self._write()  # a resume is told what was handled
        self._part(1000 if kind == OVER else code, reason)
        self._keeper.finish(self.id, self._generation, kind, why)
        self._over(why, unacknowledged, closure)

    def expired(self, why: str) -> None:
        """Take the news that the store has ended the session."""
        self._part(1012)
        self._over(why, self._unacknowledged())

    def _unacknowledged(self) -> tuple[Message, ...]:
        messages = []
        kept: Kept | None = self.half.after(self.half.acked)
        while kept is not None:
            messages.append(kept.payload)
            kept = kept.next
        return tuple(messages)

    def _over(self, why: str, unacknowledged: tuple[Message, ...], closure: Closure | None = None) -> None:
        if self._end_here(why):
            self._keeper.over(self, why, unacknowledged)
            self._tell_peer(closure or Closure(error=SessionOver(why)))

    def _end_here(self, why: str) -> bool:
        """Have nothing to do with the session any more; false if that is so already."""
        if self.has_ended:
            return False
        self.has_ended = True
        self.why = why
        self._keeper.held(-self.held)
        self._inbox.clear()
        if self._alarm is not None:
            self._alarm.cancel()
        self._note_settled()
        return True

    def _tell_peer(self, closure: Closure) -> None:
        if self.has_begun:
            self._events.closed(closure)

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
