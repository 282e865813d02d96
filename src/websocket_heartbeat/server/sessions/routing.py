"""Routes what is for a session, a message or its dismissal, to the process that has it: this one or another.

Another process is asked once. If it does not answer then, nobody knows whether it has done it: so it is not
asked again, and no message is sent twice. Before, it is made sure that it is there.
"""

import asyncio
from collections.abc import Awaitable, Callable

from websocket_heartbeat.errors import SendUncertain, SessionOver
from websocket_heartbeat.events import Message
from websocket_heartbeat.server.sessions.link import Moved, SessionLink
from websocket_heartbeat.server.sessions.nodes import NodeGone, Nodes, Question
from websocket_heartbeat.server.sessions.store import IN_MEMORY

_PATIENCE = 10.0
"""Seconds that a process has to answer, while the store may be away; and for which a session may move."""
_PAUSE = 0.01
"""Seconds until a session is looked for again that moves just now."""

_SEND, _SEND_BINARY, _DISMISS = "send", "send binary", "dismiss"

# What a process answers
_DONE, _ELSEWHERE, _OVER, _UNCERTAIN = "done", "elsewhere", "over", "uncertain"


class Router:
    """Finds the process of a session for one process, and does what others ask of it here.

    find: called with the ID of a session and the name of a node that is dead, or None. Returns the session,
    if this process has it, or has it now, as no other has that lives; else the name of the node that has it.
    Raises SessionOver if there is none, and OSError if the store cannot be read.
    """

    def __init__(self, nodes: Nodes, find: Callable[[str, str | None], Awaitable[SessionLink | str]]) -> None:
        self._nodes = nodes
        self._find = find

    async def send(self, id: str, message: Message) -> None:
        """Send a message.

        Raises:
            SessionOver: there is no such session, or not any more.
            SendUncertain: it is not known whether it was sent.
            OSError: it was not: the store cannot be read, or the session's process does not answer.
        """
        if isinstance(message, str):
            question = Question({_SEND: id}, message.encode())
        else:
            question = Question({_SEND_BINARY: id}, message)
        await self._route(id, question)

    async def dismiss(self, id: str, reason: str) -> None:
        """End the session for good. Raises as `send`."""
        await self._route(id, Question({_DISMISS: id, "why": reason}))

    async def _route(self, id: str, question: Question) -> None:
        until = asyncio.get_running_loop().time() + _PATIENCE
        dead = None
        while True:
            place = await self._find(id, dead)
            try:
                if isinstance(place, SessionLink):
                    return await _do(place, question)
                if await self._nodes.is_there(place):
                    if await self._ask(place, question):
                        return None
                    await asyncio.sleep(_PAUSE)
                elif place.startswith(IN_MEMORY):
                    raise OSError("the session's process does not answer")
                else:
                    dead = place
            except Moved:
                pass
            except NodeGone:
                assert isinstance(place, str)
                dead = place
            if asyncio.get_running_loop().time() > until:
                raise OSError("the session has gone from process to process, and was not to be had")

    async def _ask(self, node: str, question: Question) -> bool:
        """Have another process do it; return false if it has not, as it does not have the session."""
        try:
            answer = await self._nodes.ask(node, question, _PATIENCE)
        except OSError as error:
            raise SendUncertain(f"the session's process may have been asked, or not: {error}") from error
        if answer is None:
            raise SendUncertain(f"the session's process has not answered for {_PATIENCE:g} s")
        match answer:
            case [str(kind), str(text)]:
                pass
            case _:
                raise SendUncertain("the session's process has answered what no process of ours does")
        if kind == _OVER:
            raise SessionOver(text)
        if kind == _UNCERTAIN:
            raise SendUncertain(text)
        return bool(kind == _DONE)

    async def answer(self, question: Question) -> tuple[str, str]:
        """Do what another process asks for; return how it went."""
        id = next(question[kind] for kind in (_SEND, _SEND_BINARY, _DISMISS) if kind in question)
        try:
            place = await self._find(id, None)
            if isinstance(place, str):
                return _ELSEWHERE, ""
            await _do(place, question)
        except Moved:
            return _ELSEWHERE, ""
        except SessionOver as over:
            return _OVER, str(over)
        except SendUncertain as uncertain:
            return _UNCERTAIN, str(uncertain)
        except OSError:  # it may be asked again
            return _ELSEWHERE, ""
        return _DONE, ""


async def _do(session: SessionLink, question: Question) -> None:
    if _DISMISS in question:
        await session.dismiss(question["why"])
    else:
        await session.keep(question.body if _SEND_BINARY in question else question.body.decode())
