"""What a session has written to its store, and sends to its client: two ways, by what a store can lose.

A store that outlives the process has each message before the link has it, and knows what was handled before
the client does (store_first.py). What the memory of the process had would be lost with the session: so it
gets no messages, and learns what was handled only while there is no link (immediate.py). docs/session.md, 5
and 7.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from websocket_heartbeat.core.session import Window
from websocket_heartbeat.core.volatile import VOLATILE, Waiting
from websocket_heartbeat.engines.base import WRITE_LIMIT
from websocket_heartbeat.events import Message, size_of
from websocket_heartbeat.server.sessions.store import LOST, Found, Record, Refused, Transaction

if TYPE_CHECKING:
    from websocket_heartbeat.server.sessions.link import SessionLink

_LATE = 1.0
"""Seconds after which an answer is late: half of those after which another process claims by force."""

_BEHIND = Window(256, WRITE_LIMIT)
"""Volatile messages that may wait behind others."""


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
    def write_again(self) -> "asyncio.Task[None] | None":
        """Do as `SessionLink.write_again`."""

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
        is_kept = deadline == self._deadline and ending == self.ending and not session.changed_rooms
        rooms = dict(session.changed_rooms)  # up to the last of these messages
        if not messages and is_known and is_kept:
            self._send(batch)
            session.note_held()
            return False
        generation = session.generation
        for _ in range(2):
            asked_at = session.loop.time()
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
            if session.loop.time() - asked_at < _LATE:
                break
            # A late answer may be older than a claim by force, and the next message another process's by now.
            # Who has that has these messages: they must not be sent to it again.
            self.is_uncertain = True
        if isinstance(answer, Refused):
            if session.generation != generation:
                return True  # it is us who have claimed it since, for another link
            if answer in (Refused.FENCED, Refused.GONE) and await session.keeper.is_still_ours(session):
                return True
            await self._refused(answer)
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

    async def _refused(self, why: Refused) -> None:
        """Be done with the session, which this process may not write to any more.

        Raises:
            OSError: the store cannot say whether it has the session.
        """
        session = self._session
        if why is Refused.GONE and not await session.keeper.is_known(session):
            session.expired(LOST)  # somebody has deleted it
        else:
            session.fenced()

    def _state_written(self, state: bytes) -> None:
        if self._state is state:
            self._state = None

    def _rooms_written(self, rooms: Mapping[str, int | None]) -> None:
        changed = self._session.changed_rooms
        for room, number in rooms.items():
            if changed[room] == number:
                del changed[room]
