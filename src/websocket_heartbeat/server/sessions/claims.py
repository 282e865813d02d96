"""Claims sessions for this process, also those that another one has, or that the store may have forgotten.

docs/session.md, 11.2 and 11.3.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from websocket_heartbeat.server.sessions.copies import Copies
from websocket_heartbeat.server.sessions.handover import Handover
from websocket_heartbeat.server.sessions.link import SessionLink
from websocket_heartbeat.server.sessions.store import NOBODY, Ended, Found, Held, Refused, Store

_OWNERS_FIRST = 5.0
"""Seconds that a store which may have forgotten writes must be back, until those that have given up a session
may write it again."""


class Claims:
    """Those of one process.

    node: its name. sessions: those that it has, by ID. copies: of others.
    """

    def __init__(
        self,
        store: Store,
        node: str,
        sessions: Mapping[str, SessionLink],
        copies: Copies,
        handover: Handover,
    ) -> None:
        self._store = store
        self._node = node
        self._sessions = sessions
        self._copies = copies
        self._handover = handover
        self._lineage = ""
        self._lineage_since = 0.0  # on the loop's clock; 0: since the store was opened
        self._under_way: set[object] = set()
        self._none_is: asyncio.Future[None] | None = None  # done when none is under way, once it is closed
        self._is_closed = False

    def opened(self) -> None:
        """Take the news that the store is open."""
        self._lineage = self._store.lineage

    async def close(self) -> None:
        """Claim nothing more; return when the callers of the claims under way have their sessions."""
        self._is_closed = True
        if self._none_is is None:
            self._none_is = asyncio.get_running_loop().create_future()
        if self._under_way:
            await asyncio.wait([self._none_is])

    def forget(self) -> None:
        """Belong to another event loop from now on: the one before is closed."""
        self._under_way.clear()
        self._none_is = None
        self._is_closed = False

    @contextmanager
    def _claiming(self) -> Iterator[None]:
        if self._is_closed:
            raise OSError("the hub is closed")
        one = object()
        self._under_way.add(one)
        try:
            yield
        finally:
            self._under_way.discard(one)  # it is there no more where its loop was closed
            if self._none_is is not None and not self._none_is.done() and not self._under_way:
                self._none_is.set_result(None)

    async def take(self, id: str, hash: bytes, owner: str, link: int) -> Found | Refused | Ended:
        """Claim a session for a link; a process that has it gives it up first.

        Raises:
            OSError: the store or that process could not be reached, or the hub is closed.
        """
        with self._claiming():
            claim = partial(self._claim_or_write_again, id, hash, owner, link)
            answer = await claim()
            return await self._handover.take(id, link, answer, claim) if isinstance(answer, Held) else answer

    async def claim(self, id: str, *, force: int | None = None) -> Found | Refused | Held | Ended:
        """Claim a session for the application, which has something to send.

        Raises:
            OSError: as `take`.
        """
        with self._claiming():
            return await self._claim_or_write_again(id, force=force)

    async def _claim_or_write_again(
        self,
        id: str,
        hash: bytes | None = None,
        owner: str | None = None,
        link: int = 0,
        *,
        force: int | None = None,
    ) -> Found | Refused | Held | Ended:
        """Do as `Store.claim`; if the store has forgotten the session, have it written again first."""
        answer = await self._claim(id, hash, owner, link, force=force)
        if self._may_be_forgotten(answer) and await self._write_again(id):
            answer = await self._claim(id, hash, owner, link, force=force)
        return answer

    async def _claim(
        self, id: str, hash: bytes | None, owner: str | None, link: int, *, force: int | None
    ) -> Found | Refused | Held | Ended:
        """Claim a session. What is known of it here is dropped, if another process has had it since.

        The store counts claims whose answer was lost, too; only ours, where the session was ours all along.
        """
        known: SessionLink | None
        try:
            answer = await self._store.claim(id, hash, owner, link, self._node, force=force)
        except OSError:  # it may be done all the same
            known = self._sessions.get(id)
            if known is not None and not known.has_ended:
                if force is not None:
                    known.fenced()  # what is known of it would be old
                elif hash is not None:
                    known.claim_unanswered()
            raise
        known = self._sessions.get(id)
        if known is not None and not known.has_ended:
            if isinstance(answer, Found) and answer.previous == self._node:
                known.generation = max(known.generation, answer.record.generation - 1)
            elif isinstance(answer, Found | Held):
                known.fenced()
        if isinstance(answer, Found) and (known is None or known.has_ended):
            self._copies.add(answer)
            if force is None:  # else its owner is told
                self._handover.claimed(id, answer.record.generation)
        return answer

    async def is_still_ours(self, session: SessionLink) -> bool:
        """Ask the store whether a session was fenced by a claim of this process that was never answered."""
        answer = await self._claim(session.id, None, None, 0, force=None)
        if not isinstance(answer, Found) or session.has_ended:
            return False
        # Its generation may be known already, by another claim of this process at the same time.
        return answer.record.generation <= session.generation or session.claimed(answer.record)

    async def is_known(self, session: SessionLink) -> bool:
        """Ask the store whether it has a session, or its end."""
        return await self._claim(session.id, None, None, 0, force=None) is not Refused.UNKNOWN

    # Where the store may have forgotten a session

    def _may_be_forgotten(self, answer: Found | Refused | Held | Ended) -> bool:
        """Whether a session may be one that the store has lost: only near a change of its lineage."""
        now = asyncio.get_running_loop().time()
        if self._store.lineage != self._lineage:
            self._lineage, self._lineage_since = self._store.lineage, now
        is_near = self._lineage_since > 0 and now < self._lineage_since + self._store.ttl
        return answer is Refused.FORGOTTEN or (answer is Refused.UNKNOWN and is_near)

    async def _write_again(self, id: str) -> bool:
        """Have the process write a session again that owns it, or else one that has given it up.

        What that one has may be old, should it not have heard of the next owner: so owners are asked first,
        and have had the time to write what they own by themselves.

        Raises:
            OSError: they have not had it yet.
        """
        for is_given in (False, True):
            since = asyncio.get_running_loop().time() - self._lineage_since
            if is_given and since < _OWNERS_FIRST:
                raise OSError("the store has forgotten the session, and its owner may not have noticed yet")
            if await self.write_here(id, is_given=is_given):
                return True
            if await self._handover.find(id, is_given=is_given):
                return True
        return False

    async def write_here(self, id: str, *, is_given: bool) -> bool:
        """Write a session again that is this process's, or that it has given up; false if it is neither."""
        session = self._sessions.get(id)
        has_it = session is not None and not session.has_ended
        found = session.found() if session is not None and has_it else self._copies.of(id)
        if found is None or is_given != (found.record.node == NOBODY):
            return False
        await self._store.put(found.record, found.log)
        return True

    def owned(self) -> list[Found]:
        """Return all sessions of this process, for a store that may have forgotten writes."""
        here = [session.found() for session in self._sessions.values() if not session.has_ended]
        return here + self._copies.all_claimed()
