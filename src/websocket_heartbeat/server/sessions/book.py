"""The sessions of a hub that this process owns: begins, resumes and ends them, and sees them expire."""

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from inspect import isawaitable
from typing import Any

from websocket_heartbeat.core.resume import Control
from websocket_heartbeat.core.session import Half, Window
from websocket_heartbeat.errors import HookFailed
from websocket_heartbeat.events import Message, size_of
from websocket_heartbeat.redaction import printable
from websocket_heartbeat.server.sessions.handover import Handover
from websocket_heartbeat.server.sessions.link import SessionLink
from websocket_heartbeat.server.sessions.store import (
    EXPIRED,
    OVER,
    Ended,
    Found,
    Held,
    Record,
    Refused,
    Store,
)
from websocket_heartbeat.system.callbacks import call, close_unawaited, log_raised, settle

_logger = logging.getLogger("websocket_heartbeat.server")

WINDOW = Window(256, 256 * 1024)
"""What a client may send unacknowledged."""

_LOOK = 1.0
"""Seconds from one look for sessions that have expired to the next."""
_AT_ONCE = 100

_PAUSE = 0.1
_PAUSES = 10
"""So many pauses of so many seconds, until what could not be written is tried again."""

EndHook = Callable[[str, str, tuple[Message, ...]], Any]


class Reset:
    """A resume that comes to nothing: why, and what of the client's messages is known to be handled."""

    def __init__(self, why: str, done: int = 0) -> None:
        self.why = why
        self.done = done


class Book:
    """The sessions of one hub."""

    def __init__(self, store: Store, on_end: EndHook | None) -> None:
        self.store = store
        self.ttl = store.ttl
        self._on_end = on_end
        self._node = secrets.token_hex(8)
        self._sessions: dict[str, SessionLink] = {}
        self._handover = Handover(store, self._node, self._sessions.get)
        self._opening: asyncio.Future[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self.is_closed = False

    async def ready(self) -> None:
        """Open the store, if that is not done.

        Raises:
            OSError: it cannot be opened, or the hub is closed.
        """
        if self.is_closed:
            raise OSError("the hub is closed")
        opening = self._opening
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception() is not None)):
            opening = self._opening = asyncio.ensure_future(self._open())
        await asyncio.shield(opening)

    async def _open(self) -> None:
        await self.store.open(self._node, self._handover.heard, tuple)
        self._looking = asyncio.get_running_loop().create_task(self._look())

    async def close(self) -> None:
        """Be done with the store; its sessions go on with the next hub that opens it."""
        self.is_closed = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        await self._handover.close()
        for session in self._sessions.values():
            await session.written()
        self._sessions.clear()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._opening is not None:
            await self.store.close()

    # Sessions begin

    async def begin(self, hello: Control, principal: Hashable | None) -> tuple[SessionLink, str]:
        """Return a new session, and the key that its client resumes it with."""
        await self.ready()
        id = secrets.token_urlsafe(9)
        secret = secrets.token_urlsafe(32)
        record = Record(
            id=id,
            hash=_hash(secret),
            principal=_name(principal),
            node=self._node,
            lineage=self.store.lineage,
            window=(int(hello.window.messages), int(hello.window.size)),
            max=hello.max,
        )
        await self.store.put(record, ())
        return self._owned(record, Half(WINDOW)), f"{id}.{secret}"

    async def resume(self, asked: Control, principal: Hashable | None) -> Found | Reset | Refused | Ended:
        """Claim a session for the link that asks for it; SessionLink.attach is next, or how it is refused."""
        await self.ready()
        id, _, secret = asked.key.partition(".")
        answer = await self.store.claim(id, _hash(secret), _name(principal), asked.link, self._node)
        if isinstance(answer, Held):
            await self._handover.ask(answer.node, id)
            answer = await self.store.claim(
                id, _hash(secret), _name(principal), asked.link, self._node, force=True
            )
        if isinstance(answer, Ended) and answer.kind != OVER:
            return Reset(answer.why, answer.done)
        if answer is Refused.UNKNOWN or answer is Refused.FORGOTTEN:
            return Reset(answer.value)
        if isinstance(answer, Held):
            return Reset(Refused.UNKNOWN.value)
        return answer

    def owned(self, found: Found) -> SessionLink:
        """Return the session that was found, with what this process knows of it."""
        record = found.record
        known = self._sessions.get(record.id)
        if known is not None and not known.has_ended and known.claimed(record.generation):
            return known
        half = Half(WINDOW)
        half.go_on(record.acked, (record.acked + 1) % 64, record.done, (record.done + 1) % 64)
        for message in found.log:
            half.accept(message, size_of(message))
        return self._owned(record, half)

    def _owned(self, record: Record, half: Half) -> SessionLink:
        half.theirs = Window(*record.window)
        session = SessionLink(self, record, half)
        self._sessions[record.id] = session
        return session

    # And end

    def finish(self, id: str, generation: int, kind: str, why: str) -> None:
        """Have the store end a session."""
        self._spawn(self._finish(id, generation, kind, why))

    async def _finish(self, id: str, generation: int, kind: str, why: str) -> None:
        while True:
            try:
                await self.store.finish(id, generation, kind, why)
            except OSError as error:
                if not await self.may_write_again(error):
                    return
            else:
                return

    async def may_write_again(self, error: OSError) -> bool:
        """Wait a while after the store could not be written; return whether to try again."""
        _logger.error("%s", error)
        for _ in range(_PAUSES):
            if self.is_closed:
                return False
            await asyncio.sleep(_PAUSE)
        return not self.is_closed

    def over(self, session: SessionLink, why: str, unacknowledged: tuple[Message, ...]) -> None:
        """Forget a session, and tell the user."""
        self._forget(session)
        self._tell(session.id, why, unacknowledged)

    def moved(self, session: SessionLink) -> None:
        """Forget a session that another process has: what becomes of it is told there."""
        self._forget(session)
        _logger.info("session %s goes on in another process", session.id)

    def _forget(self, session: SessionLink) -> None:
        if self._sessions.get(session.id) is session:
            del self._sessions[session.id]

    def _tell(self, id: str, why: str, unacknowledged: tuple[Message, ...]) -> None:
        _logger.info("session %s is over: %s", id, printable(why))
        if self._on_end is None:
            return
        try:
            result = call("on_end", self._on_end, id, why, unacknowledged)
        except HookFailed as failed:
            log_raised(_logger.error, f"on_end for session {id}", failed.__cause__)
            return
        if isawaitable(result):
            close_unawaited(self._spawn(self._settle(id, result)), result)

    async def _settle(self, id: str, pending: Awaitable[Any]) -> None:
        try:
            await settle("on_end", pending)
        except HookFailed as failed:
            log_raised(_logger.error, f"on_end for session {id}", failed.__cause__)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _look(self) -> None:
        """End sessions that have expired."""
        while True:
            await asyncio.sleep(min(_LOOK, self.ttl / 4))
            try:
                expired = await self.store.due(time.time(), _AT_ONCE)
            except OSError as error:
                _logger.error("sessions that have expired cannot be ended: %s", error)
                continue
            for found in expired:
                session = self._sessions.get(found.record.id)
                why = EXPIRED if found.record.ending is None else found.record.ending
                if session is not None:
                    session.expired(why)
                else:
                    self._tell(found.record.id, why, tuple(found.log))


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _name(principal: Hashable | None) -> str | None:
    """Return the text that tells a principal from all others, as its repr does."""
    return None if principal is None else f"{type(principal).__qualname__} {principal!r}"
