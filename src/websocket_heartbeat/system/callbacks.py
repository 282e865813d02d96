"""Calls the users' functions, hooks and others; what they raise becomes HookFailed.

The caller decides what follows. Two things are not failures of a hook and pass through: SystemExit and
KeyboardInterrupt, and the cancellation of the task that waits for the hook. Any other CancelledError is a
failure of the hook: a plain function raises one when it asks a cancelled future for its result, a coroutine
function when something it awaits was cancelled.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from websocket_heartbeat.errors import HookFailed
from websocket_heartbeat.redaction import HIDDEN, printable

T = TypeVar("T")

_CALLERS = str(Path(__file__).parents[1]), str(Path(asyncio.__file__).parent)

_tracebacks = logging.getLogger("websocket_heartbeat.tracebacks")
# Its own, so that no DEBUG of the loggers above turns it on: that is for the user to choose, who may have
# done so before the import.
if _tracebacks.level == logging.NOTSET:
    _tracebacks.setLevel(logging.INFO)


def call(name: str, callback: Callable[..., T], *args: Any) -> T:
    """Call a function of the user's; return its result, which `settle` must await if it is awaitable.

    name: the user's name for the function, such as "on_message".

    Raises:
        HookFailed: it raised.
    """
    try:
        return callback(*args)
    except (Exception, asyncio.CancelledError) as error:
        raise HookFailed(name, error) from error


def check_returned(name: str, check: Callable[[Any], T], value: object) -> T:
    """Check what a function of the user's has returned; return what the check returns.

    Raises:
        HookFailed: it cannot be used, and the text says why.
    """
    try:
        return check(value)
    except (TypeError, ValueError) as error:
        raise HookFailed(name, error, has_returned=True) from error


async def settle(name: str, awaitable: Awaitable[T]) -> T:
    """Await what a function of the user's has returned; return its result.

    Raises:
        HookFailed: it raised.
        CancelledError: the current task was cancelled.
    """
    try:
        return await awaitable
    except (SystemExit, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # of any kind: in a task nothing else ends the program, but it is lost
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        raise HookFailed(name, error) from error


def close_unawaited(task: asyncio.Task[Any], awaitable: Awaitable[Any] | None) -> None:
    """Close a coroutine when the task that was to await it is done.

    A task that is cancelled before its first step never awaits it, of which Python would warn.
    """
    if isinstance(awaitable, Coroutine):
        task.add_done_callback(lambda _: awaitable.close())


Log = Callable[..., object]
"""Writes a line to a log at some level, as Logger.error does, with fields by `extra=`."""

_NOTHING: Mapping[str, object] = {}


def log_raised(
    log: Log, what: str, error: BaseException | None, fields: Mapping[str, object] = _NOTHING
) -> None:
    """Log what has raised, and where, without the text. fields: of the line, besides the error and its place.

    For those who have set the level of `websocket_heartbeat.tracebacks` to DEBUG, text and traceback follow.
    """
    place = place_of(error)
    extra = {"error": type(error).__name__, "place": place, **fields}
    log("%s raised %s at %s", what, type(error).__name__, place, extra=extra)
    if error is not None and _tracebacks.isEnabledFor(logging.DEBUG):
        stack = "".join(traceback.format_tb(error.__traceback__)).rstrip()
        text = printable(str(error))
        _tracebacks.debug("%s raised %s: %s\n%s", what, type(error).__name__, text, stack, extra=extra)


def path_to_show(log: Log, shown_path: Callable[[str], object], path: str) -> str:
    """Ask the user's function what may be shown of a path; where that is not known, nothing of it."""
    try:
        shown = call("shown_path", shown_path, path)
    except HookFailed as failure:
        log_raised(log, failure.name, failure.__cause__, {"hook": failure.name})
        return HIDDEN
    if not isinstance(shown, str):
        log("shown_path must return a str, not %s", type(shown).__name__)
        return HIDDEN
    return shown


def place_of(error: BaseException | None) -> str:
    """Return the file and line that raised an error, for logs; and where the hook's own file led there.

    The text of the error must not be logged: it may quote a message or a token.
    """
    places = []
    place = error.__traceback__ if error is not None else None
    while place is not None:
        places.append((place.tb_frame.f_code.co_filename, place.tb_lineno))
        place = place.tb_next
    if not places:
        return "?"
    raised_in, line = places[-1]
    # What calls hooks comes first, and then the hook.
    hook_in = next((file for file, _ in places if not file.startswith(_CALLERS)), raised_in)
    if hook_in == raised_in:
        return f"{raised_in}:{line}"
    called_at = [at for file, at in places if file == hook_in][-1]
    return f"{raised_in}:{line}, called at {hook_in}:{called_at}"
