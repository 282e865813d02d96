"""Access to objects of the host and the user, which differs between the languages: here for CPython.

Portable code calls these functions; handwritten/ has them in JavaScript. A *record* is a plain object there
and a Record here: an entry that is missing reads as undefined there and as None here.
"""

import asyncio
import base64
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

from websocket_heartbeat.system.callbacks import log_raised

_logger = logging.getLogger("websocket_heartbeat.miniprogram")
_futures: set[asyncio.Future[Any]] = set()


class Record(dict[str, Any]):
    """A plain object of JavaScript: `event.data` and `event["data"]` are one, and None when absent."""

    def __missing__(self, key: str) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


def read(thing: Any, name: str) -> Any:
    """The member `name` of anything at all; nothing where there is none."""
    if isinstance(thing, Mapping):
        return thing.get(name)
    return getattr(thing, name, None)


def record(thing: Any) -> dict[str, Any]:
    """A new record with the entries that `thing` itself has; empty where it has none."""
    return Record(thing) if isinstance(thing, Mapping) else Record()


def invoke(thing: Any, name: str, argument: Any) -> Any:
    """thing.name(argument), as a method of its object."""
    return read(thing, name)(argument)


def attempt(thing: Any, name: str, argument: Any) -> bool:
    """Invoke, if there is such a method; return whether there is and it did not throw.

    What it throws is ignored; so is the rejection of a promise that it returns.
    """
    method = read(thing, name)
    if not callable(method):
        return False
    try:
        result = method(argument)
    except Exception:
        return False
    when(result, lambda value: None, lambda error: None)
    return True


def ask(thing: Any, name: str, argument: Any) -> Any:
    """Invoke the user's own method, if there is one, and return its result; what it throws is reported."""
    method = read(thing, name)
    if not callable(method):
        return None
    try:
        return method(argument)
    except Exception as error:
        report(error)
        return None


def tell(thing: Any, name: str, argument: Any) -> None:
    """Invoke the user's own method, if there is one; what it throws or rejects with is reported."""
    when(ask(thing, name, argument), lambda value: None, report)


def when(value: Any, fulfilled: Callable[[Any], None], rejected: Callable[[Any], None]) -> None:
    """Call back with what a promise becomes; with anything else, at once."""
    then = read(value, "then")
    if callable(then):
        try:
            then(lambda result: when(result, fulfilled, rejected), rejected)
        except Exception as error:
            rejected(error)
    elif inspect.isawaitable(value):
        future = asyncio.ensure_future(value)
        _futures.add(future)
        future.add_done_callback(lambda done: _settled(done, fulfilled, rejected))
    else:
        fulfilled(value)


def report(error: Any) -> None:
    """Show the user an error of the user's own code: what watches for errors nobody catches sees it, too."""
    _log("a hook", error)


def log(error: Any) -> None:
    """Show the user what is wrong with an option, or with the function that it is."""
    _log("an option", error)


def warn(text: str) -> None:
    """Show a developer what no hook tells."""
    _logger.warning("%s", text)


def describe(thing: Any) -> str:
    """The text of an error or of a host's event, whatever its shape; empty where there is none."""
    if isinstance(thing, str):
        return thing
    if isinstance(thing, BaseException):
        return str(thing)
    for name in ("errMsg", "errorMessage", "reason", "message"):
        text = read(thing, name)
        if text:
            return str(text)
    return ""


def value_of(thing: Any) -> Any:
    """What a function returns when it is called now; anything else is itself the value."""
    return thing() if callable(thing) else thing


def is_promise(value: Any) -> bool:
    """Whether `value` is a promise, or anything else to wait for."""
    return callable(read(value, "then")) or inspect.isawaitable(value)


def has_entries_of(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether `one` has each entry of `other` with the same value; NaN is itself."""
    return all(_is_unchanged(one[name], value) for name, value in other.items())


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are of one type and equal."""
    return type(one) is type(other) and bool(one == other)


def elements_of(value: Any) -> list[Any] | None:
    """What an array holds, in a list of our own; None for anything else."""
    return list(value) if isinstance(value, list | tuple) else None


def is_text(value: Any) -> bool:
    """Whether `value` is a string."""
    return isinstance(value, str)


def is_number(value: Any) -> bool:
    """Whether `value` is a number; a boolean is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_bytes(value: Any) -> bool:
    """Whether `value` is an ArrayBuffer, or a view of one."""
    return isinstance(value, bytes | bytearray | memoryview)


def is_view(value: Any) -> bool:
    """Whether `value` is a view of an ArrayBuffer: a typed array, a DataView or a Buffer of Node."""
    return isinstance(value, bytearray | memoryview)


def copied(value: Any) -> Any:
    """An ArrayBuffer of its own with the bytes of an ArrayBuffer or a view; of anything else, that itself."""
    return bytes(value) if is_bytes(value) else value


def close_code(value: Any) -> int | None:
    """A close code, which some hosts write as a string; nothing where there is none."""
    try:
        return int(value) or None
    except (TypeError, ValueError):
        return None


def to_base64(data: Any) -> str:
    """The bytes of an ArrayBuffer as base64."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str) -> Any:
    """The ArrayBuffer that base64 text stands for."""
    return base64.b64decode(text)


def host_of(given: Any) -> Any:
    """The host that is given, or what stands in for it."""
    return given


def listen(target: Any, name: str, listener: Any, is_on: bool) -> None:
    """Add a listener to a part of a page, or remove it, where there is such a part."""
    method = read(target, "addEventListener" if is_on else "removeEventListener")
    if method is not None:
        method(name, listener)


def web_socket(page: Any, url: Any, protocols: Any) -> Any:
    """A new WebSocket of a page."""
    return page.WebSocket(url, protocols) if protocols else page.WebSocket(url)


def message_event(page: Any, event: Any, data: Any) -> Any:
    """The MessageEvent of a page, with other data."""
    return Record(event, data=data)


def close_event(page: Any, code: int, reason: str) -> Any:
    """A CloseEvent of a page, for an end that the page itself does not tell of."""
    return Record(type="close", code=code, reason=reason, wasClean=code != 1006)


def _is_unchanged(one: Any, other: Any) -> bool:
    return one is other or bool(one == other) or (one != one and other != other)


def _log(name: str, error: Any) -> None:
    if isinstance(error, BaseException):
        log_raised(_logger.error, f"{name} of a mini program", error)
    else:
        _logger.error("%s of a mini program rejected", name)


def _settled(
    future: asyncio.Future[Any], fulfilled: Callable[[Any], None], rejected: Callable[[Any], None]
) -> None:
    _futures.discard(future)
    if future.cancelled():
        rejected(asyncio.CancelledError())
    elif (error := future.exception()) is not None:
        rejected(error)
    else:
        when(future.result(), fulfilled, rejected)
