"""The writer of sessions in the memory of this process: the store is told little, and never waited for."""

from dataclasses import replace
from typing import TYPE_CHECKING

from websocket_heartbeat.events import Message
from websocket_heartbeat.server.sessions.memory import MemoryStore
from websocket_heartbeat.server.sessions.store import Found, Record, Transaction
from websocket_heartbeat.server.sessions.writer import Writer

if TYPE_CHECKING:
    from websocket_heartbeat.server.sessions.link import SessionLink

_SHORT = 8 * 1024
"""Bytes of a message that is written with others: for a longer one, a system call of its own costs little."""


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

    def write_again(self) -> None:
        """Nothing to do."""

    async def done(self) -> None:
        """Nothing to wait for."""

    def _of(self, batch: list[tuple[str, Message]]) -> list[Message]:
        return []
