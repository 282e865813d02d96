"""The send queue, and whose message a link takes next: first those that its on_open hook sends."""

import asyncio
from _thread import get_ident
from collections.abc import Callable

from websocket_heartbeat.client.dialogue import Dialogue
from websocket_heartbeat.client.hooks import Hooks
from websocket_heartbeat.client.lifetime import Lifetime
from websocket_heartbeat.client.send_queue import SendQueue
from websocket_heartbeat.engines.base import Link
from websocket_heartbeat.errors import ConnectionClosed, NotConnected, SendQueueFull, Undelivered
from websocket_heartbeat.events import Message
from websocket_heartbeat.system import kernel
from websocket_heartbeat.system.wakeup import Wakeup


class _Turn(Wakeup):
    """A task that waits in `put`.

    dialogue: the on_open hook that it sends for, or None.
    """

    __slots__ = ("dialogue",)

    def __init__(self, dialogue: Dialogue | None) -> None:
        super().__init__()
        self.dialogue = dialogue


class Outbox:
    """What was given to `send` and not to a link yet.

    While the on_open hook of a new link runs, the link takes only what this hook sends; the queue comes after
    it. A link that is lost leaves the queue to the next one. Once the connection is to be closed, links take
    only what on_open sends, and the queue. What waits when the connection ends, or longer than it may, is
    reported as Undelivered.

    queue: what waits for a link. dropped: volatile messages that were not sent.
    sent_at: the time of `clock` at which a message was last given to a link. Answers to the peer's heartbeats
    go past this: like pongs, they do not count.
    """

    __slots__ = (
        "_clock",
        "_dialogue",
        "_direct",
        "_hooks",
        "_is_closing",
        "_lifetime",
        "_link",
        "_senders",
        "_timer",
        "dropped",
        "queue",
        "sent_at",
    )

    def __init__(
        self, queue: SendQueue, lifetime: Lifetime, hooks: Hooks, clock: Callable[[], float] | None
    ) -> None:
        """clock: None where `sent_at` is not needed."""
        self.queue: SendQueue = queue
        self._lifetime = lifetime
        self._hooks = hooks
        self._clock = clock
        self.sent_at: float = 0.0
        self.dropped: int = 0
        self._link: Link | None = None
        self._dialogue: Dialogue | None = None  # of the link, or of the one that is to replace it
        # The link, where nothing is to be considered before a message is sent.
        self._direct: Link | None = None
        # The next one first. A tuple, as the empty one takes no memory: nobody waits on an idle connection.
        self._senders: tuple[_Turn, ...] = ()
        # When a message of the queue expires, which may have left by then, and what then drops it.
        self._timer: tuple[float, asyncio.TimerHandle] | None = None
        self._is_closing = False

    @property
    def is_open(self) -> bool:
        """Whether a link takes what the current task sends, unless its buffer is full."""
        return self._link_for_me() is not None

    @property
    def keeps_waiting(self) -> bool:
        """Whether the current task may wait for the queue to be sent: not on_open, for which that waits."""
        return bool(self.queue.entries) and not self._is_in_open_hook()

    @property
    def is_stuck(self) -> bool:
        """Whether the queue waits for an on_open hook that has raised what ends the program."""
        return self._dialogue is not None and self._dialogue.is_cut

    # Messages

    def offer(self, message: Message, ttl: float | None) -> bool:
        """Hand a message to the link or queue it; return False if others are first or there is no room.

        ttl: seconds that the message may wait in the queue, or None.

        Raises:
            ConnectionClosed, ConnectionFailed: there will be no further link.
            RuntimeError: not here; see `Lifetime.check_place`.
        """
        link = self._direct
        lifetime = self._lifetime
        if (
            link is not None
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
        link = self._link_for_me()
        in_open_hook = self._is_in_open_hook()
        if link is not None and not link.full and (in_open_hook or not self.queue.entries):
            self._give(link, message)
            return True
        if in_open_hook or not self.queue.add(message, due):
            return False
        if due is not None:
            self._set_timer(due)
        return True

    def _give(self, link: Link, message: Message) -> None:
        self._note_sent()
        link.send(message)

    def _note_sent(self) -> None:
        if self._clock is not None:
            self.sent_at = self._clock()

    def send_volatile(self, message: Message) -> None:
        """Hand a message to the link, if it can go at once and passes nothing that waits; else drop it.

        Raises:
            ConnectionClosed, ConnectionFailed: there will be no further link.
            RuntimeError: not here; see `Lifetime.check_place`.
        """
        self._check_accepts()
        link = self._link_for_me()
        is_behind = self._ahead() or (self.queue.entries and not self._is_in_open_hook())
        if link is None or is_behind or not link.send_volatile(message):
            self.dropped += 1
        else:
            self._note_sent()

    def _link_for_me(self) -> Link | None:
        """Return the link that takes what the current task sends, unless its buffer is full."""
        if self._is_in_open_hook():
            assert self._dialogue is not None
            return None if self._dialogue.is_ending else self._dialogue.link
        return None if self._is_held() else self._link

    def _is_held(self) -> bool:
        """Whether the link takes nothing of others yet, as its on_open hook runs."""
        return self._dialogue is not None and self._dialogue.link is self._link

    async def put(self, message: Message, ttl: float | None) -> None:
        """Wait until a message is first and there is room, then hand it to the link or queue it.

        Raises:
            NotConnected: no link is open, and nothing may wait for one.
            ConnectionClosed, ConnectionFailed: there will be no further link.
            Undelivered: the time to live ran out before that.
        """
        turn = _Turn(self._dialogue if self._is_in_open_hook() else None)
        due = _due(ttl)
        ahead = self._ahead()
        self._senders = (*self._senders[:ahead], turn, *self._senders[ahead:])
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
                    if turn.dialogue is not None and turn.dialogue.is_ending:
                        turn.dialogue.tell_end_soon()  # which cancels the hook: nothing can be sent for it
                    await turn.wait()
        except TimeoutError:
            raise Undelivered([message], expired=True) from None
        finally:
            place = self._senders.index(turn)
            self._senders = self._senders[:place] + self._senders[place + 1 :]
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
            raise SendQueueFull(f"others wait already, and send_queue_bytes={queue.limit_bytes} has no room")
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
        while True:
            link = self._link_for_me() if self._is_in_open_hook() else self._link
            if not self.keeps_waiting and (link is None or not link.full):
                return
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
        return sum(turn.dialogue is self._dialogue for turn in self._senders)

    def _is_in_open_hook(self) -> bool:
        return self._dialogue is not None and self._dialogue.is_mine()

    # The link

    def link_opened(self, link: Link) -> None:
        """Send over a link from now on: what its on_open hook sends, then the queue, then the rest."""
        self._link = link
        self._set_direct()

    def dialogue_begins(self, dialogue: Dialogue) -> None:
        """Give the link of an on_open hook that begins to run nothing but what the hook sends."""
        self._dialogue = dialogue
        self._set_direct()

    def dialogue_ended(self, dialogue: Dialogue) -> None:
        """Give a link whose on_open hook is done what waits."""
        if self._dialogue is dialogue:
            self._dialogue = None
            self._set_direct()
            self.flush()

    def _set_direct(self) -> None:
        is_free = self._dialogue is None and self._clock is None and not self._is_closing
        self._direct = self._link if is_free else None

    def link_lost(self) -> None:
        """Let messages wait for the next link."""
        self._link = self._direct = None

    def flush(self) -> None:
        """Send what waits, as far as the link takes it."""
        if self._timer is not None:
            self._drop_expired()
        link = self._link
        if link is not None and not self._is_held():
            sent = 0
            for message in self.queue:
                if link.full:
                    break
                self._give(link, message)
                sent += 1
            self.queue.take(sent)
        self._queue_changed()

    def close(self) -> None:
        """Take nothing more, but from on_open, as the connection is to be closed."""
        self._is_closing = True
        self._set_direct()
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
