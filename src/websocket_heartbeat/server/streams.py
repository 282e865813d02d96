"""The streams that a hub's rooms have in its store: publishes what is sent, reads what is for members here.

Each node reads the messages of a room in the order that the store has given them, its own too. Nothing is
lost in silence: what cannot be published waits, and is refused where too much waits; a gap in the numbers of
what is read is told. SharedStore in sessions/store.py says what the numbers mean.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Coroutine, Sequence
from itertools import islice
from typing import Any, Protocol

from websocket_heartbeat.errors import SendQueueFull
from websocket_heartbeat.server.sessions.store import Posts, SharedStore
from websocket_heartbeat.server.throttle import Throttle

_logger = logging.getLogger("websocket_heartbeat.server")

MOST_WAITING = 16 * 2**20
"""Bytes of messages that may wait until they are published."""
_OVERHEAD = 200
"""Bytes that each of them takes besides its own, about."""

_AT_ONCE = 1000
"""Messages of one room that are published, or read, by one call."""

_PAUSE = 0.5
"""Seconds until what the store has not done is tried again."""

_PATIENCE = 4
"""Failures in a row after which no session waits for a room: the store may be without a part of itself, as a
cluster can be, or have something else in place of the room."""

_CLOSE_WITHIN = 5.0
"""Seconds in which what waits is published when the hub is closed."""


class Keeper(Protocol):
    """What the streams need of the book, which has the store (book.py)."""

    async def ready(self) -> None:
        """Open the store, if that is not done; OSError: it cannot be opened."""

    def enter(self) -> None:
        """Belong to the running loop from now on."""


class Reader(Protocol):
    """Who takes what is read of a room: shared_rooms.py."""

    def begun(self, number: int) -> None:
        """Take the number after which messages are read."""

    def take(self, number: int, post: bytes) -> int:
        """Take a message; return how many members get it, or more. ValueError: it is none of ours."""

    def missed(self, number: int) -> None:
        """Take the news that there may have been messages, up to a number, which nobody will read."""


class Followed:
    """A room that is read. number: of the last message that was read; None: none is yet.

    has_more: whether there may be more to read. is_reading: whether a task does.
    """

    __slots__ = ("has_more", "is_followed", "is_reading", "key", "number", "reader")

    def __init__(self, key: str, reader: Reader) -> None:
        self.key: str = key
        self.reader: Reader = reader
        self.number: int | None = None
        self.is_followed: bool = True
        self.has_more: bool = False
        self.is_reading: bool = False


class Streams:
    """Those of one hub. sender: tells this process from all others."""

    def __init__(self, keeper: Keeper, store: SharedStore, sender: str) -> None:
        self._keeper = keeper
        self._store = store
        self._sender = sender
        self._log = Throttle(_logger)
        # By the key of the room, each with its number.
        self._waiting: dict[str, deque[tuple[int, bytes]]] = {}
        self._size = 0  # of all that wait
        self._number = 0  # of the last message that was to be published
        # The numbers of all that wait, in order, and who waits until those up to one of them are published.
        self._unpublished: OrderedDict[int, None] = OrderedDict()
        self._awaited: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._failing: set[str] = set()  # the keys of rooms for which nobody waits
        self._calls = 0
        # By the key of the room: each by itself, so that none waits for the store's answer to another one.
        self._publishing: dict[str, asyncio.Task[None]] = {}
        self._followed: set[Followed] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False
        self.is_away: bool = False

    def forget(self) -> None:
        """Forget all, as the hub has gone on to another event loop."""
        self._waiting.clear()
        self._size = 0
        self._unpublished.clear()
        self._awaited.clear()
        self._failing.clear()
        self._publishing = {}  # tasks of the loop before may still take theirs out
        for followed in self._followed:
            followed.is_followed = False
        self._followed.clear()
        self._tasks.clear()
        self._is_closed = self.is_away = False

    async def close(self) -> None:
        """Return when all is published that waits, or cannot be; then nothing more is."""
        self._is_closed = True
        if self._publishing:
            await asyncio.wait(self._publishing.values(), timeout=_CLOSE_WITHIN)
        lost = sum(map(len, self._waiting.values()))
        if lost:
            words = "%s to rooms cannot be published, as the store is away, and the hub is closed"
            _logger.warning(words, _messages(lost), extra={"dropped": lost})
        for followed in self._followed:  # the store may tell of more until it is closed
            followed.is_followed = False
        self._followed.clear()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._waiting.clear()
        self._unpublished.clear()
        self._wake()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run work for a room until it is done, or the hub is closed."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def pause(self, error: OSError) -> None:
        """Wait until what the store has not done may be tried again."""
        self.is_away = True
        self._log.error("rooms wait until the store is back: %s", error, extra={"reason": str(error)})
        await asyncio.sleep(_PAUSE)

    # What is sent

    def publish(self, key: str, post: bytes) -> None:
        """Publish a message to a room, soon, and after what was sent to it before.

        Raises:
            SendQueueFull: too much waits.
            OSError: the hub is closed.
        """
        self._keeper.enter()
        if self._is_closed:
            raise OSError("the hub is closed")
        if self._size + len(post) + _OVERHEAD > MOST_WAITING:
            raise SendQueueFull(f"{MOST_WAITING} bytes of messages to rooms wait for the store already")
        self._size += len(post) + _OVERHEAD
        self._number += 1
        if key not in self._failing:
            self._unpublished[self._number] = None
        self._waiting.setdefault(key, deque()).append((self._number, post))
        if key not in self._publishing:
            self._publishing[key] = self.spawn(self._publish(key))

    def published(self) -> "asyncio.Future[None] | None":
        """Return what is done when all that waits is published, or the hub is closed; None: nothing waits.

        What waits for a room that fails again and again does not count: it would stop every session.
        """
        if not self._unpublished:
            return None
        if not self._awaited or self._awaited[-1][0] != self._number:
            self._awaited.append((self._number, asyncio.get_running_loop().create_future()))
        return self._awaited[-1][1]

    def _wait_no_more(self, key: str) -> None:
        """Have nobody wait for what waits for a room."""
        for number, _ in self._waiting.get(key, ()):
            self._unpublished.pop(number, None)
        self._wake()

    def _wake(self) -> None:
        first = next(iter(self._unpublished), self._number + 1)
        while self._awaited and self._awaited[0][0] < first:
            self._awaited.popleft()[1].set_result(None)

    async def _publish(self, key: str) -> None:
        """Publish what waits for a room, until nothing does."""
        publishing = self._publishing
        try:
            while key in self._waiting:
                await self._publish_first(key)
        except asyncio.CancelledError:
            if not self._is_closed:
                lost = len(self._waiting[key])
                words = "%s to a room may be lost: the event loop has ended before hub.close()"
                _logger.warning(words, _messages(lost), extra={"dropped": lost})
            raise
        finally:
            del publishing[key]
            if publishing is self._publishing:  # what waits still has met a fault, and nobody waits for that
                self._wait_no_more(key)

    async def _publish_first(self, key: str) -> None:
        """Publish the first of what waits for a room; it may be repeated, as long as it is the same."""
        self._calls += 1
        call = self._calls
        waiting = self._waiting[key]
        numbered = list(islice(waiting, _AT_ONCE))
        posts = [post for _, post in numbered]
        failures = 0
        while True:
            try:
                await self._keeper.ready()
                await self._store.publish(key, self._sender, call, posts)
                break
            except OSError as error:
                failures += 1
                if failures == _PATIENCE:
                    self._failing.add(key)
                    self._wait_no_more(key)
                await self.pause(error)
        self.is_away = False
        self._failing.discard(key)
        for number, post in numbered:
            waiting.popleft()
            self._size -= len(post) + _OVERHEAD
            self._unpublished.pop(number, None)
        if not waiting:
            del self._waiting[key]
        self._wake()

    # What is read

    def follow(self, key: str, reader: Reader) -> Followed:
        """Read the messages of a room that are published from now on."""
        self._keeper.enter()
        followed = Followed(key, reader)
        self._followed.add(followed)
        if not self._is_closed:
            self.spawn(self._begin(followed))
        return followed

    def unfollow(self, followed: Followed) -> None:
        """Read no more of it."""
        self._keeper.enter()
        if not followed.is_followed:
            return
        followed.is_followed = False
        self._followed.remove(followed)
        if followed.number is not None:
            self._store.unfollow(followed.key)

    async def _begin(self, followed: Followed) -> None:
        has_failed = False
        while True:
            try:
                await self._keeper.ready()
                number = await self._store.publish(followed.key, self._sender, 0, ())
                break
            except OSError as error:
                has_failed = True
                await self.pause(error)
        if not followed.is_followed:
            return
        followed.number = number
        followed.reader.begun(number)
        self._store.follow(followed.key, lambda: self._has_more(followed))
        if has_failed:  # others may have published since it was to begin
            followed.reader.missed(number)

    def _has_more(self, followed: Followed) -> None:
        followed.has_more = True
        if followed.is_followed and not followed.is_reading:
            followed.is_reading = True
            self.spawn(self._read(followed))

    async def _read(self, followed: Followed) -> None:
        """Read a room, until there is no more."""
        assert followed.number is not None
        try:
            while followed.has_more and followed.is_followed:
                followed.has_more = False
                try:
                    posts = await self.read(followed.key, followed.number)
                except OSError as error:
                    followed.has_more = True
                    await self.pause(error)
                    continue
                if await self._take(followed, posts):
                    followed.has_more = True
        finally:
            followed.is_reading = False

    def tell_foreign(self, post: bytes) -> None:
        """Log that a message is none that a process of ours has published."""
        words = "the store has %d bytes in a room that no process of ours sent: who else writes to it?"
        self._log.warning(words, len(post), extra={"size": len(post)})

    async def read(self, key: str, after: int) -> Posts:
        """Return messages of a room, those after a number: the first ones of them."""
        return await self._store.read(key, after, _AT_ONCE)

    async def _take(self, followed: Followed, read: Posts) -> bool:
        """Have what was read taken, with turns for others; return whether there is more."""
        taken = 0
        for number, post in gapless(followed.number, read):
            if not followed.is_followed:
                return False
            followed.number = number
            if post is None:
                followed.reader.missed(number)
            else:
                try:
                    taken += followed.reader.take(number, post)
                except ValueError:
                    self.tell_foreign(post)
                    followed.reader.missed(number)
            if taken >= _AT_ONCE:
                taken = 0
                await asyncio.sleep(0)
        return followed.number != read.last


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"


def gapless(number: int | None, read: Posts) -> Sequence[tuple[int, bytes | None]]:
    """Return what was read after a number, with None for what is missing before the number beside it."""
    found: list[tuple[int, bytes | None]] = []
    for place, post in read.posts:
        if number is not None and place != number + 1:
            found.append((place - 1, None))
        found.append((place, post))
        number = place
    if not read.posts and read.last != number:
        found.append((read.last, None))
    return found
