"""One client of a server: takes its messages in order, answers its heartbeats and reports its end once."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable
from typing import Any, NamedTuple, Protocol

from websocket_heartbeat.checks import check_close, check_message
from websocket_heartbeat.config import Dialect
from websocket_heartbeat.engines.base import Closure, Link
from websocket_heartbeat.errors import HookFailed, ProtocolViolation
from websocket_heartbeat.events import Message
from websocket_heartbeat.server.admission import Request
from websocket_heartbeat.server.flow import LOOK, Ping, Progress
from websocket_heartbeat.server.policy import Policy
from websocket_heartbeat.server.throttle import Throttle
from websocket_heartbeat.system.callbacks import call, log_raised, place_of, settle

_logger = logging.getLogger("websocket_heartbeat.server")

_BACKLOG_MESSAGES = 64
_BACKLOG_SIZE = 256 * 1024
"""How many messages may wait for an asynchronous hook, and their characters or bytes; then reading pauses."""


class Keeper(Protocol):
    """What a peer needs of whoever keeps all peers: server/roster.py."""

    @property
    def policy(self) -> Policy:
        """What holds for all peers."""

    @property
    def log(self) -> Throttle:
        """Where what hooks raise is logged: messages of strangers may cause it as often as they like."""

    def add(self, handler: "PeerHandler") -> int:
        """Keep a client whose link has opened; return its number."""

    def watch(self, handler: "PeerHandler", due: float) -> None:
        """Call its `check_deadlines` by that time of the loop's clock, or soon after."""

    def spawn(self, work: Coroutine[Any, Any, None], pending: Awaitable[object] | None) -> asyncio.Task[None]:
        """Run a coroutine that awaits what a hook has returned, and hold it until it is done."""

    def link_ended(self, number: int) -> None:
        """Count a client as connected no more; `remove` follows when on_close was called."""

    def remove(self, number: int) -> None:
        """Forget the client."""


class Peer:
    """One client, from its handshake to its end. The server makes these and gives them to your hooks.

    id: 1 for the first client of the server, and so on; also the key in logs. request: its handshake.
    subprotocol: the one that was agreed on, or None.
    """

    __slots__ = ("_handler", "id", "request", "subprotocol")

    def __init__(self, handler: "PeerHandler", number: int, request: Request) -> None:
        self._handler = handler
        self.id = number
        self.request = request
        self.subprotocol = handler.link.subprotocol

    def __repr__(self) -> str:
        return f"<Peer {self.id} {self.request.shown!r}>"

    def send(self, message: Message) -> None:
        """Send a text message (str) or a binary one (bytes); never waits.

        Does nothing once the peer is gone or was asked to go. What the peer does not take yet is buffered:
        `drain` waits for it, `buffered` tells how much it is. A peer that goes on reading may be sent as much
        as memory holds; one that does not is dropped when more than `write_limit` bytes wait for it.

        Raises:
            TypeError: the message is neither str nor bytes-like.
            ValueError: the text holds a lone surrogate, which UTF-8 cannot carry.
        """
        self._handler.send(check_message("message", message))

    async def drain(self) -> None:
        """Wait until the peer has taken most of what was sent to it; gives other tasks a turn in any case.

        It has when at most 16 KiB are buffered, where they were more than 64 KiB, as with `asyncio`. To send
        much, or to who may be slow: `peer.send(part)`, `await peer.drain()`, and so on.

        Raises:
            ConnectionResetError: the peer is gone, or is asked to go, and has gone now. A hook does not see
                this, as it is cancelled when its peer goes.
        """
        await self._handler.drain()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Ask the peer to go; returns at once, and `on_close` follows.

        A peer that has not answered after `close_timeout` seconds is dropped, also if it is still taking what
        was sent before: where that may be much, `drain` first. Does nothing the second time.

        Raises:
            TypeError: the code is no whole number, or the reason no str.
            ValueError: the code may not be sent, or the reason is longer than 123 bytes of UTF-8.
        """
        check_close(code, reason)
        self._handler.close(code, reason)

    def abort(self) -> None:
        """Drop the peer at once, by a TCP reset; `on_close` follows."""
        self._handler.drop("aborted")

    @property
    def buffered(self) -> int:
        """Bytes sent that the socket has not taken yet, as the peer does not read so fast."""
        return self._handler.link.buffered

    @property
    def waiting(self) -> int:
        """Messages that have come and wait for an asynchronous hook of this peer that still runs."""
        return self._handler.waiting

    @property
    def paused(self) -> bool:
        """Whether reading from the peer pauses, as more messages wait than may."""
        return self._handler.paused


class _RunningHook(NamedTuple):
    """An asynchronous hook that was called: its name and what it has returned."""

    name: str
    pending: Awaitable[object]


class _Behind(NamedTuple):
    """Messages wait for a hook; if it still runs at `warn_at`, on the loop's clock, a warning says so."""

    hook: _RunningHook
    warn_at: float


class PeerHandler:
    """The inside of a peer: what its link calls (LinkEvents of engines/base.py), its keeper, and the peer.

    peer: what users hold; link: its link; both from `opened` on.
    paused: whether reading pauses, as more messages wait than may.
    due: when the keeper will next call `check_deadlines`, None for never; the keeper's own.
    """

    __slots__ = (
        "_backlog",
        "_backlog_size",
        "_behind",
        "_close_by",
        "_drained",
        "_ended",
        "_gone",
        "_keeper",
        "_listening_since",
        "_ping",
        "_progress",
        "_request",
        "_running",
        "_worker",
        "due",
        "link",
        "paused",
        "peer",
    )

    link: Link
    peer: Peer

    def __init__(self, keeper: Keeper, request: Request) -> None:
        self._keeper = keeper
        self._request = request
        self._ended = False
        self._gone: asyncio.Future[None] | None = None
        self.due: float | None = None
        self._close_by: float | None = None  # when a peer that was asked to go must have answered
        # What waits while an asynchronous hook runs. The worker awaits it and then takes these, in order.
        # There is no backlog while nothing waits: an empty one takes 0.6 KiB.
        self._worker: asyncio.Task[None] | None = None
        self._backlog: deque[Message] | None = None
        self._backlog_size = 0
        self._running: _RunningHook | None = None
        self._behind: _Behind | None = None
        self.paused = False
        # When reading was last resumed: nothing was heard before that, as the kernel's buffer was full too.
        self._listening_since = 0.0
        self._ping: Ping | None = None  # one that is unanswered
        # While the link is full.
        self._progress: Progress | None = None
        self._drained: asyncio.Future[None] | None = None

    # Calls from the link

    def opened(self, link: Link) -> None:
        """Make a peer of the client and begin."""
        self.link = link
        number = self._keeper.add(self)
        self.peer = Peer(self, number, self._request)
        policy = self._keeper.policy
        has_dialect = isinstance(policy.heartbeat, Dialect)
        link.deliver = self._deliver_in_dialect if has_dialect else self._deliver
        if policy.idle_timeout is not None:
            self._keeper.watch(self, asyncio.get_running_loop().time() + policy.idle_timeout / 2)
        if policy.on_open is not None:
            self._begin("on_open", policy.on_open, self.peer)

    def closed(self, closure: Closure) -> None:
        """Take the news that the link has ended."""
        error = closure.error
        if isinstance(error, ProtocolViolation):
            _logger.info("%r broke RFC 6455 and was closed with %d", self.peer, error.code)
        if error is not None:
            self._end(None, str(error))
        elif closure.code is None:
            self._end(None, "ended without a close code")
        else:
            self._end(closure.code, closure.reason)

    def batch_delivered(self) -> None:
        """Nothing to do: messages are taken one by one."""

    def deliver_returned(self, result: object) -> None:
        """Does not happen: `_deliver` returns nothing."""

    def deliver_failed(self, error: BaseException) -> None:
        """Log where: what hooks raise is caught in `_deliver`, so this is a mistake in this package."""
        _logger.error(
            "a message of %r could not be taken: %s at %s", self.peer, type(error).__name__, place_of(error)
        )

    def ponged(self) -> None:
        """Take the answer to a ping; that it is a sign of life is seen where it is asked for."""
        self._ping = None

    def writable(self) -> None:
        """Take the news that the link is not full any more."""
        self._progress = None
        self._wake_drains()

    # Calls from the peer and the keeper

    def send(self, message: Message) -> None:
        """Do as `Peer.send`, with a message that was checked."""
        if self._ended:
            return
        link = self.link
        link.send(message)
        if link.full and self._progress is None:
            now = asyncio.get_running_loop().time()
            self._progress = Progress(link, now)
            self._keeper.watch(self, now + LOOK)

    async def drain(self) -> None:
        """Do as `Peer.drain`."""
        await asyncio.sleep(0)
        while not self._ended and (self.link.full or self._close_by is not None):
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._drained])
        if self._ended:
            raise ConnectionResetError("the peer is gone")

    def _wake_drains(self) -> None:
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None

    def close(self, code: int, reason: str) -> None:
        """Do as `Peer.close`, with a code and a reason that were checked."""
        if self._ended or self._close_by is not None:
            return
        self.link.close(code, reason)
        self._close_by = asyncio.get_running_loop().time() + self._keeper.policy.close_timeout
        self._resume()  # its answer is still to be read
        self._keeper.watch(self, self._close_by)

    def drop(self, reason: str) -> None:
        """Reset the connection at once, and tell the hooks the reason."""
        if self._ended:
            return
        _logger.info("%r was dropped: %s", self.peer, reason)
        self.link.abort()
        self._end(None, reason)

    def check_deadlines(self, now: float) -> float | None:
        """Ping the peer, or drop it, if it is time to; return when to check again, None for never."""
        if self._close_by is not None:
            if now < self._close_by:
                return self._close_by
            self.drop("did not answer the close frame in time")
            return None
        policy = self._keeper.policy
        dues = []
        if self._progress is not None:
            problem = self._progress.problem(self.link, now, policy.write_limit)
            if problem is not None:
                self.drop(problem)
                return None
            dues.append(now + LOOK)
        if self._behind is not None:
            due = self._look_at_hook(now, self._behind)
            if due is not None:
                dues.append(due)
        if policy.idle_timeout is not None:
            due = self._silence_due(now, policy.idle_timeout)
            if due is None:
                self.drop(f"silent for {policy.idle_timeout:g} s")
                return None
            dues.append(due)
        return min(dues, default=None)

    def _look_at_hook(self, now: float, behind: _Behind) -> float | None:
        """Warn of a hook that messages wait for too long; return when to look again, None for never."""
        if now < behind.warn_at:
            return behind.warn_at
        self._behind = None
        if not self._backlog or self._running is None:
            return None
        if behind.hook is not self._running:  # that one has ended, and another one runs
            return self._wait_behind(self._running, now)
        self._keeper.log.warning(
            "%r: %s for %s, which has not ended after %g s: what takes long or never ends belongs in a task",
            self.peer,
            "1 message waits" if self.waiting == 1 else f"{self.waiting} messages wait",
            behind.hook.name,
            self._keeper.policy.open_timeout,
        )
        return None

    def _wait_behind(self, hook: _RunningHook, now: float) -> float:
        """Note that messages wait from now on for the hook that runs; return when to warn of it."""
        warn_at = now + self._keeper.policy.open_timeout
        self._behind = _Behind(hook, warn_at)
        return warn_at

    def _silence_due(self, now: float, idle_timeout: float) -> float | None:
        """Ping a peer that was silent for half of idle_timeout; return when to look again, None to drop it.

        The ping has the other half to be answered, also where it left late as our loop was blocked.
        """
        half = idle_timeout / 2
        if self.paused:  # by us: that it is silent is not its fault
            return now + half
        heard = max(self.link.heard_at, self._listening_since)
        ping = self._ping
        # The kernel's times are rough. But what was heard before the ping is older than it by a half.
        if ping is not None and heard > ping.since - half / 2:
            ping = self._ping = None
        if ping is None:
            if now < heard + half:
                return heard + half
            ping = self._ping = Ping(self.link, now)
        else:
            ping.look(self.link, now)
        due = max(heard + idle_timeout, ping.since + half)
        if now >= due:
            return None
        return min(due, now + half / 4) if ping.is_behind else due

    def gone(self) -> asyncio.Future[None]:
        """Return a future that is done when `on_close` has been called."""
        if self._gone is None:
            self._gone = asyncio.get_running_loop().create_future()
        return self._gone

    # Messages

    @property
    def waiting(self) -> int:
        """How many messages wait for the hook."""
        return 0 if self._backlog is None else len(self._backlog)

    def _deliver(self, message: Message) -> None:
        # The type first: `python -bb` lets nobody compare bytes with a str.
        if type(message) is str and message == self._keeper.policy.heartbeat:
            self.send(message)
        elif self._worker is None:
            self._begin("on_message", self._keeper.policy.on_message, self.peer, message)
        else:
            self._enqueue(message)

    def _deliver_in_dialect(self, message: Message) -> None:
        dialect = self._keeper.policy.heartbeat
        assert isinstance(dialect, Dialect)
        try:
            reply = dialect.reply_to(message)
            if reply is None and dialect.is_pong(message):
                return
        except HookFailed as failed:
            self._report(failed)
            reply = None
        if reply is not None:
            self.send(reply)
        else:
            self._deliver(message)

    def _enqueue(self, message: Message) -> None:
        """Let a message wait for the hook; where too much waits, pause reading."""
        full = self.waiting >= _BACKLOG_MESSAGES or self._backlog_size >= _BACKLOG_SIZE
        if full and self._close_by is not None:
            return  # it was asked to go and talks on
        if self._backlog is None:
            self._backlog = deque()
            if self._running is not None:
                now = asyncio.get_running_loop().time()
                self._keeper.watch(self, self._wait_behind(self._running, now))
        self._backlog.append(message)
        self._backlog_size += len(message)
        if full and not self.paused:
            self.paused = True
            self.link.pause_reading()

    def _next(self) -> Message | None:
        """Take the message that waits longest."""
        if not self._backlog:
            self._backlog = None
            return None
        message = self._backlog.popleft()
        self._backlog_size -= len(message)
        if len(self._backlog) <= _BACKLOG_MESSAGES // 2 and self._backlog_size <= _BACKLOG_SIZE // 2:
            self._resume()
        return message

    def _resume(self) -> None:
        if self.paused:
            self.paused = False
            self._listening_since = asyncio.get_running_loop().time()
            self.link.resume_reading()

    # Hooks

    def _begin(self, name: str, hook: Callable[..., Any], *arguments: Any) -> None:
        """Call a hook; if it is asynchronous, what comes meanwhile waits for it."""
        pending = self._call(name, hook, *arguments)
        if pending is not None:
            self._employ(name, pending)

    def _employ(self, name: str, pending: Awaitable[object] | None) -> None:
        """Have a task of its own do `_work`."""
        self._running = None if pending is None else _RunningHook(name, pending)
        worker = self._keeper.spawn(self._work(name, pending), pending)
        if not worker.done():  # as it can be under an eager task factory
            self._worker = worker
        if self._ended:  # by the hook, before it returned
            worker.cancel()

    async def _work(self, name: str, pending: Awaitable[object] | None) -> None:
        """Await what a hook has returned, and then give on_message what came meanwhile."""
        try:
            while True:
                if pending is not None:
                    try:
                        await settle(name, pending)
                    except HookFailed as failed:
                        self._report(failed)
                message = self._next()
                if message is None:
                    return
                name = "on_message"
                pending = self._call(name, self._keeper.policy.on_message, self.peer, message)
                self._running = None if pending is None else _RunningHook(name, pending)
        except asyncio.CancelledError as error:
            if self._ended:
                raise
            self._report(HookFailed(name, error))  # it has cancelled its own task
        finally:
            self._worker = None
            self._running = None
            if self._backlog and not self._ended:
                self._employ("on_message", None)

    def _call(self, name: str, hook: Callable[..., Any], *arguments: Any) -> Awaitable[object] | None:
        """Call a hook; return what is to be waited for."""
        try:
            result = call(name, hook, *arguments)
        except HookFailed as failed:
            self._report(failed)
            return None
        return result if result is not None and isawaitable(result) else None

    def _report(self, failed: HookFailed) -> None:
        log_raised(self._keeper.log.error, f"{failed.name} for {self.peer!r}", failed.__cause__)

    # The end

    def _end(self, code: int | None, reason: str) -> None:
        self._ended = True
        self._backlog = None
        self._wake_drains()
        self._keeper.link_ended(self.peer.id)
        if self._worker is not None:
            self._worker.cancel()
        # Not now: this may have come from within a hook, of which `_begin` may still make a worker.
        asyncio.get_running_loop().call_soon(self._call_on_close_after_worker, code, reason)

    def _call_on_close_after_worker(self, code: int | None, reason: str) -> None:
        if self._worker is None:
            self._call_on_close(code, reason)
        else:
            self._worker.add_done_callback(lambda _: self._call_on_close(code, reason))

    def _call_on_close(self, code: int | None, reason: str) -> None:
        on_close = self._keeper.policy.on_close
        try:
            if on_close is not None:
                pending = self._call("on_close", on_close, self.peer, code, reason)
                if pending is not None:
                    self._keeper.spawn(self._work("on_close", pending), pending)
        finally:  # also where the hook ends the program
            self._keeper.remove(self.peer.id)
            self.gone().set_result(None)  # also for who asks from now on
