"""What users pass in, checked where they write it."""

import math
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar
from urllib.parse import urlsplit

from websocket_heartbeat.core.settings import Settings
from websocket_heartbeat.engines.base import Engine
from websocket_heartbeat.events import Message
from websocket_heartbeat.redaction import shown_url

T = TypeVar("T")

Provider: TypeAlias = T | Callable[[], T | Awaitable[T]]
"""A value, or a function or coroutine function that is called for a fresh one on every attempt."""

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
"""Header fields for the handshake: a mapping, or pairs where a name repeats."""


def check_seconds(name: str, value: object, *, zero: bool = False) -> float:
    """Return a finite number of seconds above 0, from 0 where `zero`; raise naming the argument otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise ValueError(
            f"{name} must be a finite number of seconds {'from' if zero else 'above'} 0, not {value!r}"
        )
    return value


def check_count(name: str, value: object, *, least: int = 0) -> int:
    """Return a whole number of at least `least`; raise naming the argument otherwise."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value!r}")
    return value


def check_url(name: str, url: object, schemes: Collection[str]) -> str:
    """Return a URL that names a host by one of the schemes; raise naming the argument otherwise."""
    if not isinstance(url, str):
        raise TypeError(f"{name} must be a str, not {type(url).__name__}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"{name} cannot be read as a URL: {shown_url(url)}") from None
    if parts.scheme not in schemes:
        raise ValueError(
            f"{name} must begin with {' or '.join(f'{s}://' for s in schemes)}, not {shown_url(url)!r}"
        )
    if not parts.hostname or port == 0:
        raise ValueError(f"{name} must name a host, not {shown_url(url)!r}")
    if parts.fragment:
        raise ValueError(f"{name} must have no fragment (#...), which WebSocket forbids: {shown_url(url)!r}")
    if any(ord(c) <= 32 or ord(c) == 127 for c in url):
        raise ValueError(f"{name} must not contain spaces or control characters: {shown_url(url)!r}")
    return url


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
        field_name, value = pair
        if not field_name or not all(
            c.isascii() and (c.isalnum() or c in "!#$%&'*+-.^_`|~") for c in field_name
        ):
            raise ValueError(f"{name} has a name that is no HTTP token: {field_name!r}")
        if any(c in "\r\n\0" for c in value):
            raise ValueError(f"{name}[{field_name!r}] must not contain line breaks or NUL")
    return pairs


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


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before each retry; `core/backoff.py` has the formula.

    initial: the first retry comes at a random moment of the first `initial` seconds. Default 1.
    maximum: no two retries are further apart than this, in seconds. Default 60, reached after three hours;
        the steps are at most 8 * initial in the first half minute of an outage and grow very slowly then.
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
        if self.additional_headers is not None and not callable(self.additional_headers):
            check_headers("additional_headers", self.additional_headers)
        names: Any = self.subprotocols
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"subprotocols must be a sequence of strings, not {self.subprotocols!r}")
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
        if not all(isinstance(code, int) for code in self.final_close_codes):
            raise TypeError(f"final_close_codes must hold whole numbers, not {self.final_close_codes!r}")
        if self.retry_if is not None and not callable(self.retry_if):
            raise TypeError(f"retry_if must be callable or None, not {self.retry_if!r}")

    def raster(self) -> float:
        """Return the seconds by which deadlines may be late: 1 % of the heartbeat, at most 0.1."""
        return min(0.1, self.heartbeat.interval / 100, self.heartbeat.timeout / 100)

    def settings(self) -> Settings:
        """Return the numbers for the core."""
        return Settings(
            interval=self.heartbeat.interval,
            timeout=self.heartbeat.timeout,
            initial=self.backoff.initial,
            maximum=self.backoff.maximum,
            hold=0,
            stable_after=self.backoff.stable_after,
            open_timeout=self.open_timeout,
            close_timeout=self.close_timeout,
            max_attempts=self.max_attempts,
        )
