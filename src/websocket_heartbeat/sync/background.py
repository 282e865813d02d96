"""The background thread on whose loop all blocking connections live, from the first one to the last one.

No thread holds a lock here while it works. A signal handler may interrupt any of this on the main thread and
close a connection, the collector may do so anywhere, and `fork` may leave behind what another thread is at.
What threads share changes in single steps, which Python makes atomic; all else belongs to the loop's thread.
"""

import asyncio
import atexit
import os
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, TypeVar
from weakref import WeakMethod

from websocket_heartbeat import client
from websocket_heartbeat.sync.call import Call, Refused
from websocket_heartbeat.sync.exits import in_words, last_words, tell

R = TypeVar("R")

AFTER_CLOSE_TIMEOUT = 2.5
"""Seconds by which hooks may have `close` take longer than `close_timeout`, and a little more."""

MADE_BEFORE_A_FORK = (
    "the connection was made before a fork, and belongs to the parent process: make another one in the child"
)

BLOCKED = "the background thread, which all connections share, is busy, as when a hook blocks it"

_ENDS_NOTHING = "ends nothing on the background thread, and all connections go on"

_LAST_TASKS = 1.0
"""Seconds that tasks have to end once the last connection is closed, and to stop once they are cancelled."""

_PAUSED_WITHIN = 1.0
"""Seconds in which the loop's thread should pause for a fork; a hook that blocks it takes its chance."""

Owner = WeakMethod[Callable[[str], None]]
"""Told that a hook of its connection has called loop.stop(), and where."""

_owner: ContextVar[Owner | None] = ContextVar("owner", default=None)
"""Set wherever a hook may run: whose it is."""


class Background:
    """One thread and its loop. There is a second one only while the first one ends.

    users: the connections that were started and not closed, with the seconds that closing each may take.
    is_of_parent: this is a forked child, which has no such thread.
    """

    def __init__(self) -> None:
        self.users: dict[client.Connection, float] = {}
        self.is_of_parent = False
        self._calls: deque[Call[Any]] = deque()  # to be begun
        self._under_way: set[Call[Any]] = set()
        self._is_ending = False  # nothing is begun any more
        self._has_ended = False
        self._loop: asyncio.AbstractEventLoop
        self._stop: Callable[[], None]
        self._error: BaseException | None = None  # why there is no loop
        self._thread = threading.Thread(target=self._run, name="websocket-heartbeat", daemon=True)
        self._has_loop = threading.Lock()
        self._has_loop.acquire()
        self._thread.start()
        self._has_loop.acquire()
        if self._error is not None:
            raise self._error

    # For other threads

    @property
    def is_current(self) -> bool:
        """Whether this is the thread that runs."""
        return threading.get_ident() == self._thread.ident

    def submit(self, function: Callable[[], Coroutine[Any, Any, R]], owner: Owner | None = None) -> Call[R]:
        """Have a coroutine function called on the loop; return the call, which may be waited for.

        Raises:
            RuntimeError: this is a forked child.
        """
        if self.is_of_parent:
            raise RuntimeError(MADE_BEFORE_A_FORK)
        context = copy_context()
        context.run(_owner.set, owner)
        call = Call(function, context)
        self._calls.append(call)
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._begin_calls)
        if self._has_ended:
            self._refuse_calls()
        return call

    def run(
        self,
        function: Callable[[], Coroutine[Any, Any, R]],
        owner: Owner | None = None,
        timeout: float | None = None,
    ) -> R:
        """Have a coroutine function called on the loop, and wait for it.

        Raises:
            TimeoutError: it has taken longer, and is cancelled, or was never begun.
            Refused: the thread has ended before.
            RuntimeError: this is a forked child.
        """
        call = self.submit(function, owner)
        try:
            is_done = call.wait(timeout)
        except BaseException:  # a signal handler has raised: nothing waits for it any more
            call.withdraw(self._loop)
            raise
        if not is_done and not call.withdraw(self._loop):
            raise TimeoutError(f"no answer in time: {BLOCKED}")
        return call.result()

    def cancel(self, call: Call[Any]) -> None:
        """Cancel a call, once it has been begun."""
        call.cancel(self._loop)

    def wait_for_end(self) -> None:
        """Wait for the end of the thread, if it is ending."""
        if self._is_ending and not self.is_current:
            # Not for ever: in Python 3.11 a signal handler that does the same may wait for its own thread.
            self._thread.join(_LAST_TASKS)

    def pause(self, go_ons: list[Callable[[], None]]) -> None:
        """Have the thread finish what it is at and wait; append what lets it go on."""
        has_paused, may_go_on = threading.Lock(), threading.Lock()
        has_paused.acquire()
        may_go_on.acquire()
        go_ons.append(may_go_on.release)  # before it waits, as a signal handler may raise at any point

        def wait() -> None:
            has_paused.release()
            may_go_on.acquire()

        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(wait)
            has_paused.acquire(timeout=_PAUSED_WITHIN)

    def discard(self) -> None:
        """End the thread, on which nothing was started."""
        self._loop.call_soon_threadsafe(self._end_if_unused)
        self._thread.join(_LAST_TASKS)

    # For the thread

    async def start(self, connection: client.Connection, close_timeout: float) -> None:
        """Start a connection, which is to be closed here."""
        if self._is_ending:
            raise Refused
        try:
            connection.start()
            self.users[connection] = close_timeout
        finally:
            self._end_if_unused()

    async def close(self, connection: client.Connection, code: int = 1000, reason: str = "") -> None:
        """Close a connection, started or not."""
        try:
            await connection.close(code, reason)
        finally:
            self.users.pop(connection, None)
            self._end_if_unused()

    def _end_if_unused(self) -> None:
        if not self.users and not self._is_ending:
            self._is_ending = True
            if _shared.get(_KEY) is self:
                del _shared[_KEY]
            self._stop()

    def _begin_calls(self) -> None:
        while not self._is_ending and self._calls:
            call = self._calls.popleft()
            task = call.begin(self._loop)
            if task is not None:
                self._under_way.add(call)
                task.add_done_callback(partial(self._call_has_ended, call))

    def _call_has_ended(self, call: Call[Any], task: asyncio.Task[None]) -> None:
        self._under_way.discard(call)
        call.refuse()  # which changes nothing but where it was cancelled before its first step

    def _refuse_calls(self) -> None:
        while True:
            try:
                call = self._calls.popleft()
            except IndexError:
                return
            call.refuse()

    def _stop_was_called(self) -> None:
        """Take the place of `loop.stop`, which a hook has called."""
        frame = sys._getframe(1)
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        owner = _owner.get()
        stopped = None if owner is None else owner()
        if stopped is not None:
            stopped(place)
        else:
            tell(f"loop.stop() was called at {place}: it {_ENDS_NOTHING}")

    def _run(self) -> None:
        try:
            self._make_loop()
        except Exception as error:  # as when there are too many files
            self._error = error
            return
        finally:
            self._has_loop.release()
        try:
            while not self._is_ending:
                self._go_on(self._loop.run_forever)
            del self._loop.stop
            self._end_tasks()
            self._loop.close()
        finally:
            self._has_ended = True
            _running.discard(self)
            self._refuse_calls()
            for call in tuple(self._under_way):
                call.refuse()

    def _make_loop(self) -> None:
        # On this thread, which no signal handler interrupts: asyncio has a lock about its first loop.
        self._loop = asyncio.new_event_loop()
        self._stop = self._loop.stop
        self._loop.stop = self._stop_was_called  # type: ignore[method-assign]
        asyncio.set_event_loop(self._loop)
        _running.add(self)

    def _go_on(self, function: Callable[..., object], *args: Any) -> None:
        """Call what runs the loop; what a task or callback of the user's raises to end it is told."""
        try:
            function(*args)
        except BaseException as error:
            tell(f"{in_words('a task or callback', error)}{last_words(error)}: it {_ENDS_NOTHING}")

    def _end_tasks(self) -> None:
        run = partial(self._go_on, self._loop.run_until_complete)
        # Other threads wait for calls that are about to end; and hooks may have begun tasks of their own.
        for is_last in (False, True):
            if tasks := asyncio.all_tasks(self._loop):
                if is_last:
                    for task in tasks:
                        task.cancel()
                run(asyncio.wait(tasks, timeout=_LAST_TASKS))
        run(self._loop.shutdown_asyncgens())


_KEY = "background"
_shared: dict[str, Background] = {}  # the one that new connections are started on, while there is one
_running: set[Background] = set()
_paused: dict[int, list[Callable[[], None]]] = {}  # by the thread that forks: what lets each go on


def shared() -> Background:
    """Return the background thread that a connection can be started on; it may end before that is done."""
    background = _shared.get(_KEY)
    if background is None:
        made = Background()
        background = _shared.setdefault(_KEY, made)
        if background is not made:  # another thread was faster, or a signal handler
            made.discard()
    return background


def is_background_thread() -> bool:
    """Whether a hook runs, which must not wait for the thread that it runs on."""
    return any(background.is_current for background in tuple(_running))


def _close_all() -> None:
    """Close all connections at the same time: servers that do not answer cost one timeout, not many."""
    unclosed = []
    ends = []
    for background in tuple(_running):
        for connection, close_timeout in list(background.users.items()):
            if not connection.closed:
                unclosed.append(repr(connection))
            call = background.submit(partial(background.close, connection))
            ends.append((call, time.monotonic() + close_timeout + AFTER_CLOSE_TIMEOUT))
    for call, deadline in ends:
        call.wait(max(0.0, deadline - time.monotonic()))
    for background in tuple(_running):
        background.wait_for_end()
    if unclosed:
        warnings.warn(
            f"closed at exit, as nobody had closed them before: {', '.join(unclosed)}",
            ResourceWarning,
            stacklevel=2,
        )


atexit.register(_close_all)


def _before_fork() -> None:
    # What the thread holds at the fork, the child has held for ever: locks of imports, of files, of hooks.
    go_ons = _paused.setdefault(threading.get_ident(), [])
    for background in tuple(_running):
        if not background.is_current:
            background.pause(go_ons)


def _after_fork_in_parent() -> None:
    for go_on in _paused.pop(threading.get_ident(), ()):
        go_on()


def _after_fork_in_child() -> None:
    for background in tuple(_running):
        background.is_of_parent = True
    _running.clear()
    _shared.clear()
    _paused.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
