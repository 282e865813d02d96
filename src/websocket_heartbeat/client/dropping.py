"""The inbox for a link that is always read: of what a slow reader leaves lying, the oldest is dropped."""

from collections import deque
from collections.abc import Callable
from typing import Any

from websocket_heartbeat.client.hooks import Hooks
from websocket_heartbeat.client.inbox import Inbox
from websocket_heartbeat.client.lifetime import Lifetime
from websocket_heartbeat.events import Message, size_of


class DroppingInbox(Inbox):
    """Keeps within its bounds by dropping the oldest messages, never the newest, and never pauses the link.

    A reader that waits for a message is not slow: it is given all that one read brings. That it has fallen
    behind is told once, and again when it has caught up.
    """

    __slots__ = ("_bytes", "_kept", "_lost", "dropped")

    def __init__(
        self, limit: int, limit_bytes: int, lifetime: Lifetime, hooks: Hooks, made_room: Callable[[], None]
    ) -> None:
        super().__init__(limit, limit_bytes, lifetime, hooks, made_room)
        self.waiting: deque[Message] = deque()
        self._kept = self.waiting
        self.dropped: int = 0
        self._bytes = 0  # of those kept
        self._lost = 0  # since the reader has fallen behind
        self._deliver_to_queue()

    def take(self) -> Message:
        """As in Inbox."""
        self._lifetime.check_place()
        message = self._kept.popleft()
        self._bytes -= size_of(message)
        if self._lost and not self._kept:
            self._tell_of_end()
        return message

    def batch_delivered(self) -> bool:
        """As in Inbox, but the link is never to be paused."""
        self._tell_readers()
        return False

    def has_room(self) -> bool:
        """As in Inbox: it makes room."""
        return True

    def _deliver_to_queue(self) -> None:
        self.deliver: Callable[[Message], Any] = self.keep

    def keep(self, message: Message) -> None:
        """As in Inbox."""
        self._kept.append(message)
        self._bytes += size_of(message)
        if self._is_too_much() and not self._is_attended():
            while self._is_too_much() and len(self._kept) > 1:
                self._drop(self._kept.popleft())

    def _is_too_much(self) -> bool:
        return len(self._kept) > self._limit or self._bytes > self._limit_bytes

    def _drop(self, message: Message) -> None:
        self._bytes -= size_of(message)
        self.dropped += 1
        if self._lost == 0:
            self._tell_of_begin()
        self._lost += 1

    def _is_attended(self) -> bool:
        """Whether a reader waits for messages now."""
        return self.arrived.is_awaited if self.hook is None else not self._feeding

    def _tell_of_begin(self) -> None:
        self._hooks.log.warning("the reader is too slow: the oldest messages are dropped")

    def _tell_of_end(self) -> None:
        words = "the reader has caught up; %d messages were dropped"
        self._hooks.log.info(words, self._lost, extra={"dropped": self._lost})
        self._lost = 0


class LatestInbox(DroppingInbox):
    """Keeps the newest message alone, and drops the others silently: that is what its user wants."""

    __slots__ = ()

    def _is_too_much(self) -> bool:
        return len(self._kept) > 1

    def _is_attended(self) -> bool:
        return False

    def _tell_of_begin(self) -> None:
        """Tell nothing."""

    def _tell_of_end(self) -> None:
        """Tell nothing."""
