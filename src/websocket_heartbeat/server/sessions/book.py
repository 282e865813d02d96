"""The sessions of a hub that this process owns: begins, resumes and ends them, and sees them expire."""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from contextlib import suppress
from functools import partial
from typing import Any

from websocket_heartbeat import observer
from websocket_heartbeat.core.resume import Control
from websocket_heartbeat.core.session import Half, Window
from websocket_heartbeat.errors import SessionOver
from websocket_heartbeat.events import Message, size_of
from websocket_heartbeat.observer import SessionCount
from websocket_heartbeat.redaction import with_reason
from websocket_heartbeat.server.admission import Request
from websocket_heartbeat.server.loops import HOW, running_loop
from websocket_heartbeat.server.sessions.claims import Claims
from websocket_heartbeat.server.sessions.copies import Copies
from websocket_heartbeat.server.sessions.handover import Handover
from websocket_heartbeat.server.sessions.identity import hash_of, name_of, owner_of, principal_in
from websocket_heartbeat.server.sessions.limits import LARGEST_WINDOW, Limits, OverLimit
from websocket_heartbeat.server.sessions.link import SessionLink
from websocket_heartbeat.server.sessions.nodes import Nodes, Question
from websocket_heartbeat.server.sessions.owner_memory import OwnerMemory
from websocket_heartbeat.server.sessions.reports import EndHook, Reports
from websocket_heartbeat.server.sessions.routing import Router
from websocket_heartbeat.server.sessions.store import (
    EXPIRED,
    IN_MEMORY,
    LOST,
    OVER,
    REPLACED,
    Ended,
    Found,
    Held,
    Record,
    Refused,
    SharedStore,
    Store,
)
from websocket_heartbeat.server.streams import Streams
from websocket_heartbeat.server.throttle import Throttle
from websocket_heartbeat.system.awaiting import await_shared
from websocket_heartbeat.system.callbacks import log_raised

_logger = logging.getLogger("websocket_heartbeat.server")

WINDOW = Window(256, 256 * 1024)
"""What a client may send unacknowledged."""

_LOOK = 1.0
"""Seconds from one look for sessions that have expired to the next."""
_AT_ONCE = 100
"""Sessions that are ended, or left to the next process, before the loop has a turn for others."""

_OVERDUE = 30.0
"""Seconds after its deadline, after which a session has ended: if it is here still, the news was lost."""

_MOST_UNANSWERED = 1000
"""So many claims that were not answered are looked after; a stranger may ask for anything."""
_PAUSE = 0.1
_PAUSES = 10
"""So many pauses of so many seconds, until what could not be written is tried again."""

_ID = re.compile(r"[A-Za-z0-9_-]{12}")
"""What `begin` makes. No store is asked for others, which strangers choose: one takes no NUL, another keeps
track of whatever it is asked for, or would not have the keys of a session on one node of its cluster."""


class Reset:
    """A resume that comes to nothing: why, and what of the client's messages is known to be handled."""

    def __init__(self, why: str, done: int = 0) -> None:
        self.why = why
        self.done = done


class Book:
    """The sessions of one hub.

    keeps: whether they outlive the process where its end is a planned one; what a store has, that is not the
    memory of this process, outlives every end. told: called with what another process asks of all, for which
    there is no answer here.
    """

    def __init__(
        self,
        store: Store,
        on_end: EndHook | None,
        session_limit: int,
        *,
        keeps: bool = True,
        told: Callable[[Question], Awaitable[None]] | None = None,
    ) -> None:
        self.store = store
        self._keeps = keeps
        self._told = told
        self.limits: Limits = Limits(session_limit)
        self._is_making_room = False
        self.ttl: float = store.ttl
        self.reports: Reports = Reports(on_end)
        self._node = (IN_MEMORY if store.is_immediate else "") + secrets.token_hex(8)
        shared = store.behind if isinstance(store, OwnerMemory) else store
        self.streams: Streams | None = (
            Streams(self, shared, self._node) if isinstance(shared, SharedStore) else None
        )
        self._sessions: dict[str, SessionLink] = {}
        self._nodes = Nodes(store, self._node, self._answer)
        self.copies: Copies = Copies(self.ttl)
        self._handover = Handover(self._nodes, self)
        self._claims = Claims(store, self._node, self._sessions, self.copies, self._handover)
        self._router = Router(self._nodes, self._find)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Future[None] | None = None
        self._has_clients = False
        self._looking: asyncio.Task[None] | None = None
        self._overdue_at = 0.0  # when to look next for sessions that have ended, in seconds since the epoch
        self._log = Throttle(_logger)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self._finishing: dict[str, asyncio.Task[None]] = {}  # by the ID of the session
        # Of claims that were not answered: the ID, and the hash and the owner of who has asked.
        self._unanswered: set[tuple[str, bytes, str]] = set()
        self.is_closed: bool = False
        observer.sessions.add(self)

    def count(self) -> SessionCount:
        """Count the sessions; in any thread."""
        sessions = list(self._sessions.values())
        attached = sum(session.attachment is not None for session in sessions)
        return SessionCount(attached, len(sessions) - attached, self.limits.held)

    async def ready(self) -> None:
        """Open the store, if that is not done.

        Raises:
            OSError: it cannot be opened, or the hub is closed.
        """
        self.enter()
        if self.is_closed:
            raise OSError("the hub is closed")
        opening = self._opening
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception() is not None)):
            opening = self._opening = asyncio.ensure_future(self._open())
        try:
            await await_shared(opening)
        except asyncio.CancelledError:
            this = asyncio.current_task()
            if opening.cancelled() and not (this is not None and this.cancelling()):
                raise OSError("the hub is closed") from None
            raise

    def open_soon(self) -> None:
        """Open the store, if nobody has tried: sessions of a process before may be due to end."""
        self.enter()
        if not self._has_clients and not self.is_closed:
            self._has_clients = True
            self._spawn(self._try_to_open())

    async def _try_to_open(self) -> None:
        try:
            await self.ready()
        except OSError as error:
            extra = {"reason": str(error)}
            _logger.error("sessions cannot begin or go on: %s", error, extra=extra)

    def enter(self) -> None:
        """Belong to the running loop from now on: one before is closed, and what belonged to it.

        Raises:
            RuntimeError: another one runs still, and the store is open there.
        """
        loop = running_loop()
        if loop is not self._loop:
            is_in_use = self._opening is not None and not self.is_closed
            if is_in_use and self._loop is not None and self._loop.is_running():
                raise RuntimeError(
                    f"a hub belongs to one event loop: this one has its sessions on another: {HOW}"
                )
            self._loop = loop
            self._opening = self._looking = None
            self._sessions.clear()
            self._tasks.clear()
            self._telling.clear()
            self._finishing.clear()
            self._unanswered.clear()
            self.copies.clear()
            self.reports.forget()
            self._nodes.forget()
            self._claims.forget()
            self._has_clients = False
            self.limits = Limits(self.limits.most)
            self._is_making_room = False
            self.is_closed = False
            if self.streams is not None:
                self.streams.forget()

    async def _open(self) -> None:
        await self.store.open(self._node, self._nodes.heard, self._claims.owned)
        self._claims.opened()
        self._looking = asyncio.get_running_loop().create_task(self._look())

    async def close(self, patience: float) -> None:
        """Be done with the store; its sessions go on with the next hub that opens it.

        patience: seconds that hooks have to end which still run; then they are cancelled.
        """
        self.enter()
        if self.streams is not None:
            await self.streams.close()
        if self._telling:
            await asyncio.wait(self._telling)
        again = [session.write_again() for session in self._sessions.values()]
        if writing := [task for task in again if task is not None]:
            await asyncio.wait(writing, timeout=patience)
        self.is_closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])  # what it has begun is ended here
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        await self._nodes.close()
        await self._claims.close()
        sessions = list(self._sessions.values())
        for session in sessions:
            await session.written()
        is_away = False
        for first in range(0, len(sessions), _AT_ONCE):
            batch = sessions[first : first + _AT_ONCE]
            if not is_away:
                is_away = not any(await asyncio.gather(*map(self._leave, batch)))
                continue
            for session in batch:  # to try each would take seconds, of which a program that ends has few
                self.reports.over(session.id, LOST, session.unacknowledged())
        self._sessions.clear()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.reports.close(patience)
        if self._opening is not None:
            await self.store.close()

    async def _leave(self, session: SessionLink) -> bool:
        """Leave a session to the next hub, or end it; return whether the store could be told."""
        if session.has_moved:  # meanwhile
            return True
        is_told = True
        try:
            if self._keeps:
                found = session.found()
                await self.store.give(found)
                if lost := session.half.sent - found.record.sent:
                    self.reports.unwritten(session.id, lost)
                return True
            await self.store.finish(session.id, session.generation, REPLACED, LOST)
        except OSError as error:
            is_told = False
            extra = {"reason": str(error)}
            self._log.error("a session is lost, as it cannot be written: %s", error, extra=extra)
        self.reports.over(session.id, LOST, session.unacknowledged())
        return is_told

    # Other processes

    async def _answer(self, question: Question) -> Any:
        if "give" in question:
            return await self._handover.give(question["give"], int(question["link"]))
        if "taken" in question:
            return self._taken(question["taken"], question["generation"])
        if "forgotten" in question:  # None: another one may have it
            return await self._claims.write_here(question["forgotten"], is_given=question["given"]) or None
        if "expired" in question:
            return self._expired(question["expired"], question["why"], is_asked=True)
        if "told" in question:
            if self._told is not None:
                await self._told(question)
            return None
        return await self._router.answer(question)

    def tell_all(self, question: Question) -> None:
        """Have all other processes told something, as far as they hear it; never waits."""
        task = asyncio.get_running_loop().create_task(self._tell_others(question))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell_others(self, question: Question) -> None:
        try:
            await self.ready()
            await self._nodes.tell(None, question)
        except OSError as error:
            _logger.error("other processes could not be told: %s", error, extra={"reason": str(error)})

    def here(self, id: str) -> SessionLink | None:
        """Return a session that is this process's, also one that has been let go of here."""
        return self._sessions.get(id)

    def _taken(self, id: str, generation: int) -> bool:
        """Take the news that another process has claimed a session."""
        self.copies.claimed_elsewhere(id, generation)
        session = self._sessions.get(id)
        if session is not None and session.generation < generation:
            if session.has_ended:  # let go with its server
                self._forget(session)
            else:
                session.fenced()
        return True

    def lost(self, id: str) -> None:
        """Tell that a session is lost, with the memory of the process that had it."""
        self.copies.discard(id)
        self.reports.over(id, LOST, ())

    # Sessions begin

    async def begin(
        self, hello: Control, principal: Hashable | None, request: Request
    ) -> tuple[SessionLink, str]:
        """Return a new session, and the key that its client resumes it with.

        principal, request: those of its link, to which the session is bound.

        Raises:
            OverLimit: there is no room for one.
        """
        await self.ready()
        self.limits.check_room()
        before = self.limits.one_too_many(name_of(principal))
        if before is not None:
            before.expire()
            if self._sessions.get(before.id) is before:  # let go with its server: nobody has told of its end
                self.over(before, EXPIRED, before.unacknowledged())
        id = secrets.token_urlsafe(9)
        secret = secrets.token_urlsafe(32)
        record = Record(
            id=id,
            hash=hash_of(secret),
            principal=owner_of(principal, request),
            node=self._node,
            lineage=self.store.lineage,
            window=(
                int(min(hello.window.messages, LARGEST_WINDOW.messages)),
                int(min(hello.window.size, LARGEST_WINDOW.size)),
            ),
            max=hello.max,
        )
        await self.store.put(record, ())
        return self._owned(record, Half(WINDOW)), f"{id}.{secret}"

    async def resume(
        self, asked: Control, principal: Hashable | None, request: Request
    ) -> Found | Reset | Refused | Ended:
        """Claim a session for the link that asks for it; SessionLink.attach is next, or how it is refused."""
        await self.ready()
        id, _, secret = asked.key.partition(".")
        if not _ID.fullmatch(id):
            return Reset(Refused.UNKNOWN.value)
        owner = owner_of(principal, request)
        await self.finished(id)
        try:
            answer = await self._claims.take(id, hash_of(secret), owner, asked.link)
        except OSError:
            self._note_unanswered(id, hash_of(secret), owner)
            raise
        if isinstance(answer, Ended) and answer.kind != OVER:
            return Reset(answer.why, answer.done)
        if answer is Refused.UNKNOWN or answer is Refused.FORGOTTEN:
            return Reset(answer.value)
        return answer

    def _note_unanswered(self, id: str, hash: bytes, owner: str) -> None:
        """Take the news that a link has asked for a session, and that the store has not answered."""
        is_first = not self._unanswered
        if len(self._unanswered) < _MOST_UNANSWERED:
            self._unanswered.add((id, hash, owner))
        if is_first:
            self._spawn(self._look_after_unanswered())

    async def _look_after_unanswered(self) -> None:
        """Let sessions expire whose claim was made and not answered: no process knows that it has them."""
        while self._unanswered and await self._pause():
            with suppress(OSError):  # then they are asked again
                for asked in list(self._unanswered):
                    # A link of number 0 claims nothing; it is told that it is old if it might.
                    if await self.store.claim(*asked, 0, self._node) is Refused.STALE:
                        with suppress(SessionOver):
                            await self._find(asked[0], None)
                    self._unanswered.remove(asked)

    async def send(self, id: str, message: Message) -> None:
        """Do as `Hub.send`, with arguments that were checked."""
        await self._router.send(id, message)

    async def dismiss(self, id: str, reason: str) -> None:
        """Do as `Hub.dismiss`, with arguments that were checked."""
        await self._router.dismiss(id, reason)

    async def _find(self, id: str, dead: str | None) -> SessionLink | str:
        """Return a session that is here, or has no process that lives, or whose it is: for routing.py."""
        await self.ready()
        session = self._sessions.get(id)
        if session is not None and not session.has_ended:
            return session
        await self.finished(id)
        claim = partial(self._claims.claim, id)
        answer: Found | Refused | Held | Ended = Refused.UNKNOWN
        if _ID.fullmatch(id):
            answer = await claim()
        if isinstance(answer, Held):
            if answer.node != dead:
                return answer.node
            is_lost = answer.node.startswith(IN_MEMORY)
            answer = await (self._handover.lose if is_lost else self._handover.force)(id, answer, claim)
            if isinstance(answer, Held):
                return answer.node
        if not isinstance(answer, Found):
            why = answer.why if isinstance(answer, Ended) else "unknown"
            raise SessionOver(with_reason("there is no such session, or not any more", why))
        session = self._known(answer)
        if session.attachment is None:
            session.wait_for_client()
        return session

    def owned(self, found: Found) -> SessionLink:
        """Return the session that was found, with what this process knows of it.

        Raises:
            OverLimit: it may not go on yet.
        """
        session = self._known(found)
        if session.link_number > found.record.link:  # the link that has asked is old, and gets nothing
            return session
        try:
            self.limits.check_resume(session, asyncio.get_running_loop().time())
        except OverLimit:
            session.put_off()
            raise
        return session

    def _known(self, found: Found) -> SessionLink:
        record = found.record
        known = self._sessions.get(record.id)
        if known is not None and not known.has_ended:
            if known.generation >= record.generation:
                return known  # this process has claimed it once more since, and what was found is old
            if known.claimed(record):
                return known
        acked, done, log = record.acked, record.done, found.log
        if known is not None and self.store.is_immediate:  # which was told less than what has let it go here
            acked, done, log = known.half.acked, known.half.done, known.unacknowledged()
        half = Half(WINDOW)
        half.go_on(acked, (acked + 1) % 64, done, (done + 1) % 64)
        for message in log:
            half.accept(message, size_of(message))
        return self._owned(record, half)

    def _owned(self, record: Record, half: Half) -> SessionLink:
        half.theirs = Window(*record.window)
        before = self._sessions.get(record.id)
        if before is not None:  # which has let it go
            self._forget(before)
        session = SessionLink(self, record, half, principal_in(record.principal))
        self._sessions[record.id] = session
        self.copies.discard(record.id)
        self.limits.add(session)
        return session

    def held(self, size: float) -> None:
        """Count so many bytes more that messages take, or less; soon make room, where they take too many."""
        self.limits.held += size
        if self.limits.held > self.limits.most and not self._is_making_room:
            self._is_making_room = True
            asyncio.get_running_loop().call_soon(self._make_room)

    def _make_room(self) -> None:
        self._is_making_room = False
        for session in self.limits.in_the_way(self._sessions.values()):
            session.reset("overflow")

    def published(self) -> "asyncio.Future[None] | None":
        """Return what is done when all that was sent to rooms before is published; None: it is."""
        return None if self.streams is None else self.streams.published()

    # And end

    def finish(self, id: str, generation: int, kind: str, why: str) -> None:
        """Have the store end a session; until it has, its client waits."""
        finishing = self._finishing[id] = self._spawn(self._finish(id, generation, kind, why))
        finishing.add_done_callback(lambda _: self._finishing.pop(id, None))

    async def finished(self, id: str) -> None:
        """Wait until the store knows the end of a session, if it has ended: before that it can be claimed."""
        if id in self._finishing:
            await asyncio.wait([self._finishing[id]])

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
        extra = {"reason": str(error)}
        self._log.error("a session waits until it can be written: %s", error, extra=extra)
        return await self._pause()

    async def _pause(self) -> bool:
        """Wait a while for the store; return false at once when the hub closes."""
        for _ in range(_PAUSES):
            if self.is_closed:
                return False
            await asyncio.sleep(_PAUSE)
        return not self.is_closed

    async def is_still_ours(self, session: SessionLink) -> bool:
        """Ask the store whether a session was fenced by a claim of this process that was never answered."""
        return await self._claims.is_still_ours(session)

    async def is_known(self, session: SessionLink) -> bool:
        """Ask the store whether it has a session, or its end."""
        return await self._claims.is_known(session)

    def over(self, session: SessionLink, why: str, unacknowledged: tuple[Message, ...]) -> None:
        """Forget a session, and tell the user."""
        self._forget(session)
        self.reports.over(session.id, why, unacknowledged)

    def moved(self, session: SessionLink, lost: int) -> None:
        """Forget a session that another process has. lost: as in Reports."""
        self._forget(session)
        self.store.forget(session.id, session.generation)
        self.reports.moved(session.id, lost)

    def interrupted(self, session: SessionLink, number: int) -> None:
        """Take the news that a message was begun here, and is not known to be recorded."""
        if self._keeps:
            self.reports.interrupted(session.id, number)

    def _forget(self, session: SessionLink) -> None:
        if self._sessions.get(session.id) is session:
            del self._sessions[session.id]
            self.limits.remove(session)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _look(self) -> None:
        """End sessions that have expired."""
        while True:
            await asyncio.sleep(min(_LOOK, self.ttl / 4))
            self.copies.expire()
            try:
                await self._end_expired()
                await self._end_overdue()
            except OSError as error:
                extra = {"reason": str(error)}
                self._log.error("sessions that have expired cannot be ended: %s", error, extra=extra)
            except Exception as error:  # a mistake, of which nobody else would hear: others must expire still
                log_raised(self._log.error, "a look for sessions that have expired", error)

    async def _end_expired(self) -> None:
        """End them. A process without clients and a hook leaves those of others to them, which tell of it."""
        while True:
            due = self.store.due if self.reports.has_hook or self._has_clients else self.store.due_here
            expired = await due(time.time(), _AT_ONCE)
            told = []
            for found in expired:
                why = EXPIRED if found.record.ending is None else found.record.ending
                is_here = self._expired(found.record.id, why)
                if not is_here and found.record.node != self._node:
                    self._spawn(self._tell_of_another(found, why))
                    continue
                if not is_here:
                    self.reports.over(found.record.id, why, tuple(found.log))
                told.append(found.record.id)
            if told:
                await self.store.told(told)
            if len(expired) < _AT_ONCE:
                return
            await asyncio.sleep(0)

    async def _end_overdue(self) -> None:
        """End sessions that another process has ended and told of, where the news of that was lost."""
        now = time.time()
        if now < self._overdue_at:
            return
        self._overdue_at = now + _OVERDUE
        for session in list(self._sessions.values()):
            if session.has_ended or session.deadline is None or session.deadline + _OVERDUE > now:
                continue
            if await self._claims.is_still_ours(session) or session.has_ended:
                continue
            # A tombstone is there for a ttl: where there is none, somebody has deleted the session.
            if now < session.deadline + self.ttl and not await self._claims.is_known(session):
                session.expired(LOST)
            else:
                session.fenced()

    def _expired(self, id: str, why: str, *, is_asked: bool = False) -> bool:
        """End a session that the store has ended, and tell the user; false if it is not here any more.

        is_asked: by another process, which tells its user of a session that has no peer here.
        """
        session = self._sessions.get(id)
        if session is None:
            return False
        if session.has_ended:  # let go with its server
            if self.store.is_immediate:  # which was told less
                self.over(session, why, session.unacknowledged())
                return True
            self._forget(session)
            return False
        if is_asked and not session.has_begun:
            session.fenced()
            return False
        session.expired(why)
        return True

    async def _tell_of_another(self, found: Found, why: str) -> None:
        """Have the process tell its user that has a peer for the session; or tell ours, if none has."""
        is_told = False
        with suppress(OSError):
            is_told = await self._handover.end_expired(found.record.node, found.record.id, why)
        if not is_told:
            self.reports.over(found.record.id, why, tuple(found.log))
        with suppress(OSError):  # it is told again then
            await self.store.told([found.record.id])
