"""What users pass in, checked where they write it."""

import inspect
import re
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias, TypeVar
from urllib.parse import SplitResult, urlsplit

from websocket_heartbeat.core.settings import LONGEST, Settings
from websocket_heartbeat.engines.base import Engine
from websocket_heartbeat.events import Message
from websocket_heartbeat.redaction import shown_url

T = TypeVar("T")

Provider: TypeAlias = T | Callable[[], T | Awaitable[T]]
"""A value, or a function or coroutine function that is called for a fresh one on every attempt."""

_TOKEN = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]+")
"""RFC 9110, section 5.6.2."""

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
"""Header fields for the handshake: a mapping, or pairs where a name repeats."""


def check_seconds(name: str, value: object, *, zero: bool = False) -> float:
    """Return seconds above 0, from 0 where `zero`, up to a year; raise naming the argument otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    # Written so that NaN fails too.
    if not (0 <= value <= LONGEST) or (value == 0 and not zero):
        raise ValueError(
            f"{name} must be a finite number of seconds {'from' if zero else 'above'} 0 "
            f"to {LONGEST:.0f} (one year), not {value!r}"
        )
    return value


def check_count(name: str, value: object, *, least: int = 0) -> int:
    """Return a whole number of at least `least`; raise naming the argument otherwise."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value!r}")
    return value


def check_hook(name: str, hook: object) -> Callable[..., Any]:
    """Return a function that is to be called when something happens; raise naming the argument otherwise."""
    if not callable(hook):
        raise TypeError(f"{name} must be callable or None, not {hook!r}")
    called = type(hook).__call__
    for is_generator in (inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        if is_generator(hook) or is_generator(called):
            # Called, it would only make a generator, and run nothing of its body.
            raise TypeError(f"{name} must be a function or coroutine function without yield, not {hook!r}")
    return hook


def check_url(name: str, url: object, schemes: Collection[str]) -> str:
    """Return a URL that names a host by one of the schemes; raise naming the argument otherwise."""
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
        raise ValueError(
            f"{name} must begin with {' or '.join(f'{s}://' for s in schemes)}, not {shown_url(url)!r}"
        )
    if not parts.hostname:
        raise ValueError(f"{name} must name a host, not {shown_url(url)!r}")
    if port == 0:
        raise ValueError(f"{name} must have a port from 1 to 65535: {shown_url(url)!r}")
    if parts.fragment:
        raise ValueError(f"{name} must have no fragment (#...), which WebSocket forbids: {shown_url(url)!r}")
    if any(ord(c) <= 32 or ord(c) == 127 for c in url):
        raise ValueError(f"{name} must not contain spaces or control characters: {shown_url(url)!r}")
    try:
        url.encode()
        if ":" not in parts.hostname:  # no IPv6 address
            parts.hostname.encode("idna")
    except UnicodeError:
        is_name_wrong = True
    else:
        is_name_wrong = False
    if is_name_wrong:  # raised out here, it does not carry along an exception that holds the whole URL
        raise ValueError(f"{name} names a host that cannot exist: {shown_url(url)!r}")
    return url


def check_token(name: str, value: object) -> str:
    """Return a token of RFC 9110; raise naming the argument otherwise, without what may be secret."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    sound = _TOKEN.match(value)
    if sound is None or sound.end() < len(value):
        # Whoever writes "Authorization: Bearer ..." as a name must not find the rest in a log.
        raise ValueError(f"{name} must be an HTTP token, not {sound[0] if sound else ''!r} and more")
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
    if isinstance(headers, Mapping):
        pairs = list(headers.items())
    elif isinstance(headers, Iterable) and not isinstance(headers, str | bytes):
        pairs = list(headers)
    else:
        raise TypeError(f"{name} must be a mapping or pairs of strings, not {type(headers).__name__}")
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            raise TypeError(f"{name} must hold pairs of strings")
        field_name = check_token(f"a name in {name}", pair[0])
        value = pair[1]
        if any(c in "\r\n\0" for c in value) or not value.isascii():
            raise ValueError(f"{name}[{field_name!r}] must be ASCII without line breaks and NUL")
    return pairs


def check_request_headers(name: str, headers: object) -> list[tuple[str, str]]:
    """Do as `check_headers`, and refuse what the opening handshake writes itself (RFC 6455, section 4.1)."""
    pairs = check_headers(name, headers)
    for field_name, _ in pairs:
        if field_name.lower() in _HANDSHAKE_FIELDS:
            mend = "use subprotocols=" if field_name.lower() == "sec-websocket-protocol" else "leave it out"
            raise ValueError(f"{name}[{field_name!r}] is a field of the handshake itself: {mend}")
    return pairs


def check_message(name: str, message: object, max_size: int | None = None) -> Message:
    """Return a message as an exact str or as bytes; raise naming the argument otherwise."""
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
        raise TypeError(f"{name} must be str or bytes-like, not {type(message).__name__}")
    if max_size is not None and size > max_size:
        raise ValueError(f"{name} is of {size} bytes, above max_size={max_size}")
    return message


def _tuple(name: str, values: object) -> tuple[Any, ...]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a collection, not {values!r}")
    return tuple(values)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """How a silent link is noticed.

    interval: seconds without any inbound byte until a ping is sent; traffic suppresses pings. Default 15.
    timeout: seconds in which any byte must then arrive. Default 10. A dead link is noticed within
        interval + timeout.
    message: None pings by RFC 6455 (default). A str, bytes or a function returning either is sent instead,
        for servers that answer a heartbeat of their own; whatever they answer is also delivered to you.
    """

    interval: float = 15
    timeout: float = 10
    message: Message | Callable[[], Message] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_seconds("Heartbeat.interval", self.interval)
        check_seconds("Heartbeat.timeout", self.timeout)
        if (
            self.message is not None
            and not isinstance(self.message, str | bytes)
            and not callable(self.message)
        ):
            raise TypeError(
                f"Heartbeat.message must be str, bytes, callable or None, not {type(self.message).__name__}"
            )
        if inspect.iscoroutinefunction(self.message):
            raise TypeError("Heartbeat.message must be a function, not a coroutine function")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before each retry; `core/backoff.py` has the formula.

    initial: the first retry comes at a random moment of the first `initial` seconds. Default 1.
    maximum: no two retries are further apart than this, unless the server asks for more, in seconds.
        Default 60, reached after three hours; the steps are at most 8 * initial in the first half minute of
        an outage and grow very slowly then.
    stable_after: a link that was open for so many seconds ends an outage: the next one begins with `initial`
        again. Default 30.
    """

    initial: float = 1
    maximum: float = 60
    stable_after: float = 30

    def __post_init__(self) -> None:
        check_seconds("Backoff.initial", self.initial)
        check_seconds("Backoff.maximum", self.maximum)
        check_seconds("Backoff.stable_after", self.stable_after, zero=True)
        if self.maximum < self.initial:
            raise ValueError(
                f"Backoff.maximum must be at least initial ({self.initial!r}), not {self.maximum!r}"
            )


@dataclass(frozen=True, slots=True, repr=False)
class Config:
    """All options of one connection, checked; `connect` documents each."""

    url: Provider[str]
    _: KW_ONLY
    additional_headers: Provider[Headers | None]
    subprotocols: Sequence[str]
    heartbeat: Heartbeat
    backoff: Backoff
    open_timeout: float
    close_timeout: float
    max_attempts: int | None
    send_queue: int
    receive_queue: int
    max_size: int
    ssl: ssl_module.SSLContext | None
    proxy: str | Literal[True] | None
    engine: Engine
    final_close_codes: Collection[int]
    retry_if: Callable[[Exception], bool | None] | None

    def __post_init__(self) -> None:
        if not callable(self.url):
            check_url("url", self.url, ("ws", "wss"))
        # Kept as checked: an iterator would be empty at the first attempt, and later changes unchecked.
        if self.additional_headers is not None and not callable(self.additional_headers):
            checked = check_request_headers("additional_headers", self.additional_headers)
            self._keep("additional_headers", checked)
        self._keep("subprotocols", _tuple("subprotocols", self.subprotocols))
        for index, name in enumerate(self.subprotocols):
            check_token(f"subprotocols[{index}]", name)
        self._keep("final_close_codes", _tuple("final_close_codes", self.final_close_codes))
        for index, code in enumerate(self.final_close_codes):
            check_count(f"final_close_codes[{index}]", code)
        typed: list[tuple[str, Any, type]] = [
            ("heartbeat", self.heartbeat, Heartbeat),
            ("backoff", self.backoff, Backoff),
        ]
        for name, value, kind in typed:
            if not isinstance(value, kind):
                raise TypeError(f"{name} must be a {kind.__name__}, not {value!r}")
        check_seconds("open_timeout", self.open_timeout)
        check_seconds("close_timeout", self.close_timeout, zero=True)
        if self.max_attempts is not None:
            check_count("max_attempts", self.max_attempts)
        check_count("send_queue", self.send_queue)
        check_count("receive_queue", self.receive_queue, least=1)
        check_count("max_size", self.max_size, least=1)
        if self.ssl is not None and not isinstance(self.ssl, ssl_module.SSLContext):
            raise TypeError(f"ssl must be an ssl.SSLContext or None, not {self.ssl!r}")
        if self.proxy is not None and self.proxy is not True:
            check_url("proxy", self.proxy, ("http", "https", "socks4", "socks5"))
        if self.retry_if is not None:
            check_hook("retry_if", self.retry_if)
        if inspect.iscoroutinefunction(self.retry_if):
            raise TypeError(f"retry_if must be a function, not the coroutine function {self.retry_if!r}")
        if self.heartbeat.message is not None and not callable(self.heartbeat.message):
            check_message("Heartbeat.message", self.heartbeat.message, self.max_size)

    def _keep(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def raster(self) -> float:
        """Return the seconds by which deadlines may be late: 1 % of the heartbeat, at most 0.1."""
        return min(0.1, self.heartbeat.interval / 100, self.heartbeat.timeout / 100)

    def settings(self) -> Settings:
        """Return the numbers for the core."""
        return _settings(
            self.heartbeat.interval,
            self.heartbeat.timeout,
            self.backoff,
            self.open_timeout,
            self.close_timeout,
            self.max_attempts,
        )


@lru_cache(16)  # thousands of connections share few settings
def _settings(
    interval: float,
    timeout: float,
    backoff: Backoff,
    open_timeout: float,
    close_timeout: float,
    max_attempts: int | None,
) -> Settings:
    return Settings(
        interval=interval,
        timeout=timeout,
        initial=backoff.initial,
        maximum=backoff.maximum,
        hold=0,
        stable_after=backoff.stable_after,
        open_timeout=open_timeout,
        close_timeout=close_timeout,
        max_attempts=max_attempts,
    )
