"""The send queue, and whose message a link takes next: first those that its on_open hook sends."""

from _thread import get_ident
from collections.abc import Callable, Sequence

from websocket_heartbeat.client.dialogue import Dialogue
from websocket_heartbeat.client.lifetime import Lifetime
from websocket_heartbeat.engines.base import Link
from websocket_heartbeat.errors import ConnectionClosed, NotConnected, SendQueueFull
from websocket_heartbeat.events import Message
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
    only what on_open sends, and the queue. What waits when the connection ends, the host reports as
    Undelivered.

    sent_at: the time of `clock` at which a message was last given to a link.
    """

    __slots__ = (
        "_clock",
        "_dialogue",
        "_direct",
        "_is_closing",
        "_lifetime",
        "_limit",
        "_link",
        "_queue",
        "_senders",
        "sent_at",
    )

    def __init__(self, limit: int, lifetime: Lifetime, clock: Callable[[], float] | None) -> None:
        """limit: messages that may wait in the queue. clock: None if nobody asks for `sent_at`."""
        self._limit = limit
        self._lifetime = lifetime
        self._clock = clock
        self.sent_at = 0.0
        self._link: Link | None = None
        self._dialogue: Dialogue | None = None  # of the link, or of the one that is to replace it
        # The link, where nothing is to be considered before a message is sent.
        self._direct: Link | None = None
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
        return self._link_for_me() is not None

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
        link = self._direct
        lifetime = self._lifetime
        if (
            link is not None
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
        link = self._link_for_me()
        in_open_hook = self._is_in_open_hook()
        if link is not None and not link.full and (in_open_hook or not self._queue):
            self._give(link, message)
            return True
        if len(self._queue) < self._limit and not in_open_hook:
            self._queue.append(message)
            return True
        return False

    def _give(self, link: Link, message: Message) -> None:
        if self._clock is not None:
            self.sent_at = self._clock()
        link.send(message)

    def _link_for_me(self) -> Link | None:
        """Return the link that takes what the current task sends, unless its buffer is full."""
        if self._is_in_open_hook():
            assert self._dialogue is not None
            return self._dialogue.link
        return None if self._is_held() else self._link

    def _is_held(self) -> bool:
        """Whether the link takes nothing of others yet, as its on_open hook runs."""
        return self._dialogue is not None and self._dialogue.link is self._link

    async def put(self, message: Message) -> None:
        """Wait until a message is first and there is room, then hand it to the link or queue it.

        Raises:
            NotConnected: no link is open, and nothing may wait for one.
            ConnectionClosed, ConnectionFailed: there will be no further link.
        """
        turn = _Turn(self._dialogue if self._is_in_open_hook() else None)
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
        while True:
            link = self._link_for_me() if self._is_in_open_hook() else self._link
            if not self.keeps_waiting and (link is None or not link.full):
                return
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
        link = self._link
        if link is not None and not self._is_held():
            sent = 0
            for message in self._queue:
                if link.full:
                    break
                self._give(link, message)
                sent += 1
            del self._queue[:sent]
        self._lifetime.changed.notify()
        self._wake_next()

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
