"""Calls what users gave us, hooks and other functions, and says in one way that it failed.

Whatever a hook raises becomes HookFailed; whoever called it decides what follows. Two things are no failure
of a hook and pass through: what ends the program (SystemExit, KeyboardInterrupt), and the cancellation of the
task that waits for the hook. Any other CancelledError is a failure like the rest: a plain function raises one
when it asks a cancelled future for its result, a coroutine function when something it awaits was cancelled.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from websocket_heartbeat.errors import HookFailed

T = TypeVar("T")


def call(name: str, callback: Callable[..., T], *args: Any) -> T:
    """Call a function of the user's and return what it returns, which may have to be awaited by `settle`.

    name: what the user knows the function by, such as "on_message".

    Raises:
        HookFailed: it raised.
    """
    try:
        return callback(*args)
    except (Exception, asyncio.CancelledError) as error:
        raise HookFailed(name, error) from error


async def settle(name: str, awaitable: Awaitable[T]) -> T:
    """Await what a function of the user's has returned; return its result.

    Raises:
        HookFailed: it raised.
        CancelledError: the current task was cancelled.
    """
    try:
        return await awaitable
    except Exception as error:
        raise HookFailed(name, error) from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise HookFailed(name, error) from error


def close_unawaited(task: asyncio.Task[Any], awaitable: Awaitable[Any]) -> None:
    """Close a coroutine when the task that was to settle it is done.

    A task that is cancelled before its first step never awaits it, and Python would warn of that.
    """
    if isinstance(awaitable, Coroutine):
        task.add_done_callback(lambda _: awaitable.close())


def place_of(error: BaseException | None) -> str:
    """Return file and line of the code that raised an error, for logs.

    The text of the error is not for logs: it may quote a message or a token.
    """
    place = error.__traceback__ if error is not None else None
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return "?" if place is None else f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}"
