"""Messages on their way from a link to the user: to the hook on_message, or to a reader.

The engine calls the link's `deliver` with each message, which is `Inbox.deliver`; at the end of each read it
calls `batch_delivered`, which wakes the readers: `Connection.__anext__` and `recv`.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableSequence
from inspect import isawaitable
from typing import Any

from websocket_heartbeat.checks import is_coroutine_function
from websocket_heartbeat.client.hooks import Hooks
from websocket_heartbeat.client.lifetime import Lifetime
from websocket_heartbeat.events import Message, size_of
from websocket_heartbeat.system.callbacks import close_unawaited
from websocket_heartbeat.system.wakeup import Wakeup


class Inbox:
    """What has arrived and was not taken yet; beyond a bound in messages or in bytes, the link is to pause.

    Bytes are counted at the end of a read, and only while something of an earlier read is left: a reader that
    keeps up pays nothing for it.

    deliver: what a link is to call with each message: a plain on_message itself, or what keeps the message.
    waiting: messages as they arrived. batch: those that a reader has begun to take, the next one last.
    hook: on_message, or None. While it is set every message is for it.
    arrived: notified when messages have come for a reader.
    paused: whether a link is not read until a reader has made room here; for the owner of the links to set.
    is_direct: whether a reader may take from `batch`: no hook is set, and no on_open hook has a dialogue.
    dropped: how many messages were thrown away for a slow reader.
    on_handled: called when the user has done with a message: with a session, that is acknowledged.
    on_exhausted: set where nothing more will come: called when a reader is about to wait all the same.
    """

    __slots__ = (
        "_batch_bytes",
        "_feeder",
        "_feeding",
        "_giving",
        "_has_dialogue",
        "_hooks",
        "_in_hand",
        "_lifetime",
        "_limit",
        "_limit_bytes",
        "_made_room",
        "_seen",
        "_waiting_bytes",
        "arrived",
        "batch",
        "deliver",
        "hook",
        "is_direct",
        "on_exhausted",
        "on_handled",
        "paused",
        "waiting",
    )

    dropped = 0

    def __init__(
        self, limit: int, limit_bytes: int, lifetime: Lifetime, hooks: Hooks, made_room: Callable[[], None]
    ) -> None:
        """limit, limit_bytes: what may wait. made_room: called while `paused`, when there is room again."""
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._lifetime = lifetime
        self._hooks = hooks
        self._made_room = made_room
        self.waiting: MutableSequence[Message] = []
        self.batch: list[Message] = []
        self.deliver: Callable[[Message], Any] = self.waiting.append
        self.hook: Callable[[Message], Any] | None = None
        self._seen = 0  # messages in `waiting` when the last read had ended
        self._waiting_bytes = 0  # of these, or 0 if not counted yet
        self._batch_bytes = 0  # of the batch when they were counted, or 0
        self._feeding = False  # a task gives what has arrived to on_message
        self._feeder: asyncio.Task[Any] | None = None  # that task, once it runs
        self._giving = False  # the same, on the spot
        self.on_handled: Callable[[], None] | None = None
        self.on_exhausted: Callable[[], None] | None = None
        self._in_hand = False  # whether the user has a message that is not handled, as far as is known
        self.arrived: Wakeup = Wakeup()
        self.paused: bool = False
        self.is_direct: bool = True
        self._has_dialogue = False

    def __len__(self) -> int:
        return len(self.batch) + len(self.waiting)

    # For readers

    def must_wait(self) -> bool:
        """Whether a reader is to wait for `arrived` and ask again; if not, there is a message to `take`.

        Raises:
            ConnectionClosed, ConnectionFailed: none is left, and there will be no further link.
            RuntimeError: not here; see `Lifetime.check_place`.
        """
        if self.hook is None and self:
            return False
        self.done_with_last()
        self._lifetime.check_alive()
        self._lifetime.check_place()
        if self.on_exhausted is not None:
            self.on_exhausted()
        return True

    def check_receive(self) -> None:
        """Raise RuntimeError where on_message waits for a message: none comes until it has returned."""
        if self.hook is not None and self._feeder is asyncio.current_task():
            raise RuntimeError(
                "on_message cannot wait for a message, as each is given to it when it has returned: "
                "set no on_message, and iterate or call recv() instead"
            )

    def take(self) -> Message:
        """Take the oldest message; there is one.

        Raises:
            RuntimeError: not here; see `Lifetime.check_place`. A batch begun by a reader is not guarded, as
            that would weigh on each message.
        """
        if not self.batch:
            self._lifetime.check_place()
            self.batch.extend(reversed(self.waiting))
            self.waiting.clear()
            self._seen = self._waiting_bytes = self._batch_bytes = 0
            if self.paused:
                self._made_room()
        if self.on_handled is not None:
            if self._in_hand:  # as done_with_last() does, without the call
                self._in_hand = False
                self.on_handled()
            self._in_hand = True
        return self.batch.pop()

    def done_with_last(self) -> None:
        """Note that the user is done with the message that was taken last."""
        if self._in_hand:
            self._in_hand = False
            if self.on_handled is not None:
                self.on_handled()

    def take_all(self) -> list[Message]:
        """Take all messages that wait for a reader, oldest first."""
        messages: list[Message] = []
        while self.hook is None and self:
            messages.append(self.take())
        return messages

    # For the link

    def batch_delivered(self) -> bool:
        """Let readers know that a read has brought its last message; tell whether to pause the link.

        One read alone may bring more than may wait: the reader has the next turn of the loop.
        """
        self._tell_readers()
        seen, self._seen = self._seen, len(self.waiting)
        return bool(seen or self.batch) and self._is_full(seen)

    def _tell_readers(self) -> None:
        self._feed()
        self.arrived.notify()

    def _is_full(self, seen: int) -> bool:
        """Whether as much waits as may, of which so many messages are of earlier reads."""
        if len(self) >= self._limit:
            return True
        if self._waiting_bytes == 0:
            seen = 0
        self._waiting_bytes += sum(map(size_of, self.waiting[seen:]))
        if self.batch and self._batch_bytes == 0:
            self._batch_bytes = sum(map(size_of, self.batch))
        return self._waiting_bytes + (self._batch_bytes if self.batch else 0) >= self._limit_bytes

    def keep(self, message: Message) -> None:
        """Let a message wait for a reader."""
        self.waiting.append(message)

    def set_dialogue(self, has_dialogue: bool) -> None:
        """Note whether an on_open hook runs, which has an inbox of its own."""
        self._has_dialogue = has_dialogue
        self.is_direct = self.hook is None and not has_dialogue

    def has_room(self) -> bool:
        """Whether less waits than may."""
        if len(self) >= self._limit:
            return False
        return sum(map(size_of, (*self.batch, *self.waiting))) < self._limit_bytes

    def take_over(self, other: "Inbox") -> None:
        """Take what another inbox holds, as if it came just now."""
        for message in [*reversed(other.batch), *other.waiting]:
            self.keep(message)
        other.batch.clear()
        other.waiting.clear()
        other.done_with_last()
        self._give_all()
        self._feed()
        self.arrived.notify()

    # For the hook

    def set_hook(self, hook: Callable[[Message], Any] | None) -> None:
        """Set on_message, or remove it; `deliver`, and what has arrived already, follow."""
        self.hook = hook
        self.is_direct = hook is None and not self._has_dialogue
        if hook is None or is_coroutine_function(hook):
            self._deliver_to_queue()
            self._tell_readers()
        else:
            self.deliver = hook if self.on_handled is None else self._call_plain
            self._give_all()

    def _call_plain(self, message: Message) -> Any:
        """Call a plain hook, and note that the message is handled when it has returned."""
        assert self.hook is not None
        assert self.on_handled is not None
        self._in_hand = True
        try:
            result = self.hook(message)
        except BaseException:
            self.done_with_last()
            raise
        if self._in_hand and (result is None or not isawaitable(result)):
            self._in_hand = False
            self.on_handled()
        return result

    def hook_returned(self, result: object) -> None:
        """Take what a plain hook has returned: with an awaitable it turns out to be a coroutine function."""
        if isawaitable(result):
            self._deliver_to_queue()
            self._feed(result)

    def _deliver_to_queue(self) -> None:
        self.deliver = self.waiting.append

    def _give_all(self) -> None:
        """Give what has arrived to a plain hook; hooks that set each other take turns, not nested calls."""
        if self._giving:
            return
        self._giving = True
        try:
            while self and (hook := self.hook) is not None and self._gives_plainly:
                self.hook_returned(self._hooks.call_function("on_message", hook, self.take()))
        finally:
            self._giving = False
        if not self._feeding:
            self.done_with_last()

    @property
    def _gives_plainly(self) -> bool:
        """Whether messages go to a plain hook on the spot."""
        return self.deliver is self.hook or self.deliver == self._call_plain

    def _feed(self, awaitable: Awaitable[None] | None = None) -> None:
        """Have a task give what has arrived to the hook, one by one, and first wait for `awaitable`."""
        if self._feeding:
            if awaitable is not None:
                self._hooks.settle_in_task("on_message", awaitable)
        elif awaitable is not None or (self and self.hook is not None):
            self._feeding = True  # already now: an eager task calls the hook at once, which may set another
            feeder = self._hooks.spawn(self._feed_hook(awaitable))
            if awaitable is not None:
                close_unawaited(feeder, awaitable)
            feeder.add_done_callback(self._feeder_done)

    async def _feed_hook(self, awaitable: Awaitable[None] | None) -> None:
        self._feeder = asyncio.current_task()
        if awaitable is not None:
            await self._hooks.wait_for("on_message", awaitable)
        self.done_with_last()
        while self and (hook := self.hook) is not None:
            result = self._hooks.call_function("on_message", hook, self.take())
            if isawaitable(result):
                await self._hooks.wait_for("on_message", result)
            self.done_with_last()

    def _feeder_done(self, feeder: asyncio.Task[None]) -> None:
        self._feeding = False
        self._feeder = None
        # Cancelled by the user's code, such as that of the next message, it goes on with the next one.
        if not (feeder.cancelled() and self._lifetime.has_ended):
            self._feed()
