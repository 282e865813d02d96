"""The checks of arguments that several places need: an error names the argument as the user wrote it."""

import inspect
import ipaddress
import math
import os
import re
import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from websocket_heartbeat.core.settings import at_least_zero, positive
from websocket_heartbeat.events import Message
from websocket_heartbeat.redaction import shown_url

_TOKEN = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]+")
"""RFC 9110, section 5.6.2."""

_LONGEST_REASON = 123
"""Bytes: a close frame carries at most 125, and two of them are the code (RFC 6455, section 5.5)."""


LONGEST_TIMEOUT: Final = 3600
"""Seconds: an hour."""


def check_seconds(name: str, value: object, *, zero: bool = False) -> float:
    """Return seconds above 0, from 0 where `zero`, up to a year; raise naming the argument otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    return at_least_zero(name, value) if zero else positive(name, value)


def check_timeout(name: str, value: object, *, zero: bool = False) -> float:
    """Return seconds as `check_seconds` does, up to an hour; more must be meant as milliseconds."""
    seconds = check_seconds(name, value, zero=zero)
    if seconds > LONGEST_TIMEOUT:
        raise ValueError(
            f"{name} must be at most {LONGEST_TIMEOUT} seconds, not {seconds!r}; "
            f"are these milliseconds? Then write {seconds / 1000:g}"
        )
    return seconds


def check_rate(name: str, value: object) -> float:
    """Return how often something may happen, above 0 and finite; raise naming the argument otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not 0 < value < math.inf:  # written so that NaN fails too
        raise ValueError(f"{name} must be above 0 and finite, not {value!r}")
    return value


def check_count(name: str, value: object, *, least: int = 0, most: int | None = None) -> int:
    """Return a whole number from `least` to `most`; raise naming the argument otherwise."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if most is None and value < least:
        raise ValueError(f"{name} must be at least {least}, not {value!r}")
    if most is not None and not least <= value <= most:
        raise ValueError(f"{name} must be from {least} to {most}, not {value!r}")
    return value


def check_hook(name: str, hook: object, arguments: int | None = None) -> Callable[..., Any]:
    """Return a hook, which must be callable; raise naming the argument otherwise.

    arguments: with how many it will be called; None where that is checked elsewhere.
    """
    refuse_coroutine(name, hook)
    if not callable(hook):
        raise TypeError(f"{name} must be callable or None, not {hook!r}")
    called = type(hook).__call__
    for is_generator in (inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        if is_generator(hook) or is_generator(called):
            # Called, it would only make a generator, and run nothing of its body.
            raise TypeError(f"{name} must be a function or coroutine function without yield, not {hook!r}")
    if arguments is not None:
        _check_arguments(name, hook, arguments)
    return hook


def _check_arguments(name: str, hook: Callable[..., Any], arguments: int) -> None:
    try:
        signature = inspect.signature(hook)
    except (TypeError, ValueError):  # some that are written in C do not tell
        return
    try:
        signature.bind(*range(arguments))
    except TypeError as error:
        called = f"{arguments} argument{'' if arguments == 1 else 's'}"
        raise TypeError(f"{name} is called with {called}, which {hook!r} does not take: {error}") from None


def refuse_coroutine(name: str, value: object) -> None:
    """Raise TypeError, naming the argument, for what a coroutine function has returned in place of itself."""
    if inspect.iscoroutine(value):
        function = value.__qualname__
        value.close()  # or Python would warn that it was never awaited
        raise TypeError(f"{name} must be the function {function} itself, not what calling it returns")


def is_hashable(value: object) -> bool:
    """Whether a value can be a key; a tuple, of which `Hashable` knows nothing, can if what it holds can."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def check_hashable(name: str, value: object) -> None:
    """Raise TypeError, naming the argument, for what cannot be a key."""
    if not is_hashable(value):
        raise TypeError(f"{name} must be hashable, such as a str, not {type(value).__name__}")


def check_function(name: str, function: object, arguments: int) -> Callable[..., Any]:
    """Return a function whose answer is needed at once; raise naming the argument otherwise.

    arguments: with how many it will be called.
    """
    function = check_hook(name, function, arguments)
    if is_coroutine_function(function):
        raise TypeError(f"{name} must be a function, not the coroutine function {function!r}")
    return function


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether calling it returns a coroutine, as far as can be told beforehand."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def check_ssl(name: str, ssl: object, hint: str, wrong: int) -> None:
    """Raise, naming the argument, unless it is a context for TLS, or None; the hint says what to do.

    wrong: the protocol of contexts for the other side, with which every handshake would fail.
    """
    if ssl is None:
        return
    if not isinstance(ssl, SSLContext):
        raise TypeError(f"{name} must be an ssl.SSLContext or None, not {ssl!r}: {hint}")
    if ssl.protocol == wrong:
        side = "servers" if wrong == PROTOCOL_TLS_SERVER else "clients"
        raise ValueError(f"{name} must not be a context for {side} ({ssl.protocol.name}): {hint}")


_HOST_FIRST = re.compile(
    r"(?P<address>(?:localhost|(?:[a-z0-9-]+\.)+[a-z0-9-]+|[a-z0-9-]+(?=:))(?::[0-9]{1,5})?)(?:[/?][^@]*)?"
)
"""A URL without its scheme. No at sign may follow: what looks like the host would be part of a password."""

_AS_WEBSOCKET = {"http": "ws", "https": "wss"}


def _meant(url: str, parts: SplitResult, schemes: Collection[str], shown: Callable[[str], str]) -> str:
    """Return what of the URL may be shown, with the scheme that was probably meant; "" if there is none."""
    scheme = _AS_WEBSOCKET.get(parts.scheme)
    if scheme in schemes and parts.hostname:
        return shown(f"{scheme}{url[len(parts.scheme) :]}")
    match = _HOST_FIRST.fullmatch(url)
    return f"{next(iter(schemes))}://{match['address']}" if match is not None else ""


def check_url(
    name: str, url: object, schemes: Collection[str], shown: Callable[[str], str] = shown_url
) -> str:
    """Return a URL with a host and one of the schemes; raise naming the argument otherwise.

    shown: says what may be shown of the URL.
    """
    refuse_coroutine(name, url)
    if not isinstance(url, str):
        raise TypeError(f"{name} must be a str, not {type(url).__name__}")
    parts: SplitResult | None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts = None
    if parts is None:  # raised out here, it does not carry along an exception that may quote a password
        raise ValueError(f"{name} cannot be read as a URL: {shown_url(url)}")
    if parts.scheme not in schemes:
        # Of one without a host nothing can be shown, such as one whose scheme was forgotten.
        given = f", not {shown(url)!r}" if parts.hostname else ""
        meant = _meant(url, parts, schemes, shown)
        hint = f"; did you mean {meant!r}?" if meant else ""
        raise ValueError(f"{name} must begin with {' or '.join(f'{s}://' for s in schemes)}{given}{hint}")
    if not parts.hostname:
        raise ValueError(f"{name} must name a host, not {shown(url)!r}")
    if port == 0:
        raise ValueError(f"{name} must have a port from 1 to 65535: {shown(url)!r}")
    if parts.fragment:
        raise ValueError(f"{name} must have no fragment (#...), which WebSocket forbids: {shown(url)!r}")
    odd = next((c for c in url if ord(c) <= 32 or ord(c) == 127), None)
    if odd is not None:
        # Told apart, as what is shown of a URL has none around it.
        where = "begins with" if url.startswith(odd) else "ends with" if url.endswith(odd) else "contains"
        words = f"must not contain spaces or control characters, but {where} {odd!r}"
        raise ValueError(f"{name} {words}: {shown(url)!r}")
    try:
        url.encode()
        if ":" not in parts.hostname:  # no IPv6 address
            parts.hostname.encode("idna")
    except UnicodeError:
        is_name_wrong = True
    else:
        is_name_wrong = False
    if is_name_wrong:  # raised out here, it does not carry along an exception that holds the whole URL
        raise ValueError(f"{name} names a host that cannot exist: {shown(url)!r}")
    return url


def check_name(name: str, value: object) -> str:
    """Return what a line of a log can begin with; raise naming the argument otherwise."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {value!r}")
    if not value or not value.isprintable():
        raise ValueError(f"{name} must be printable and not empty, not {value!r}")
    return value


def check_host(name: str, host: object) -> str:
    """Return the name or address of a host; raise naming the argument otherwise."""
    if not isinstance(host, str):
        raise TypeError(f"{name} must be a str, not {host!r}")
    try:
        host.encode("idna")
    except UnicodeError:
        is_wrong = ":" not in host
    else:
        is_wrong = not host
    if is_wrong or any(not c.isprintable() or c in " /@" for c in host):
        raise ValueError(f"{name} must be the name of a host, not {host!r}")
    return host


def check_address(name: str, address: object) -> tuple[str, int]:
    """Return an IP address and a port, which may be 0; raise naming the argument otherwise."""
    if not (isinstance(address, tuple) and len(address) == 2 and isinstance(address[0], str)):
        raise TypeError(f"{name} must be an IP address and a port as a tuple, not {address!r}")
    host, port = address
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"{name} must begin with an IP address of this machine, not {host!r}") from None
    return host, check_count(f"the port in {name}", port, most=65535)


def check_unix_path(name: str, path: object) -> None:
    """Raise unless it is the path of a Unix socket, on a system that has them."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name} must be a str or a path, not {path!r}")
    if not os.fspath(path):
        raise ValueError(f"{name} must not be empty")
    if not hasattr(socket, "AF_UNIX"):
        raise ValueError(f"{name} cannot be used on this system, which has no Unix sockets: {path!r}")


def check_token(name: str, value: object, *, may_be_secret: bool = False) -> str:
    """Return a token of RFC 9110; raise naming the argument otherwise, and what of it may be shown."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    valid = _TOKEN.match(value)
    end = valid.end() if valid is not None else 0
    if may_be_secret and 0 < end < len(value):
        raise ValueError(f"{name} must be an HTTP token, without {value[end]!r}")
    if end == 0 or end < len(value):
        # Whoever writes "Authorization: Bearer ..." as a name must not find the rest in a log.
        raise ValueError(f"{name} must be an HTTP token, not {value[:end]!r} and more")
    return value


_HANDSHAKE_FIELDS: Final = frozenset(
    {
        "connection",
        "upgrade",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
    }
)


def check_headers(name: str, headers: object) -> list[tuple[str, str]]:
    """Return header fields as pairs; raise naming the argument, never a value, otherwise."""
    refuse_coroutine(name, headers)
    if isinstance(headers, Mapping):
        pairs = list(headers.items())
    elif isinstance(headers, Iterable) and not isinstance(headers, str | bytes):
        pairs = list(headers)
    else:
        raise TypeError(f"{name} must be a mapping or pairs of strings, not {type(headers).__name__}")
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise TypeError(f"{name} must hold pairs of strings, as tuples, not {type(pair).__name__}")
        field_name = check_token(f"a name in {name}", pair[0])
        check_header_value(f"{name}[{field_name!r}]", pair[1])
    return pairs


def check_header_value(name: str, value: object) -> str:
    """Return the value of a header field; raise naming the argument, never the value, otherwise."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if any(c in "\r\n\0" for c in value) or not value.isascii():
        raise ValueError(f"{name} must be ASCII without line breaks and NUL")
    return value


def check_request_headers(name: str, headers: object) -> list[tuple[str, str]]:
    """As `check_headers`, but without the fields that the handshake itself writes (RFC 6455, section 4.1)."""
    pairs = check_headers(name, headers)
    for field_name, _ in pairs:
        if field_name.lower() in _HANDSHAKE_FIELDS:
            hint = "use subprotocols=" if field_name.lower() == "sec-websocket-protocol" else "leave it out"
            raise ValueError(f"{name}[{field_name!r}] is a field of the handshake itself: {hint}")
    return pairs


def check_message(name: str, message: object, max_size: int | None = None) -> Message:
    """Return a message as str, not a subclass, or as bytes; raise naming the argument otherwise."""
    if isinstance(message, str):
        if type(message) is not str:
            message = str.__str__(message)
        size = len(message)
        if not message.isascii():
            try:
                size = len(message.encode())
            except UnicodeEncodeError:
                size = -1
        if size < 0:  # raised out here, it does not carry along an exception that holds the message
            raise ValueError(f"{name} must be text that UTF-8 can carry, without lone surrogates")
    elif isinstance(message, bytes | bytearray | memoryview):
        message = bytes(message)
        size = len(message)
    else:
        is_json = name == "message" and isinstance(message, dict | list)
        hint = ": json.dumps makes JSON of it, as send_json does" if is_json else ""
        raise TypeError(f"{name} must be str or bytes-like, not {type(message).__name__}{hint}")
    if max_size is not None and size > max_size:
        raise ValueError(f"{name} is of {size} bytes, above max_size={max_size}")
    return message


def is_close_code(code: int) -> bool:
    """Whether a close frame may carry the code: RFC 6455, section 7.4."""
    return (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999


def check_close(code: object, reason: object, *, by_client: bool = False) -> None:
    """Raise unless a close frame may carry the code and the reason: RFC 6455, sections 5.5 and 7.4.

    by_client: a client may send only 1000 and the codes of applications, 3000 to 4999, as in browsers.
    """
    if isinstance(code, bool) or not isinstance(code, int):
        raise TypeError(f"code must be a whole number, not {code!r}")
    if by_client and code != 1000 and not 3000 <= code <= 4999:
        raise ValueError(f"code must be 1000 or from 3000 to 4999, not {code!r}")
    if not is_close_code(code):
        raise ValueError(f"code must be a close code that may be sent (RFC 6455, section 7.4), not {code!r}")
    if not isinstance(reason, str):
        raise TypeError(f"reason must be a str, not {type(reason).__name__}")
    check_message("reason", reason)
    size = len(reason.encode())
    if size > _LONGEST_REASON:
        raise ValueError(f"reason must be at most {_LONGEST_REASON} bytes of UTF-8, not {size}: {reason!r}")


def check_collection(name: str, values: object) -> tuple[Any, ...]:
    """Return the values of a collection as a tuple; raise naming the argument otherwise."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a collection, not {values!r}")
    return tuple(values)
