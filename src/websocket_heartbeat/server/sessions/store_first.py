"""The writer of sessions whose store outlives the process: the store has all before anybody else does."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from websocket_heartbeat.core.volatile import VOLATILE
from websocket_heartbeat.errors import NotCommitted, SessionOver
from websocket_heartbeat.events import Message, size_of
from websocket_heartbeat.server.sessions.store import Found, Record, Refused, Transaction, with_changes
from websocket_heartbeat.server.sessions.writer import Writer

if TYPE_CHECKING:
    from websocket_heartbeat.server.sessions.link import SessionLink

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

    async def _write_once(self) -> bool:
        if self._half.done != self._done:
            await self._rooms_published()
        return await super()._write_once()

    async def _rooms_published(self) -> None:
        """Wait until rooms have what a hook has sent: a kill after its message is recorded would lose it."""
        published = self._session.keeper.published()
        if published is not None:
            await asyncio.wait([published])

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
        await self._rooms_published()
        self._is_held = True
        try:
            await self.done()
        finally:
            self._is_held = False
        self.is_writing = True
        self._task = asyncio.current_task()
        new = session.state_to_write()
        state = self._state if new is None else new
        rooms = dict(session.changed_rooms)
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
                await self._refused(known)
                break
        else:
            session.fenced()
        raise SessionOver(session.why)

    async def _find_out(self, what: "_Told", error: OSError) -> int:
        """Ask, until the store says it, whether it has committed what it did not answer."""
        session = self._session
        while not session.has_ended:
            generation = session.generation
            try:
                known = await session.keeper.store.outcome(session.id, generation)
                if isinstance(known, Refused):
                    if generation == session.generation:
                        await self._refused(known)
                    continue
            except OSError as failure:
                if not await session.keeper.may_write_again(failure):
                    break
                continue
            done, sent = known
            if done < what.done:
                raise NotCommitted(str(error)) from None
            return sent
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

    def write_again(self) -> "asyncio.Task[None] | None":
        """As in Writer: the task may have been cancelled before its first step."""
        if self._task is None or not self._task.cancelled():
            return None
        self.is_writing = False
        self.write()
        return self._task

    async def done(self) -> None:
        """As in Writer."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def _of(self, batch: list[tuple[str, Message]]) -> list[Message]:
        return [message for character, message in batch if character != VOLATILE]
