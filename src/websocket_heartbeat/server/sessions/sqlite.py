"""Sessions in a file of SQLite: they survive the process, and by choice the machine.

One thread writes. It takes all calls that have come meanwhile and makes them one transaction, so that many
sessions share the cost of a commit. Processes of one machine may share the file.
"""

import asyncio
import hmac
import os
import queue
import secrets
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from websocket_heartbeat.events import Message
from websocket_heartbeat.server.sessions.store import (
    EXPIRED,
    HISTORY,
    IN_MEMORY,
    NOBODY,
    OVER,
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
)

T = TypeVar("T")

_SCHEMA = """
create table if not exists node (name text primary key, seen real) without rowid;
create table if not exists meta (name text primary key, value text) without rowid;
create table if not exists session (
    id text primary key, hash blob, principal text, generation integer, link integer, node text, lineage text,
    window_messages integer, window_size integer, max integer, done integer, sent integer, acked integer,
    state blob, ending text, deadline real, end_kind text, end_why text, forget_at real
) without rowid;
create table if not exists message (id text, number integer, data, primary key (id, number)) without rowid;
create table if not exists member (id text, room text, number integer, primary key (id, room)) without rowid;
create table if not exists room (name text primary key, lineage text, last integer, used real) without rowid;
create table if not exists post (
    room text, number integer, data blob, primary key (room, number)
) without rowid;
create table if not exists sender (
    room text, name text, number integer, used real, primary key (room, name)
) without rowid;
create index if not exists due on session (deadline) where deadline is not null;
create index if not exists held on session (node) where deadline is null and end_kind is null;
create index if not exists tomb on session (forget_at) where forget_at is not null;
"""

_COLUMNS = (
    "id, hash, principal, generation, link, node, lineage, window_messages, window_size, max,"
    " done, sent, acked, state, ending, deadline"
)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_BUSY = 10.0
"""Seconds to wait for another process that writes."""

_LONGEST = 16 * 1024
"""Bytes that are sent to another process as they are."""
_AT_ONCE = 100
"""Datagrams that are taken before the loop has a turn for others."""
_TRIES = 200
_PAUSE = 0.005
"""So often, after so many seconds each, is something sent to a process that has no room for it: a second."""

_RECENT = 3.0
"""Seconds after which what was published is heard of, or lost on the way."""

_ROOM = b"\0room "
"""Before the name of a room, in what tells other processes that it has more."""

Call = tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any], asyncio.AbstractEventLoop]


class SqliteStore(SharedStore):
    """Keeps sessions in a file, which processes of one machine may share.

    synchronous: "NORMAL": what was acknowledged survives the end of the process, and of the machine only up
    to some moment before; sessions know that, and are reset then. "FULL": it survives the machine too, at the
    price of an fsync for each transaction.
    """

    def __init__(self, path: str, ttl: float = 120, synchronous: str = "NORMAL") -> None:
        super().__init__()
        self.ttl = ttl
        self._path = path
        self._synchronous = synchronous
        self._lineage = ""
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._node = ""
        self._listener: Listener | None = None
        self._socket: socket.socket | None = None
        self._keep_rooms_at = 0.0  # when to say next which are used, in seconds since the epoch

    @property
    def lineage(self) -> str:
        return self._lineage

    async def open(self, node: str, listener: Listener, owned: Owned) -> None:
        self._node = node
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[str] = loop.create_future()
        self._calls.put(None)  # for a thread that a loop has left behind, which was closed before this was
        self._calls = queue.SimpleQueue()
        arguments = self._calls, loop, ready
        self._thread = threading.Thread(target=self._run, args=arguments, name="sessions", daemon=True)
        self._thread.start()
        try:
            self._lineage = await ready
        except BaseException:
            self._thread = None  # it has ended, and would answer no call; or does, once it has the file
            self._calls.put(None)
            raise
        self._listener = listener
        self._listen()

    async def close(self) -> None:
        self._followed.clear()
        self._listen_no_more()
        if self._thread is not None:
            with suppress(OSError):
                await self._call(self._let_go)
        thread, self._thread = self._thread, None
        if thread is not None:
            self._calls.put(None)
            await asyncio.get_running_loop().run_in_executor(None, thread.join)

    # The thread

    def _run(
        self,
        queued: "queue.SimpleQueue[Call | None]",
        loop: asyncio.AbstractEventLoop,
        ready: asyncio.Future[str],
    ) -> None:
        try:
            database = self._open()
            lineage = self._read_lineage(database)
        except Exception as error:  # such as a ValueError of a path with a NUL: who opens it must not wait
            failure = OSError(_why_not(self._path, error))
            _call_soon(loop, _fail, ready, failure)
            return
        _call_soon(loop, _answer, ready, lineage)
        try:
            while (call := queued.get()) is not None:
                calls = [call]
                with suppress(queue.Empty):
                    while (more := queued.get_nowait()) is not None:
                        calls.append(more)
                    queued.put(None)
                self._transact(database, calls)
        finally:
            database.close()

    def _open(self) -> sqlite3.Connection:
        until = time.monotonic() + _BUSY
        while True:
            database = sqlite3.connect(self._path, timeout=_BUSY, isolation_level=None)
            try:
                database.execute("pragma journal_mode = wal").fetchall()
                database.execute(f"pragma synchronous = {self._synchronous}").fetchall()
                database.executescript(f"begin immediate; {_SCHEMA}; commit")
                self._note_life(database)
            except sqlite3.OperationalError as error:
                database.close()
                # SQLite itself does not wait for a process that has just made the file and changes its mode;
                # PyPy does not try again what another process's tables come into the way of.
                is_busy = "locked" in str(error) or "schema has changed" in str(error)
                if not is_busy or time.monotonic() > until:
                    raise
                time.sleep(_PAUSE)
            else:
                return database

    def _note_life(self, database: sqlite3.Connection) -> None:
        database.execute("insert or replace into node values (?, ?)", (self._node, time.time()))

    def _let_go(self, database: sqlite3.Connection) -> None:
        self._let_expire(database, self._node, time.time() + self.ttl)
        if not self._node.startswith(IN_MEMORY):
            database.execute(
                "update session set node = ? where node = ? and end_kind is null", (NOBODY, self._node)
            )

    def _let_expire_those_of_the_dead(self, database: sqlite3.Connection) -> None:
        """Let sessions expire that have no deadline, as they had a link when their process ended."""
        now = time.time()
        dead = database.execute("select name from node where seen <= ?", (now - self.ttl,)).fetchall()
        for (node,) in dead:
            self._let_expire(database, node, now)
            with suppress(OSError):
                os.unlink(self._place_of(node))

    @staticmethod
    def _let_expire(database: sqlite3.Connection, node: str, deadline: float) -> None:
        database.execute(
            "update session set deadline = ? where node = ? and deadline is null and end_kind is null",
            (deadline, node),
        )
        database.execute("delete from node where name = ?", (node,))

    def _read_lineage(self, database: sqlite3.Connection) -> str:
        database.execute("insert or ignore into meta values ('lineage', ?)", (secrets.token_hex(8),))
        ((lineage,),) = database.execute("select value from meta where name = 'lineage'").fetchall()
        if self._synchronous == "FULL":
            return str(lineage)
        # The machine may forget on its way down what it has not written yet.
        return f"{lineage} {_BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ''}"

    @staticmethod
    def _transact(database: sqlite3.Connection, calls: list[Call]) -> None:
        """Make one transaction of the calls; none is answered before it is committed."""
        answers = []
        try:
            database.execute("begin immediate")
            answers = [work(database) for work, _, _ in calls]
            database.execute("commit")
        except Exception as error:
            with suppress(sqlite3.Error):
                database.execute("rollback")
            if len(calls) > 1 and not isinstance(error, sqlite3.OperationalError):
                for call in calls:  # one of them alone may be the cause
                    SqliteStore._transact(database, [call])
                return
            failure = OSError(f"the sessions cannot be written: {error}")
            for _, future, loop in calls:
                _call_soon(loop, _fail, future, failure)
            return
        for (_, future, loop), answer in zip(calls, answers, strict=True):
            _call_soon(loop, _answer, future, answer)

    async def _call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._thread is None:
            raise OSError("the store of the sessions is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._calls.put((work, future, loop))
        return await future

    # The calls

    async def put(self, record: Record, log: Sequence[Message]) -> Refused | None:
        lineage, writer = self._lineage, record.node or self._node

        def work(database: sqlite3.Connection) -> Refused | None:
            known = _row(
                database,
                "select generation, end_kind, node, lineage from session where id = ?",
                (record.id,),
            )
            if known is not None:
                generation, end, node, written = known
                if end is not None:
                    return Refused.GONE
                is_of_another = node not in (writer, NOBODY) and written == lineage
                if generation > record.generation or (generation == record.generation and is_of_another):
                    return Refused.FENCED
            values = (
                *(record.id, record.hash, record.principal, record.generation, record.link, record.node),
                *(lineage, *record.window, record.max, record.done, record.sent, record.acked),
                *(record.state, record.ending, record.deadline),
            )
            marks = ", ".join("?" * len(values))
            database.execute(f"insert or replace into session ({_COLUMNS}) values ({marks})", values)
            database.execute("delete from message where id = ?", (record.id,))
            _add(database, record.id, record.acked, log)
            database.execute("delete from member where id = ?", (record.id,))
            _note_rooms(database, record.id, record.rooms)
            return None

        return await self._call(work)

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
        lineage = self._lineage

        def work(database: sqlite3.Connection) -> Found | Refused | Held | Ended:
            row = _row(database, f"select {_COLUMNS}, end_kind, end_why from session where id = ?", (id,))
            if row is None:
                return Refused.UNKNOWN
            record = _record(database, row)
            if hash is not None and not (
                hmac.compare_digest(record.hash, hash) and record.principal == principal
            ):
                return Refused.UNKNOWN
            if record.lineage != lineage:
                return Refused.FORGOTTEN
            kind, why = row[-2:]
            if kind is not None:
                return Ended(kind, why, record.done)
            if hash is not None and link <= record.link:
                return Refused.STALE
            if record.node not in (node, NOBODY) and record.generation != force:
                return Held(record.node, record.generation)
            previous, record.node = record.node, node
            record.generation += 1
            if hash is not None:
                record.link, record.deadline = link, None
            database.execute(
                "update session set link = ?, node = ?, generation = ?, deadline = ? where id = ?",
                (record.link, node, record.generation, record.deadline, id),
            )
            return Found(record, _log(database, id), previous)

        return await self._call(work)

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
        def work(database: sqlite3.Connection) -> int | Refused:
            row = _writable(database, id, self._node, generation, "sent, acked, window_messages")
            if isinstance(row, Refused):
                return row
            sent, known, most = row
            acknowledged = max(known, min(acked, sent))
            wanted = after + len(messages)
            if messages and sent != wanted:
                if not after <= sent < wanted:
                    return Refused.GAP
                if wanted - acknowledged > max(1, most):
                    return Refused.FULL
                _add(database, id, sent, messages[sent - after :])
                sent = wanted
            database.execute(
                "update session set done = max(done, ?), sent = ?, acked = ?, deadline = ?,"
                " state = coalesce(?, state), ending = coalesce(?, ending) where id = ?",
                (done, sent, acknowledged, deadline, state, ending, id),
            )
            if acknowledged > known:
                database.execute("delete from message where id = ? and number <= ?", (id, acknowledged))
            _note_rooms(database, id, rooms or {})
            return int(sent)

        return await self._call(work)

    async def finish(self, id: str, generation: int, kind: str, why: str) -> Refused | None:
        def work(database: sqlite3.Connection) -> Refused | None:
            row = _writable(database, id, self._node, generation, "id")
            if isinstance(row, Refused):
                return row
            self._bury(database, id, kind, why)
            return None

        return await self._call(work)

    async def due(self, now: float, limit: int) -> list[Found]:
        await self._look_after_rooms()

        def work(database: sqlite3.Connection) -> list[Found]:
            self._let_expire_those_of_the_dead(database)
            database.execute("delete from session where forget_at <= ?", (now,))
            rows = database.execute(
                f"select {_COLUMNS} from session where deadline <= ? order by deadline limit ?", (now, limit)
            ).fetchall()
            found = []
            for row in rows:
                record = _record(database, row)
                found.append(Found(record, _log(database, record.id)))
                ending = record.ending
                values = EXPIRED if ending is None else OVER, ending or EXPIRED, now + TELL_AGAIN, record.id
                database.execute(
                    "update session set end_kind = ?, end_why = ?, deadline = ? where id = ?", values
                )
            return found

        return await self._call(work)

    async def due_here(self, now: float, limit: int) -> list[Found]:
        await self._look_after_rooms()
        return []

    async def told(self, ids: Sequence[str]) -> None:
        def work(database: sqlite3.Connection) -> None:
            for id in ids:
                end = _row(
                    database,
                    "select end_kind, end_why from session where id = ? and end_kind is not null"
                    " and deadline is not null",
                    (id,),
                )
                if end is not None:
                    self._bury(database, id, *end)

        await self._call(work)

    def _bury(self, database: sqlite3.Connection, id: str, kind: str, why: str) -> None:
        database.execute(
            "update session set end_kind = ?, end_why = ?, forget_at = ?, deadline = null where id = ?",
            (kind, why, time.time() + self.ttl, id),
        )
        database.execute("delete from message where id = ?", (id,))
        database.execute("delete from member where id = ?", (id,))

    # Rooms

    async def publish(self, room: str, sender: str, number: int, posts: Sequence[bytes]) -> int:
        lineage = self._lineage

        def work(database: sqlite3.Connection) -> int:
            now = time.time()
            known = _row(database, "select last, lineage from room where name = ?", (room,))
            last = 0 if known is None else known[0]
            if known is None or known[1] != lineage:
                last = max(last + 1, int(now * 1e6))
            ours = "select number from sender where room = ? and name = ?"
            (sent,) = _row(database, ours, (room, sender)) or (0,)
            if posts and sent < number:
                rows = [(room, place, post) for place, post in enumerate(posts, last + 1)]
                database.executemany("insert into post values (?, ?, ?)", rows)
                last += len(posts)
                database.execute("delete from post where room = ? and number <= ?", (room, last - HISTORY))
                values = room, sender, number, now
                database.execute("insert or replace into sender values (?, ?, ?, ?)", values)
            database.execute("insert or replace into room values (?, ?, ?, ?)", (room, lineage, last, now))
            return int(last)

        last = await self._call(work)
        if posts:
            self._more_in(room)
            await self.notify(None, _ROOM + room.encode())
        return last

    async def read(self, room: str, after: int, limit: int) -> Posts:
        def work(database: sqlite3.Connection) -> Posts:
            known = _row(database, "select last from room where name = ?", (room,))
            rows = database.execute(
                "select number, data from post where room = ? and number > ? order by number limit ?",
                (room, after, limit),
            )
            return Posts(after if known is None else known[0], rows.fetchall())

        return await self._call(work)

    def follow(self, room: str, more: Callable[[], None]) -> None:
        super().follow(room, more)
        asyncio.get_running_loop().call_soon(self._more_in, room)

    async def _look_after_rooms(self) -> None:
        """Say that this process lives, keep the rooms that it follows, and look for news of them: what other
        processes tell may be lost.
        """
        followed = list(self._followed)

        def work(database: sqlite3.Connection) -> tuple[list[str], bool]:
            now = time.time()
            self._note_life(database)
            if now >= self._keep_rooms_at:
                self._keep_rooms_at = now + self.ttl / 2
                rows = [(now, room) for room in followed]
                database.executemany("update room set used = ? where name = ?", rows)
                database.execute("delete from sender where used <= ?", (now - 4 * self.ttl,))
                old = "select name from room where used <= ?"
                database.execute(f"delete from post where room in ({old})", (now - 4 * self.ttl,))
                database.execute("delete from room where used <= ?", (now - 4 * self.ttl,))
            recent = database.execute("select name from room where used > ?", (now - _RECENT,))
            return [name for (name,) in recent], os.path.exists(self._place_of(self._node))

        active, can_be_told = await self._call(work)
        for room in active:
            self._more_in(room)
        if self._socket is not None and not can_be_told:
            # This process was stopped for so long that others took it for dead.
            self._listen_no_more()
            self._listen()

    # Other processes

    def _place_of(self, node: str) -> str:
        return f"{self._path}.{node}.socket"

    def _listen(self) -> None:
        """Hear other processes, unless the path is too long for a socket: what they tell may be lost."""
        place = self._place_of(self._node)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listening.setblocking(False)
        try:
            with suppress(FileNotFoundError):
                os.unlink(place)
            listening.bind(place)
        except OSError:
            listening.close()
            return
        self._socket = listening
        asyncio.get_running_loop().add_reader(listening, self._hear, listening)

    def _listen_no_more(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
            with suppress(OSError):
                os.unlink(self._place_of(self._node))

    def _hear(self, listening: socket.socket) -> None:
        assert self._listener is not None
        for _ in range(_AT_ONCE):
            try:
                data, files, flags, _ = socket.recv_fds(listening, 65536, 1)
            except OSError:
                return
            if flags & socket.MSG_CTRUNC:  # this process has as many files open as it may
                continue
            for file in files:
                with suppress(OSError):  # no file of ours
                    data = os.pread(file, os.fstat(file).st_size, 0)
                os.close(file)
            if data.startswith(_ROOM):
                self._more_in(data.removeprefix(_ROOM).decode(errors="replace"))
            else:
                self._listener(data)

    async def notify(self, node: str | None, data: bytes) -> bool:
        if node is not None:
            places = [Path(self._place_of(node))]
        else:
            path = Path(self._path)
            ours = Path(self._place_of(self._node))
            places = [place for place in path.parent.glob(f"{path.name}.*.socket") if place != ours]
        return any(await asyncio.gather(*(_send_to(str(place), data) for place in places)))


async def _send_to(place: str, data: bytes) -> bool:
    """Send something to a process, as soon as it has room for it; return false if it is gone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        try:
            sender.connect(place)
            for _ in range(_TRIES):
                try:
                    _send(sender, data)
                except BlockingIOError:  # that process is busy
                    await asyncio.sleep(_PAUSE)
                else:
                    break
        except OSError:
            return False
    return True


def _send(sender: socket.socket, data: bytes) -> None:
    """Send bytes, or the file that they are in: of a datagram there is a longest."""
    if len(data) <= _LONGEST:
        sender.send(data)
        return
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        socket.send_fds(sender, [b"file"], [file.fileno()])


def _call_soon(
    loop: asyncio.AbstractEventLoop, callback: Callable[[asyncio.Future[Any], Any], None], *arguments: Any
) -> None:
    with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
        loop.call_soon_threadsafe(callback, *arguments)


def _answer(future: asyncio.Future[Any], answer: object) -> None:
    if not future.done():
        future.set_result(answer)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _row(database: sqlite3.Connection, statement: str, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Return the only row that there can be, or None.

    All is fetched, which ends the statement: PyPy would end it some time later, and commit nothing before.
    """
    rows: list[tuple[Any, ...]] = database.execute(statement, values).fetchall()
    return rows[0] if rows else None


def _record(database: sqlite3.Connection, row: Sequence[Any]) -> Record:
    id, hash, principal, generation, link, node, lineage, messages, size, most, done, sent, acked = row[:13]
    state, ending, deadline = row[13:16]
    rooms = database.execute("select room, number from member where id = ?", (id,))
    return Record(
        id=id,
        hash=hash,
        principal=principal,
        generation=generation,
        link=link,
        node=node,
        lineage=lineage,
        window=(messages, size),
        max=most,
        done=done,
        sent=sent,
        acked=acked,
        state=state,
        ending=ending,
        deadline=deadline,
        rooms=dict(rooms.fetchall()),
    )


def _note_rooms(database: sqlite3.Connection, id: str, rooms: Mapping[str, int | None]) -> None:
    for room, number in rooms.items():
        if number is None:
            database.execute("delete from member where id = ? and room = ?", (id, room))
        else:
            database.execute("insert or replace into member values (?, ?, ?)", (id, room, number))


def _log(database: sqlite3.Connection, id: str) -> tuple[Message, ...]:
    rows = database.execute("select data from message where id = ? order by number", (id,))
    return tuple(data for (data,) in rows)


def _add(database: sqlite3.Connection, id: str, after: int, messages: Sequence[Message]) -> None:
    rows = [(id, number, data) for number, data in enumerate(messages, after + 1)]
    database.executemany("insert into message values (?, ?, ?)", rows)


def _writable(
    database: sqlite3.Connection, id: str, node: str, generation: int, columns: str
) -> tuple[Any, ...] | Refused:
    """Return columns of a session that a node may write to."""
    row = _row(database, f"select generation, node, end_kind, {columns} from session where id = ?", (id,))
    if row is None or row[2] is not None:
        return Refused.GONE
    return tuple(row[3:]) if row[:2] == (generation, node) else Refused.FENCED


def _why_not(path: str, error: Exception) -> str:
    """Return why a file cannot be opened: of most faults SQLite says the same."""
    try:
        path = os.path.abspath(path)
    except OSError:  # the working directory is gone
        return f"sessions cannot be kept in {path!r}: {error}"
    folder = os.path.dirname(path)
    why = str(error)
    if os.path.isdir(path):
        why = "it is a folder"
    elif not os.path.isdir(folder):
        why = f"there is no folder {folder!r}"
    else:
        for place in (path, folder):  # SQLite makes files beside its own
            if os.path.exists(place) and not os.access(place, os.W_OK):
                why = f"this process may not write to {place!r} ({error})"
                break
    return f"sessions cannot be kept in {path!r}: {why}"
