"""Moves sessions between the processes that share a store: takes them from their owner, and gives them up.

docs/session.md, 11.2. What is not given up in time is claimed by force: then the message that the owner has
begun may be handled twice, and nothing else; but what the memory of the owner alone has is lost.
"""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import replace
from enum import Enum
from typing import Protocol
from weakref import WeakValueDictionary

from websocket_heartbeat.server.sessions.copies import Copies
from websocket_heartbeat.server.sessions.link import SessionLink
from websocket_heartbeat.server.sessions.nodes import NodeGone, Nodes, Question
from websocket_heartbeat.server.sessions.store import (
    IN_MEMORY,
    LOST,
    NOBODY,
    REPLACED,
    Ended,
    Found,
    Held,
    Refused,
    Store,
)
from websocket_heartbeat.server.throttle import Throttle

_logger = logging.getLogger("websocket_heartbeat.server")

HANDOFF_TIMEOUT = 1.0
"""Seconds that a running hook has to end, when another process asks for its session."""

_PATIENCE = 2 * HANDOFF_TIMEOUT
"""Seconds in which an owner that lives has answered."""
_TRIES = 10
"""So often are all processes asked, within that time, which of them owns a session."""
_PAUSE = 0.01
"""Seconds until an owner is asked again which is about to have the session."""


class _Said(Enum):
    """What a process says that was asked to give a session up."""

    DONE = "done"
    """It does not have it, or not any more."""
    STAYS = "stays"
    """It has it, and must not lose it now."""
    NOTHING = "nothing"
    GONE = "gone"


class Claim(Protocol):
    """Claims one session."""

    async def __call__(self, *, force: int | None = None) -> Found | Refused | Held | Ended:
        """Do as `Store.claim`."""


class Keeper(Protocol):
    """What the handover needs of the book of this process's sessions (book.py)."""

    @property
    def store(self) -> Store:
        """Where they are kept."""

    def here(self, id: str) -> SessionLink | None:
        """Return a session that is this process's."""

    async def finished(self, id: str) -> None:
        """Wait until the store knows the end of a session, if it has ended."""

    @property
    def copies(self) -> Copies:
        """Those of sessions that are given up."""

    def lost(self, id: str) -> None:
        """Tell that a session is lost."""

    async def may_write_again(self, error: OSError) -> bool:
        """Wait a while after the store could not be written; return whether to try again."""

    def tell_all(self, question: Question) -> None:
        """Have all other processes told something, as far as they hear it; never waits."""


def _taken(id: str, generation: int) -> Question:
    """Return what has a process forget what it knows of a session that another one has claimed since."""
    return Question({"taken": id, "generation": generation})


class Handover:
    """Takes sessions for one process, and gives up those that it has."""

    def __init__(self, nodes: Nodes, keeper: Keeper) -> None:
        self._nodes = nodes
        self._keeper = keeper
        # By the ID of the session; each as long as somebody waits for it.
        self._giving: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._log = Throttle(_logger)

    # Taking

    async def take(self, id: str, link: int, held: Held, claim: Claim) -> Found | Refused | Ended:
        """Claim a session for a link that another process has, which gives it up first.

        Raises:
            OSError: no process could be had to give it up.
        """
        answer: Found | Refused | Held | Ended = held
        until = asyncio.get_running_loop().time() + _PATIENCE
        while isinstance(answer, Held):
            held = answer
            said = await self._ask(held.node, id, link)
            is_late = asyncio.get_running_loop().time() > until
            answer = await self._claim_from(id, held, said, claim, is_late=is_late)
            if isinstance(answer, Found):
                await self._tell_taken(held.node, id, answer.record.generation, said)
                if not self._has_still(answer):
                    answer = await claim()
            if isinstance(answer, Held):
                if is_late:
                    raise OSError("another process goes on with the session")
                await asyncio.sleep(_PAUSE)
        return answer

    async def _claim_from(
        self, id: str, held: Held, said: "_Said", claim: Claim, *, is_late: bool
    ) -> Found | Refused | Held | Ended:
        """Claim a session of a process that has said something of it, or nothing.

        is_late: it has had all the time that it may have.
        """
        if said is _Said.STAYS:
            return await claim()
        if held.node.startswith(IN_MEMORY):  # the store has it only once that process has given it up
            answer = await claim()
            has_time = said is _Said.DONE and not is_late
            return answer if answer != held or has_time else await self.lose(id, held, claim)
        if said is _Said.DONE:
            return await claim(force=held.generation)
        return await self.force(id, held, claim)

    def _has_still(self, found: Found) -> bool:
        """Whether this process has what it has claimed: it may have been asked to give that up meanwhile."""
        id = found.record.id
        session = self._keeper.here(id)
        return self._keeper.copies.of(id) is found or (session is not None and not session.has_ended)

    async def _ask(self, node: str, id: str, link: int) -> "_Said":
        """Have a process give a session up, if it has it."""
        question = Question({"give": id, "link": link})
        try:
            stays = await self._nodes.ask(node, question, _PATIENCE)
        except NodeGone:
            return _Said.GONE
        if stays is None:
            return _Said.NOTHING
        return _Said.STAYS if stays else _Said.DONE

    async def _tell_taken(self, node: str, id: str, generation: int, said: "_Said") -> None:
        """Have the process that had a session forget it: what it knows is old as soon as we go on.

        It is waited for where it has answered before.
        """
        question = _taken(id, generation)
        with suppress(NodeGone, OSError):
            if said is _Said.DONE:
                await self._nodes.ask(node, question, HANDOFF_TIMEOUT)
            elif said is not _Said.GONE:
                await self._nodes.tell(node, question)

    def claimed(self, id: str, generation: int) -> None:
        """Have the process that has given a session up forget its copy: we have claimed it without asking."""
        self._keeper.tell_all(_taken(id, generation))

    async def force(self, id: str, held: Held, claim: Claim) -> Found | Refused | Held | Ended:
        """Claim a session of a process that does not answer, in a store that has all of it."""
        answer = await claim(force=held.generation)
        if isinstance(answer, Found):
            words = (
                "session %s goes on here, as its process does not answer: what that was handling may be "
                "handled again"
            )
            self._log.warning(words, id, extra={"session": id, "forced": True})
        return answer

    async def lose(self, id: str, held: Held, claim: Claim) -> Ended | Held | Refused:
        """End a session that only the memory of a process had which does not answer."""
        answer = await claim(force=held.generation)
        if not isinstance(answer, Found):
            return answer
        await self._keeper.store.finish(id, answer.record.generation, REPLACED, LOST)
        self._keeper.lost(id)
        return Ended(REPLACED, LOST, 0)

    async def find(self, id: str, *, is_given: bool) -> bool:
        """Have the process write a session again that owns it, or has given it up; false if none does.

        It is asked again and again, as a store that has just come back may not be heard yet.
        """
        question = Question({"forgotten": id, "given": is_given})
        for _ in range(_TRIES):
            try:
                if await self._nodes.ask(None, question, _PATIENCE / _TRIES):
                    return True
            except NodeGone:
                return False
            if is_given:
                break
        return False

    async def end_expired(self, node: str, id: str, why: str) -> bool:
        """Have a process end a session that has expired; false if it has no peer of it, or is silent."""
        try:
            return bool(await self._nodes.ask(node, Question({"expired": id, "why": why}), _PATIENCE))
        except NodeGone:
            return False

    # Giving

    async def give(self, id: str, link: int) -> bool:
        """Give a session up, for a link of that number; return whether it stays here instead.

        Who asks for it meanwhile waits: it may stay here, or be where the next one finds it only then.
        """
        async with self._giving.setdefault(id, asyncio.Lock()):
            return await self._give(id, link)

    async def _give(self, id: str, link: int) -> bool:
        session = self._keeper.here(id)
        if session is None:
            found = self._keeper.copies.of_claimed(id)
            if found is not None and found.record.link >= link:
                return True
        elif session.has_ended:  # let go with its server
            found = await session.hand_over_released(link)
        else:
            found = await session.hand_over(link, HANDOFF_TIMEOUT)
        if found is not None:
            deadline = time.time() + self._keeper.store.ttl
            found = Found(replace(found.record, node=NOBODY, deadline=deadline), found.log)
            self._keeper.copies.add(found)
            await self._put(found)
        await self._keeper.finished(id)
        return session is not None and not session.has_ended

    async def _put(self, found: Found) -> None:
        """Write what is given up, unless it was claimed since: the store may have forgotten that."""
        while self._keeper.copies.of(found.record.id) is found:
            try:
                await self._keeper.store.give(found)
            except OSError as error:
                if not await self._keeper.may_write_again(error):
                    return
            else:
                return
