"""Moves sessions between the processes that share a store: asks the owner, and answers who asks.

docs/session.md, 11.2. What is not answered in time is claimed by force: then the message that the owner has
begun may be handled twice, and nothing else.
"""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable

from websocket_heartbeat.server.sessions.link import SessionLink
from websocket_heartbeat.server.sessions.store import Store

HANDOFF_TIMEOUT = 1.0
"""Seconds that a running hook has to end, when another process asks for its session."""

_PATIENCE = 2 * HANDOFF_TIMEOUT
"""Seconds in which an owner that lives has answered."""
_TRIES = 10
"""So often are all processes asked, within that time, which of them owns a session."""


class Handover:
    """Of one process. node: its name.

    owned: returns the session of an ID that is this process's. finished: waits until the store knows the end
    of one that was, if it has ended. expired: ends one that another process has found to have expired, for a
    reason; returns false if it is not here.
    """

    def __init__(
        self,
        store: Store,
        node: str,
        owned: Callable[[str], SessionLink | None],
        finished: Callable[[str], Awaitable[None]],
        expired: Callable[[str, str], bool],
    ) -> None:
        self._store = store
        self._node = node
        self._owned = owned
        self._finished = finished
        self._expired = expired
        self._asked: dict[str, asyncio.Future[bool]] = {}  # by what the answer repeats
        self._answering: set[asyncio.Task[None]] = set()

    async def ask(self, owner: str, id: str, link: int) -> None:
        """Have a process give a session up, for a link of that number; return when it has, or does not."""
        await self._question(owner, give=id, link=str(link))

    async def end_expired(self, owner: str, id: str, why: str) -> bool:
        """Have a process end a session that has expired; false if it does not have it, or does not answer."""
        return await self._question(owner, expired=id, why=why)

    async def ask_all(self, id: str) -> bool:
        """Have the process that owns a session write it again; false if none does.

        It is asked again and again, as a store that has just come back may not be heard yet.
        """
        for _ in range(_TRIES):
            if await self._question(None, _PATIENCE / _TRIES, forgotten=id):
                return True
        return False

    async def _question(self, owner: str | None, patience: float = _PATIENCE, **question: str) -> bool:
        token = secrets.token_hex(8)
        answer = self._asked[token] = asyncio.get_running_loop().create_future()
        try:
            members = {**question, "to": self._node, "token": token}
            if await self._store.notify(owner, json.dumps(members).encode()):
                await asyncio.wait([answer], timeout=patience)
            return answer.done() and answer.result()
        finally:
            del self._asked[token]

    async def is_alive(self, node: str) -> bool:
        """Whether a process may be there."""
        return await self._store.notify(node, json.dumps({"token": ""}).encode())

    def heard(self, data: bytes) -> None:
        """Take what another process has sent."""
        members = json.loads(data)
        if "to" in members:
            task = asyncio.get_running_loop().create_task(self._answer(members))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
            return
        answer = self._asked.get(members["token"])
        if answer is not None and not answer.done():
            answer.set_result(members["had"])

    async def _answer(self, question: dict[str, str]) -> None:
        if "forgotten" in question:
            session = self._owned(question["forgotten"])
            if session is None:
                return  # another one may have it
            found = session.found()
            await self._store.put(found.record, found.log)
            had = True
        elif "expired" in question:
            had = self._expired(question["expired"], question["why"])
        else:
            had = await self._give(question["give"], int(question["link"]))
        answer = {"token": question["token"], "had": had}
        await self._store.notify(question["to"], json.dumps(answer).encode())

    async def _give(self, id: str, link: int) -> bool:
        session = self._owned(id)
        is_given = session is not None and await session.hand_over(link, HANDOFF_TIMEOUT)
        await self._finished(id)
        return is_given

    async def close(self) -> None:
        """Answer those who have asked."""
        if self._answering:
            await asyncio.wait(self._answering)
