"""The send queue, and whose message a link takes next: first those that its on_open hook sends."""

import asyncio
from _thread import get_ident
from collections.abc import Callable, Sequence
from contextvars import ContextVar

from websocket_heartbeat.client.lifetime import Lifetime
from websocket_heartbeat.engines.base import Link
from websocket_heartbeat.errors import ConnectionClosed, NotConnected, SendQueueFull
from websocket_heartbeat.events import Message
from websocket_heartbeat.system.wakeup import Wakeup

_NOBODY = object()  # the reservation in force while the connection closes, but for the queue

# Set while an on_open hook runs: the reservation of its link. Tasks that the hook starts inherit it, and keep
# it after the link is gone.
_reservation: ContextVar[object] = ContextVar("reservation", default=None)


class _Turn(Wakeup):
    """A task that waits in `put`.

    reservation: that of the on_open hook which it sends for, or None.
    """

    __slots__ = ("reservation",)

    def __init__(self, reservation: object) -> None:
        super().__init__()
        self.reservation = reservation


class Outbox:
    """What was given to `send` and not to a link yet.

    While the on_open hook of a new link runs, the link is reserved for what this hook sends; the queue comes
    after it. A link that is lost leaves the queue to the next one. Once the connection is to be closed, links
    are there for on_open and the queue alone. What waits when the connection ends, the host reports as
    Undelivered.
    """

    __slots__ = ("_is_closing", "_lifetime", "_limit", "_link", "_queue", "_reserved_for", "_senders")

    def __init__(self, limit: int, lifetime: Lifetime) -> None:
        """limit: messages that may wait in the queue."""
        self._limit = limit
        self._lifetime = lifetime
        self._link: Link | None = None
        self._reserved_for: object = None  # the reservation in force, None when the link is there for all
        self._queue: list[Message] = []
        self._senders: list[_Turn] = []  # the next one first
        self._is_closing = False

    @property
    def queue(self) -> Sequence[Message]:
        """The messages that wait for a link, oldest first."""
        return self._queue

    @property
    def is_open(self) -> bool:
        """Whether a link takes what the current task sends, unless its buffer is full."""
        return self._link is not None and (self._reserved_for is None or self._is_in_open_hook())

    @property
    def keeps_waiting(self) -> bool:
        """Whether the current task may wait for the queue to be sent: not on_open, for which that waits."""
        return bool(self._queue) and not self._is_in_open_hook()

    # Messages

    def offer(self, message: Message) -> bool:
        """Hand a message to the link or queue it; return False if others are first or there is no room.

        Raises:
            ConnectionClosed, ConnectionFailed: there will be no further link.
            RuntimeError: not here; see `Lifetime.check_place`.
        """
        link = self._link
        lifetime = self._lifetime
        if (
            link is not None
            and self._reserved_for is None
            and not self._queue
            and not self._senders
            and not link.full
            and get_ident() == lifetime.thread
            and lifetime.loop.is_running()  # type: ignore[union-attr]  # as in check_place
        ):
            link.send(message)  # the way of nearly all
            return True
        self._check_accepts()
        return self._ahead() == 0 and self._offer_in_turn(message)

    def _offer_in_turn(self, message: Message) -> bool:
        link = self._link
        in_open_hook = self._is_in_open_hook()
        goes_first = in_open_hook or (self._reserved_for is None and not self._queue)
        if link is not None and not link.full and goes_first:
            link.send(message)
            return True
        if len(self._queue) < self._limit and not in_open_hook:
            self._queue.append(message)
            return True
        return False

    async def put(self, message: Message) -> None:
        """Wait until a message is first and there is room, then hand it to the link or queue it.

        Raises:
            NotConnected: no link is open, and nothing may wait for one.
            ConnectionClosed, ConnectionFailed: there will be no further link.
        """
        turn = _Turn(self._reserved_for if self._is_in_open_hook() else None)
        self._senders.insert(self._ahead(), turn)
        try:
            while True:
                self._check_accepts()
                if self._senders[0] is turn and self._offer_in_turn(message):
                    return
                if self._limit == 0 and self._link is None:
                    raise NotConnected("no link is open and send_queue is 0")
                await turn.wait()
        finally:
            self._senders.remove(turn)
            self._wake_next()

    def refuse(self) -> None:
        """Raise for a message that was not taken and must not wait.

        Raises:
            NotConnected, SendQueueFull: where nothing may wait, and where it is full.
        """
        if self._limit == 0:
            raise NotConnected("no link takes the message and send_queue is 0")
        raise SendQueueFull(f"send_queue={self._limit} messages wait already")

    async def drain(self) -> None:
        """Wait until the queue is empty and the link's buffer is not full.

        Raises:
            ConnectionClosed, ConnectionFailed: that will not happen.
            RuntimeError: not here; see `Lifetime.check_place`.
        """
        self._lifetime.check_place()
        while self.keeps_waiting or (self._link is not None and self._link.full):
            self._lifetime.check_alive()
            await self._lifetime.change()

    def _check_accepts(self) -> None:
        self._lifetime.check_alive()
        self._lifetime.check_place()
        if self._is_closing and not self._is_in_open_hook():
            raise ConnectionClosed("the connection is being closed")

    def _ahead(self) -> int:
        """Return how many tasks that wait in `put` go before the current one; those of on_open go first."""
        if not self._is_in_open_hook():
            return len(self._senders)
        return sum(turn.reservation is self._reserved_for for turn in self._senders)

    def _is_in_open_hook(self) -> bool:
        return self._reserved_for is not None and _reservation.get() is self._reserved_for

    # The link

    def link_opened(
        self, link: Link, call_hook: Callable[[], asyncio.Task[None] | None]
    ) -> asyncio.Task[None] | None:
        """Send over a link from now on: what its on_open hook sends, then the queue, then the rest.

        call_hook: calls the hook and returns its task, if it needs one. Returns the same.
        """
        self._link = link
        self._reserved_for = reservation = object()
        token = _reservation.set(reservation)
        try:
            task = call_hook()
        finally:
            _reservation.reset(token)
        if task is None:
            self._hook_done(reservation)
        else:
            task.add_done_callback(lambda _: self._hook_done(reservation))
        return task

    def _hook_done(self, reservation: object) -> None:
        if self._reserved_for is reservation:
            self._reserved_for = _NOBODY if self._is_closing else None
            self.flush()

    def link_lost(self) -> None:
        """Let messages wait for the next link."""
        self._link = None
        self._reserved_for = None

    def flush(self) -> None:
        """Send what waits, as far as the link takes it."""
        link = self._link
        if link is not None and (self._reserved_for is None or self._reserved_for is _NOBODY):
            sent = 0
            for message in self._queue:
                if link.full:
                    break
                link.send(message)
                sent += 1
            del self._queue[:sent]
        self._lifetime.changed.notify()
        self._wake_next()

    def close(self) -> None:
        """Take nothing more, but from on_open, as the connection is to be closed."""
        self._is_closing = True
        if self._reserved_for is None:
            self._reserved_for = _NOBODY
        self.wake()

    def wake(self) -> None:
        """Have every task that waits in `put` look again."""
        for turn in self._senders:
            turn.notify()

    def _wake_next(self) -> None:
        if self._senders:
            self._senders[0].notify()
