"""The messages of one peer: its hook takes them in order, or calls of `recv`; meanwhile they wait."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable
from typing import Any, NamedTuple, Protocol

from websocket_heartbeat.engines.base import Link
from websocket_heartbeat.errors import HookFailed, NotCommitted
from websocket_heartbeat.events import Message
from websocket_heartbeat.server.hooks import Hooks
from websocket_heartbeat.server.peer import Peer
from websocket_heartbeat.server.policy import Policy
from websocket_heartbeat.server.throttle import Throttle
from websocket_heartbeat.system.callbacks import call, log_raised, settle

_logger = logging.getLogger("websocket_heartbeat.server")

_MOST_MESSAGES = 64
_MOST_BYTES = 256 * 1024
"""How many messages may wait, and their characters or bytes; then reading pauses."""


_AGAIN = 0.5
"""Seconds until a hook is called again whose transaction has come to nothing."""


class Keeper(Protocol):
    """What a mailbox needs of the roster of all peers (roster.py)."""

    @property
    def policy(self) -> Policy:
        """What holds for all peers."""

    @property
    def log(self) -> Throttle:
        """Where what hooks raise is logged: messages of strangers may cause it as often as they like."""

    def spawn(self, work: Coroutine[Any, Any, None], pending: Awaitable[object] | None) -> asyncio.Task[None]:
        """Run a coroutine that awaits what a hook has returned, and hold it until it is done."""

    def check_loop(self) -> None:
        """See that this is called on the loop of the peers; RuntimeError: it is not."""

    def future(self) -> "asyncio.Future[None]":
        """Return a future for who waits for something of a peer; RuntimeError: this is not its loop."""


class Owner(Protocol):
    """The inside of the peer whose messages these are: handler.py."""

    @property
    def keeper(self) -> Keeper:
        """Who keeps all peers."""

    @property
    def hooks(self) -> Hooks:
        """The peer's hooks."""

    @property
    def peer(self) -> Peer:
        """What users hold."""

    @property
    def fields(self) -> dict[str, object]:
        """The fields of its lines in the log."""

    @property
    def link(self) -> Link:
        """Where messages come from."""

    def watch(self, due: float) -> None:
        """Call `look` by that time of the loop's clock, or soon after."""

    def has_ended(self) -> None:
        """Take the news that on_close was called."""


class _RunningHook(NamedTuple):
    """An asynchronous hook that was called: its name and what it has returned."""

    name: str
    pending: Awaitable[object]


class _Behind(NamedTuple):
    """Messages wait for a hook; if it still runs at `warn_at`, on the loop's clock, a warning says so."""

    hook: _RunningHook
    warn_at: float


class Mailbox:
    """What has come of one peer and waits, and the asynchronous hook that it waits for.

    is_paused: whether reading pauses, as more messages wait than may.
    listening_since: when reading was last resumed: nothing was heard before that, as the kernel's buffer was
    full too.
    is_leaving: whether the peer was asked to go: then what it says beyond what may wait is dropped.
    has_ended: whether the peer is gone.
    """

    __slots__ = (
        "_behind",
        "_bytes",
        "_in_hand",
        "_messages",
        "_owner",
        "_receiver",
        "_running",
        "_worker",
        "has_ended",
        "is_leaving",
        "is_paused",
        "listening_since",
    )

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        # There is none while nothing waits: an empty one takes 0.6 KiB.
        self._messages: deque[Message] | None = None
        self._bytes = 0
        # Awaits an asynchronous hook, and then gives on_message what came meanwhile.
        self._worker: asyncio.Task[None] | None = None
        self._running: _RunningHook | None = None
        self._behind: _Behind | None = None
        self._receiver: asyncio.Future[None] | None = None  # a call of `recv` that waits
        self._in_hand: Message | None = None  # that was taken and is not handled, as far as is known
        self.is_paused: bool = False
        self.listening_since: float = 0.0
        self.is_leaving: bool = False
        self.has_ended: bool = False

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return 0 if self._messages is None else len(self._messages)

    @property
    def is_taken_by_hook(self) -> bool:
        """Whether on_message takes the messages."""
        return self._owner.hooks.on_message is not None

    # Messages

    def put(self, message: Message) -> None:
        """Take a message that has come."""
        on_message = self._owner.hooks.on_message
        if on_message is None or self._worker is not None:
            self._enqueue(message)
        else:
            self._in_hand = message
            self.begin("on_message", on_message, self._owner.peer, message)

    def done_with_last(self) -> None:
        """Note that the message that was taken last is handled."""
        if self._in_hand is not None:
            self._in_hand = None
            self._owner.link.handled()

    async def recv(self) -> Message | None:
        """Wait for the next message; return None when the peer is gone and nothing is left, or if released.

        Raises:
            RuntimeError: another call waits, or messages go to on_message.
        """
        self.done_with_last()  # asking for the next message says so
        while not self._messages:
            if self.has_ended:
                return None
            if self._receiver is not None:
                raise RuntimeError("another task waits for a message of this peer already")
            if self._owner.hooks.on_message is not None and self._worker is None:
                raise RuntimeError("messages of this peer go to on_message")
            receiver = self._receiver = self._owner.keeper.future()
            try:
                await receiver
            finally:
                released = self._receiver is not receiver
                if not released:
                    self._receiver = None
            if released:
                return None
        if self._behind is not None:  # nobody is behind who takes what waits
            warn_at = asyncio.get_running_loop().time() + self._owner.keeper.policy.open_timeout
            self._behind = self._behind._replace(warn_at=warn_at)
        return self._next()

    def release(self) -> None:
        """Let the call of `recv` that waits, if any, return None: messages are another's from now on."""
        self._wake_receiver()
        self._receiver = None

    def _wake_receiver(self) -> None:
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)

    def _enqueue(self, message: Message) -> None:
        """Let a message wait; where too much waits, pause reading."""
        full = self.waiting >= _MOST_MESSAGES or self._bytes >= _MOST_BYTES
        if full and self.is_leaving:
            return
        if self._messages is None:
            self._messages = deque()
            if self._running is not None:
                self._owner.watch(self._wait_behind(self._running, asyncio.get_running_loop().time()))
        self._messages.append(message)
        self._bytes += len(message)
        self._wake_receiver()
        if full and not self.is_paused:
            self.is_paused = True
            self._owner.link.pause_reading()

    def _next(self) -> Message | None:
        """Take the message that waits longest."""
        if not self._messages:
            self._messages = None
            return None
        message = self._messages.popleft()
        self._bytes -= len(message)
        self._in_hand = message
        if len(self._messages) <= _MOST_MESSAGES // 2 and self._bytes <= _MOST_BYTES // 2:
            self.resume()
        return message

    def resume(self) -> None:
        """Read again, if reading pauses."""
        if self.is_paused:
            self.is_paused = False
            if not self.has_ended:
                self.listening_since = asyncio.get_running_loop().time()
                self._owner.link.resume_reading()

    # A hook that takes long

    def look(self, now: float) -> float | None:
        """Warn of a hook that messages wait for too long; return when to look again, None for never."""
        behind = self._behind
        if behind is None:
            return None
        if now < behind.warn_at:
            return behind.warn_at
        self._behind = None
        if not self._messages or self._running is None:
            return None
        if behind.hook is not self._running:  # that one has ended, and another one runs
            return self._wait_behind(self._running, now)
        self._owner.keeper.log.warning(
            "%r: %s for %s, which has not ended after %g s: what takes long or never ends belongs in a task",
            self._owner.peer,
            "1 message waits" if self.waiting == 1 else f"{self.waiting} messages wait",
            behind.hook.name,
            self._owner.keeper.policy.open_timeout,
            extra={**self._owner.fields, "hook": behind.hook.name, "waiting": self.waiting},
        )
        return None

    def _wait_behind(self, hook: _RunningHook, now: float) -> float:
        """Note that messages wait from now on for the hook that runs; return when to warn of it."""
        warn_at = now + self._owner.keeper.policy.open_timeout
        self._behind = _Behind(hook, warn_at)
        return warn_at

    # Hooks

    def begin(self, name: str, hook: Callable[..., Any], *arguments: Any) -> None:
        """Call a hook; if it is asynchronous, what comes meanwhile waits for it."""
        pending = self._call(name, hook, *arguments)
        if pending is not None:
            self._employ(name, pending)
        elif name == "on_message":
            self.done_with_last()

    def _employ(self, name: str, pending: Awaitable[object] | None) -> None:
        """Have a task of its own do `_work`."""
        self._running = None if pending is None else _RunningHook(name, pending)
        worker = self._owner.keeper.spawn(self._work(name, pending), pending)
        if not worker.done():  # as it can be under an eager task factory
            self._worker = worker
        if self.has_ended:  # by the hook, before it returned
            worker.cancel()

    async def _work(self, name: str, pending: Awaitable[object] | None) -> None:
        """Await what a hook has returned, and then give on_message what came meanwhile."""
        on_message = self._owner.hooks.on_message
        try:
            while True:
                again = None  # the message, if it is not handled
                if pending is not None:
                    try:
                        await settle(name, pending)
                    except HookFailed as failed:
                        self.report(failed)
                        if isinstance(failed.__cause__, NotCommitted) and on_message is not None:
                            again = self._in_hand
                    if again is None:
                        self.done_with_last()
                    else:
                        await asyncio.sleep(_AGAIN)
                if on_message is None:
                    return
                message = self._next() if again is None else again
                if message is None:
                    return
                name = "on_message"
                pending = self._call(name, on_message, self._owner.peer, message)
                if pending is None:
                    self.done_with_last()
                self._running = None if pending is None else _RunningHook(name, pending)
        except asyncio.CancelledError as error:
            if self.has_ended:
                raise
            self.report(HookFailed(name, error))  # it has cancelled its own task
            self.done_with_last()
        finally:
            self._worker = None
            self._running = None
            self._wake_receiver()  # a task that the hook has left behind: it may wait no more
            if self._messages and on_message is not None and not self.has_ended:
                self._employ("on_message", None)

    def _call(self, name: str, hook: Callable[..., Any], *arguments: Any) -> Awaitable[object] | None:
        """Call a hook; return what is to be waited for."""
        try:
            result = call(name, hook, *arguments)
        except HookFailed as failed:
            self.report(failed)
            return None
        return result if result is not None and isawaitable(result) else None

    def tell(self, name: str, hook: Callable[..., Any], *arguments: Any) -> None:
        """Call a hook with the peer and arguments, beside those that take its messages."""
        pending = self._call(name, hook, self._owner.peer, *arguments)
        if pending is not None:
            self._owner.keeper.spawn(self._settle(name, pending), pending)

    async def _settle(self, name: str, pending: Awaitable[object]) -> None:
        try:
            await settle(name, pending)
        except HookFailed as failed:
            self.report(failed)

    def report(self, failed: HookFailed) -> None:
        """Log what a hook has raised."""
        owner = self._owner
        fields = {**owner.fields, "hook": failed.name}
        log_raised(owner.keeper.log.error, f"{failed.name} for {owner.peer!r}", failed.__cause__, fields)

    # The end

    def end(self, code: int | None, reason: str) -> None:
        """Cancel the hook that runs; when it is done, call on_close."""
        self.has_ended = True
        if self._owner.hooks.on_message is not None or self._owner.link.is_session:
            self._messages = None  # of a session it is not handled, and comes again where that goes on
        self._wake_receiver()
        if self._worker is not None:
            self._worker.cancel()
        # Not now: this may have come from within a hook, of which `begin` may still make a worker.
        asyncio.get_running_loop().call_soon(self._call_on_close_after_worker, code, reason)

    def _call_on_close_after_worker(self, code: int | None, reason: str) -> None:
        if self._worker is None:
            self._call_on_close(code, reason)
        else:
            self._worker.add_done_callback(lambda _: self._call_on_close(code, reason))

    def _call_on_close(self, code: int | None, reason: str) -> None:
        on_close = self._owner.hooks.on_close
        try:
            if on_close is not None:
                self.tell("on_close", on_close, code, reason)
        finally:  # also where the hook ends the program
            self._owner.has_ended()
