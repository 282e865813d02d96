"""What nodes say to each other by way of PostgreSQL: each listens, and holds a lock that says so."""

import asyncio
import base64
import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from websocket_heartbeat.server.sessions.postgresql.driver import FAILURES, connect, failed
from websocket_heartbeat.server.sessions.store import Listener

_logger = logging.getLogger("websocket_heartbeat.server")

_NOTIFY = files(__package__).joinpath("statements", "notify.sql").read_text(encoding="utf-8")

_PART = 5000
"""Bytes of a notification, of which the server takes less than 8,000 as text."""
_ALL = "websocket_heartbeat"
"""The channel of all nodes; that of one has its name behind."""

_RECONNECT_AFTER = 0.2
_RECONNECT_MOST = 2.0
"""Seconds from a lost connection to the next attempt, at first and at most."""
_TRIES = 5
"""So often is a node called that does not hear: it may be about to listen again."""


class NodeListener:
    """Of one node, with a connection of its own.

    url: of that. again: called when it listens again, after it was lost with what came meanwhile.
    """

    def __init__(self, url: str, node: str, listener: Listener, again: Callable[[], None]) -> None:
        self._url = url
        self._node = node
        self._listener = listener
        self._again = again
        self._connection: Any = None
        self._speaking = asyncio.Lock()  # a connection does one thing at a time
        self._parts: defaultdict[int, list[bytes]] = defaultdict(list)  # by the connection that sends
        self._listening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Listen from now on; and again, whenever the connection was lost.

        Raises:
            OSError: it cannot be made.
        """
        loop = asyncio.get_running_loop()
        heard: asyncio.Future[None] = loop.create_future()
        self._listening = loop.create_task(self._listen(heard))
        await heard

    async def close(self) -> None:
        """Listen no more."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])

    async def notify(self, node: str | None, data: bytes) -> bool:
        """Do as `Store.notify`."""
        parts = [data[start : start + _PART] for start in range(0, len(data), _PART)] or [b""]
        # Each with how many follow: of equal ones the server sends one.
        texts = [
            f"{left} {base64.b64encode(part).decode()}"
            for left, part in zip(reversed(range(len(parts))), parts, strict=True)
        ]
        where = (None, _ALL) if node is None else (_lock_of(node), _channel(node))
        for _ in range(_TRIES):
            if (connection := self._connection) is not None:
                try:
                    async with self._speaking:
                        row = await connection.fetchrow(_NOTIFY, *where, texts)
                except FAILURES as error:
                    raise failed("has failed", error) from None
                if row["is_heard"]:
                    return True
            await asyncio.sleep(_RECONNECT_AFTER)
        return False

    async def _listen(self, heard: "asyncio.Future[None]") -> None:
        """Pass on what other nodes send. heard: done when this node is heard of."""
        is_away = False
        pause = _RECONNECT_AFTER
        while True:
            try:
                await self._listen_once(heard, is_away=is_away)
                pause, is_away = _RECONNECT_AFTER, False
                failure = OSError("the store of the sessions has failed: it has ended the connection")
            except FAILURES as error:
                failure = failed("cannot be reached", error)
            if not heard.done():
                heard.set_exception(failure)
                return
            level = logging.DEBUG if is_away else logging.ERROR
            extra = {"reason": str(failure)}
            _logger.log(level, "sessions wait for their store: %s", failure, extra=extra)
            is_away = True
            await asyncio.sleep(pause)
            pause = min(2 * pause, _RECONNECT_MOST)

    async def _listen_once(self, heard: "asyncio.Future[None]", *, is_away: bool) -> None:
        """Listen on a connection until it is lost."""
        connection = await connect(self._url, {"synchronous_commit": "off"})  # it writes nothing
        lost = asyncio.Event()
        own = connection.get_server_pid()

        def take(_: object, sender: int, channel: str, payload: object) -> None:
            if sender != own:
                self._take(sender, str(payload))

        try:
            connection.add_termination_listener(lambda _: lost.set())
            for channel in (_ALL, _channel(self._node)):
                await connection.add_listener(channel, take)
            await connection.execute("select pg_advisory_lock($1)", _lock_of(self._node))
            self._connection = connection
            if not heard.done():
                heard.set_result(None)
            if is_away:
                _logger.info("the store of the sessions is back")
                self._again()
            await lost.wait()
        finally:
            self._connection = None
            self._parts.clear()
            connection.terminate()

    def _take(self, sender: int, payload: str) -> None:
        """Take a part of what a connection has sent: all its parts come in a row, or none."""
        left, _, part = payload.partition(" ")
        try:
            self._parts[sender].append(base64.b64decode(part, validate=True))
        except ValueError:  # no node of ours: the listener says so
            del self._parts[sender]
            self._listener(payload.encode())
            return
        if left == "0":
            self._listener(b"".join(self._parts.pop(sender)))


def _lock_of(node: str) -> int:
    """Return the key of the lock that a node holds while it listens."""
    digest = hashlib.sha256(f"{_ALL} {node}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _channel(node: str) -> str:
    return f"{_ALL}_{node}"
