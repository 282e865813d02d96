"""One client of a back end: takes its messages in order, answers its heartbeats and tells its end once."""

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from websocket_heartbeat.checks import check_message
from websocket_heartbeat.engines.base import Closure, Link
from websocket_heartbeat.errors import HookFailed, ProtocolViolation
from websocket_heartbeat.events import Message
from websocket_heartbeat.server.admission import Request
from websocket_heartbeat.server.farewell import check_close
from websocket_heartbeat.system.callbacks import call, place_of, settle

if TYPE_CHECKING:
    from websocket_heartbeat.server.roster import Roster

_logger = logging.getLogger("websocket_heartbeat.server")

_BACKLOG_MESSAGES = 64
_BACKLOG_SIZE = 256 * 1024


class Peer:
    """One client, from its handshake to its end. The server makes these and gives them to your hooks.

    id: 1 for the first client of the server, and so on; also the key in logs. request: its handshake.
    subprotocol: the one that was agreed on, or None.
    """

    __slots__ = (
        "_backlog",
        "_backlog_size",
        "_close_by",
        "_ended",
        "_gone",
        "_link",
        "_listening_since",
        "_paused",
        "_roster",
        "_worker",
        "id",
        "request",
        "subprotocol",
    )

    def __init__(self, roster: "Roster", number: int, request: Request, link: Link) -> None:
        self.id = number
        self.request = request
        self.subprotocol = link.subprotocol
        self._roster = roster
        self._link = link
        self._ended = False
        self._gone: asyncio.Future[None] | None = None
        self._close_by: float | None = None
        # What waits while an asynchronous hook runs. The worker awaits it and then takes these, in order.
        self._worker: asyncio.Task[None] | None = None
        self._backlog: deque[Message] = deque()
        self._backlog_size = 0
        # A pause ends with nothing heard for a while, as the kernel's buffer was full too.
        self._paused = False
        self._listening_since = 0.0

    def __repr__(self) -> str:
        return f"<Peer {self.id} {self.request.path!r}>"

    # For users

    def send(self, message: Message) -> None:
        """Send a text message (str) or a binary one (bytes); never waits.

        Does nothing once the peer is gone or was asked to go. What the peer does not read is buffered, and a
        peer whose buffer passes `write_limit` bytes is dropped.

        Raises:
            TypeError: the message is neither str nor bytes-like.
            ValueError: the text holds a lone surrogate, which UTF-8 cannot carry.
        """
        message = check_message("message", message, sys.maxsize)
        if self._ended:
            return
        self._link.send(message)
        if self._link.full and self._link.buffered > self._roster.policy.write_limit:
            self._drop(f"did not read: its write buffer passed write_limit={self._roster.policy.write_limit}")

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Ask the peer to go; returns at once, and `on_close` follows.

        A peer that has not answered after `close_timeout` seconds is dropped. Does nothing the second time.

        Raises:
            ValueError: the code may not be sent, or the reason is longer than 123 bytes of UTF-8.
        """
        check_close(code, reason)
        if self._ended or self._close_by is not None:
            return
        self._link.close(code, reason)
        self._close_by = asyncio.get_running_loop().time() + self._roster.policy.close_timeout
        self._resume()  # its answer is still to be read
        self._roster.watch(self, self._close_by)

    def abort(self) -> None:
        """Drop the peer at once, by a TCP reset; `on_close` follows."""
        self._drop("aborted")

    # For the roster

    def open(self) -> None:
        """Begin."""
        self._link.deliver = self._deliver
        policy = self._roster.policy
        if policy.idle_timeout is not None:
            self._roster.watch(self, asyncio.get_running_loop().time() + policy.idle_timeout)
        if policy.on_open is not None:
            self._begin("on_open", policy.on_open, self)

    def judge(self, now: float) -> float | None:
        """Drop the peer if its time is up; return when to ask again, or None if it is gone now."""
        if self._close_by is not None:
            if now < self._close_by:
                return self._close_by
            self._drop("did not answer the close frame in time")
            return None
        idle_timeout = self._roster.policy.idle_timeout
        assert idle_timeout is not None
        if self._paused:  # by us: that it is silent is not its fault
            return now + idle_timeout
        due = max(self._link.heard_at, self._listening_since) + idle_timeout
        if now < due:
            return due
        self._drop(f"silent for {idle_timeout:g} s")
        return None

    def gone(self) -> asyncio.Future[None]:
        """Return a future that is done when `on_close` has been called."""
        if self._gone is None:
            self._gone = asyncio.get_running_loop().create_future()
        return self._gone

    def closed(self, closure: Closure) -> None:
        """Take the news that the link has ended."""
        error = closure.error
        if isinstance(error, ProtocolViolation):
            _logger.info("%r broke RFC 6455 and was closed with %d", self, error.code)
        if error is not None:
            self._end(None, str(error))
        elif closure.code is None:
            self._end(None, "ended without a close code")
        else:
            self._end(closure.code, closure.reason)

    # Messages

    def _deliver(self, message: Message) -> None:
        # The type first: `python -bb` lets nobody compare bytes with a str.
        if type(message) is str and message == self._roster.policy.heartbeat:
            self.send(message)
        elif self._worker is None:
            self._begin("on_message", self._roster.policy.on_message, self, message)
        else:
            full = len(self._backlog) >= _BACKLOG_MESSAGES or self._backlog_size >= _BACKLOG_SIZE
            if full and self._close_by is not None:
                return  # it was asked to go and talks on
            self._backlog.append(message)
            self._backlog_size += len(message)
            if full and not self._paused:
                self._paused = True
                self._link.pause_reading()

    def _begin(self, name: str, hook: Callable[..., Any], *arguments: Any) -> None:
        """Call a hook; if it is asynchronous, what comes meanwhile waits for it."""
        pending = self._call(name, hook, *arguments)
        if pending is not None:
            worker = self._roster.spawn(self._work(name, pending), pending)
            if not worker.done():  # as it can be under an eager task factory
                self._worker = worker
            if self._ended:  # by the hook, before it returned
                worker.cancel()

    async def _work(self, name: str, pending: Awaitable[object] | None) -> None:
        try:
            while True:
                if pending is not None:
                    await self._settle(name, pending)
                if not self._backlog:
                    return
                message = self._backlog.popleft()
                self._backlog_size -= len(message)
                if len(self._backlog) <= _BACKLOG_MESSAGES // 2 and self._backlog_size <= _BACKLOG_SIZE // 2:
                    self._resume()
                name = "on_message"
                pending = self._call(name, self._roster.policy.on_message, self, message)
        finally:
            self._worker = None

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._listening_since = asyncio.get_running_loop().time()
            self._link.resume_reading()

    # Hooks

    def _call(self, name: str, hook: Callable[..., Any], *arguments: Any) -> Awaitable[object] | None:
        """Call a hook; return what is to be waited for."""
        try:
            result = call(name, hook, *arguments)
        except HookFailed as failed:
            self._report(failed)
            return None
        return result if result is not None and isawaitable(result) else None

    async def _settle(self, name: str, pending: Awaitable[object]) -> None:
        try:
            await settle(name, pending)
        except HookFailed as failed:
            self._report(failed)

    def _report(self, failed: HookFailed) -> None:
        raised = failed.__cause__
        _logger.error("%s for %r raised %s at %s", failed.name, self, type(raised).__name__, place_of(raised))

    # The end

    def _drop(self, reason: str) -> None:
        if self._ended:
            return
        _logger.info("%r was dropped: %s", self, reason)
        self._link.abort()
        self._end(None, reason)

    def _end(self, code: int | None, reason: str) -> None:
        self._ended = True
        self._backlog.clear()
        self._roster.leaving(self)
        if self._worker is None:
            # Not now: this may have come from within `send`.
            asyncio.get_running_loop().call_soon(self._tell, code, reason)
        else:
            self._worker.cancel()
            self._worker.add_done_callback(lambda _: self._tell(code, reason))

    def _tell(self, code: int | None, reason: str) -> None:
        on_close = self._roster.policy.on_close
        if on_close is not None:
            pending = self._call("on_close", on_close, self, code, reason)
            if pending is not None:
                self._roster.spawn(self._settle("on_close", pending), pending)
        self._roster.left(self)
        self.gone().set_result(None)  # also for who asks from now on
