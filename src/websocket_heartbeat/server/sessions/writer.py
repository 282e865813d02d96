"""What a session has written to its store, and sends to its client: two ways, by what a store can lose.

A store that outlives the process has each message before the link has it, and knows what was handled before
the client does (`StoreFirst`). What the memory of the process had would be lost with the session: so it gets
no messages, and learns what was handled only while there is no link (`Immediate`). docs/session.md, 5 and 7.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from websocket_heartbeat.core.session import Window
from websocket_heartbeat.core.volatile import VOLATILE, Waiting
from websocket_heartbeat.engines.base import WRITE_LIMIT
from websocket_heartbeat.errors import NotCommitted, SessionOver
from websocket_heartbeat.events import Message, size_of
from websocket_heartbeat.server.sessions.memory import MemoryStore
from websocket_heartbeat.server.sessions.store import Found, Record, Refused, Transaction, with_changes

if TYPE_CHECKING:
    from websocket_heartbeat.server.sessions.link import SessionLink

_BEHIND = Window(256, WRITE_LIMIT)
"""Volatile messages that may wait behind others."""

_SHORT = 8 * 1024
"""Bytes of a message that is written with others: for a longer one, a system call of its own costs little."""


class Writer(ABC):
    """See above; this is what both have.

    records_first: whether the peer is given a message only when the one before is recorded.
    is_writing: whether the store is asked to write. is_uncertain: whether it has failed to answer, so that it
    may have what this process does not know of. ending: the reason of the end, once the store knows that the
    server ends the session. volatile: those that wait; None as long as there was none.
    """

    __slots__ = (
        "_acked",
        "_deadline",
        "_done",
        "_half",
        "_is_held",
        "_session",
        "_state",
        "_stored",
        "_waiting",
        "ending",
        "is_uncertain",
        "is_writing",
        "volatile",
    )

    def __init__(self, session: "SessionLink") -> None:
        self._session = session
        self._half = session.half
        self.is_writing: bool = False
        self._is_held = False  # the store is not to be asked, as a transaction waits for its turn
        self.is_uncertain: bool = False
        # What is to go to the link, each with its character. A list, as an empty deque takes 0.6 KiB.
        self._waiting: list[tuple[str, Message]] = []
        self.volatile: Waiting | None = None
        # What the store has, or need not have; and the state that it does not have yet.
        self._stored = session.half.sent
        self._done = session.half.done
        self._acked = session.half.acked
        self._deadline = session.deadline
        self.ending = session.ending
        self._state: bytes | None = None

    # What differs

    records_first: bool

    @abstractmethod
    def send(self, character: str, message: Message, size: int) -> None:
        """Send a message that has its number."""

    @abstractmethod
    def flush(self) -> None:
        """Send what waits for others to be written with, and for nothing else."""

    @abstractmethod
    def write(self) -> None:
        """Have the store know what it does not know."""

    @abstractmethod
    def record(self) -> None:
        """Let what was handled be acknowledged now, where nothing need be written first."""

    @abstractmethod
    def handled(self) -> None:
        """Take the news that a message was handled."""

    @abstractmethod
    def acknowledged(self) -> None:
        """Take the news that the client has acknowledged."""

    @abstractmethod
    def read_ended(self) -> None:
        """Take the news that a read of the link has ended."""

    @abstractmethod
    def finish(self) -> None:
        """Have the store know, before it ends the session, what it is to tell of that."""

    @abstractmethod
    async def commit(self, begun: Transaction, answers: list[Message]) -> None:
        """Do as `SessionLink.commit`, where there is room."""

    @abstractmethod
    def found(self) -> Found:
        """Return the session as the store has it, or is to have it where only this process has."""

    @abstractmethod
    def lost(self) -> int:
        """Return how many messages nobody has but this process, which does not have the session any more."""

    @abstractmethod
    async def kept(self, number: int) -> bool:
        """Wait until the store has a message; return false if it never will."""

    @abstractmethod
    async def done(self) -> None:
        """Wait until all is written that was to be."""

    @abstractmethod
    def _of(self, batch: list[tuple[str, Message]]) -> list[Message]:
        """Return what the store is to have of what waits for the link."""

    # What is sent

    @property
    def is_waiting(self) -> bool:
        """Whether anything waits to go to the link."""
        return bool(self._waiting)

    def sent(self) -> int:
        """Return the number of the last message that does not wait."""
        return self._half.sent - sum(character != VOLATILE for character, _ in self._waiting)

    def send_volatile(self, message: Message) -> bool:
        """Have a volatile message wait behind others; return whether there is room."""
        if self.volatile is None:
            self.volatile = Waiting(_BEHIND)
        has_room = self.volatile.add(size_of(message))
        if has_room:
            self._waiting.append((VOLATILE, message))
        return has_room

    def _send(self, batch: list[tuple[str, Message]]) -> None:
        """Send what has waited, which the store has now."""
        del self._waiting[: len(batch)]
        attachment = self._session.attachment
        frames: list[Message] = []
        for character, message in batch:
            if character == VOLATILE:
                self._send_frames(frames)
                frames = []
                self._send_behind(message)
            elif attachment is not None:
                frames.append(attachment.framed(character, message))
        self._send_frames(frames)

    def _send_frames(self, frames: list[Message]) -> None:
        if frames and self._session.attachment is not None:
            self._session.attachment.link.send_all(frames)

    def _send_behind(self, message: Message) -> None:
        """Send a volatile message that has waited."""
        assert self.volatile is not None
        self.volatile.remove(size_of(message))
        attachment = self._session.attachment
        if attachment is None or not attachment.link.send_volatile(attachment.framed(VOLATILE, message)):
            self._session.volatile_dropped()

    # What is written

    @abstractmethod
    def claimed(self, record: Record) -> None:
        """Take the news that a link has claimed the session."""

    def attached(self) -> None:
        """Take the news that the session has a link: the store has no deadline for it since the claim."""
        self._deadline = None

    def write_state(self, state: bytes) -> None:
        """Have the store keep the peer's state, with the record of what was handled."""
        self._state = state
        self.write()

    async def _bring_up_to_date(self) -> None:
        keeper = self._session.keeper
        try:
            while not keeper.is_closed and not self._is_held:
                try:
                    if not await self._write_once():
                        break
                except OSError as error:
                    self.is_uncertain = True
                    if not await keeper.may_write_again(error):
                        break
        finally:
            self.is_writing = False
            self._session.note_settled()

    async def _write_once(self) -> bool:
        """Write what the store does not know; return whether there was anything."""
        session, half = self._session, self._half
        batch = list(self._waiting)
        messages = self._of(batch)
        done, acked, deadline, ending = half.done, half.acked, session.deadline, session.ending
        state = self._state
        is_known = done == self._done and acked == self._acked and state is None
        is_kept = deadline == self._deadline and ending == self.ending and not session.moved
        rooms = dict(session.moved)  # up to the last of these messages
        if not messages and is_known and is_kept:
            self._send(batch)
            session.note_held()
            return False
        generation = session.generation
        answer = await session.keeper.store.write(
            session.id,
            generation,
            self._stored,
            messages,
            done=done,
            acked=acked,
            deadline=deadline,
            state=state,
            ending=ending,
            rooms=rooms,
        )
        if isinstance(answer, Refused):
            if session.generation != generation:
                return True  # it is us who have claimed it since, for another link
            if answer is Refused.FENCED and await session.keeper.is_still_ours(session):
                return True
            session.fenced()
            return False
        self.is_uncertain = False
        self._stored, self._done = answer, done
        self._acked, self._deadline, self.ending = acked, deadline, ending
        if state is not None:
            self._state_written(state)
        if rooms:
            self._rooms_written(rooms)
        self._send(batch)
        half.record(done, session.loop.time())
        session.note_held()
        session.say_end()
        session.go_on()
        return True

    def _state_written(self, state: bytes) -> None:
        if self._state is state:
            self._state = None

    def _rooms_written(self, rooms: Mapping[str, int | None]) -> None:
        moved = self._session.moved
        for room, number in rooms.items():
            if moved[room] == number:
                del moved[room]


_TRIES = 3
"""So often is a commit tried that is refused though the session is this process's."""


class _Told(NamedTuple):
    """What a transaction tells the store, beside its answers. batch: what has waited for the store."""

    batch: list[tuple[str, Message]]
    done: int
    acked: int
    deadline: float | None
    state: bytes | None
    rooms: dict[str, int | None]


class StoreFirst(Writer):
    """The store is asked by a task, with all that has come together meanwhile."""

    __slots__ = ("_record", "_task")

    records_first = True

    def __init__(self, session: "SessionLink", record: Record) -> None:
        super().__init__(session)
        self._record = record
        self._task: asyncio.Task[None] | None = None

    def claimed(self, record: Record) -> None:
        """As in Writer."""
        self._record = record

    def _state_written(self, state: bytes) -> None:
        super()._state_written(state)
        self._record.state = state

    def _rooms_written(self, rooms: Mapping[str, int | None]) -> None:
        super()._rooms_written(rooms)
        self._record.rooms = with_changes(self._record.rooms, rooms)

    def found(self) -> Found:
        """As in Writer."""
        half = self._half
        record = replace(
            self._record,
            generation=self._session.generation,
            done=self._done,
            sent=self._stored,
            acked=half.acked,
            deadline=self._deadline,
            ending=self.ending,
        )
        return Found(record, self._session.unacknowledged()[: self._stored - half.acked])

    def send(self, character: str, message: Message, size: int) -> None:
        """As in Writer: the store has it first."""
        self._waiting.append((character, message))
        self.write()

    def flush(self) -> None:
        """Nothing to do: all waits for the store."""

    def write(self) -> None:
        """As in Writer."""
        if not self.is_writing and not self._is_held and not self._session.keeper.is_closed:
            self.is_writing: bool = True
            self._task = self._session.loop.create_task(self._bring_up_to_date())

    def record(self) -> None:
        """Nothing to do: the store records."""

    def handled(self) -> None:
        """As in Writer."""
        self.write()

    def acknowledged(self) -> None:
        """As in Writer: written with the next message, unless that was the last one."""
        if self._half.acked == self._half.sent:
            self.write()

    def read_ended(self) -> None:
        """Nothing to do."""

    def finish(self) -> None:
        """Nothing to do: what is not written was not acknowledged."""

    async def commit(self, begun: Transaction, answers: list[Message]) -> None:
        """As in Writer: after what is being written, and with all that waits for it."""
        session, half = self._session, self._half
        self._is_held = True
        await self.done()
        self._is_held = False
        self.is_writing = True
        self._task = asyncio.current_task()
        new = session.state_to_write()
        state = self._state if new is None else new
        rooms = dict(session.moved)
        what = _Told(list(self._waiting), half.done + 1, half.acked, session.deadline, state, rooms)
        try:
            try:
                stored = await self._commit(begun, [*self._of(what.batch), *answers], what)
            except OSError as error:
                stored = await self._find_out(what, error)
            self._committed(answers, stored, what)
        finally:
            self.is_writing = False
            session.note_settled()

    async def _commit(self, begun: Transaction, messages: list[Message], what: "_Told") -> int:
        session = self._session
        for _ in range(_TRIES):
            generation = session.generation
            stored = await begun.commit(
                session.id,
                generation,
                self._stored,
                messages,
                done=what.done,
                acked=what.acked,
                deadline=what.deadline,
                state=what.state,
                rooms=what.rooms,
            )
            if not isinstance(stored, Refused):
                return stored
            # Perhaps it is us who have claimed it since, or it has to be written again to a store that has
            # forgotten: the answer to this comes after that.
            known = await session.keeper.store.write(session.id, generation, deadline=what.deadline)
            if isinstance(known, Refused) and session.generation == generation:
                break
        session.fenced()
        raise SessionOver(session.why)

    async def _find_out(self, what: "_Told", error: OSError) -> int:
        """Ask, until the store says it, whether it has committed what it did not answer."""
        session = self._session
        while not session.has_ended:
            generation = session.generation
            try:
                known = await session.keeper.store.outcome(session.id, generation)
            except OSError as failure:
                if not await session.keeper.may_write_again(failure):
                    break
                continue
            if not isinstance(known, Refused):
                done, sent = known
                if done < what.done:
                    raise NotCommitted(str(error)) from None
                return sent
            if generation == session.generation:
                session.fenced()
        raise SessionOver(session.why or "the hub is closed")

    def _committed(self, answers: list[Message], stored: int, what: "_Told") -> None:
        session, half = self._session, self._half
        if session.has_ended:
            return
        if half.done < what.done:
            session.message_committed()
        behind = [(half.accept(message, size_of(message)), message) for message in answers]
        self._waiting[len(what.batch) : len(what.batch)] = behind
        self._stored, self._done, self._acked, self._deadline = stored, what.done, what.acked, what.deadline
        if what.state is not None:
            session.state_written(what.state)
        if stored == half.sent:
            if what.state is not None:
                self._state_written(what.state)
            self._rooms_written(what.rooms)
            self._send([*what.batch, *behind])
        elif what.state is not None:  # it was written over by what we had known, and gets all of it again
            self._state = what.state
        session.note_room()
        half.record(what.done, session.loop.time())
        session.note_held()
        session.go_on()

    def lost(self) -> int:
        """As in Writer: what is not known to be stored."""
        return self._half.sent - self._stored

    async def kept(self, number: int) -> bool:
        """As in Writer."""
        while self._stored < number and self.is_writing and self._task is not None:
            await asyncio.wait([self._task])
        return self._stored >= number

    async def done(self) -> None:
        """As in Writer."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def _of(self, batch: list[tuple[str, Message]]) -> list[Message]:
        return [message for character, message in batch if character != VOLATILE]


class Immediate(Writer):
    """The messages of a turn of the loop, or of a read, go to the link together; the store never waits."""

    __slots__ = ("_is_scheduled",)

    records_first = False

    def __init__(self, session: "SessionLink") -> None:
        super().__init__(session)
        self._is_scheduled = False  # whether `_turn_ends` is to be called

    def send(self, character: str, message: Message, size: int) -> None:
        """As in Writer."""
        attachment = self._session.attachment
        if attachment is None:
            self._session.note_held()
        elif attachment.is_reading and not self._waiting:
            # The link writes it at the end of the read, with others.
            attachment.link.send(attachment.framed(character, message))
        else:
            self._waiting.append((character, message))
            if size > _SHORT:
                self.write()
            elif not self._is_scheduled:
                self._is_scheduled = True
                self._session.loop.call_soon(self._turn_ends)

    def _turn_ends(self) -> None:
        self._is_scheduled = False
        self.flush()

    def flush(self) -> None:
        """As in Writer."""
        if self._waiting:
            self.write()

    def write(self) -> None:
        """As in Writer: at once, as this store never waits."""
        if self.is_writing or self._session.keeper.is_closed:
            return
        self.is_writing = True
        try:
            self._bring_up_to_date().send(None)
        except StopIteration:
            pass

    def record(self) -> None:
        """As in Writer."""
        self._done = self._half.done
        self._half.record(self._done, self._session.loop.time())

    def handled(self) -> None:
        """As in Writer: written where there is no link; else acknowledged, at the end of a read."""
        attachment = self._session.attachment
        if attachment is None:
            self.write()
        elif not attachment.is_reading:
            self._go_on()

    def _go_on(self) -> None:
        self.record()
        self._session.go_on()
        self._session.note_settled()

    def acknowledged(self) -> None:
        """As in Writer."""
        self._session.end_if_due()

    def read_ended(self) -> None:
        """As in Writer."""
        if self._half.done > self._half.recorded:
            self._go_on()
        self._session.note_held()

    def finish(self) -> None:
        """As in Writer: a resume is told what was handled."""
        self._done = -1  # whatever the store was not told
        self.write()

    def claimed(self, record: Record) -> None:
        """Nothing to do."""

    async def commit(self, begun: Transaction, answers: list[Message]) -> None:
        """Not called: the memory of this process has no transactions."""
        raise NotImplementedError

    def found(self) -> Found:
        """As in Writer: the store has the record, and this the rest."""
        store, half = self._session.keeper.store, self._half
        assert isinstance(store, MemoryStore)
        record = replace(
            store.record(self._session.id),
            generation=self._session.generation,
            done=half.done,
            sent=half.sent,
            acked=half.acked,
            rooms=dict(self._session.rooms),
        )
        return Found(record, self._session.unacknowledged())

    def lost(self) -> int:
        """As in Writer: all that its client has not acknowledged."""
        return self._half.sent - self._half.acked

    async def kept(self, number: int) -> bool:
        """As in Writer: it is, as nothing is kept elsewhere."""
        return True

    async def done(self) -> None:
        """Nothing to wait for."""

    def _of(self, batch: list[tuple[str, Message]]) -> list[Message]:
        return []
