"""A session, as a link that outlives links: what a peer has in place of one, over whatever link there is.

What comes is in incoming.py, what is sent in writer.py, and the link beneath in attachment.py. Here is how a
session gets links and loses them, what it takes of memory, and how it ends: docs/session.md, chapters 5 to 7.
"""

import asyncio
import time
from typing import Protocol

from websocket_heartbeat.controls import encode
from websocket_heartbeat.core.resume import END, Control
from websocket_heartbeat.core.session import REPLACED, Half, Kept
from websocket_heartbeat.core.volatile import VOLATILE
from websocket_heartbeat.engines.base import Closure, Link, LinkEvents, SharedMessage
from websocket_heartbeat.errors import SendUncertain, SessionOver
from websocket_heartbeat.events import Message, size_of
from websocket_heartbeat.redaction import with_reason
from websocket_heartbeat.server.sessions.attachment import Attachment, Carrier, LinkOverLinks
from websocket_heartbeat.server.sessions.immediate import Immediate
from websocket_heartbeat.server.sessions.incoming import Incoming
from websocket_heartbeat.server.sessions.state import PeerState
from websocket_heartbeat.server.sessions.store import EXPIRED, OVER, Found, Record, Store, Transaction
from websocket_heartbeat.server.sessions.store import REPLACED as RESET
from websocket_heartbeat.server.sessions.store_first import StoreFirst
from websocket_heartbeat.server.sessions.transaction import PeerTransaction
from websocket_heartbeat.server.sessions.writer import Writer
from websocket_heartbeat.system.stall import Stall

MESSAGE_OVERHEAD = 200
"""Bytes that a message takes in memory besides its own, about."""

FAILED = "failed"
"""The reason of a reset: what served the session has raised, or has closed it by a code."""

MOVED = "goes on in another process"
"""Why this process is done with a session that another one has."""

_SHORT_TTL = 10.0
"""Seconds that a session is kept whose client has neither sent nor acknowledged anything."""


class Moved(Exception):
    """This process did not do it, as another one has the session."""


class PeerEvents(LinkEvents, Protocol):
    """What a session calls: the inside of its peer."""

    def volatile_dropped(self) -> None:
        """A volatile message was dropped, of those to the client or from it."""

    def stalled(self) -> None:
        """The client has handled nothing for long, though its link lives, and others wait for it to do so."""


class Keeper(Protocol):
    """What a session needs of the book of all sessions (book.py)."""

    @property
    def store(self) -> Store:
        """Where they are kept."""

    @property
    def ttl(self) -> float:
        """Seconds that one is kept without a link."""

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be written any more."""

    def published(self) -> "asyncio.Future[None] | None":
        """Return what is done when all that was sent to rooms before is published; None: it is."""

    def finish(self, id: str, generation: int, kind: str, why: str) -> None:
        """Have the store end a session."""

    async def may_write_again(self, error: OSError) -> bool:
        """Wait a while after the store could not be written; return whether to try again."""

    async def is_still_ours(self, session: "SessionLink") -> bool:
        """Ask the store whether a session was fenced by a claim of this process that was never answered."""

    async def is_known(self, session: "SessionLink") -> bool:
        """Ask the store whether it has a session, or its end."""

    def held(self, size: float) -> None:
        """Count so many bytes more that messages take, or less."""

    def over(self, session: "SessionLink", why: str, unacknowledged: tuple[Message, ...]) -> None:
        """Forget a session, and tell the user."""

    def moved(self, session: "SessionLink", lost: int) -> None:
        """Forget a session that another process has. lost: messages to its client that only this one had."""

    def interrupted(self, session: "SessionLink", number: int) -> None:
        """Tell that a message may be handled again: it was begun here, and is not known to be recorded."""


class SessionLink(LinkOverLinks):
    """See above. The inside of its peer takes its events: `closed` comes when the session is over.

    id: public, and in logs. principal: whose it is, in text, or None. half: its messages.
    keeper: keeps it, with all others. loop: on which it is. events: those of its peer, once it has one.
    generation: how often it was claimed, as far as this process knows. link_number: that of its last link.
    deadline: when the session expires, in seconds since the epoch; None while it has a link. ending: the
    reason, once the server ends it.
    rooms: those of which it is a member, each with the number of the last message that it has of its stream.
    changed_rooms: those of them that have changed since the store was told; None: it is a member no more.
    has_begun: whether there is a peer that it is the link of. has_ended: whether this process is done with
    it; why: the reason. has_moved: whether that is as another process has it. held: bytes that its messages
    take, about. busy_until: for limits.py, which says how often it is resumed. transaction: that of its user
    whose block runs, if any.
    """

    __slots__ = (
        "_incoming",
        "_is_state_new",
        "_max",
        "_saved_state",
        "_settled",
        "_stall",
        "_state",
        "_writer",
        "busy_until",
        "changed_rooms",
        "deadline",
        "deliver",
        "ending",
        "events",
        "full",
        "generation",
        "half",
        "has_begun",
        "has_ended",
        "has_moved",
        "held",
        "id",
        "keeper",
        "link_number",
        "loop",
        "principal",
        "rooms",
        "subprotocol",
        "transaction",
        "why",
    )

    is_session = True

    def __init__(self, keeper: Keeper, record: Record, half: Half, principal: str | None) -> None:
        self.id: str = record.id
        self.principal: str | None = principal
        self.half: Half = half
        self.keeper: Keeper = keeper
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.events: PeerEvents
        self.generation: int = record.generation
        self.link_number: int = record.link
        self.attachment = None
        self.deadline = record.deadline
        self.ending = record.ending
        self.rooms: dict[str, int] = dict(record.rooms)
        self.changed_rooms: dict[str, int | None] = {}
        self.has_begun: bool = False
        self.has_ended: bool = False
        self.has_moved: bool = False
        self.why: str = ""
        self.held: float = 0.0
        self.busy_until: float = 0.0
        self.full: bool = False
        self.transaction: PeerTransaction | None = None
        self._max = record.max  # the largest message that the client takes
        self._writer: Writer = Immediate(self) if keeper.store.is_immediate else StoreFirst(self, record)
        self._incoming = Incoming(self, self._writer)
        # What the application keeps with the session: as it was found, and as it is.
        self._saved_state = record.state
        self._state: PeerState | None = None
        self._is_state_new = False
        self._settled: asyncio.Future[None] | None = None  # done when nothing is handled or written any more
        self._stall: Stall | None = None  # once it was full

    def begin(self, events: PeerEvents, subprotocol: str | None) -> None:
        """Be the link of a peer."""
        self.has_begun = True
        self.subprotocol: str | None = subprotocol
        self.events = events
        events.opened(self)

    # Links come and go

    def claimed(self, record: Record) -> bool:
        """Take the news that a link has claimed the session; false if another process had it meanwhile."""
        is_ours = record.generation == self.generation + 1
        if is_ours:
            self.generation = record.generation
            self.link_number = record.link
            self._writer.claimed(record)
        else:
            self.fenced()
        return is_ours

    def attach(self, link: Link, carrier: Carrier, got: int, acked: int, *, is_text_only: bool) -> None:
        """Go on over a link whose client has received messages up to `got`, and handled up to `acked`.

        is_text_only: whether the client has no binary frames.
        """
        self._part(REPLACED)
        self.attachment = attachment = Attachment(link, carrier, is_text_only=is_text_only)
        self._writer.attached()
        if self.ending is None:
            self.deadline = None
        else:
            self._expire_after(self.keeper.ttl)
        link.deliver = self._incoming.take
        self.half.acknowledged(acked)
        self.note_room()
        self.note_held()
        self.half.attached(self.half.recorded)
        last = self._writer.sent()
        frames = []
        kept = self.half.after(got)
        while kept is not None and kept.number <= last:
            frames.append(attachment.framed(kept.character, kept.payload))
            kept = kept.next
        link.send_all(frames)
        self.say_end()
        self._writer.write()

    def detached(self, link: Link) -> None:
        """Take the news that a link has ended."""
        if self.attachment is not None and self.attachment.link is link:
            self._let_go()
            self._is_away()

    def found(self) -> Found:
        """Return the session as the store has it, for one that may have forgotten it."""
        return self._writer.found()

    def put_off(self) -> None:
        """Let the session have no link: it was claimed for one that may not go on with it yet."""
        self._part(REPLACED)
        self._is_away()

    def wait_for_client(self) -> None:
        """Take the news that this process has the session, and no link of it."""
        self._is_away()

    def claim_unanswered(self) -> None:
        """Take the news that a link may have claimed the session in the store, which then has no deadline."""
        self._writer.attached()
        self._writer.write()

    def drop(self, code: int) -> None:
        """Close a link that breaks the protocol; its client resumes."""
        if self._part(code):
            self._is_away()

    def _is_away(self) -> None:
        """Let the session expire, unless its client comes back in time."""
        ttl = self.keeper.ttl
        is_unused = self.half.got == 0 and self.half.acked == 0
        self._expire_after(min(_SHORT_TTL, ttl) if is_unused else ttl)
        self._writer.write()

    def _expire_after(self, seconds: float) -> None:
        """Be over in so many seconds, if that is not to be sooner already."""
        if self.deadline is None:
            self.deadline = time.time() + seconds

    def _part(self, code: int, reason: str = "") -> bool:
        """Close the link and have none; false if there was none."""
        attachment = self._let_go()
        if attachment is not None:
            attachment.part(code, reason)
        return attachment is not None

    def _let_go(self) -> Attachment | None:
        """Have no link; return the one that there was."""
        was, self.attachment = self.attachment, None
        if self._stall is not None:
            self._stall.stop()
        return was

    def close(self, code: int, reason: str) -> None:
        """Close the link that there is; the client comes back, and the session goes on."""
        self._writer.flush()
        if self.attachment is not None:
            self.attachment.carrier.part(code, reason)

    # What comes

    def ponged(self) -> None:
        """Take the news that a pong has come."""
        self.events.ponged()

    def batch_delivered(self) -> None:
        """Take the news that a read of the link has brought its last frame."""
        self._incoming.read_ended()

    @property
    def number(self) -> int:
        """The number of the message that is being handled, or that comes next; 0: it is a volatile one."""
        return self._incoming.number

    def handled(self) -> None:
        """Take the news that the peer has handled the last message that it was given."""
        incoming = self._incoming
        if not incoming.is_handling:
            return
        self.transaction = None  # one whose block has not ended comes too late
        is_numbered = incoming.handled()
        if self._is_state_new:
            self._write_state()
        if is_numbered:
            self._writer.handled()
        else:
            self.note_held()
            self.note_settled()
            self.end_if_due()
            incoming.give()

    def go_on(self) -> None:
        """Do what may be done as more is recorded: acknowledge it, end, and give the peer what comes next."""
        self._incoming.acknowledge_if_due()
        self.end_if_due()
        self._incoming.give()

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
        if not self._incoming.is_handling:
            self._write_state()

    def state_to_write(self) -> bytes | None:
        """Return the state, if the message in hand has changed it."""
        return self.state.encoded() if self._is_state_new else None

    def state_written(self, state: bytes) -> None:
        """Take the news that the store has a state."""
        self._is_state_new = self.state.encoded() != state

    def _write_state(self) -> None:
        self._is_state_new = False
        if not self.has_ended:
            self._writer.write_state(self.state.encoded())

    # What the peer sends

    def send(self, message: Message) -> None:
        """As in Link; in the block of a transaction, at its end."""
        if self.transaction is None or self.ending is not None or not self.transaction.takes(message):
            self._send(message)

    def _send(self, message: Message) -> None:
        if self.has_ended or self.ending is not None:
            return
        half = self.half
        size = size_of(message)
        if not half.has_room() or size > self._max:
            self._finish(RESET, "overflow", message)
            return
        character = half.accept(message, size)
        self.note_room()
        self._writer.send(character, message, size)

    def send_shared(self, shared: SharedMessage) -> None:
        """As in Link; a message of a room that the session has already is not sent again."""
        if self.transaction is None or not self.transaction.holds(shared.message, shared.place):
            self._send_shared(shared.message, shared.place)

    def _send_shared(self, message: Message, place: tuple[str, int]) -> None:
        room, number = place
        if number == 0 or number > self.rooms.get(room, 0):
            self._send(message)
        if number > self.rooms.get(room, number):
            self.set_place(room, number)

    def set_place(self, room: str, number: int | None) -> None:
        """Have another place in the stream of a room; None: be a member no more."""
        if self.has_ended:
            return
        if number is None:
            self.rooms.pop(room, None)
        else:
            self.rooms[room] = number
        self.changed_rooms[room] = number

    def write_rooms(self) -> None:
        """Have the store know which rooms the session is in."""
        if not self.has_ended:
            self._writer.write()

    async def keep(self, message: Message) -> None:
        """Send a message, and wait until the store has it.

        Raises:
            SessionOver: it does not take it, as it is over.
            Moved: another process has the session, and the store does not have the message.
            SendUncertain: nobody knows whether the store has it.
            OSError: the hub is closed.
        """
        if self.ending is not None:
            raise SessionOver(with_reason("the session is being ended", self.ending))
        if self.transaction is not None and self.transaction.committing is not None:
            await asyncio.wait([self.transaction.ended])
        number = self.half.sent + 1
        self._send(message)
        if self.half.sent == number and await self._writer.kept(number):
            return
        self._check_here()
        if self._writer.is_uncertain:
            raise SendUncertain("the hub is closed, and the store had not answered")
        raise OSError("the hub is closed")

    async def dismiss(self, reason: str) -> None:
        """End the session as `end`, and wait until the store knows.

        Raises:
            Moved: another process has the session.
            OSError: the hub is closed.
        """
        self.end(0, reason)
        await self._writer.done()
        if self._writer.ending is None and (not self.has_ended or self.has_moved):
            self._check_here()
            raise OSError("the hub is closed")

    def _check_here(self) -> None:
        if self.has_moved and self._writer.is_uncertain:
            raise SendUncertain("the session went on in another process before the store had answered")
        if self.has_moved:
            raise Moved
        if self.has_ended:
            raise SessionOver(with_reason("the session is over", self.why))

    def send_volatile(self, message: Message) -> bool:
        """As in Link: not without a link beneath, and behind what the store does not have yet."""
        if self.has_ended or self.ending is not None:
            return True  # as `send`, which does nothing
        self._writer.flush()
        attachment = self.attachment
        if attachment is None or size_of(message) > self._max:
            return False
        if self._writer.is_waiting:
            return self._writer.send_volatile(message)
        return attachment.link.send_volatile(attachment.framed(VOLATILE, message))

    def send_shared_volatile(self, shared: SharedMessage) -> bool:
        """As in Link."""
        self._writer.flush()
        attachment = self.attachment
        is_free = not (self.has_ended or self.ending is not None or self._writer.is_waiting)
        if (
            attachment is None
            or not is_free
            or not attachment.is_shared
            or size_of(shared.message) > self._max
        ):
            return self.send_volatile(shared.message)
        return attachment.link.send_shared_volatile(shared.marked(VOLATILE))

    def volatile_dropped(self) -> None:
        """Have a volatile message counted that was dropped."""
        if self.has_begun:
            self.events.volatile_dropped()

    # Transactions of the user

    def transaction_begins(self, transaction: PeerTransaction) -> None:
        """Take the news that a block begins.

        Raises:
            RuntimeError: there is no message that it could be about.
            SessionOver: this process is done with the session.
        """
        if self.has_ended:
            raise SessionOver(with_reason("the session is over", self.why))
        if self.transaction is not None:
            raise RuntimeError("peer.transaction() is open already")
        if not self._incoming.is_handling or self.number == 0:
            raise RuntimeError("peer.transaction() needs a message in hand, with a number")
        if self._incoming.is_committed:
            raise RuntimeError("peer.transaction(): the message in hand was committed before")
        self.transaction = transaction

    async def commit(self, begun: Transaction, answers: list[Message]) -> None:
        """Commit what was begun, with the answers and the record that the message in hand is handled.

        Raises:
            SessionOver: another process has the session, or its client has no room for the answers.
            NotCommitted: the store has failed.
        """
        if not self._has_room_for(answers):
            self._finish(RESET, "overflow", *answers)
            raise SessionOver("the session is over: overflow")
        await self._writer.commit(begun, answers)

    def _has_room_for(self, answers: list[Message]) -> bool:
        half = self.half
        count, size = half.sent - half.acked, sum(map(size_of, self.unacknowledged())) if answers else 0
        for answer in answers:
            is_first = count == 0
            if size_of(answer) > self._max or not (
                is_first or (count < half.theirs.messages and size < half.theirs.size)
            ):
                return False
            count, size = count + 1, size + size_of(answer)
        return True

    def message_committed(self) -> None:
        """Take the news that the message in hand is handled, though its hook still runs."""
        self._incoming.committed()

    def transaction_ended(self, transaction: PeerTransaction) -> None:
        """Take the news that a block has ended; do what has waited for that."""
        if self.transaction is transaction:
            self.transaction = None
        for message, place in transaction.held:
            self._send_shared(message, place)
        if not self.has_ended:
            self._writer.write()
            self.say_end()
            self.end_if_due()

    # What is counted

    def note_room(self) -> None:
        """Count as full while more than half of the client's window is taken."""
        half = self.half
        was_full = self.full
        self.full = half.is_half_full()
        if self.full and self.attachment is not None and self.has_begun:
            if self._stall is None:
                self._stall = Stall(half, lambda: self.full, self.events.stalled)
            self._stall.begins()
        if was_full and not self.full and self.has_begun:
            self.events.writable()

    def note_held(self) -> None:
        """Have it counted what the messages take that are not acknowledged, or not handled."""
        half = self.half
        held = half.size() + MESSAGE_OVERHEAD * (half.sent - half.acked + half.got - half.done)
        for volatile in (self._incoming.volatile, self._writer.volatile):
            if volatile is not None:
                held += volatile.size + MESSAGE_OVERHEAD * volatile.messages
        if held != self.held and not self.has_ended:
            more, self.held = held - self.held, held
            self.keeper.held(more)

    # Another process has it

    async def hand_over(self, link: int, patience: float) -> Found | None:
        """Give the session up: when what is being handled is done, or after `patience`; return it.

        link: the number of the link that has come to another process.

        Returns:
            None: it is not given up. Something could not be written, of which nobody else would know, or its
            client has come here by a newer link; or it is not this process's any more.
        """
        await self.settle(patience)
        if self.has_ended:
            return None
        if self._writer.is_writing or self.link_number >= link:
            self._stay()
            return None
        found = self.found()
        self._moves(lost=self.half.sent - found.record.sent)
        return found

    async def hand_over_released(self, link: int) -> Found | None:
        """Do as `hand_over` after `release`: nothing is handled any more."""
        await self._writer.done()
        if self.has_moved or self.link_number >= link:
            return None
        self.has_moved = True
        found = self.found()
        self.keeper.moved(self, lost=self.half.sent - found.record.sent)
        return found

    def _stay(self) -> None:
        """Go on, after all."""
        self._settled = None
        self._incoming.is_leaving = False
        self._incoming.give()

    async def settle(self, patience: float) -> None:
        """Give the peer nothing more; return when what it handles is written, or after `patience`."""
        if self._settled is None:
            self._incoming.is_leaving = True
            self._settled = self.loop.create_future()
            self.note_settled()
        await asyncio.wait([self._settled], timeout=patience)

    def note_settled(self) -> None:
        """Have `settle` return, if nothing is handled or written now."""
        is_busy = (self._incoming.is_handling or self._writer.is_writing) and not self.has_ended
        if self._settled is not None and not is_busy and not self._settled.done():
            self._settled.set_result(None)

    def fenced(self) -> None:
        """Be gone: another process has the session, with what is in the store."""
        self._moves(lost=self._writer.lost())

    def _moves(self, *, lost: int) -> None:
        self._part(REPLACED)
        if self._end_here(MOVED):
            self.has_moved = True
            self._note_interrupted()
            self.keeper.moved(self, lost)
            self._tell_peer(Closure(error=SessionOver(self.why)))

    def release(self) -> None:
        """Let the session go, with what is in the store: the next resume finds it there."""
        self.has_ended = True
        self._note_interrupted()
        self.keeper.held(-self.held)
        self.close(1001, "")
        self._incoming.stop()

    def _note_interrupted(self) -> None:
        number = self._incoming.begun
        if number > self.half.recorded:
            self.keeper.interrupted(self, number)

    def write_again(self) -> "asyncio.Task[None] | None":
        """Write what was to be, if that was cancelled, as the program ends; return what does it."""
        return self._writer.write_again()

    async def written(self) -> None:
        """Wait until all is written that was to be."""
        await self._writer.done()

    # The end

    def end(self, code: int, reason: str) -> None:
        """End the session: the client handles what was sent before, within a ttl, and does not come back."""
        if self.ending is None and not self.has_ended:
            self.ending = reason
            self._expire_after(self.keeper.ttl)
            self._writer.write()

    def end_now(self) -> None:
        """Wait no more for the client, which has not handled all that was sent before the end."""
        if self.ending is not None and not self.has_ended:
            self._finish(OVER, self.ending)

    def say_end(self) -> None:
        """Tell the client that the server ends the session, once the store knows and all else is sent."""
        attachment, ending = self.attachment, self._writer.ending
        if attachment is None or ending is None or attachment.has_said_end or self._writer.is_waiting:
            return
        if self.transaction is not None:  # what it has sent comes before
            return
        attachment.has_said_end = True
        if self.half.recorded > self.half.told:  # what is not told by now would count as uncertain
            attachment.acknowledge(self.half)
        control = Control(END)
        control.why = ending
        attachment.link.send(encode(control))

    def end_if_due(self) -> None:
        """End the session, if one of the two wants that and has what it is owed."""
        if self.has_ended:
            return
        half, theirs = self.half, self._incoming.end
        is_busy = self._incoming.is_handling and self._incoming.is_committed
        if theirs is not None and half.done == half.got == half.recorded and not is_busy:
            if self.attachment is not None:
                self.attachment.acknowledge(half)
            self._finish(OVER, theirs, closure=Closure(1000, theirs, framed=True))
        elif self.ending is not None and half.acked == half.sent and self.transaction is None:
            self._finish(OVER, self.ending)

    def reset(self, why: str) -> None:
        """Give the session up: its client gets another one."""
        self._finish(RESET, why)

    def fail(self, code: int, reason: str) -> None:
        """Give the session up, and close its link so: what served it has failed. Its client begins anew."""
        if not self.has_ended:
            self._finish(RESET, FAILED, code=code, reason=reason)

    def expire(self) -> None:
        """End the session before its time."""
        self._finish(EXPIRED, EXPIRED)

    def expired(self, why: str) -> None:
        """Take the news that the store has ended the session."""
        self._part(1012)
        self._over(why, self.unacknowledged())

    def _finish(
        self,
        kind: str,
        why: str,
        *refused: Message,
        code: int = 1012,
        reason: str = "",
        closure: Closure | None = None,
    ) -> None:
        unacknowledged = (*self.unacknowledged(), *refused)
        self._writer.finish()
        if kind == OVER:
            self._part(1000)
        else:
            self._part(code, reason or why)
        self.keeper.finish(self.id, self.generation, kind, why)
        self._over(why, unacknowledged, closure)

    def unacknowledged(self) -> tuple[Message, ...]:
        """Return what was sent and is not acknowledged, oldest first."""
        messages = []
        kept: Kept | None = self.half.after(self.half.acked)
        while kept is not None:
            messages.append(kept.payload)
            kept = kept.next
        if self.transaction is not None:
            messages.extend(message for message, _ in self.transaction.held)
        return tuple(messages)

    def _over(self, why: str, unacknowledged: tuple[Message, ...], closure: Closure | None = None) -> None:
        if self._end_here(why):
            self.keeper.over(self, why, unacknowledged)
            self._tell_peer(closure or Closure(error=SessionOver(why)))

    def _end_here(self, why: str) -> bool:
        """Have nothing to do with the session any more; false if that is so already."""
        if self.has_ended:
            return False
        self.has_ended = True
        self.why = why
        self.keeper.held(-self.held)
        self._incoming.forget()
        self.note_settled()
        return True

    def _tell_peer(self, closure: Closure) -> None:
        if self.has_begun:
            self.events.closed(closure)
