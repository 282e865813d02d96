"""What a hook raises to end the program, as sys.exit() does, ends the one connection that the hook is of.

In a background thread it ends no program: it would stop the loop that all connections share, and nobody would
be told. Here the user's functions are wrapped, so that it gets no further than to them.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import update_wrapper
from inspect import isawaitable
from typing import Any

from websocket_heartbeat.checks import check_hook, is_coroutine_function
from websocket_heartbeat.config import Dialect, Heartbeat
from websocket_heartbeat.engines.base import Engine
from websocket_heartbeat.redaction import printable
from websocket_heartbeat.system.callbacks import place_of

Exited = Callable[[str, BaseException], Any]
"""Told of the name of a function and what it raised; the function returns or raises what this does."""

_FAILURES = Exception, asyncio.CancelledError, GeneratorExit
"""What may get further: failures of a hook, and the end of a coroutine."""


def guarded(name: str, function: Callable[..., Any], exited: Exited) -> Callable[..., Any]:
    """Return a function of the user's, or a coroutine function, that tells of an exit instead.

    Raises:
        TypeError: it is a generator function; the text has the name.
    """
    check_hook(name, function)
    if is_coroutine_function(function):

        async def coroutine(*args: Any) -> Any:
            return await _settled(name, function(*args), exited)

        return _named_as(function, coroutine)

    def plain(*args: Any) -> Any:
        try:
            result = function(*args)
        except _FAILURES:
            raise
        except BaseException as error:
            return exited(name, error)
        if result is not None and isawaitable(result):
            return _settled(name, result, exited)
        return result

    return _named_as(function, plain)


def _named_as(function: Callable[..., Any], wrapper: Callable[..., Any]) -> Callable[..., Any]:
    """Give the wrapper the names that errors show."""
    return update_wrapper(wrapper, function, assigned=("__module__", "__name__", "__qualname__"), updated=())


def guarded_options(options: Mapping[str, Any], exited: Exited) -> dict[str, Any]:
    """Return the options of `connect` with every function among them guarded."""
    return {name: _guarded_option(name, value, exited) for name, value in options.items()}


def _guarded_option(name: str, value: Any, exited: Exited) -> Any:
    if isinstance(value, Heartbeat):
        return _guarded_heartbeat(value, exited)
    return guarded(name, value, exited) if callable(value) and not isinstance(value, type | Engine) else value


def _guarded_heartbeat(heartbeat: Heartbeat, exited: Exited) -> Heartbeat:
    message = heartbeat.message
    if isinstance(message, Dialect):
        parts = {name: getattr(message, name) for name in ("ping", "pong", "reply")}
        made = {
            name: guarded(f"Dialect.{name}", part, exited) for name, part in parts.items() if callable(part)
        }
        return replace(heartbeat, message=replace(message, **made))
    if callable(message):
        return replace(heartbeat, message=guarded("Heartbeat.message", message, exited))
    return heartbeat


async def _settled(name: str, awaitable: Awaitable[Any], exited: Exited) -> Any:
    try:
        return await awaitable
    except _FAILURES:
        raise
    except BaseException as error:
        return exited(name, error)


def in_words(name: str, error: BaseException) -> str:
    """Say what raised what, and where, but not what is in it."""
    return f"{name} raised {type(error).__name__} at {place_of(error)}"


def last_words(error: BaseException) -> str:
    """Return what a program that ends so has to say: the text that was given to sys.exit."""
    code = error.code if isinstance(error, SystemExit) else None
    return f" ({printable(str(code))})" if code is not None else ""


def tell(text: str) -> None:
    """Print a line on standard error, if there is one."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):  # closed, or nobody reads it
            print(f"websocket-heartbeat: {text}", file=sys.stderr, flush=True)
