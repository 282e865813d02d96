"""Calls the hooks of a connection, runs its tasks, and sees to it that a hook that fails harms nothing."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any

from websocket_heartbeat.errors import HookFailed

logger = logging.getLogger("websocket_heartbeat")
logger.addHandler(logging.NullHandler())  # as the standard library asks of libraries

_LEAST_FOR_HOOKS = 1.0
"""Seconds that hooks have to finish once the connection has ended, and to stop once they are cancelled."""


class Calls:
    """The hooks of one connection and the tasks that run on its behalf.

    hooks: by name. label: the connection's name in the log. closers: tasks that are within its `close()`.
    loop: set before anything else is called.
    """

    __slots__ = ("_tasks", "closers", "hooks", "label", "loop")

    loop: asyncio.AbstractEventLoop

    def __init__(self, label: str) -> None:
        self.label = label
        self.hooks: dict[str, Callable[..., Any]] = {}
        # Tuples, as the empty one takes no memory: an idle connection has no tasks, and there are thousands.
        self.closers: tuple[asyncio.Task[Any] | None, ...] = ()
        self._tasks: tuple[asyncio.Task[Any], ...] = ()

    def call(self, name: str, *args: Any) -> asyncio.Task[None] | None:
        """Call a hook, if it is set; return the task of a coroutine function."""
        hook = self.hooks.get(name)
        if hook is None:
            return None
        try:
            result = hook(*args)
        except (Exception, asyncio.CancelledError) as error:
            # A function that asks a cancelled future raises the latter; it does not mean us.
            self.report(HookFailed(name, error))
            return None
        return self.run(name, result) if inspect.isawaitable(result) else None

    def run(self, name: str, pending: Awaitable[None]) -> asyncio.Task[None]:
        """Run in a task what a hook has returned."""
        return self.spawn(self.wait_for(name, pending), pending)

    async def wait_for(self, name: str, pending: Awaitable[None]) -> None:
        """Wait for what a hook has returned."""
        try:
            await pending
        except Exception as error:
            self.report(HookFailed(name, error))
        except asyncio.CancelledError as error:
            # Raised by what the hook waited for, unless it was this task that was cancelled.
            if _is_cancelled():
                raise
            self.report(HookFailed(name, error))

    def report(self, error: Exception) -> None:
        """Tell the user of an error that has no other way to them."""
        if isinstance(error, HookFailed):
            logger.error("%s: %s", self.label, error, exc_info=error.__cause__)
        else:
            logger.warning("%s: %s", self.label, error)
        if not (isinstance(error, HookFailed) and error.name == "on_error"):
            self.call("on_error", error)

    def spawn(
        self,
        coroutine: Coroutine[Any, Any, None],
        pending: Awaitable[None] | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[None]:
        """Start a task and hold it; `pending` is what it will wait for first, `context` what it runs in."""
        task = self.loop.create_task(coroutine, context=context)
        self._tasks += (task,)
        task.add_done_callback(self._done)
        if isinstance(pending, Coroutine):
            # A task cancelled before its first step never awaits it, of which Python would warn.
            task.add_done_callback(lambda _: pending.close())
        return task

    async def finish(self, deadline: float) -> None:
        """Let what is still under way finish until the deadline of the loop's clock, then cancel it."""
        clock = self.loop.time
        # A server that took all the time must not keep on_close from telling it.
        deadline = max(deadline, clock() + _LEAST_FOR_HOOKS)
        while (tasks := self._others()) and (left := deadline - clock()) > 0:
            await asyncio.wait(tasks, timeout=left)
        if tasks:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_LEAST_FOR_HOOKS)

    def cancel(self) -> None:
        """Cancel every task but the current one."""
        me = asyncio.current_task()
        for task in self._tasks:
            if task is not me:
                task.cancel()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks = tuple(other for other in self._tasks if other is not task)

    def _others(self) -> set[asyncio.Task[Any]]:
        """Return the tasks that this one may wait for: of two hooks that close, neither for the other."""
        me = asyncio.current_task()
        others = set(self._tasks) - {me}
        return others.difference(self.closers) if me in self._tasks else others


def is_coroutine_function(hook: Callable[..., Any]) -> bool:
    """Whether calling it returns a coroutine, as far as can be told beforehand."""
    return inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(type(hook).__call__)


def _is_cancelled() -> bool:
    """Whether somebody has cancelled the current task."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
