"""The send queue, and whose message a link takes next: first those that its on_open hook sends."""

import asyncio
from _thread import get_ident
from collections.abc import Callable
from contextvars import ContextVar

from websocket_heartbeat.client.hooks import Hooks
from websocket_heartbeat.client.lifetime import Lifetime
from websocket_heartbeat.client.send_queue import SendQueue
from websocket_heartbeat.engines.base import Link
from websocket_heartbeat.errors import ConnectionClosed, NotConnected, SendQueueFull, Undelivered
from websocket_heartbeat.events import Message
from websocket_heartbeat.system import kernel
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
    are there for on_open and the queue alone. What waits when the connection ends, or longer than it may, is
    reported as Undelivered.

    queue: what waits for a link.
    """

    __slots__ = (
        "_hooks",
        "_is_closing",
        "_lifetime",
        "_link",
        "_reserved_for",
        "_senders",
        "_timer",
        "queue",
    )

    def __init__(self, queue: SendQueue, lifetime: Lifetime, hooks: Hooks) -> None:
        self.queue = queue
        self._lifetime = lifetime
        self._hooks = hooks
        self._link: Link | None = None
        self._reserved_for: object = None  # the reservation in force, None when the link is there for all
        self._senders: list[_Turn] = []  # the next one first
        # When a message of the queue expires, which may have left by then, and what then drops it.
        self._timer: tuple[float, asyncio.TimerHandle] | None = None
        self._is_closing = False

    @property
    def is_open(self) -> bool:
        """Whether a link takes what the current task sends, unless its buffer is full."""
        return self._link is not None and (self._reserved_for is None or self._is_in_open_hook())

    @property
    def keeps_waiting(self) -> bool:
        """Whether the current task may wait for the queue to be sent: not on_open, for which that waits."""
        return bool(self.queue.entries) and not self._is_in_open_hook()

    # Messages

    def offer(self, message: Message, ttl: float | None) -> bool:
        """Hand a message to the link or queue it; return False if others are first or there is no room.

        ttl: seconds that the message may wait in the queue, or None.

        Raises:
            ConnectionClosed, ConnectionFailed: there will be no further link.
            RuntimeError: not here; see `Lifetime.check_place`.
        """
        link = self._link
        lifetime = self._lifetime
        if (
            link is not None
            and self._reserved_for is None
            and not self.queue.entries
            and not self._senders
            and not link.full
            and get_ident() == lifetime.thread
            and lifetime.loop.is_running()  # type: ignore[union-attr]  # as in check_place
        ):
            link.send(message)  # the way of nearly all
            return True
        self._check_accepts()
        return self._ahead() == 0 and self._offer_in_turn(message, _due(ttl))

    def _offer_in_turn(self, message: Message, due: float | None) -> bool:
        link = self._link
        in_open_hook = self._is_in_open_hook()
        goes_first = in_open_hook or (self._reserved_for is None and not self.queue.entries)
        if link is not None and not link.full and goes_first:
            link.send(message)
            return True
        if in_open_hook or not self.queue.add(message, due):
            return False
        if due is not None:
            self._set_timer(due)
        return True

    async def put(self, message: Message, ttl: float | None) -> None:
        """Wait until a message is first and there is room, then hand it to the link or queue it.

        Raises:
            NotConnected: no link is open, and nothing may wait for one.
            ConnectionClosed, ConnectionFailed: there will be no further link.
            Undelivered: the time to live ran out before that.
        """
        turn = _Turn(self._reserved_for if self._is_in_open_hook() else None)
        due = _due(ttl)
        self._senders.insert(self._ahead(), turn)
        try:
            async with asyncio.timeout(ttl):
                while True:
                    self._check_accepts()
                    if due is not None and due <= _clock():
                        raise TimeoutError  # in a suspend, which the timeout does not see
                    if self._senders[0] is turn and self._offer_in_turn(message, due):
                        return
                    if self.queue.limit == 0 and self._link is None:
                        raise NotConnected("no link is open and send_queue is 0")
                    await turn.wait()
        except TimeoutError:
            raise Undelivered([message], expired=True) from None
        finally:
            self._senders.remove(turn)
            self._wake_next()

    def refuse(self) -> None:
        """Raise for a message that was not taken and must not wait.

        Raises:
            NotConnected, SendQueueFull: where nothing may wait, and where it is full.
        """
        queue = self.queue
        if queue.limit == 0:
            raise NotConnected("no link takes the message and send_queue is 0")
        if len(queue.entries) < queue.limit:
            raise SendQueueFull(
                f"the message is too large beside others for send_queue_bytes={queue.limit_bytes}"
            )
        raise SendQueueFull(f"send_queue={queue.limit} messages wait already")

    def clear(self) -> tuple[Message, ...]:
        """Take everything out of the queue; return it, oldest first."""
        count = len(self.queue.entries)
        if count:
            self._lifetime.check_place()
        messages = self.queue.take(count)
        self._queue_changed()
        return messages

    def end(self) -> None:
        """Report what waits, now that the connection has ended; it stays in the queue."""
        self._cancel_timer()
        if self.queue.entries:
            self._hooks.report(Undelivered(tuple(self.queue)))

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

    def _queue_changed(self) -> None:
        """Do what follows when messages may have left the queue."""
        if not self.queue.entries:
            self._cancel_timer()
        self._lifetime.changed.notify()
        self._wake_next()

    # Messages whose time runs out

    def _set_timer(self, due: float) -> None:
        """Call `_drop_expired` at that time of the clock, if not before."""
        if self._timer is not None:
            if self._timer[0] <= due:
                return
            self._timer[1].cancel()
        left = max(0.0, due - _clock())
        self._timer = due, asyncio.get_running_loop().call_later(left, self._drop_expired)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer[1].cancel()
            self._timer = None

    def _drop_expired(self) -> None:
        """Report the messages that have waited too long."""
        messages = self.queue.take_expired(_clock())
        self._cancel_timer()
        due = self.queue.next_due()
        if due is not None:
            self._set_timer(due)
        if messages:
            self._queue_changed()
            self._hooks.report(Undelivered(messages, expired=True))

    # Whose turn it is

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
        if self._timer is not None:
            self._drop_expired()
        link = self._link
        if link is not None and (self._reserved_for is None or self._reserved_for is _NOBODY):
            sent = 0
            for message in self.queue:
                if link.full:
                    break
                link.send(message)
                sent += 1
            self.queue.take(sent)
        self._queue_changed()

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


def _clock() -> float:
    """Return the time by which messages grow old: it goes on while the computer is suspended."""
    return asyncio.get_running_loop().time() + kernel.suspended_for()


def _due(ttl: float | None) -> float | None:
    return None if ttl is None else _clock() + ttl
