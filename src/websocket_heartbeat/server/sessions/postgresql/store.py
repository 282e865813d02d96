"""The store in PostgreSQL: sessions survive processes and machines, and move between them.

The calls of one turn of the loop are one transaction, mostly in one round trip; one transaction after the
other, by one connection. What a call does is in calls.py, what nodes say to each other in listener.py.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from websocket_heartbeat.events import Message
from websocket_heartbeat.server.sessions.clocks import compare
from websocket_heartbeat.server.sessions.postgresql import calls, transactions
from websocket_heartbeat.server.sessions.postgresql.calls import Arguments, Work
from websocket_heartbeat.server.sessions.postgresql.driver import (
    CONNECT_TIMEOUT,
    FAILURES,
    connect,
    failed,
    is_stuck,
    pool,
)
from websocket_heartbeat.server.sessions.postgresql.listener import NodeListener
from websocket_heartbeat.server.sessions.store import (
    TELL_AGAIN,
    Ended,
    Found,
    Held,
    Listener,
    Owned,
    Posts,
    Record,
    Refused,
    SharedStore,
    Transaction,
)

_logger = logging.getLogger("websocket_heartbeat.server")

_LOCK_TIMEOUT = 2000
"""Milliseconds that a call waits for another connection that writes to the same session."""
_RECONNECT_AFTER = 0.2
_RECONNECT_MOST = 2.0
"""Seconds from a connection that could not be made to the next attempt, at first and at most."""
_RECENT = 3.0
"""Seconds after which what was published is heard of, or lost on the way."""
_TELL_WITHIN = 2.0
"""Seconds in which other nodes are told of what was published last before the end."""

_ROOMS = b"\0rooms "
"""Before the names of rooms, in what tells other nodes that they have more."""
_TRANSACTIONS = 10
"""Transactions of users at a time; others wait."""


class _Call(NamedTuple):
    work: Work
    arguments: Arguments
    answer: "asyncio.Future[Any]"


class PostgresStore(SharedStore):
    """A database, of a server of version 12 or newer.

    url: postgresql://user:password@host:port/database, and the parameters that asyncpg knows. The tables are
    in a schema of their own, websocket_heartbeat; who connects first makes them.

    What was acknowledged is on the server's disk, also where its synchronous_commit is off. After a failover
    to a replica that lacks writes, and without fsync, the lineage tells: nodes write their sessions again.
    """

    def __init__(self, url: str, ttl: float = 120) -> None:
        super().__init__()
        self.ttl = ttl
        self._url = _checked(url)
        self._settings: dict[str, str] = {}  # of connections
        self._node = ""
        self._lineage = ""
        self._owned: Owned = tuple
        self._calls: list[_Call] = []
        self._flushing: asyncio.Task[None] | None = None
        self._connection: Any = None
        # When it was made, and when to try again, on the loop's clock.
        self._connected_at = 0.0
        self._not_before = 0.0
        self._pause = _RECONNECT_AFTER
        self._failure: OSError | None = None  # of the last attempt
        self._listener: NodeListener | None = None
        self._pool: Any = None
        self._is_open = False
        self._keep_rooms_at = 0.0  # on the loop's clock
        self._told: set[str] = set()  # rooms that other nodes are to be told of
        self._telling: asyncio.Task[None] | None = None

    @property
    def lineage(self) -> str:
        return self._lineage

    async def open(self, node: str, listener: Listener, owned: Owned) -> None:
        if self._is_open:
            self._forget()
        self._node = node
        self._owned = owned
        self._is_open = True
        self._failure = None
        try:
            await self._ask(calls.live, (node,))
            self._listener = NodeListener(
                self._url, node, lambda data: self._hear(data, listener), self._listen_again
            )
            await self._listener.open()
            self._pool = await pool(self._url, _TRANSACTIONS, self._settings, self._compare)
        except BaseException:
            self._is_open = False
            await self._end_connections()
            raise

    def _forget(self) -> None:
        """Forget what an event loop has left behind which was closed before this was."""
        self._calls = []
        self._telling = self._flushing = None
        self._connection = self._listener = self._pool = None
        self._keep_rooms_at = 0.0
        self._followed.clear()

    async def close(self) -> None:
        if self._is_open:
            with suppress(OSError):
                await self._ask(calls.leave, (self._node, time.time() + self.ttl))
        self._is_open = False
        self._followed.clear()
        await self._end_connections()

    async def _end_connections(self) -> None:
        if self._telling is not None:
            await asyncio.wait([self._telling], timeout=_TELL_WITHIN)
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])
        if self._listener is not None:
            await self._listener.close()
            self._listener = None
        while self._flushing is not None:
            await asyncio.wait([self._flushing])
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*FAILURES):
                await connection.close(timeout=CONNECT_TIMEOUT)
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    # The connection

    async def _connected(self) -> Any:
        """Return the connection of the calls, which is made where there is none.

        Raises:
            OSError: it cannot be made now.
        """
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        if self._connection is not None:  # lost: it lets go of what it had
            self._connection.terminate()
            self._connection = None
        loop = asyncio.get_running_loop()
        if self._failure is not None and loop.time() < self._not_before:
            raise self._failure
        try:
            connection = await connect(self._url, {**self._settings, "lock_timeout": str(_LOCK_TIMEOUT)})
            try:
                await self._begin(connection)
            except BaseException:
                connection.terminate()
                raise
        except FAILURES as error:
            self._failure = error if isinstance(error, OSError) else failed("cannot be used", error)
            self._not_before = loop.time() + self._pause
            self._pause = min(2 * self._pause, _RECONNECT_MOST)
            raise self._failure from None
        self._connection = connection
        self._connected_at = loop.time()
        self._failure = None
        self._pause = _RECONNECT_AFTER
        return connection

    async def _begin(self, connection: Any) -> None:
        """Make the tables, if that is to be done; write all sessions again, if some may be forgotten."""
        if await connection.fetchval("show synchronous_commit") == "off":
            self._settings["synchronous_commit"] = "on"
            await connection.execute("set synchronous_commit to on")
        before = time.time()
        there = await connection.fetchval("select extract(epoch from clock_timestamp())::float8")
        compare(before, there, time.time())
        lineage = await calls.lineage_of(connection)
        await calls.make_tables(connection)
        if lineage != self._lineage and self._lineage:
            owned = list(self._owned())
            words = "the store may have forgotten writes: %d sessions are written again"
            _logger.warning(words, len(owned), extra={"sessions": len(owned)})
            if owned:
                await calls.put(connection, [calls.row_of(found, lineage, self._node) for found in owned])
        self._lineage = lineage

    # Calls of the server, all by one task: a caller that is cancelled leaves no answer unread

    async def _ask(self, work: Work, arguments: Arguments) -> Any:
        """Have a call made with the others of this turn of the loop, in the order of the calls."""
        if not self._is_open:
            raise OSError("the store of the sessions is closed")
        # A program that ends cancels the task, maybe before its first step: then it answers nothing.
        if self._flushing is None or self._flushing.cancelling():
            self._flush_soon()
        call = _Call(work, arguments, asyncio.get_running_loop().create_future())
        self._calls.append(call)
        return await call.answer

    def _flush_soon(self) -> None:
        self._flushing = asyncio.get_running_loop().create_task(self._flush(self._flushing))
        self._flushing.add_done_callback(self._flushed)

    async def _flush(self, before: "asyncio.Task[None] | None") -> None:
        if before is not None:  # which was cancelled, and may use the connection yet
            await asyncio.wait([before])
        while self._calls:
            asked, self._calls = self._calls, []
            # What is published goes by itself, as others wait for a room until that is committed.
            published = [call for call in asked if call.work is calls.publish]
            rest = [call for call in asked if call.work is not calls.publish]
            for part in (published, rest):
                if part:
                    await self._answer(part)

    def _flushed(self, task: "asyncio.Task[None]") -> None:
        if self._flushing is not task:  # but one that has followed it, as it was cancelled
            return
        self._flushing = None
        if not task.cancelled() and self._calls:  # since its last look
            self._flush_soon()

    async def _answer(self, asked: list[_Call]) -> None:
        answers: list[Any] = [OSError("its event loop ends")] * len(asked)  # if this is cancelled
        try:
            connection = await self._connected()
            try:
                answers = await self._transact(connection, asked)
            except FAILURES as error:
                if connection.is_closed() or is_stuck(error):
                    connection.terminate()  # which also lets go of what a lost one had
                if not connection.is_closed() and len(asked) > 1:
                    for call in asked:  # one of them alone may be the cause
                        await self._answer([call])
                    return
                answers = [failed("has failed", error)] * len(asked)
        except OSError as error:
            answers = [error] * len(asked)
        finally:
            for call, answer in zip(asked, answers, strict=True):
                _settle(call.answer, answer)

    @staticmethod
    async def _transact(connection: Any, asked: list[_Call]) -> list[Any]:
        """Make one transaction of calls; none is answered before it is committed."""
        runs = [
            (work, [call.arguments for call in run]) for work, run in groupby(asked, lambda call: call.work)
        ]
        if len(runs) == 1 and runs[0][0] in calls.SINGLE:
            work, arguments = runs[0]
            return list(await work(connection, arguments))
        async with connection.transaction():
            return [answer for work, arguments in runs for answer in await work(connection, arguments)]

    # The calls

    async def put(self, record: Record, log: Sequence[Message]) -> Refused | None:
        row = calls.row_of(Found(record, log), self._lineage, self._node)
        answer: Refused | None = await self._ask(calls.put, row)
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
        arguments = id, hash, calls.stored_text(principal), link, node, force, self._lineage
        answer: Found | Refused | Held | Ended = await self._ask(calls.claim, arguments)
        return answer

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
        log = [calls.packed(message) for message in messages]
        changes = calls.changes_of(rooms) if rooms else None
        what = done, acked, deadline, state, calls.stored_text(ending), changes
        arguments = id, generation, after, log, *what, self._node
        answer: int | Refused = await self._ask(calls.write, arguments)
        return answer

    async def finish(self, id: str, generation: int, kind: str, why: str) -> Refused | None:
        arguments = id, generation, kind, calls.stored_text(why), time.time() + self.ttl, self._node
        answer: Refused | None = await self._ask(calls.finish, arguments)
        return answer

    async def due(self, now: float, limit: int) -> list[Found]:
        await self._look_after_rooms()
        # Where the database was away, other nodes may be about to say that they live.
        has_watched = asyncio.get_running_loop().time() >= self._connected_at + self.ttl
        patience = self.ttl if has_watched else None
        arguments = self._node, patience, now, limit, now + TELL_AGAIN
        found: list[Found] = await self._ask(calls.due, arguments)
        return found

    async def due_here(self, now: float, limit: int) -> list[Found]:
        await self._look_after_rooms()
        return []

    async def _look_after_rooms(self) -> None:
        """Keep the rooms that are followed, and look for news of them: what other nodes tell may be lost."""
        clock = asyncio.get_running_loop().time()
        if clock >= self._keep_rooms_at:
            self._keep_rooms_at = clock + self.ttl / 2
            await self._ask(calls.keep_rooms, ([*map(calls.stored_text, self._followed)], 4 * self.ttl))
        if self._followed:
            rooms = {calls.stored_text(room): room for room in self._followed}
            for name in await self._ask(calls.active_rooms, ([*rooms], _RECENT)):
                self._more_in(rooms[name])

    async def told(self, ids: Sequence[str]) -> None:
        await self._ask(calls.told, (list(ids), time.time() + self.ttl))

    # Rooms

    async def publish(self, room: str, sender: str, number: int, posts: Sequence[bytes]) -> int:
        arguments = calls.stored_text(room), sender, number, posts, self._lineage
        last = int(await self._ask(calls.publish, arguments))
        if posts:
            self._more_in(room)
            self._told.add(room)
            if self._telling is None:
                self._telling = asyncio.get_running_loop().create_task(self._tell())
        return last

    async def read(self, room: str, after: int, limit: int) -> Posts:
        answer: Posts = await self._ask(calls.read, (calls.stored_text(room), after, limit))
        return answer

    def follow(self, room: str, more: Callable[[], None]) -> None:
        super().follow(room, more)
        asyncio.get_running_loop().call_soon(self._more_in, room)

    async def _tell(self) -> None:
        """Tell other nodes that rooms have more; as often as it takes."""
        this = asyncio.current_task()
        try:
            while self._told:
                rooms, self._told = self._told, set()
                try:
                    is_told = await self.notify(None, _ROOMS + json.dumps(sorted(rooms)).encode())
                except OSError:
                    is_told = False
                if not is_told:
                    self._told |= rooms
                    await asyncio.sleep(_RECONNECT_AFTER)
        finally:
            if self._telling is this:  # as in `_flush`
                self._telling = None

    def _hear(self, data: bytes, listener: Listener) -> None:
        if data.startswith(_ROOMS):
            with suppress(ValueError, TypeError):  # of no node of ours
                for room in json.loads(data.removeprefix(_ROOMS)):
                    self._more_in(room)
        else:
            listener(data)

    def _listen_again(self) -> None:
        """Look at all rooms, as nobody has listened for a while."""
        for room in list(self._followed):
            self._more_in(room)

    # Other nodes

    async def notify(self, node: str | None, data: bytes) -> bool:
        if self._listener is None:
            raise OSError("the store of the sessions is closed")
        return await self._listener.notify(node, data)

    # Transactions of users

    async def begin(self) -> Transaction:
        if self._pool is None:
            raise OSError("the store of the sessions is closed")
        return await transactions.begin(self._pool, self._node)

    async def outcome(self, id: str, generation: int) -> tuple[int, int] | Refused:
        answer: tuple[int, int] | Refused = await self._ask(calls.outcome, (id, generation, self._node))
        return answer

    async def _compare(self, connection: Any) -> None:
        """See that a connection of the pool is to the server of the calls; else have those go over to it."""
        if await calls.lineage_of(connection) != self._lineage:
            if self._connection is not None:
                self._connection.terminate()
            raise OSError("the server is another one by now")


def _settle(future: "asyncio.Future[Any]", answer: Any) -> None:
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
        future.exception()  # looked at: who has asked may be cancelled
    else:
        future.set_result(answer)


def _checked(url: str) -> str:
    with suppress(ValueError):  # which quotes what it takes for a port: it may be of a password
        _ = urlsplit(url).port
        return url
    raise ValueError(
        'sessions must be as "postgresql://user:password@host:5432/database", with a number for the port'
    )
