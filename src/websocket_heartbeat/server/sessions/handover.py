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


class Handover:
    """Of one process. node: its name.

    owned: returns the session of an ID that is this process's. finished: waits until the store knows the end
    of one that was, if it has ended.
    """

    def __init__(
        self,
        store: Store,
        node: str,
        owned: Callable[[str], SessionLink | None],
        finished: Callable[[str], Awaitable[None]],
    ) -> None:
        self._store = store
        self._node = node
        self._owned = owned
        self._finished = finished
        self._asked: dict[str, asyncio.Future[None]] = {}  # by what the answer repeats
        self._answering: set[asyncio.Task[None]] = set()

    async def ask(self, owner: str, id: str) -> None:
        """Have a process give a session up; return when it has, or will not answer."""
        token = secrets.token_hex(8)
        answer = self._asked[token] = asyncio.get_running_loop().create_future()
        try:
            question = {"give": id, "to": self._node, "token": token}
            if await self._store.notify(owner, json.dumps(question).encode()):
                await asyncio.wait([answer], timeout=_PATIENCE)
        finally:
            del self._asked[token]

    async def is_alive(self, node: str) -> bool:
        """Whether a process may be there."""
        return await self._store.notify(node, json.dumps({"token": ""}).encode())

    def heard(self, data: bytes) -> None:
        """Take what another process has sent."""
        members = json.loads(data)
        token = members["token"]
        if "give" in members:
            task = asyncio.get_running_loop().create_task(self._give(members["give"], members["to"], token))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        elif token in self._asked and not self._asked[token].done():
            self._asked[token].set_result(None)

    async def _give(self, id: str, asker: str, token: str) -> None:
        session = self._owned(id)
        if session is not None:
            await session.hand_over(HANDOFF_TIMEOUT)
        await self._finished(id)
        await self._store.notify(asker, json.dumps({"token": token}).encode())

    async def close(self) -> None:
        """Answer those who have asked."""
        if self._answering:
            await asyncio.wait(self._answering)
