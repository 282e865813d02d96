"""The asyncio connection: carries out what the core decides, over an engine, and tells the user."""

import asyncio
import os
import random
import socket
import ssl as ssl_module
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Generator, Sequence
from contextvars import ContextVar, copy_context
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

from websocket_heartbeat import engines
from websocket_heartbeat.checks import check_message, check_seconds
from websocket_heartbeat.client.attempt import MAX_REDIRECTS, is_redirect, prepare, redirected
from websocket_heartbeat.client.calls import Calls, logger
from websocket_heartbeat.client.evidence import of_silence
from websocket_heartbeat.client.hooks import Hook
from websocket_heartbeat.client.inbox import Inbox
from websocket_heartbeat.client.options import Options
from websocket_heartbeat.client.retry import judge
from websocket_heartbeat.config import Backoff, Headers, Heartbeat, Provider
from websocket_heartbeat.core import machine as core
from websocket_heartbeat.engines.base import Closure, Engine, Link, LinkEvents, OpenRequest
from websocket_heartbeat.errors import (
    ConnectionClosed,
    ConnectionFailed,
    HandshakeRejected,
    HookFailed,
    NotConnected,
    RedirectRefused,
    SendQueueFull,
    ServerClosed,
    Undelivered,
)
from websocket_heartbeat.events import CloseEvent, Message, OpenEvent, ReconnectEvent, State, Stats
from websocket_heartbeat.redaction import shown_url
from websocket_heartbeat.system.alarm import Alarm
from websocket_heartbeat.system.kernel import TELLS, tcp_info
from websocket_heartbeat.system.wakeup import Wakeup

OpenHook = Callable[[OpenEvent], Awaitable[None] | None]
MessageHook = Callable[[Message], Awaitable[None] | None]
CloseHook = Callable[[CloseEvent], Awaitable[None] | None]
ErrorHook = Callable[[Exception], Awaitable[None] | None]
ReconnectHook = Callable[[ReconnectEvent], Awaitable[None] | None]
StateHook = Callable[[State], Awaitable[None] | None]

_UP = (core.OPEN, core.PROBING)
_ENDED = (core.CLOSED, core.FAILED)
_KEPT_REASONS = 10
_SLOW_ANSWER = 0.1
"""Seconds of round trip from which it may be our own loop that was slow."""
_FIRST_LOOK = 1.0
"""Seconds after a ping until the kernel is first asked whether it was acknowledged."""

# Which link's on_open hook the current task runs in: its sends go before the queued ones.
_opening_link: ContextVar[tuple["Connection", int] | None] = ContextVar("opening_link", default=None)


def connect(
    url: Provider[str],
    *,
    additional_headers: Provider[Headers | None] = None,
    subprotocols: Sequence[str] = (),
    heartbeat: Heartbeat = Heartbeat(),  # noqa: B008  # immutable
    backoff: Backoff = Backoff(),  # noqa: B008  # immutable
    open_timeout: float = 10,
    close_timeout: float = 5,
    max_attempts: int | None = None,
    send_queue: int = 256,
    receive_queue: int = 256,
    max_size: int = 2**20,
    ssl: ssl_module.SSLContext | None = None,
    proxy: str | Literal[True] | None = True,
    engine: str | Engine = "auto",
    final_close_codes: Collection[int] = (),
    retry_if: Callable[[Exception], bool | None] | None = None,
) -> "Connection":
    """Return a connection to a WebSocket server that outlives its sockets.

    Use it as `async with connect(...) as connection:`; entering starts it and waits for nothing, leaving
    closes it. `connection = await connect(...)` starts it too, and leaves `close()` to you.

    url: of scheme ws or wss; or a function or coroutine function, called on every attempt.
    additional_headers: for the handshake: a mapping or pairs; or a callable as above, for fresh tokens.
    subprotocols: offered to the server, best first. Default none.
    heartbeat: when a silent link is pinged and when it is given up. Default after 15 s and 10 s.
    backoff: how long to wait before each retry. Default 1 s at first, 60 s at most.
    open_timeout: seconds for one attempt, from name resolution to handshake. Default 10.
    close_timeout: seconds that closing may take, whatever the server does. Default 5.
    max_attempts: retries in a row before the connection fails; None (default) goes on for ever.
    send_queue: messages that wait while no link is open. Default 256; with 0 sending raises NotConnected.
    receive_queue: messages that wait for a slow reader before the socket is not read any more. Default 256.
    max_size: the largest message in either direction, in bytes. Default 1 MiB.
    ssl: the TLS context for wss. Default: certificates of the system's authorities.
    proxy: a URL of scheme http, https, socks4 or socks5; True (default) asks the environment; None is none.
    engine: "auto" (default), the name of an engine, or an Engine.
    final_close_codes: close codes after which the server is not to be asked again. Default none.
    retry_if: asked about each failure; True retries, False gives up, None leaves it to the table in retry.py.

    Raises:
        TypeError, ValueError: an argument is wrong; the text names it.
        EngineNotInstalled: the engine's package is missing; the text names the install command.
    """
    return Connection(
        Options(
            url,
            additional_headers=additional_headers,
            subprotocols=subprotocols,
            heartbeat=heartbeat,
            backoff=backoff,
            open_timeout=open_timeout,
            close_timeout=close_timeout,
            max_attempts=max_attempts,
            send_queue=send_queue,
            receive_queue=receive_queue,
            max_size=max_size,
            ssl=ssl,
            proxy=proxy,
            engine=engines.load(engine),
            final_close_codes=final_close_codes,
            retry_if=retry_if,
        )
    )


class Connection:
    """One connection over many links; made by `connect`.

    Iterate over it for messages: iteration goes on across reconnects, ends after our own `close()`, and
    raises ConnectionFailed when the connection has failed for good. Hooks tell what happens in between; each
    may be a function or a coroutine function; one that raises is reported to `on_error` and harms nothing.
    """

    # Slots, small lists and no deque: ten thousand idle connections are to fit in one small process.
    __slots__ = (
        "__weakref__",
        "_alarm",
        "_attempt_task",
        "_blocked_for",
        "_calls",
        "_cause",
        "_change",
        "_close_code",
        "_close_reason",
        "_config",
        "_context",
        "_evidence",
        "_failure",
        "_inbox",
        "_latency",
        "_link",
        "_loop",
        "_loss",
        "_machine",
        "_open_hook_task",
        "_outbox",
        "_performing",
        "_pinged_at",
        "_ready",
        "_senders",
        "_stats",
        "_unsent_bytes",
        "hooks",
        "pacer",
    )

    on_open = Hook[OpenHook](
        "Called with an OpenEvent whenever a link has opened. What it sends goes to the link before all that "
        "waits in the queue. A coroutine function is cancelled when its link is lost."
    )
    on_message = Hook[MessageHook](
        "Called with each message, in order; iteration then yields nothing. A plain function is the fastest "
        "way to receive; a coroutine function is awaited before the next message."
    )
    on_close = Hook[CloseHook]("Called with a CloseEvent whenever an open link is gone.")
    on_error = Hook[ErrorHook](
        "Called with an exception: why an attempt failed, which hook raised, which messages were not sent."
    )
    on_reconnect = Hook[ReconnectHook]("Called with a ReconnectEvent when a retry is scheduled.")
    on_state = Hook[StateHook]("Called with each State entered.")

    def __init__(self, config: Options) -> None:
        self._config = config
        self._machine = core.Machine(config.settings(), random.random)
        self._link: Link | None = None
        self._stats = Stats()
        self._calls = Calls("(url callable)" if callable(config.url) else shown_url(config.url))
        self.hooks = self._calls.hooks
        self.pacer: Callable[[Callable[[], None]], bool] | None = None  # a Fleet's
        # Sending
        self._outbox: list[Message] = []
        self._senders: list[Wakeup] = []  # of tasks that wait in send, oldest first
        self._ready = False  # the on_open hook of the current link is done
        self._inbox = Inbox(config.receive_queue, self._calls, self._resume)
        # Everything else that somebody may wait for
        self._change = Wakeup()
        self._attempt_task: asyncio.Task[None] | None = None
        self._open_hook_task: asyncio.Task[None] | None = None
        self._performing = False
        self._alarm: Alarm | None = None  # none before the start
        self._pinged_at = 0.0
        self._latency: float | None = None
        self._close_code = 1000
        self._close_reason = ""
        self._cause: Exception | None = None
        self._loss = ""  # why the link that the core was last told of is gone, in words
        self._evidence = ""
        self._blocked_for = 0.0  # by how much a deadline was missed since the last proof of life
        self._failure: ConnectionFailed | None = None
        self._unsent_bytes = 0

    # Life

    async def __aenter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Start the connection on the running loop and wait for nothing; `async with` does this too.

        Raises:
            RuntimeError: it was started already, or no loop is running.
        """
        loop = asyncio.get_running_loop()
        if self.state is not State.IDLE:
            raise RuntimeError("a connection can be started only once; call connect() again for another one")
        self._loop = self._calls.loop = loop
        # Links and alarms live in the context of the start, not in that of whoever happened to cause them.
        self._context = copy_context()
        self._alarm = Alarm(self._ring, self._config.raster())
        self._machine.started(self._loop.time())
        self._perform()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection for good; return within `close_timeout`, whatever the server does.

        What waits in the send queue is sent first if a link is open; what cannot be is reported to `on_error`
        as Undelivered. What arrives from now on is thrown away. Hooks under way have the rest of the time, at
        least a second, and are then cancelled. A second call waits for the same end; one that is cancelled
        drops the link.

        code: 1000 (default) or 3000 to 4999 (RFC 6455, section 7.4.2). reason: at most 123 bytes of UTF-8.
        """
        if not isinstance(code, int) or not (code == 1000 or 3000 <= code <= 4999):
            raise ValueError(f"code must be 1000 or from 3000 to 4999, not {code!r}")
        if not isinstance(reason, str):
            raise TypeError(f"reason must be a str, not {type(reason).__name__}")
        if len(str(check_message("reason", reason)).encode()) > 123:
            raise ValueError(f"reason must be at most 123 bytes of UTF-8, not {reason!r}")
        loop = asyncio.get_running_loop()
        if self.state is not State.IDLE and not self.closed and loop is not self._loop:
            raise RuntimeError("the connection was started on another event loop, which alone can close it")
        self._loop = self._calls.loop = loop
        now = self._loop.time()  # before the flush, which may copy many megabytes
        deadline = now + self._config.close_timeout
        if self._machine.state in _UP:
            self._close_code = code
            self._close_reason = reason
            self._flush(regardless=True)
        self._machine.stopped(now)
        self._perform()
        closer = asyncio.current_task()
        self._calls.closers += (closer,)
        try:
            while self._machine.state not in _ENDED:
                await self._change.wait()
            await self._calls.finish(deadline)
        except asyncio.CancelledError:
            self._drop()
            raise
        finally:
            self._calls.closers = tuple(other for other in self._calls.closers if other is not closer)

    async def wait_closed(self) -> None:
        """Wait for the end of the connection.

        Raises:
            ConnectionFailed: it has failed for good.
        """
        while self._machine.state not in _ENDED:
            self._check_started()
            await self._change.wait()
        if self._failure is not None:
            raise self._failed()

    async def wait_open(self, timeout: float | None = None) -> None:
        """Wait until a link is open and its on_open hook is done; return at once if so.

        timeout: seconds; None (default) waits for ever.

        Raises:
            TimeoutError: no link opened in time. The connection goes on trying.
            ConnectionClosed, ConnectionFailed: there will be none.
        """
        if timeout is not None:
            check_seconds("timeout", timeout, zero=True)
        async with asyncio.timeout(timeout):
            while not ((self._ready or self._in_open_hook()) and self._machine.state in _UP):
                self._check_alive()
                self._check_started()
                await self._change.wait()

    def reconnect_now(self) -> None:
        """Skip the wait before the next attempt, or replace the open link by a new one at once."""
        if self._machine.state != core.IDLE:
            self._machine.reconnect_now(self._loop.time())
            self._perform()

    # Facts

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return State(self._machine.state)

    @property
    def closed(self) -> bool:
        """Whether the connection has ended for good."""
        return self._machine.state in _ENDED

    @property
    def latency(self) -> float | None:
        """Seconds from the last answered heartbeat to its answer; None before the first."""
        return self._latency

    @property
    def native(self) -> Any:
        """The engine's own object of the current link, or None. What you register on it is lost with it."""
        return self._link.native if self._link is not None else None

    @property
    def stats(self) -> Stats:
        """What the connection has done so far: a snapshot."""
        link = self._link  # asked for by other threads too, for whom it may go at any moment
        info = tcp_info(link.socket) if link is not None else None
        return replace(
            self._stats,
            queued=len(self._outbox),
            reasons=list(self._stats.reasons),
            bytes_received=self._stats.bytes_received + (info.bytes_received if info else 0),
            bytes_sent=self._stats.bytes_sent + (info.bytes_acked if info else 0),
        )

    def __repr__(self) -> str:
        return f"<Connection {self._calls.label} {self._machine.state} link={self._machine.link}>"

    # Receiving

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        inbox = self._inbox
        if inbox.batch and "on_message" not in self.hooks:
            return inbox.batch.pop()  # as take() does, without the call: the way of most messages
        while inbox.hook is not None or not inbox:
            if self._machine.state == core.CLOSING or self._machine.state in _ENDED:
                if self._failure is not None:
                    raise self._failed()
                raise StopAsyncIteration
            self._check_started()
            await inbox.arrival.wait()
        return inbox.take()

    async def recv(self) -> Message:
        """Return the next message, waiting for it across reconnects.

        Raises:
            ConnectionClosed: our own side closed the connection.
            ConnectionFailed: it has failed for good.
        """
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            raise ConnectionClosed("the connection is closed") from None

    async def recv_waiting(self) -> list[Message]:
        """Return every message that waits, in order, and at least one; otherwise as `recv`."""
        messages = [await self.recv()]
        while self._inbox.hook is None and self._inbox:
            messages.append(self._inbox.take())
        return messages

    # Sending

    async def send(self, message: Message | bytearray | memoryview) -> None:
        """Hand a message to the open link, or let it wait in the send queue for the next one.

        A str is sent as text, everything else as binary. Waits only while the queue is full. A message that
        was handed to a link which then dies may or may not have arrived: only the server's answer can tell.

        Raises:
            TypeError, ValueError: not a message, or above `max_size`.
            NotConnected: no link is open and `send_queue` is 0.
            ConnectionClosed, ConnectionFailed: there will be no further link.
        """
        checked = check_message("message", message, self._config.max_size)
        if (not self._senders or self._in_open_hook()) and self._take(checked):
            return
        place = Wakeup()
        if self._in_open_hook():
            self._senders.insert(0, place)
        else:
            self._senders.append(place)
        try:
            while True:
                self._check_alive()
                if self._senders[0] is place and self._take(checked):
                    return
                if self._config.send_queue == 0 and self._machine.state not in _UP:
                    raise NotConnected("no link is open and send_queue is 0")
                self._check_started()
                await place.wait()
        finally:
            self._senders.remove(place)
            self._admit()

    def send_nowait(self, message: Message | bytearray | memoryview) -> None:
        """Do as `send`, but never wait.

        Raises:
            SendQueueFull: the message would have had to wait; it was not taken.
            and as `send`.
        """
        checked = check_message("message", message, self._config.max_size)
        in_turn = not self._senders or self._in_open_hook()
        if not (in_turn and self._take(checked)):
            self._check_alive()
            if self._config.send_queue == 0:
                raise NotConnected("no link takes the message and send_queue is 0")
            raise SendQueueFull(f"send_queue={self._config.send_queue} messages wait already")

    async def drain(self) -> None:
        """Wait until every queued message was handed to a link whose write buffer is not full.

        Raises:
            ConnectionClosed, ConnectionFailed: that will not happen.
        """
        # Within on_open the queue is not waited for: it is sent after the hook.
        while (self._outbox and not self._in_open_hook()) or (self._link is not None and self._link.full):
            self._check_alive()
            self._check_started()
            await self._change.wait()

    def _check_started(self) -> None:
        """Raise where waiting would be waiting for ever; a fleet's connections wait for their turn."""
        if self._machine.state == core.IDLE and self.pacer is None:
            raise RuntimeError(
                "the connection is not started: use it within `async with connect(...) as ...:`"
            )

    def _check_alive(self) -> None:
        if self._failure is not None:
            raise self._failed()
        if self._machine.state in (core.CLOSING, core.CLOSED):
            raise ConnectionClosed("the connection is closed")

    def _take(self, message: Message) -> bool:
        """Hand the message over or queue it; tell whether either was possible."""
        link = self._link
        if self._ready and not self._outbox and link is not None and not link.full:
            if self._machine.state not in _UP:
                self._check_alive()
            link.send(message)  # the way of nearly all
            return True
        self._check_alive()
        if link is not None and not link.full and self._in_open_hook():
            link.send(message)
            return True
        if len(self._outbox) < self._config.send_queue and not self._in_open_hook():
            self._outbox.append(message)
            return True
        return False

    def _in_open_hook(self) -> bool:
        # Tasks that the hook started inherit the variable, and keep it when the link is long gone.
        is_opening = self._link is not None and not self._ready
        return is_opening and _opening_link.get() == (self, self._machine.link)

    def _flush(self, *, regardless: bool = False) -> None:
        """Send what waits; `regardless` of the link's write limit where there will be no other chance."""
        link = self._link
        if link is not None and (self._ready or regardless):
            sent = 0
            for message in self._outbox:
                if link.full and not regardless:
                    break
                link.send(message)
                sent += 1
            del self._outbox[:sent]
        self._change.notify()
        self._admit()

    def _admit(self) -> None:
        """Let the task that waits longest in `send` try again."""
        if self._senders:
            self._senders[0].notify()

    # What the core decided

    def _perform(self) -> None:
        """Carry out all actions of the core, including those that come up on the way, then set the alarm."""
        if self._performing:
            return
        self._performing = True
        actions = self._machine.actions  # where those that come up on the way arrive as well
        try:
            while actions:
                action = actions.pop(0)
                self._actions[action.kind](self, action)
        finally:
            # Also when a hook raised what ends the program: the rest is done by the next call.
            self._performing = False
            self._set_alarm()

    def _open_link(self, action: core.Action) -> None:
        self._stats.attempts += 1
        self._attempt_task = self._calls.spawn(self._attempt(action.link), context=self._context.copy())

    def _ping_link(self, action: core.Action) -> None:
        message = self._heartbeat_message()
        if self._link is None:
            return
        self._stats.pings += 1
        self._pinged_at = self._loop.time()
        if message is None:
            self._link.ping()
        else:
            self._link.send(message)
        if TELLS and self._link is not None and self._link.socket is not None:
            self._machine.unacknowledged(self._pinged_at, action.link, 0, _FIRST_LOOK)

    def _heartbeat_message(self) -> Message | None:
        """Return what to send as a heartbeat; None for a ping, also where the user's function fails."""
        message = self._config.heartbeat.message
        if message is None:
            return None
        try:
            value = message() if callable(message) else message
            return check_message("Heartbeat.message", value, self._config.max_size)
        except (Exception, asyncio.CancelledError) as error:
            self._calls.report(HookFailed("Heartbeat.message", error))
            return None

    def _close_link(self, action: core.Action) -> None:
        if self._link is not None:
            self._link.close(self._close_code, self._close_reason)

    def _abandon_link(self, action: core.Action) -> None:
        if self._link is not None:
            self._unsent_bytes = self._link.buffered
            now = self._loop.time()
            self._evidence = of_silence(
                now - self._machine.liveness.heard_at,
                now - self._pinged_at,
                tcp_info(self._link.socket),
                self._blocked_for,
            )
            self._forget_link().abort()
        elif self._attempt_task is not None:
            self._attempt_task.cancel()
            self._attempt_task = None

    def _opened(self, action: core.Action) -> None:
        link = self._link
        if link is None:
            return
        self._stats.links += 1
        logger.info("%s: link %d is open", self._calls.label, action.link)
        event = OpenEvent(action.link, link.subprotocol, link.response_headers)
        token = _opening_link.set((self, action.link))
        try:
            pending = self._calls.call("on_open", event)
        finally:
            _opening_link.reset(token)
        if pending is None:
            self._become_ready(action.link)
        else:
            pending.add_done_callback(lambda _: self._become_ready(action.link))
            self._open_hook_task = pending

    def _become_ready(self, link: int) -> None:
        if link == self._machine.link and self._link is not None:
            self._ready = True
            self._flush()

    def _closed(self, action: core.Action) -> None:
        reason = self._in_words(action.cause)
        event = CloseEvent(action.link, reason, action.code, self._unsent_bytes)
        self._unsent_bytes = 0
        self._keep_reason(reason)
        logger.info("%s: link %d is gone: %s", self._calls.label, action.link, reason)
        self._calls.call("on_close", event)

    def _retry(self, action: core.Action) -> None:
        self._note_timeout(action.cause)
        reason = self._in_words(action.cause)
        logger.info("%s: retry %d in %.1f s: %s", self._calls.label, action.attempt, action.delay, reason)
        event = ReconnectEvent(action.attempt, action.delay, reason)
        self._calls.call("on_reconnect", event)

    def _in_words(self, cause: str) -> str:
        """Say why a link is gone, with the evidence for what the core concluded from it."""
        if cause == core.LOST:
            return self._loss
        return f"{cause}: {self._evidence}" if cause in (core.HEARTBEAT_TIMEOUT, core.PATH_DEAD) else cause

    def _note_timeout(self, cause: str) -> None:
        """Give a link that the core abandoned the error that no engine raised."""
        if cause in (core.HEARTBEAT_TIMEOUT, core.PATH_DEAD):
            self._cause = TimeoutError(self._in_words(cause))
        elif cause == core.OPEN_TIMEOUT:
            self._cause = TimeoutError(f"no link opened within open_timeout={self._config.open_timeout:g} s")
            self._keep_reason(cause)
            self._calls.report(self._cause)

    def _failed_for_good(self, action: core.Action) -> None:
        self._note_timeout(action.cause)
        reason = self._in_words(action.cause)
        if action.out_of_retries:
            reason = f"gave up after {self._config.max_attempts} retries: {reason}"
        logger.warning("%s: failed for good: %s", self._calls.label, reason)
        self._failure = ConnectionFailed(reason, action.code)
        self._failure.__cause__ = self._cause

    def _entered(self, action: core.Action) -> None:
        self._route()
        if self._inbox.paused and action.state == core.CLOSING:
            self._resume()  # behind what nobody reads, the server's close frame would never be seen
        if "on_state" in self.hooks:
            self._calls.call("on_state", State(action.state))
        if action.state in _UP:
            return  # what somebody may wait for comes once the on_open hook is done
        if action.state in _ENDED and self._outbox:
            self._calls.report(Undelivered(self._outbox))
        self._change.notify()
        for place in self._senders:
            place.notify()
        self._inbox.arrival.notify()

    _actions: dict[str, Callable[["Connection", core.Action], None]] = {  # noqa: RUF012  # a constant
        core.OPEN_LINK: _open_link,
        core.PING_LINK: _ping_link,
        core.CLOSE_LINK: _close_link,
        core.ABANDON_LINK: _abandon_link,
        core.NOTIFY_OPENED: _opened,
        core.NOTIFY_CLOSED: _closed,
        core.NOTIFY_RETRY: _retry,
        core.NOTIFY_FAILED: _failed_for_good,
        core.NOTIFY_STATE: _entered,
    }

    # What happened on a link

    async def _attempt(self, number: int) -> None:
        try:
            await self._open(_Receiver(self, number))
        except Exception as error:
            # Without its traceback, whose frames and the error keep each other: the cycles of a herd would
            # wait for the collector, which stops everybody for as long as it takes.
            self._attempt_failed(number, error.with_traceback(None))

    async def _open(self, receiver: "_Receiver") -> None:
        """Open one link, following redirects; a 401 gets one more try with a fresh URL and headers."""
        config = self._config
        request = await self._prepare()
        may_refresh = callable(config.url) or callable(config.additional_headers)
        redirects = 0
        while redirects <= MAX_REDIRECTS:
            try:
                return await config.engine.open(request, receiver)
            except HandshakeRejected as rejected:
                if rejected.status == 401 and may_refresh:
                    may_refresh = False
                    request = await self._prepare()
                elif is_redirect(rejected):
                    request = redirected(config, request, rejected)
                    redirects += 1
                else:
                    raise
        raise RedirectRefused(f"more than {MAX_REDIRECTS} redirects")

    async def _prepare(self) -> OpenRequest:
        request = await prepare(self._config)
        self._calls.label = shown_url(request.url)
        return request

    def _attempt_failed(self, number: int, error: Exception) -> None:
        if number != self._machine.link or self._machine.state != core.CONNECTING:
            return
        self._keep_reason(str(error))
        self._calls.report(error)
        self._lost(number, error, None)

    def _link_opened(self, number: int, link: Link) -> None:
        if number != self._machine.link or self._machine.state != core.CONNECTING:
            link.abort()
            return
        self._link = link
        self._attempt_task = None
        self._blocked_for = 0.0
        self._ready = False
        self._inbox.paused = False
        link.deliver = self._inbox.deliver
        self._machine.opened(self._loop.time(), number)
        self._perform()
        self._batch_delivered()  # what the link before has left may be too much already

    def _link_closed(self, number: int, closure: Closure) -> None:
        if number != self._machine.link or self._link is None:
            return
        self._unsent_bytes = closure.unsent_bytes
        self._forget_link()
        error: Exception
        if self._machine.state == core.CLOSING:
            error = ConnectionClosed("we closed the connection")
        elif closure.error is not None:
            error = closure.error
        elif closure.framed:
            error = ServerClosed(closure.code, closure.reason)
        else:
            error = ConnectionResetError("the server closed the connection without a close frame")
        self._lost(number, error, closure.code)

    def _lost(self, number: int, error: Exception, code: int | None) -> None:
        self._cause = error
        try:
            verdict = judge(error, self._config)
        except (Exception, asyncio.CancelledError) as raised:
            self._calls.report(HookFailed("retry_if", raised))
            verdict = judge(error, replace(self._config, retry_if=None))
        self._loss = _in_words(error)
        self._machine.lost(self._loop.time(), number, code, hint=verdict.hint, is_final=verdict.final)
        self._perform()

    def _heard(self) -> None:
        """Proof of life has come on the current link, after a ping."""
        now = self._loop.time()
        if self._machine.state == core.PROBING:
            latency = now - self._pinged_at
            self._latency = latency if latency < _SLOW_ANSWER else self._answered_at(now) - self._pinged_at
            self._blocked_for = 0.0
            self._machine.heard(now, self._machine.link)
            if self._alarm is not None:
                self._alarm.cancel()  # set for much earlier, to look for the answer
            self._perform()

    def _answered_at(self, now: float) -> float:
        """When the answer came: where we were slow to read it, the kernel knows, if only by milliseconds."""
        if self._link is None:
            return now
        return max(self._pinged_at, min(now, self._link.heard_at))

    def _forget_link(self) -> Link:
        link = self._link
        assert link is not None
        self._link = None
        self._ready = False
        info = tcp_info(link.socket)
        if info is not None:
            self._stats.bytes_received += info.bytes_received
            self._stats.bytes_sent += info.bytes_acked
        if self._open_hook_task is not None:
            if self._open_hook_task not in self._calls.closers:
                self._open_hook_task.cancel()
            self._open_hook_task = None
        return link

    # Messages from a link to the user

    def hook_changed(self, name: str) -> None:
        """Called by a Hook of this connection when it was set or removed."""
        if name == "on_message":
            self._inbox.hook_changed()
            self._route()

    def _route(self) -> None:
        """Let the link deliver to where messages go now; while a ping is unanswered, by way of the core."""
        link = self._link
        if link is None:
            return
        state = self._machine.state
        if state == core.CLOSING:
            link.deliver = _throw_away
        elif state == core.PROBING:
            link.deliver = self._deliver_proof
        else:
            link.deliver = self._inbox.deliver

    def _deliver_proof(self, message: Message) -> Any:
        self._heard()
        return self._inbox.deliver(message)

    def _deliver_returned(self, result: object) -> None:
        self._inbox.returned(result)
        self._route()

    def _batch_delivered(self) -> None:
        if self._machine.state != core.CLOSING and self._inbox.batch_delivered() and self._link is not None:
            self._link.pause_reading()
            self._machine.reading_paused(self._loop.time(), self._machine.link)

    def _resume(self) -> None:
        self._inbox.paused = False
        if self._link is not None:
            self._link.resume_reading()
            self._machine.reading_resumed(self._loop.time(), self._machine.link)
            self._set_alarm()

    # Time

    def _set_alarm(self) -> None:
        """Ring at the core's deadline or before it: traffic moves the deadline and leaves the alarm."""
        alarm = self._alarm
        if alarm is None:
            return
        deadline = self._machine.deadline
        if deadline is not None:
            # The core has spread the retries of a herd: rounded, they would come in bunches again.
            alarm.ring_by(deadline, exact=self._machine.state == core.WAITING)
        else:
            alarm.cancel()

    def _ring(self, has_slept: bool) -> None:
        self._context.run(self._wake, has_slept)

    def _wake(self, has_slept: bool) -> None:
        # To be late with a retry is allowed: a pacer calls back when it is this connection's turn.
        pacer = self.pacer
        if pacer is None or self._machine.state != core.WAITING or pacer(partial(self._go_on, has_slept)):
            self._go_on(has_slept)

    def _go_on(self, has_slept: bool) -> None:
        now = self._loop.time()
        machine = self._machine
        if has_slept:
            # What was heard before lies before the sleep: all that has come since has come just now.
            machine.shown(now)
        deadline = machine.deadline
        if deadline is not None and now >= deadline:
            self._bring_evidence(now)
            late = now - deadline
            if late > self._blocked_for:
                self._blocked_for = late
            # Rounding to the raster is not lateness: the core would let the peer have it as grace.
            assert self._alarm is not None
            machine.woke(now if late > self._alarm.raster else deadline)
        self._perform()

    def _bring_evidence(self, now: float) -> None:
        """Tell the core what it cannot see: bytes not read yet, and pings not acknowledged."""
        link = self._link
        machine = self._machine
        if link is None:
            return
        machine.heard(link.heard_at, machine.link)
        if machine.state == core.PROBING:
            info = tcp_info(link.socket)
            if info is not None and info.unacked:
                machine.unacknowledged(now, machine.link, info.retransmits, info.rto)

    def _drop(self) -> None:
        """End at once, because the task that closes the connection was cancelled."""
        self._calls.cancel()
        if self._link is not None:
            self._forget_link().abort()
        self._loss = "close was cancelled"
        self._machine.lost(self._loop.time(), self._machine.link)
        self._perform()

    def _keep_reason(self, reason: str) -> None:
        self._stats.reasons.append(reason)
        del self._stats.reasons[:-_KEPT_REASONS]

    def _failed(self) -> ConnectionFailed:
        """Return a fresh copy: an exception raised twice gathers tracebacks."""
        assert self._failure is not None
        failure = ConnectionFailed(self._failure.reason, self._failure.code)
        failure.__cause__ = self._failure.__cause__
        return failure


class _Receiver(LinkEvents):
    """What the engine calls about one link, with its number: a late call about an old link is known by it."""

    __slots__ = ("_connection", "_number")

    def __init__(self, connection: Connection, number: int) -> None:
        self._connection = connection
        self._number = number

    def opened(self, link: Link) -> None:
        self._connection._link_opened(self._number, link)

    def batch_delivered(self) -> None:
        if self._connection._inbox.waiting:  # else a hook has taken them all
            self._connection._batch_delivered()

    def deliver_returned(self, result: object) -> None:
        self._connection._deliver_returned(result)

    def deliver_failed(self, error: BaseException) -> None:
        self._connection._calls.report(HookFailed("on_message", error))

    def ponged(self) -> None:
        if self._number == self._connection._machine.link:
            self._connection._heard()

    def writable(self) -> None:
        if self._number == self._connection._machine.link:
            self._connection._flush()

    def closed(self, closure: Closure) -> None:
        self._connection._link_closed(self._number, closure)


def _throw_away(message: Message) -> None:
    """Takes what arrives while we close."""


def _in_words(error: Exception) -> str:
    """Say why a link ended: of an OSError what the system says, without numbers and addresses."""
    if isinstance(error, socket.gaierror):
        return f"the name does not resolve: {error.strerror}"
    if isinstance(error, OSError) and not isinstance(error, ssl_module.SSLError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
