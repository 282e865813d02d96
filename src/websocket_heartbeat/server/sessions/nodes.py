"""Asks the other processes that share a store, and answers them: by its `notify`, which may lose that.

Every program that may write to the store is trusted. What is neither a question nor an answer is ignored.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from websocket_heartbeat.server.sessions.store import Store
from websocket_heartbeat.server.throttle import Throttle
from websocket_heartbeat.system.callbacks import log_raised

_logger = logging.getLogger("websocket_heartbeat.server")

_THERE_FOR = 5.0
"""Seconds for which a node that has answered counts as there."""
_PATIENCE = 2.0
"""Seconds in which a node that is there says so."""
_MOST = 1000
"""Nodes of which is kept when they have answered last."""


class Question(dict[str, Any]):
    """Members that JSON carries, and bytes behind them: `body`."""

    def __init__(self, members: Mapping[str, Any], body: bytes = b"") -> None:
        super().__init__(members)
        self.body = body


class NodeGone(Exception):
    """There is no such node, or not any more: it has not been asked."""


class Nodes:
    """What one node says to others, and hears of them.

    node: its name. answer: returns what JSON carries, in answer to a question; None: nothing is answered, as
    another node may, or as nobody waits for it.
    """

    def __init__(self, store: Store, node: str, answer: Callable[[Question], Awaitable[Any]]) -> None:
        self._store = store
        self._node = node
        self._answer = answer
        self._asked: dict[str, asyncio.Future[Any]] = {}  # by what the answer repeats
        self._answering: set[asyncio.Task[None]] = set()
        self._answered_at: dict[str, float] = {}  # by node
        self._log = Throttle(_logger)

    async def ask(self, node: str | None, question: Question, patience: float) -> Any:
        """Return the answer of a node, or the first one of all; None: there was none for so many seconds.

        Raises:
            NodeGone: nobody hears it.
            OSError: it is not known whether anybody hears it.
        """
        token = secrets.token_hex(8)
        answer = self._asked[token] = asyncio.get_running_loop().create_future()
        try:
            if not await self._send(node, question | {"token": token}, question.body):
                raise NodeGone
            await asyncio.wait([answer], timeout=patience)
            return answer.result() if answer.done() else None
        finally:
            del self._asked[token]

    async def tell(self, node: str | None, question: Question) -> None:
        """Have a node, or all others, answer a question to nobody.

        Raises:
            OSError: it is not known whether they hear it.
        """
        await self._send(node, question, question.body)

    async def is_there(self, node: str) -> bool:
        """Whether a node answers, or has a moment ago.

        Raises:
            NodeGone, OSError: as `ask`.
        """
        now = asyncio.get_running_loop().time()
        if now < self._answered_at.get(node, -_THERE_FOR) + _THERE_FOR:
            return True
        return await self.ask(node, Question({"is": "there"}), _PATIENCE) is not None

    async def _send(self, node: str | None, members: Mapping[str, Any], body: bytes = b"") -> bool:
        head = json.dumps({**members, "from": self._node}).encode()
        return await self._store.notify(node, head + b"\n" + body)

    def heard(self, data: bytes) -> None:
        """Take what another node has sent."""
        try:
            self._take(data)
        except (ValueError, LookupError, TypeError, RecursionError):
            words = "the store has passed on %d bytes that no process of ours sent: who else writes to it?"
            self._log.warning(words, len(data), extra={"size": len(data)})

    def _take(self, data: bytes) -> None:
        head, _, body = data.partition(b"\n")
        members = json.loads(head)
        sender = members["from"]
        if sender == self._node:
            return
        if "answer" not in members:
            task = asyncio.get_running_loop().create_task(self._answer_to(sender, Question(members, body)))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
            return
        if len(self._answered_at) >= _MOST:
            self._answered_at.clear()
        self._answered_at[sender] = asyncio.get_running_loop().time()
        answer = self._asked.get(members["token"])
        if answer is not None and not answer.done():
            answer.set_result(members["answer"])

    async def _answer_to(self, sender: str, question: Question) -> None:
        try:
            answer = True if "is" in question else await self._answer(question)
            if answer is not None and "token" in question:
                await self._send(sender, {"token": question["token"], "answer": answer})
        except OSError:
            pass  # the process that asked gets no answer, and does without
        except Exception as error:
            log_raised(self._log.error, "the question of another process", error)

    def forget(self) -> None:
        """Belong to another event loop from now on: the one before is closed."""
        self._asked.clear()
        self._answering.clear()

    async def close(self) -> None:
        """Answer those who have asked."""
        while self._answering:
            await asyncio.wait(self._answering)
