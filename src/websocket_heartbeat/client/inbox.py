"""Messages on their way from a link to the user: to the hook on_message, or to whoever takes them."""

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from websocket_heartbeat.client.calls import Calls, is_coroutine_function
from websocket_heartbeat.errors import HookFailed
from websocket_heartbeat.events import Message
from websocket_heartbeat.system.wakeup import Wakeup


class Inbox:
    """What has arrived and was not taken yet.

    deliver: what a link is to call with each message: a plain on_message itself, or what keeps the message.
    waiting: messages as they arrived. batch: those that a reader has begun to take, the next one last.
    arrival: notified when messages have come for a reader.
    paused: whether the link is not read until a reader has made room.
    """

    __slots__ = (
        "_calls",
        "_crowded",
        "_feeder",
        "_giving",
        "_limit",
        "_made_room",
        "arrival",
        "batch",
        "deliver",
        "paused",
        "waiting",
    )

    def __init__(self, limit: int, calls: Calls, made_room: Callable[[], None]) -> None:
        """limit: messages that may wait. made_room: called when a paused link may be read again."""
        self._limit = limit
        self._calls = calls
        self._made_room = made_room
        self.waiting: list[Message] = []
        self.batch: list[Message] = []
        self.deliver: Callable[[Message], Any] = self.waiting.append
        self._crowded = False  # the last read filled the inbox, and nobody has emptied it since
        self._feeder: asyncio.Task[None] | None = None  # gives what has arrived to on_message
        self._giving = False  # the same, on the spot
        self.arrival = Wakeup()
        self.paused = False

    def __len__(self) -> int:
        return len(self.batch) + len(self.waiting)

    @property
    def hook(self) -> Callable[[Message], Any] | None:
        """The hook on_message. While it is set every message is for it."""
        return self._calls.hooks.get("on_message")

    def take(self) -> Message:
        """Take the oldest message; there is one."""
        if not self.batch:
            self.batch.extend(reversed(self.waiting))
            self.waiting.clear()
            self._crowded = False
            if self.paused:
                self.paused = False
                self._made_room()
        return self.batch.pop()

    def hook_changed(self) -> None:
        """Let `deliver`, and what has arrived already, follow the hook."""
        hook = self.hook
        if hook is None or is_coroutine_function(hook):
            self._keep()
            self._feed()
            self.arrival.notify()
        else:
            self.deliver = hook
            self._give_all()

    def returned(self, result: object) -> None:
        """Take what a plain hook has returned: with an awaitable it turns out to be a coroutine function."""
        if isawaitable(result):
            self._keep()
            self._feed(result)

    def batch_delivered(self) -> bool:
        """Let readers know that a read has brought its last message; tell whether to pause the link now.

        One read alone may bring more than may wait: the reader has the next turn of the loop.
        """
        if not self.waiting:
            return False
        self._feed()
        self.arrival.notify()
        was_crowded = self._crowded
        self._crowded = len(self.waiting) >= self._limit
        if self.paused or not (was_crowded and self._crowded):
            return False
        self.paused = True
        return True

    def _keep(self) -> None:
        self.deliver = self.waiting.append

    def _give_all(self) -> None:
        """Give what has arrived to a plain hook; hooks that set each other take turns, not nested calls."""
        if self._giving:
            return
        self._giving = True
        try:
            while self and (hook := self.hook) is not None and self.deliver is hook:
                self.returned(self._give(hook, self.take()))
        finally:
            self._giving = False

    def _give(self, hook: Callable[[Message], Any], message: Message) -> Awaitable[None] | None:
        """Call the hook; return what is to be waited for."""
        try:
            result = hook(message)
        except (Exception, asyncio.CancelledError) as error:
            self._calls.report(HookFailed("on_message", error))
            return None
        return result if isawaitable(result) else None

    def _feed(self, pending: Awaitable[None] | None = None) -> None:
        """Have a task give what has arrived to the hook, waiting for each call, and first for `pending`."""
        if self._feeder is not None:
            if pending is not None:
                self._calls.run("on_message", pending)
        elif pending is not None or (self and self.hook is not None):
            self._feeder = self._calls.spawn(self._feed_hook(pending), pending)
            self._feeder.add_done_callback(self._feeder_done)

    async def _feed_hook(self, pending: Awaitable[None] | None) -> None:
        if pending is not None:
            await self._calls.wait_for("on_message", pending)
        while self and (hook := self.hook) is not None:
            pending = self._give(hook, self.take())
            if pending is not None:
                await self._calls.wait_for("on_message", pending)

    def _feeder_done(self, feeder: asyncio.Task[None]) -> None:
        self._feeder = None
        if not feeder.cancelled():
            self._feed()
