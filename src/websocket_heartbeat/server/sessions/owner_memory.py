"""Sessions in the memory of the process that owns them, and in a store what finds that process.

The store has the record of each: whose it is, and its owner; no messages, no state, and no word of what was
handled or acknowledged. It gets all of that when the owner gives the session up, and keeps it until the next
one has claimed it. So what is claimed by force is lost: the names of these nodes begin with IN_MEMORY.
"""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from typing import Any

from websocket_heartbeat.events import Message
from websocket_heartbeat.server.sessions.memory import MemoryStore
from websocket_heartbeat.server.sessions.store import (
    EXPIRED,
    NOBODY,
    OVER,
    Ended,
    Found,
    Held,
    Listener,
    Owned,
    Record,
    Refused,
    Store,
    Transaction,
)


class OwnerMemory(MemoryStore):
    """Keeps the sessions of one process in its memory. behind: the store that others share.

    What is here is right, whatever the store says of it: nobody else can have it, until it is given.
    """

    def __init__(self, behind: Store) -> None:
        super().__init__(behind.ttl)
        self.behind = behind
        self._expired: dict[str, tuple[int, str, str]] = {}  # by ID: what the store is to be told
        self._clearing: set[asyncio.Task[None]] = set()

    @property
    def lineage(self) -> str:
        return self.behind.lineage

    async def open(self, node: str, listener: Listener, owned: Owned) -> None:
        await super().open(node, listener, owned)
        await self.behind.open(node, listener, self._owned)

    def _owned(self) -> list[Found]:
        here = [session.record for session in self._sessions.values() if session.end is None]
        return [Found(_bare(record), ()) for record in here if record.node != NOBODY]

    async def close(self) -> None:
        if self._clearing:
            await asyncio.wait(self._clearing)
        await self.behind.close()

    async def put(self, record: Record, log: Sequence[Message]) -> Refused | None:
        if record.node == NOBODY:
            return await self.behind.put(record, log)
        answer = await self.behind.put(_bare(record), ())
        if answer is None and record.id not in self._sessions:
            await super().put(record, log)
        return answer

    async def claim(
        self,
        id: str,
        hash: bytes | None,
        principal: str | None,
        link: int,
        node: str,
        *,
        force: int | None = None,
    ) -> Found | Refused | Held | Ended:
        answer = await self.behind.claim(id, hash, principal, link, node, force=force)
        if not isinstance(answer, Found):
            return answer
        session = self._sessions.get(id)
        if session is None:
            await super().put(answer.record, answer.log)
            self._begin(self._clear(answer.record))
            return answer
        if session.end is not None:  # of which the store is still to be told
            return session.end
        record = session.record
        record.generation, record.link, record.node = answer.record.generation, answer.record.link, node
        if hash is not None:
            self._set_deadline(record, None)
        return Found(copy(record), tuple(session.log or ()), answer.previous)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._clearing.add(task)
        task.add_done_callback(self._clearing.discard)

    async def _clear(self, record: Record) -> None:
        """Have the store forget what it was given; if it fails, that stays until the next move."""
        with suppress(OSError):
            await self.behind.write(record.id, record.generation, acked=record.sent, state=b"")

    async def give(self, found: Found) -> None:
        record = found.record
        await super().put(record, found.log)  # it may be claimed here before the store has it
        deadline = time.time() + self.ttl if record.deadline is None else record.deadline
        await self.put(replace(record, node=NOBODY, deadline=deadline), found.log)
        session = self._sessions.get(record.id)
        is_here = session is not None and session.end is None
        if is_here and self.record(record.id).generation == record.generation:
            del self._sessions[record.id]

    async def finish(self, id: str, generation: int, kind: str, why: str) -> Refused | None:
        await super().finish(id, generation, kind, why)
        return await self.behind.finish(id, generation, kind, why)

    async def due(self, now: float, limit: int) -> list[Found]:
        await self._tell_expired()
        return [*await self.behind.due(now, limit), *await self._end_expired(now, limit)]

    async def due_here(self, now: float, limit: int) -> list[Found]:
        await self._tell_expired()
        return [*await self.behind.due_here(now, limit), *await self._end_expired(now, limit)]

    async def _end_expired(self, now: float, limit: int) -> list[Found]:
        found = await super().due(now, limit)
        for each in found:
            ending = each.record.ending
            kind, why = (EXPIRED, EXPIRED) if ending is None else (OVER, ending)
            self._expired[each.record.id] = each.record.generation, kind, why
        return found

    async def told(self, ids: Sequence[str]) -> None:
        await self.behind.told(ids)

    def forget(self, id: str, generation: int) -> None:
        session = self._sessions.get(id)
        if session is not None and session.end is None and session.record.generation <= generation:
            del self._sessions[id]

    async def _tell_expired(self) -> None:
        for id, (generation, kind, why) in list(self._expired.items()):
            await self.behind.finish(id, generation, kind, why)
            del self._expired[id]

    async def begin(self) -> Transaction:
        raise RuntimeError('peer.transaction() needs durability="through"')

    async def notify(self, node: str | None, data: bytes) -> bool:
        return await self.behind.notify(node, data)


def _bare(record: Record) -> Record:
    """Return what the store has of a record that is here."""
    return replace(record, done=0, sent=0, acked=0, state=b"", ending=None, deadline=None, rooms={})
