"""Sessions in Valkey or Redis: they survive processes and machines, and move between them.

One script a call: scripts/*.lua. The calls of one turn of the loop go as one pipeline, one pipeline after the
other. A session has two keys, with one slot in a cluster; what is due when is beside them, and may be early.
So has a room, and one more for each node that sends to it. Nodes are told by channels which room has more,
and read it with their other calls: one blocking read of 10,000 rooms takes a server 20 ms, for each message.
"""

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

try:
    from redis.asyncio import Redis, RedisCluster
    from redis.asyncio.client import PubSub
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import NoPermissionError, NoScriptError, RedisError
except ImportError as _missing:
    raise ImportError(
        "sessions in Valkey or Redis need redis: pip install 'websocket-heartbeat[valkey]'"
    ) from _missing

from websocket_heartbeat.events import Message
from websocket_heartbeat.server.sessions.clocks import compare
from websocket_heartbeat.server.sessions.store import (
    HISTORY,
    IN_MEMORY,
    NOBODY,
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
from websocket_heartbeat.system.awaiting import await_shared

T = TypeVar("T")

_logger = logging.getLogger("websocket_heartbeat.server")

_PREFIX = "wh:"

_FOLDER = files(__package__).joinpath("scripts")


def _text(name: str) -> str:
    return _FOLDER.joinpath(f"{name}.lua").read_text(encoding="utf-8")


_SCRIPTS = {name: _text(name) for name in ("finish", "hold", "expire", "told", "move", "read")}
_SCRIPTS |= {name: _text("lineage") + _text(name) for name in ("put", "claim", "write", "publish")}
_SHAS = {name: hashlib.sha1(text.encode()).hexdigest() for name, text in _SCRIPTS.items()}

_REFUSED = {refused.value.encode(): refused for refused in Refused}

_ROOM = "room:"
"""Before the name of a room in a field of a session."""

_TEXT, _BINARY = b"t", b"b"
"""The first octet of a message in the log."""

_TIMEOUT = 5
"""Seconds in which a server answers, or is away; and of silence after which a subscription is tried."""
_RECONNECT_AFTER = 0.2
"""Seconds from a lost subscription to the next attempt."""
_HEARD = 10_000
"""So many notifications are remembered, to tell one that comes twice."""
_BATCH = 256
"""So many sessions are renewed or written again at once; other calls come between."""
_TRIES = 5
"""So often is a node called that does not hear: it may be about to subscribe again."""


class _Call(NamedTuple):
    """A script to be run, or a command if `script` is "". answer: what it answers."""

    script: str
    keys: tuple[str, ...]
    arguments: tuple[Any, ...]
    answer: "asyncio.Future[Any]"


class ValkeyStore(SharedStore):
    """A server, or a cluster.

    url: valkey://user:password@host:port/database, valkeys:// with TLS, the same with redis:// and rediss://,
    unix://; `?cluster=yes` for a cluster; `?prefix=shop:` for names of keys and channels that begin with
    that, and not with "wh:". More parameters are those of redis-py's from_url.

    Writes that were acknowledged are there as long as the server lives; one that was restarted, or a replica
    that was promoted, may have forgotten some. Its lineage tells: nodes write their sessions again then, and
    what no node has is reset.
    """

    def __init__(self, url: str, ttl: float = 120) -> None:
        super().__init__()
        self.ttl = ttl
        self._address, self._is_cluster, self._prefix = _parts_of(url)
        self._client = _client(self._address, RedisCluster if self._is_cluster else Redis)
        self._node = ""
        self._lineage = ""
        self._owned: Owned = tuple
        self._held: set[str] = set()  # IDs of sessions that this node owns, as far as is known
        self._calls: list[_Call] = []
        self._lineage_asked: asyncio.Future[str] | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._is_open = False
        self._looking = asyncio.Lock()
        self._subscription: Any = None  # while this node is heard of
        self._told = 0  # by this node, to others
        self._heard: dict[bytes, None] = {}  # the last of what they have told, each by its name and number
        self._changed: set[str] = set()  # rooms to subscribe to, or not any more
        self._subscribing: asyncio.Task[None] | None = None

    @property
    def lineage(self) -> str:
        return self._lineage

    @property
    def _due(self) -> str:
        return f"{self._prefix}due"

    @property
    def _nodes(self) -> str:
        return f"{self._prefix}nodes"

    def _channel(self, node: str) -> str:
        return f"{self._prefix}node:{node}"

    def _keys(self, id: str) -> tuple[str, str]:
        return f"{self._prefix}{{{id}}}:m", f"{self._prefix}{{{id}}}:o"

    def _room_channel(self, room: str) -> bytes:
        return f"{self._prefix}room:{room}".encode()

    def _room_keys(self, room: str) -> tuple[str, str]:
        return f"{self._prefix}{{r:{room}}}:m", f"{self._prefix}{{r:{room}}}:s"

    @property
    def _keep(self) -> int:
        """Milliseconds for which keys are kept that nobody touches."""
        return int(4000 * self.ttl)

    def _lease(self) -> float:
        """Return until when a session is this node's that it does not touch."""
        return time.time() + 2 * self.ttl

    def _forget(self) -> None:
        """Forget what an event loop has left behind which was closed before this was."""
        self._client = _client(self._address, RedisCluster if self._is_cluster else Redis)
        self._calls = []
        self._lineage_asked = self._flushing = self._subscribing = self._subscription = None
        self._tasks = []
        self._held.clear()
        self._followed.clear()

    async def open(self, node: str, listener: Listener, owned: Owned) -> None:
        if self._is_open:
            self._forget()
        self._node = node
        self._owned = owned
        self._looking = asyncio.Lock()  # one for whose turn somebody has waited belongs to that loop
        self._is_open = True
        loop = asyncio.get_running_loop()
        heard = loop.create_future()
        try:
            self._lineage = await self._read_lineage()
            await self._look_at_server()
            self._tasks = [
                loop.create_task(self._renew()),
                loop.create_task(self._listen(listener, heard)),
            ]
            await heard
        except BaseException:
            self._is_open = False
            await self._end_tasks()
            raise

    async def close(self) -> None:
        if self._is_open:
            deadline = time.time() + self.ttl
            with suppress(OSError):
                await self._hold(deadline)
        self._is_open = False
        self._followed.clear()
        await self._end_tasks()
        while self._flushing is not None:
            await asyncio.wait([self._flushing])
        await self._client.aclose()

    async def _end_tasks(self) -> None:
        tasks, self._tasks = self._tasks, []
        if self._subscribing is not None:
            tasks.append(self._subscribing)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # Calls of the server, all by one task: a caller that is cancelled leaves no answer unread

    def _submit(self, script: str, keys: tuple[str, ...], *arguments: Any) -> "asyncio.Future[Any]":
        """Have a script run with the other calls of this turn of the loop; in the order of the calls."""
        call = _Call(script, keys, arguments, asyncio.get_running_loop().create_future())
        self._begin_flush()
        self._calls.append(call)
        return call.answer

    def _command(self, *arguments: Any) -> "asyncio.Future[Any]":
        return self._submit("", (), *arguments)

    async def _read_lineage(self) -> str:
        self._begin_flush()
        if self._lineage_asked is None:
            self._lineage_asked = asyncio.get_running_loop().create_future()
        return await await_shared(self._lineage_asked)

    def _begin_flush(self) -> None:
        if not self._is_open:
            raise OSError("the store of the sessions is closed")
        # A program that ends cancels the task, maybe before its first step: then it answers nothing.
        if self._flushing is None or self._flushing.cancelling():
            self._flush_soon()

    def _flush_soon(self) -> None:
        self._flushing = asyncio.get_running_loop().create_task(self._flush())
        self._flushing.add_done_callback(self._flushed)

    async def _flush(self) -> None:
        while self._calls or self._lineage_asked is not None:
            asked, self._lineage_asked = self._lineage_asked, None
            if asked is not None:
                lineage: str | Exception = _unanswered()
                try:
                    lineage = await self._ask_lineage()
                finally:
                    _settle(asked, lineage)
            calls, self._calls = self._calls, []
            if calls:
                await self._answer(calls)

    def _flushed(self, task: "asyncio.Task[None]") -> None:
        if self._flushing is not task:  # but one that has followed it, as it was cancelled
            return
        self._flushing = None
        if not task.cancelled() and (self._calls or self._lineage_asked is not None):  # since its last look
            self._flush_soon()

    async def _answer(self, calls: list[_Call]) -> None:
        answers: list[Any] = [_unanswered()] * len(calls)
        try:
            answers = await self._pipeline(calls)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                # Every call may be repeated, so all of them keep their order.
                for text in _SCRIPTS.values():
                    await self._client.script_load(text)
                answers = await self._pipeline(calls)
        except Exception as error:  # of redis-py not all are RedisErrors; and the callers wait
            answers = [error] * len(calls)
        finally:
            for call, answer in zip(calls, answers, strict=True):
                _settle(call.answer, answer)

    async def _pipeline(self, calls: list[_Call]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            if call.script == "":
                pipeline.execute_command(*call.arguments)
            else:
                sha = _SHAS[call.script]
                pipeline.execute_command("EVALSHA", sha, len(call.keys), *call.keys, *call.arguments)
        return list(await pipeline.execute(raise_on_error=False))

    async def _look_at_server(self) -> None:
        """Warn of what makes a server lose sessions, or end them at another time."""
        before = time.time()
        seconds, microseconds = await self._command("TIME")
        compare(before, int(seconds) + int(microseconds) / 1e6, time.time())
        try:
            memory = await self._info("memory")
        except Exception as error:  # as below
            raise OSError(f"the store of the sessions has failed: {error}") from error
        for server in memory.values() if self._is_cluster else [memory]:
            policy = server.get("maxmemory_policy", "noeviction")
            if server.get("maxmemory") and policy != "noeviction":
                words = (
                    "the store drops sessions when its memory is full: "
                    "its maxmemory-policy is %s, not noeviction"
                )
                _logger.warning(words, policy, extra={"policy": policy})

    # What the server may have forgotten

    async def _ask_lineage(self) -> str | Exception:
        try:
            server, replication = await self._info("server"), await self._info("replication")
        except NoPermissionError:
            return OSError("the user may not call INFO, and nothing else tells whether writes were forgotten")
        except Exception as error:  # as above
            return error
        if not self._is_cluster:
            server, replication = {"": server}, {"": replication}
        elif server.keys() != replication.keys():
            return OSError("the nodes of the cluster are changing")
        nodes = [f"{server[node]['run_id']} {replication[node]['master_replid']}" for node in server]
        return " ".join(sorted(nodes))

    async def _info(self, section: str) -> Any:
        """Ask the server; or those of the cluster that take writes, of each by its name."""
        if self._is_cluster:
            return await self._client.info(section, target_nodes=RedisCluster.PRIMARIES)
        return await self._client.info(section)

    async def _look_for_lineage(self) -> None:
        """Write all sessions of this node again, if the server may have forgotten writes."""
        async with self._looking:
            lineage = await self._read_lineage()
            if lineage == self._lineage:
                return
            owned = list(self._owned())
            words = "the store may have forgotten writes: %d sessions are written again"
            _logger.warning(words, len(owned), extra={"sessions": len(owned)})
            for few in _in_batches(owned):
                await asyncio.gather(*(self.put(found.record, found.log) for found in few))
            self._lineage = lineage  # known only now: if one cannot be written, all of them are again

    async def _guarded(self, script: str, id: str, *arguments: Any) -> Any:
        """Run a script; if it is refused by a server that has forgotten, run it on what was written again."""
        while True:
            lineage = self._lineage
            answer = await self._submit(script, self._keys(id), self._node, *arguments)
            if answer not in _REFUSED:
                return answer
            await self._look_for_lineage()
            is_forgotten = _REFUSED[answer] is Refused.FORGOTTEN
            if self._lineage == lineage and not (is_forgotten and await self._put_again(id)):
                self._held.discard(id)
                return _REFUSED[answer]

    async def _put_again(self, id: str) -> bool:
        """Write one session again, whose slot has moved in the cluster; return whether it is this node's."""
        for found in self._owned():
            if found.record.id == id:
                return await self.put(found.record, found.log) is None
        return False

    # The calls

    async def put(self, record: Record, log: Sequence[Message]) -> Refused | None:
        fields = _fields(record) | {"lease": self._lease()}
        flat = [part for field in fields.items() for part in field]
        payloads = [_packed(message) for message in log]
        due = self._lease() if record.deadline is None else record.deadline
        self._held.add(record.id)
        self._look_at(due, record.id)
        asked = (record.generation, record.node, record.node or self._node, self._keep, len(flat))
        answer = await self._submit("put", self._keys(record.id), *asked, *flat, *payloads)
        return _REFUSED.get(answer)

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
        lease = self._lease()
        self._look_at(lease, id)
        name = secrets.token_urlsafe(6)
        asked = (
            hash or b"",
            principal or "",
            link,
            node,
            "" if force is None else force,
            lease,
            self._keep,
            name,
        )
        kind, *rest = await self._submit("claim", self._keys(id), *asked)
        if kind == b"found":
            self._held.add(id)
            return _found(id, rest)
        if kind == b"held":
            return Held(rest[0].decode(), int(rest[1]))
        if kind in (b"unknown", b"forgotten"):
            await self._look_for_lineage()
        if kind == b"ended":
            return Ended(rest[0].decode(), rest[1].decode(), int(rest[2]))
        return _REFUSED[kind]

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
        if deadline is not None:
            self._look_at(deadline, id)
        answer = await self._guarded(
            "write",
            id,
            *(generation, after, done, acked, "" if deadline is None else deadline),
            *(int(state is not None), state or b"", int(ending is not None), ending or "", self._keep),
            *(2 * len(rooms or ()), *_room_fields(rooms or {})),
            *map(_packed, messages),
        )
        return answer if isinstance(answer, Refused) else int(answer)

    async def finish(self, id: str, generation: int, kind: str, why: str) -> Refused | None:
        forget_at = time.time() + self.ttl
        self._look_at(forget_at, id)
        answer = await self._guarded("finish", id, generation, kind, why, self._keep, forget_at)
        self._held.discard(id)
        return answer if isinstance(answer, Refused) else None

    async def due(self, now: float, limit: int) -> list[Found]:
        await self._look_for_lineage()
        rows = await self._command("ZRANGEBYSCORE", self._due, "-inf", now, "WITHSCORES", "LIMIT", 0, limit)
        ids = [id.decode(errors="replace") for id in rows[::2]]
        tell_at = now + TELL_AGAIN
        asked = (self._submit("expire", self._keys(id), now, self._keep, tell_at) for id in ids)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        found = []
        moves = []
        problem: BaseException | None = None
        for name, was, id, answer in zip(rows[::2], rows[1::2], ids, answers, strict=True):
            later: Any = tell_at
            if isinstance(answer, BaseException):
                problem = answer
            elif answer[0] == b"found":
                try:
                    found.append(_found(id, answer[1:]))
                except (LookupError, ValueError):
                    problem = ValueError(f"{id!r:.40} is no session of ours")
                self._held.discard(id)
            else:
                later = answer[1] if answer[0] == b"later" else ""
            moves.append(self._submit("move", (self._due,), name, was, later))
        await asyncio.gather(*moves)
        if problem is not None:  # of one, as by what a stranger has put there: the others must expire still
            words = "a session that has expired cannot be ended: %s"
            _logger.error(words, problem, extra={"reason": str(problem)})
        return found

    async def told(self, ids: Sequence[str]) -> None:
        forget_at = time.time() + self.ttl
        asked = (self._submit("told", self._keys(id), self._keep, forget_at) for id in ids)
        await asyncio.gather(*asked)

    def _look_at(self, when: float, *ids: str) -> None:
        """Have `due` look at sessions by then."""
        if ids:
            self._command("ZADD", self._due, "LT", *(part for id in ids for part in (when, id)))

    async def _hold(self, deadline: float | None) -> None:
        """Renew the lease of the sessions of this node; or let go, and those expire that have a link."""
        lease, held = self._lease(), list(self._held)
        next_node = self._node if deadline is None or self._node.startswith(IN_MEMORY) else NOBODY
        due = lease if deadline is None else deadline
        until = "" if deadline is None else deadline
        for few in _in_batches(held):
            asked = self._node, lease, until, self._keep, next_node
            answers = await asyncio.gather(*(self._submit("hold", self._keys(id), *asked) for id in few))
            self._held.difference_update(id for id, is_ours in zip(few, answers, strict=True) if not is_ours)
            self._look_at(due, *(id for id, is_ours in zip(few, answers, strict=True) if is_ours))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self.ttl / 2)
            with suppress(OSError):  # `due` says so
                for room in list(self._followed):
                    self._command("PEXPIRE", self._room_keys(room)[0], self._keep)
                    self._more_in(room)  # a cluster may lose what one of its nodes tells the others
                await self._hold(None)

    # Rooms

    async def publish(self, room: str, sender: str, number: int, posts: Sequence[bytes]) -> int:
        keys = *self._room_keys(room), f"{self._prefix}{{r:{room}}}:from:{sender}"
        asked = number, self._keep, HISTORY, self._room_channel(room), *posts
        return int(await self._submit("publish", keys, *asked))

    async def read(self, room: str, after: int, limit: int) -> Posts:
        last, entries = await self._submit("read", self._room_keys(room), after, limit)
        # Those of ours: what a stranger has added is not, and where it is in place of one, that is a gap.
        posts = [
            (int(id[:-2]), fields[1]) for id, fields in entries if id[-2:] == b"-0" and fields[0] == b"p"
        ]
        return Posts(int(last), posts)

    def follow(self, room: str, more: Callable[[], None]) -> None:
        super().follow(room, more)
        self._subscribe_soon(room)

    def unfollow(self, room: str) -> None:
        super().unfollow(room)
        self._subscribe_soon(room)

    def _subscribe_soon(self, *rooms: str) -> None:
        """Hear of rooms that are followed, and of those no more that are not."""
        self._changed.update(rooms)
        if self._changed and self._subscribing is None and self._subscription is not None:
            self._subscribing = asyncio.get_running_loop().create_task(self._subscribe())

    async def _subscribe(self) -> None:
        this = asyncio.current_task()
        try:
            while self._changed and (subscription := self._subscription) is not None:
                if not subscription.connection.is_connected:  # it would connect, while `_listen` reads
                    break
                rooms, self._changed = self._changed, set()
                ours = [self._room_channel(room) for room in rooms if room in self._followed]
                others = [self._room_channel(room) for room in rooms if room not in self._followed]
                with suppress(Exception):  # `_listen` finds out too, and begins anew
                    if ours:
                        await subscription.subscribe(*ours)
                    if others:
                        await subscription.unsubscribe(*others)
        finally:
            if self._subscribing is this:  # and not that of the next loop
                self._subscribing = None

    # Other nodes

    async def notify(self, node: str | None, data: bytes) -> bool:
        channel = self._nodes if node is None else self._channel(node)
        for _ in range(_TRIES):
            self._told += 1
            head = f"{self._node} {self._told}\n".encode()
            heard_by = await self._command("PUBLISH", channel, head + data)
            if self._is_cluster or heard_by > 0:
                return True
            await asyncio.sleep(_RECONNECT_AFTER)
        return False

    async def _listen(self, listener: Listener, heard: "asyncio.Future[None]") -> None:
        """Pass on what other nodes send. heard: done when this node is heard of."""
        is_away = False
        while not _is_cancelled():
            client = subscription = None
            try:
                client = _client(self._one_address(), Redis)
                async with client.pubsub() as subscription:
                    await subscription.subscribe(self._nodes, self._channel(self._node))
                    self._subscription = subscription
                    self._subscribe_soon(*self._followed)
                    rooms = self._room_channel("")
                    async for message in _messages(subscription):
                        if message["channel"].startswith(rooms):  # which is subscribed to, or has more
                            self._more_in(message["channel"].removeprefix(rooms).decode())
                        elif message["type"] == "message":
                            self._hear(message["data"], listener)
                        elif not heard.done():
                            heard.set_result(None)
                        elif is_away:
                            is_away = False
                            _logger.info("the store of the sessions is back")
            except Exception as error:  # as above
                if not heard.done():
                    heard.set_exception(OSError(f"the store of the sessions cannot be reached: {error}"))
                    return
                level = logging.DEBUG if is_away else logging.ERROR
                words = "the store of the sessions is away, and they wait for it: %s"
                _logger.log(level, words, error, extra={"reason": str(error)})
                is_away = True
            finally:
                if self._subscription is subscription:  # and not that of the next loop
                    self._subscription = None
                if client is not None:
                    with suppress(Exception):
                        await client.aclose()
            await asyncio.sleep(_RECONNECT_AFTER)

    def _one_address(self) -> str:
        """Return the URL of a server that passes on what is published: in a cluster, any node does."""
        if not self._is_cluster:
            return self._address
        node = self._client.get_random_node()
        place = urlsplit(self._address)
        login, at, _ = place.netloc.rpartition("@")
        host = f"[{node.host}]" if ":" in node.host else node.host
        return urlunsplit(place._replace(netloc=f"{login}{at}{host}:{node.port}"))

    def _hear(self, data: bytes, listener: Listener) -> None:
        head, _, said = data.partition(b"\n")
        sender, _, _ = head.partition(b" ")
        if sender == self._node.encode() or head in self._heard:
            return
        self._heard[head] = None  # redis-py sends a pipeline again whose connection has broken
        if len(self._heard) > _HEARD:
            del self._heard[next(iter(self._heard))]
        listener(said)


def _in_batches(whole: list[T]) -> Iterator[list[T]]:
    return (whole[begin : begin + _BATCH] for begin in range(0, len(whole), _BATCH))


def _unanswered() -> Exception:
    """Return what callers get where the task that asks for them is cancelled: the program ends."""
    return OSError("its event loop ends")


def _settle(future: "asyncio.Future[Any]", answer: Any) -> None:
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(OSError(f"the store of the sessions has failed: {answer}"))
        future.exception()  # looked at: who has asked may be cancelled
    else:
        future.set_result(answer)


async def _messages(subscription: PubSub) -> AsyncIterator[dict[str, Any]]:
    """Yield what comes; raise if nothing does any more, as of a server whose last words were lost."""
    is_asked = False
    while not _is_cancelled():
        message = await subscription.get_message(timeout=_TIMEOUT)
        if message is not None:
            is_asked = False
            if message["type"] != "pong":
                yield message
        elif is_asked:
            raise OSError(f"it has not answered for {_TIMEOUT} s")
        else:
            is_asked = True
            await subscription.ping()


def _is_cancelled() -> bool:
    """Whether the task was cancelled, also where `asyncio.wait_for` has swallowed that.

    redis-py calls it, and before Python 3.12 it may: python/cpython#86296.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _wrong() -> ValueError:
    """Return an error that shows nothing of the URL: the password may be where another part is looked for."""
    return ValueError(
        'sessions must be as "valkey://user:password@host:6379/0", each part percent-encoded that has other '
        "characters, with parameters that redis-py knows"
    )


def _parts_of(url: str) -> tuple[str, bool, str]:
    """Return the URL as redis-py has it, whether it is one of a cluster, and the prefix of names."""
    place = None
    with suppress(ValueError):
        place = urlsplit(url)
    if place is None:
        raise _wrong()
    query = dict(parse_qsl(place.query, keep_blank_values=True))
    is_cluster = query.pop("cluster", "no") == "yes"
    prefix = query.pop("prefix", _PREFIX)
    if not prefix or "{" in prefix or "}" in prefix:
        raise ValueError(f"sessions: the prefix must be a text without braces, not {prefix!r}")
    scheme = place.scheme.replace("valkeys", "rediss").replace("valkey", "redis")
    return urlunsplit((scheme, place.netloc, place.path, urlencode(query), "")), is_cluster, prefix


def _client(address: str, kind: type[Redis] | type[RedisCluster]) -> Any:
    """Return a client that tries once more, on another connection, if one has broken.

    Raises:
        ValueError: the address is none.
    """
    with suppress(ValueError, TypeError, RedisError):
        client: Any = kind.from_url(
            address,
            protocol=2,
            decode_responses=False,
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
            retry=Retry(NoBackoff(), 1),
        )
        if kind is Redis:
            client.connection_pool.make_connection()  # takes the parameters, and does not connect
        return client
    raise _wrong()


def _room_fields(rooms: Mapping[str, int | None]) -> list[Any]:
    """Return fields of a session and their values; "": there is none."""
    return [
        part for room, number in rooms.items() for part in (_ROOM + room, "" if number is None else number)
    ]


def _packed(message: Message) -> bytes:
    return _TEXT + message.encode() if isinstance(message, str) else _BINARY + message


def _unpacked(data: bytes) -> Message:
    return data[1:].decode() if data[:1] == _TEXT else data[1:]


def _fields(record: Record) -> dict[str, Any]:
    fields = {
        "hash": record.hash,
        "principal": record.principal or "",
        "generation": record.generation,
        "link": record.link,
        "node": record.node,
        "window_messages": record.window[0],
        "window_size": record.window[1],
        "max": record.max,
        "done": record.done,
        "sent": record.sent,
        "acked": record.acked,
        "state": record.state,
        "ending": record.ending,
        "deadline": record.deadline,
        **{_ROOM + room: number for room, number in record.rooms.items()},
    }
    return {name: value for name, value in fields.items() if value is not None}


def _found(id: str, answer: Sequence[Any]) -> Found:
    flat, log, *was = answer
    fields = dict(zip((name.decode() for name in flat[::2]), flat[1::2], strict=True))
    numbers = {name: int(fields[name]) for name in ("generation", "link", "max", "done", "sent", "acked")}
    record = Record(
        id=id,
        hash=fields["hash"],
        principal=fields["principal"].decode() or None,
        node=fields["node"].decode(),
        lineage=fields["lineage"].decode(),
        window=(int(fields["window_messages"]), int(fields["window_size"])),
        state=fields.get("state", b""),
        ending=fields["ending"].decode() if "ending" in fields else None,
        deadline=float(fields["deadline"]) if "deadline" in fields else None,
        rooms={
            name.removeprefix(_ROOM): int(value) for name, value in fields.items() if name.startswith(_ROOM)
        },
        **numbers,
    )
    return Found(record, tuple(map(_unpacked, log)), was[0].decode() if was else "")
