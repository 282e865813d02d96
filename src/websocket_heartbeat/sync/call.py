"""One call of a coroutine function that a thread makes on the loop of another, and waits for.

The caller waits on a lock of its own, which the loop's thread only ever opens. With a condition or an event
the loop's thread would need what the caller holds for some instructions of Python, and a signal handler that
interrupts just these, on the main thread, would wait for the loop's thread for ever.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any, Generic, TypeVar

R = TypeVar("R")

_SIGNALS_WITHIN = 0.25
"""Seconds in which the main thread takes signals while it waits for a lock. One that the system has given to
another thread does not end the wait, and on Windows no Ctrl-C does."""

_CANCELLED_WITHIN = 0.2
"""Seconds in which a loop that is not blocked ends a call that was begun and is withdrawn."""


class Refused(Exception):
    """The loop's thread ends, or has ended, and has not done what it was asked for."""


class Call(Generic[R]):
    """A call, for both threads.

    function: called without arguments, in `context`.
    """

    __slots__ = ("_beginning", "_context", "_error", "_function", "_result", "_settled", "_task", "_waiting")

    def __init__(self, function: Callable[[], Coroutine[Any, Any, R]], context: Context) -> None:
        self._function = function
        self._context = context
        # Taken by the first: the loop's thread, which begins the call, or the caller, who gives it up.
        self._beginning = threading.Lock()
        self._waiting = threading.Lock()
        self._waiting.acquire()
        self._settled = False
        self._task: asyncio.Task[None] | None = None
        self._result: R
        self._error: BaseException | None = None

    # For the caller

    def wait(self, timeout: float | None) -> bool:
        """Wait for the end, so many seconds or for ever; return whether it has come."""
        deadline = None if timeout is None else time.monotonic() + timeout
        is_main = threading.get_ident() == threading.main_thread().ident
        longest = _SIGNALS_WITHIN if is_main else threading.TIMEOUT_MAX
        while True:
            left = longest if deadline is None else min(longest, deadline - time.monotonic())
            if self._waiting.acquire(timeout=max(0.0, left)):
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False

    def withdraw(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Have the call not done, or cancelled if it was begun; return whether it has ended nevertheless."""
        if self._beginning.acquire(blocking=False):
            return False
        self.cancel(loop)
        return self.wait(_CANCELLED_WITHIN) and not isinstance(self._error, asyncio.CancelledError)

    def cancel(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have it cancelled after its first step."""
        with suppress(RuntimeError):  # the loop is closed: the call has ended, or is being refused
            loop.call_soon_threadsafe(self._cancel)

    def result(self) -> R:
        """Return or raise what came of it, once it has ended.

        Raises:
            Refused: the loop's thread has ended before.
        """
        if self._error is None:
            return self._result
        try:
            if isinstance(self._error, asyncio.CancelledError):
                raise Refused from self._error
            raise self._error
        finally:
            del self._error  # it refers to this frame

    # For the loop's thread

    def begin(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None] | None:
        """Return the task that does it; None if the caller has left."""
        if self._beginning.acquire(blocking=False):
            self._task = loop.create_task(self._run(), context=self._context)
        return self._task

    async def _run(self) -> None:
        try:
            self._result = await self._function()
        except (Exception, asyncio.CancelledError) as error:
            self._error = error
        self._settle()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.get_loop().call_soon(self._task.cancel)  # behind its first step

    def refuse(self) -> None:
        """Let the caller have Refused, unless it has its answer."""
        if not self._settled:
            self._error = Refused()
            self._settle()

    def _settle(self) -> None:
        self._settled = True
        self._waiting.release()
