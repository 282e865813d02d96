"""Sessions in the memory of this process: they survive links, not the process."""

import heapq
import hmac
import secrets
import time
from collections import deque
from collections.abc import Mapping, Sequence
from copy import copy

from websocket_heartbeat.events import Message
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
    with_changes,
)


class _Session:
    """A session, with its log; or its tombstone."""

    __slots__ = ("end", "forgotten_at", "log", "record")

    def __init__(self, record: Record, log: Sequence[Message]) -> None:
        self.record = record
        self.log: deque[Message] | None = deque(log) if log else None  # an empty one would take memory
        self.end: Ended | None = None
        self.forgotten_at = 0.0


class MemoryStore(Store):
    """Keeps the sessions of one hub in a dict."""

    is_immediate = True

    def __init__(self, ttl: float = 120) -> None:
        self.ttl = ttl
        self._sessions: dict[str, _Session] = {}
        # When to look whether which session is past its deadline: entries of those that are not are stale.
        self._due: list[tuple[float, str]] = []
        self._tombs: deque[str] = deque()
        self._nodes: dict[str, Listener] = {}
        self._lineage = secrets.token_hex(8)

    @property
    def lineage(self) -> str:
        return self._lineage

    async def open(self, node: str, listener: Listener, owned: Owned) -> None:
        self._nodes[node] = listener

    async def close(self) -> None:
        self._nodes.clear()

    def record(self, id: str) -> Record:
        """Return the record of a session that is here."""
        return self._sessions[id].record

    async def put(self, record: Record, log: Sequence[Message]) -> Refused | None:
        known = self._sessions.get(record.id)
        if known is not None:
            if known.end is not None:
                return Refused.GONE
            is_same = known.record.generation == record.generation
            is_of_another = NOBODY != known.record.node != record.node != NOBODY
            if known.record.generation > record.generation or (is_same and is_of_another):
                return Refused.FENCED
        record = copy(record)
        record.lineage = self._lineage
        self._sessions[record.id] = _Session(record, log)
        deadline, record.deadline = record.deadline, None
        self._set_deadline(record, deadline)
        return None

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
        session = self._sessions.get(id)
        if session is None:
            return Refused.UNKNOWN
        record = session.record
        if hash is not None and not (
            hmac.compare_digest(record.hash, hash) and record.principal == principal
        ):
            return Refused.UNKNOWN
        if session.end is not None:
            return session.end
        if hash is not None and link <= record.link:
            return Refused.STALE
        if record.node not in (node, NOBODY) and record.generation != force:
            return Held(record.node, record.generation)
        previous, record.node = record.node, node
        record.generation += 1
        if hash is not None:
            record.link = link
            self._set_deadline(record, None)
        return Found(copy(record), tuple(session.log or ()), previous)

    async def write(
        self,
        id: str,
        generation: int,
        after: int = 0,
        messages: Sequence[Message] = (),
        *,
        done: int = 0,
        acked: int = 0,
        deadline: float | None = None,
        state: bytes | None = None,
        ending: str | None = None,
        rooms: Mapping[str, int | None] | None = None,
    ) -> int | Refused:
        session = self._writable(id, generation)
        if isinstance(session, Refused):
            return session
        record = session.record
        acked = max(record.acked, min(acked, record.sent))
        wanted = after + len(messages)
        if messages and record.sent != wanted:
            if not after <= record.sent < wanted:
                return Refused.GAP
            if wanted - acked > max(1, record.window[0]):
                return Refused.FULL
            if session.log is None:
                session.log = deque()
            session.log.extend(messages[record.sent - after :])
            record.sent = wanted
        if session.log is not None:
            for _ in range(acked - record.acked):
                session.log.popleft()
            if not session.log:
                session.log = None
        record.acked = acked
        record.done = max(record.done, done)
        if state is not None:
            record.state = state
        if ending is not None:
            record.ending = ending
        if rooms is not None:
            record.rooms = with_changes(record.rooms, rooms)
        self._set_deadline(record, deadline)
        return record.sent

    async def finish(self, id: str, generation: int, kind: str, why: str) -> Refused | None:
        session = self._writable(id, generation)
        if isinstance(session, Refused):
            return session
        self._bury(session, kind, why)
        return None

    async def due(self, now: float, limit: int) -> list[Found]:
        self._forget_tombs(now)
        found: list[Found] = []
        while self._due and self._due[0][0] <= now and len(found) < limit:
            at, id = heapq.heappop(self._due)
            session = self._sessions.get(id)
            if session is None or session.end is not None or session.record.deadline != at:
                continue
            found.append(Found(copy(session.record), tuple(session.log or ())))
            ending = session.record.ending
            self._bury(session, EXPIRED if ending is None else OVER, EXPIRED if ending is None else ending)
        return found

    async def notify(self, node: str | None, data: bytes) -> bool:
        listeners = [hear for name, hear in self._nodes.items() if node is None or name == node]
        for hear in listeners:
            hear(data)
        return listeners != []

    def _writable(self, id: str, generation: int) -> _Session | Refused:
        session = self._sessions.get(id)
        if session is None or session.end is not None:
            return Refused.GONE
        is_ours = session.record.generation == generation and session.record.node in self._nodes
        return session if is_ours else Refused.FENCED

    def _set_deadline(self, record: Record, deadline: float | None) -> None:
        if deadline == record.deadline:
            return
        record.deadline = deadline
        if deadline is not None:
            heapq.heappush(self._due, (deadline, record.id))

    def _bury(self, session: _Session, kind: str, why: str) -> None:
        session.end = Ended(kind, why, session.record.done)
        session.log = None
        session.forgotten_at = time.time() + self.ttl
        self._tombs.append(session.record.id)

    def _forget_tombs(self, now: float) -> None:
        while self._tombs and self._sessions[self._tombs[0]].forgotten_at <= now:
            del self._sessions[self._tombs.popleft()]
