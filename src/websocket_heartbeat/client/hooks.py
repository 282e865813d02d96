"""Hooks: how users attach them, how those of one connection are called, and the tasks that wait for them."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any, Generic, Protocol, TypeVar, overload

from websocket_heartbeat.checks import check_hook
from websocket_heartbeat.client.log import Log, logger
from websocket_heartbeat.errors import HookFailed
from websocket_heartbeat.events import CloseEvent, Message, OpenEvent, ReconnectEvent, SessionEvent, State
from websocket_heartbeat.redaction import printable
from websocket_heartbeat.system.callbacks import call, close_unawaited, log_raised, settle

OpenHook = Callable[[OpenEvent], Awaitable[None] | None]
MessageHook = Callable[[Message], Awaitable[None] | None]
CloseHook = Callable[[CloseEvent], Awaitable[None] | None]
ErrorHook = Callable[[Exception], Awaitable[None] | None]
ReconnectHook = Callable[[ReconnectEvent], Awaitable[None] | None]
SessionHook = Callable[[SessionEvent], Awaitable[None] | None]
StateHook = Callable[[State], Awaitable[None] | None]

F = TypeVar("F", bound=Callable[..., Any])

_LEAST_FOR_HOOKS = 1.0
"""Seconds that hooks have to finish once the connection has ended, and to stop once they are cancelled."""


class HasHooks(Protocol):
    """An object whose class has `Hook` attributes."""

    def _set_hook(self, name: str, hook: Callable[..., Any] | None) -> None:
        """Set or remove the hook called `name`, which has been checked. For `Hook` and Fleet."""


class Hook(Generic[F]):
    """One hook: `@connection.on_open` or `connection.on_open = function`, with the same meaning.

    A later function takes the place of an earlier one, None removes it. Read from an object it is a decorator
    that sets the hook and returns the function unchanged.

    arguments: with how many it is called.
    """

    def __init__(self, arguments: int = 1) -> None:
        self._arguments = arguments
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "Hook[F]": ...

    @overload
    def __get__(self, instance: HasHooks, owner: type) -> Callable[[F], F]: ...

    def __get__(self, instance: HasHooks | None, owner: type) -> "Hook[F] | Callable[[F], F]":
        if instance is None:
            return self

        def decorator(function: F) -> F:
            self.__set__(instance, function)
            return function

        return decorator

    def __set__(self, instance: HasHooks, function: F | None) -> None:
        if function is not None:
            check_hook(self._name, function, self._arguments)
        instance._set_hook(self._name, function)


class Hooks:
    """The hooks of one connection but on_message, which the inbox has, and the tasks that run on its behalf.

    log: of the connection. loop: set before anything else is called.
    """

    __slots__ = ("_closers", "_hooks", "_tasks", "log", "loop")

    loop: asyncio.AbstractEventLoop

    def __init__(self, log: Log) -> None:
        self.log: Log = log
        self._hooks: dict[str, Callable[..., Any]] = {}
        # Tuples, as the empty one takes no memory: an idle connection has no tasks, and there are thousands.
        self._closers: tuple[asyncio.Task[Any] | None, ...] = ()
        self._tasks: tuple[asyncio.Task[Any], ...] = ()

    def __contains__(self, name: str) -> bool:
        return name in self._hooks

    def get(self, name: str) -> Callable[..., Any] | None:
        """Return a hook, or None."""
        return self._hooks.get(name)

    def attach(self, name: str, hook: Callable[..., Any] | None) -> None:
        """Set a hook, or remove it with None."""
        if hook is None:
            self._hooks.pop(name, None)
        else:
            self._hooks[name] = hook

    # Calling

    def call_hook(self, name: str, *args: Any) -> asyncio.Task[None] | None:
        """Call a hook, if it is set; return the task of a coroutine function."""
        hook = self._hooks.get(name)
        if hook is None:
            return None
        result = self.call_function(name, hook, *args)
        return self.settle_in_task(name, result) if inspect.isawaitable(result) else None

    def call_function(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        """Call any function of the user's and return what it returns; None, and a report, if it raises."""
        try:
            return call(name, function, *args)
        except HookFailed as failure:
            self.report(failure)
            return None

    async def wait_for(self, name: str, awaitable: Awaitable[None]) -> None:
        """Wait for what a hook has returned, and report if it raises."""
        try:
            await settle(name, awaitable)
        except HookFailed as failure:
            self.report(failure)

    def report(self, error: Exception) -> None:
        """Tell the user of an error that has no other way to them."""
        if isinstance(error, HookFailed):
            self._log_failed(error)
        else:
            reason = printable(str(error))
            self.log.warning("%s", reason, extra={"reason": reason})
        if not (isinstance(error, HookFailed) and error.name == "on_error"):
            self.call_hook("on_error", error)

    def _log_failed(self, failed: HookFailed) -> None:
        fields = {**self.log.fields, "hook": failed.name}
        if failed.has_returned:  # there is no place of the user's that raised anything
            error = type(failed.__cause__).__name__
            logger.error("%s: %s", self.log.name, failed, extra={"error": error, **fields})
        else:
            log_raised(logger.error, f"{self.log.name}: {failed.name}", failed.__cause__, fields)

    # Tasks

    def settle_in_task(self, name: str, awaitable: Awaitable[None]) -> asyncio.Task[None]:
        """Wait in a task for what a hook has returned."""
        task = self.spawn(self.wait_for(name, awaitable))
        close_unawaited(task, awaitable)
        return task

    def spawn(
        self, coroutine: Coroutine[Any, Any, None], context: Context | None = None
    ) -> asyncio.Task[None]:
        """Start a task and hold it; `context` is what it runs in."""
        task = self.loop.create_task(coroutine, context=context)
        self._tasks += (task,)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks = tuple(other for other in self._tasks if other is not task)

    def cancel(self, task: asyncio.Task[Any]) -> None:
        """Cancel a hook's task, unless it closes the connection."""
        if task not in self._closers:
            task.cancel()

    def cancel_all(self) -> None:
        """Cancel every task but the current one."""
        me = asyncio.current_task()
        for task in self._tasks:
            if task is not me:
                task.cancel()

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Mark the current task as one that closes the connection."""
        closer = asyncio.current_task()
        self._closers += (closer,)
        try:
            yield
        finally:
            self._closers = tuple(other for other in self._closers if other is not closer)

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

    def _others(self) -> set[asyncio.Task[Any]]:
        """Return the tasks that this one may wait for: of two hooks that close, neither for the other."""
        me = asyncio.current_task()
        others = set(self._tasks) - {me}
        return others.difference(self._closers) if me in self._tasks else others
