"""The same connection for blocking code: calls the asyncio one on the loop of a background thread.

All connections of the process share one background thread. It starts with the first connection and ends with
the last one; what is still open when the interpreter exits is closed then. After a fork the child has no
background thread: connections made before the fork cannot be used there, new ones can.
"""

import asyncio
import atexit
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import update_wrapper
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from websocket_heartbeat import client
from websocket_heartbeat.checks import check_seconds
from websocket_heartbeat.client.hooks import (
    CloseHook,
    ErrorHook,
    Hook,
    MessageHook,
    OpenHook,
    ReconnectHook,
    StateHook,
)
from websocket_heartbeat.errors import ConnectionClosed
from websocket_heartbeat.events import Message, State, Stats

P = ParamSpec("P")
R = TypeVar("R")

_LAST_TASKS = 1.0
"""Seconds that pending calls of other threads have to end once the last connection is closed."""


class _Portal:
    """The background thread and its loop, which exist while any connection is open."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may close what its thread is about to use
        self._users: dict[Connection, Callable[[], Coroutine[Any, Any, None]]] = {}  # and how to close each
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def enter(self, user: "Connection", close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        with self._lock:
            if user in self._users:
                raise RuntimeError(
                    "a connection can be started only once; call connect() again for another one"
                )
            self._users[user] = close
            if self._thread is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run, args=(self._loop,), name="websocket-heartbeat", daemon=True
                )
                self._thread.start()

    def leave(self, user: "Connection") -> None:
        with self._lock:
            self._users.pop(user, None)
            if self._users or self._thread is None or self._loop is None:
                return
            # Behind everything that was submitted: the lock keeps others from submitting more.
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread = self._thread
            self._loop = self._thread = None
        thread.join()

    def submit(
        self,
        user: "Connection",
        function: Callable[P, Coroutine[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Future[R]:
        """Run a coroutine function in the background, for a user that has entered and not left."""
        with self._lock:
            if user not in self._users or self._loop is None:
                if user.state is State.IDLE:
                    raise RuntimeError(
                        "the connection is not started: use it within `with connect(...) as ...:`"
                    )
                raise ConnectionClosed(
                    "the connection is closed" if user.closed else "the connection belongs to another process"
                )
            return asyncio.run_coroutine_threadsafe(function(*args, **kwargs), self._loop)

    def run(
        self,
        user: "Connection",
        function: Callable[P, Coroutine[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run a coroutine function in the background and wait for it; raises as `submit` does."""
        self.refuse_own_thread()
        future = self.submit(user, function, *args, **kwargs)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # after a KeyboardInterrupt nothing waits for it any more
            raise

    def refuse_own_thread(self) -> None:
        """Raise on the background thread, where waiting for it would be a deadlock."""
        if self.is_own_thread:
            raise RuntimeError(
                "a hook runs on the background thread and must not wait there; it may only send"
            )

    @property
    def is_own_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def close_all(self) -> None:
        """Close all connections at the same time: servers that do not answer cost one timeout, not many."""
        ends: list[Future[None]] = []
        for user, close in list(self._users.items()):
            with suppress(ConnectionClosed):  # another thread was faster
                ends.append(self.submit(user, close))
        wait(ends)
        for user in list(self._users):
            self.leave(user)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    # Other threads may still wait for calls that are about to end.
    if tasks := asyncio.all_tasks(loop):
        loop.run_until_complete(asyncio.wait(tasks, timeout=_LAST_TASKS))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


_portal = _Portal()
atexit.register(_portal.close_all)
if hasattr(os, "register_at_fork"):
    # The child has none of the parent's threads, and a lock that one of them held would stay locked.
    os.register_at_fork(after_in_child=_portal.__init__)  # type: ignore[misc]


class Connection:
    """One connection over many links, for blocking code; made by `connect`.

    Safe to use from several threads. Everything means what it means in `websocket_heartbeat.Connection`.
    Hooks are called on the background thread, which all connections share, so they must not block; there
    `send` does not wait and raises SendQueueFull instead.
    """

    on_open = Hook[OpenHook]("Called with an OpenEvent whenever a link has opened; its sends go first.")
    on_message = Hook[MessageHook]("Called with each message, in order; iteration then yields nothing.")
    on_close = Hook[CloseHook]("Called with a CloseEvent whenever an open link is gone.")
    on_error = Hook[ErrorHook]("Called with an exception that has no other way to you.")
    on_reconnect = Hook[ReconnectHook]("Called with a ReconnectEvent when a retry is scheduled.")
    on_state = Hook[StateHook]("Called with each State entered.")

    def __init__(self, connection: client.Connection) -> None:
        self._connection = connection
        self._portal = _portal
        self._received: list[Message] = []  # taken from the connection in one call, the next one last
        self._reading = threading.Lock()

    def __enter__(self) -> Self:
        self._portal.enter(self, self._connection.close)
        try:
            self._portal.run(self, self._start)
        except BaseException:
            self._portal.leave(self)
            raise
        return self

    async def _start(self) -> None:
        self._connection.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection for good; return within `close_timeout`. Does nothing the second time."""
        self._portal.refuse_own_thread()
        if self.state is State.IDLE:
            with suppress(RuntimeError):  # another thread starts it right now
                self._portal.enter(self, self._connection.close)
        try:
            self._portal.run(self, self._connection.close, code, reason)
        except ConnectionClosed:
            return
        self._portal.leave(self)

    def wait_closed(self) -> None:
        """Wait for the end of the connection; raise ConnectionFailed if it has failed for good."""
        try:
            self._portal.run(self, self._connection.wait_closed)
        except ConnectionClosed:
            if self.closed:
                # It has ended, so wait_closed returns without a loop.
                with suppress(StopIteration):
                    self._connection.wait_closed().send(None)

    def wait_open(self, timeout: float | None = None) -> None:
        """Wait until a link is open; raise TimeoutError after `timeout` seconds, None (default) for never."""
        self._portal.run(self, self._connection.wait_open, timeout)

    def reconnect_now(self) -> None:
        """Skip the wait before the next attempt, or replace the open link by a new one at once."""
        with suppress(ConnectionClosed):
            self._portal.run(self, self._reconnect_now)

    async def _reconnect_now(self) -> None:
        self._connection.reconnect_now()

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._connection.state

    @property
    def closed(self) -> bool:
        """Whether the connection has ended for good."""
        return self._connection.closed

    @property
    def latency(self) -> float | None:
        """Seconds from the last answered heartbeat to its answer; None before the first."""
        return self._connection.latency

    @property
    def stats(self) -> Stats:
        """What the connection has done so far: a snapshot."""
        return self._connection.stats

    def __repr__(self) -> str:
        return repr(self._connection)

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        try:
            return self.recv()
        except ConnectionClosed:
            raise StopIteration from None

    def recv(self, timeout: float | None = None) -> Message:
        """Return the next message, waiting for it across reconnects.

        timeout: seconds; None (default) waits for ever.

        Raises:
            TimeoutError: none came in time; none is lost.
            ConnectionClosed: our own side closed the connection.
            ConnectionFailed: it has failed for good.
        """
        self._portal.refuse_own_thread()
        if timeout is not None:
            check_seconds("timeout", timeout, zero=True)
        started = time.monotonic()
        if not self._reading.acquire(timeout=-1 if timeout is None else timeout):
            raise TimeoutError("another thread reads from this connection")
        try:
            if not self._received:
                left = None if timeout is None else timeout - (time.monotonic() - started)
                self._received = self._portal.run(self, self._receive, left)
                self._received.reverse()
            return self._received.pop()
        finally:
            self._reading.release()

    async def _receive(self, timeout: float | None) -> list[Message]:
        async with asyncio.timeout(timeout):
            return await self._connection.recv_waiting()

    def send(self, message: Message | bytearray | memoryview) -> None:
        """Hand a message to the open link, or let it wait in the send queue; block only while that is full.

        Within a hook it does not wait and raises SendQueueFull where it would have to.

        Raises:
            as `websocket_heartbeat.Connection.send`.
        """
        if self._portal.is_own_thread:
            self._connection.send_nowait(message)
        else:
            self._portal.run(self, self._connection.send, message)

    def drain(self) -> None:
        """Wait until every queued message was handed to a link whose write buffer is not full."""
        self._portal.run(self, self._connection.drain)

    def _set_hook(self, name: str, hook: Callable[..., Any] | None) -> None:
        if self._connection.state is State.IDLE or self._portal.is_own_thread:
            setattr(self._connection, name, hook)
        else:
            with suppress(ConnectionClosed):  # no hook is called any more
                self._portal.run(self, self._set_hook_there, name, hook)

    async def _set_hook_there(self, name: str, hook: Callable[..., Any] | None) -> None:
        setattr(self._connection, name, hook)


def _blocking(connect: Callable[P, client.Connection]) -> Callable[P, Connection]:
    """Give a function the signature of `connect`, which is written once."""

    def blocking_connect(*args: P.args, **kwargs: P.kwargs) -> Connection:
        """Return a connection for blocking code that outlives its sockets.

        Use it as `with connect(...) as connection:`; entering starts it and waits for nothing, leaving closes
        it. Arguments, defaults and errors are those of `websocket_heartbeat.connect`. What is callable among
        the arguments is called on the background thread and must not block.
        """
        return Connection(connect(*args, **kwargs))

    return update_wrapper(blocking_connect, connect, assigned=("__name__", "__qualname__", "__annotations__"))


connect = _blocking(client.connect)
