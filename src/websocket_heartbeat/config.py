"""What users pass in to say how a connection behaves, checked where they write it."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from websocket_heartbeat.checks import check_function, check_seconds
from websocket_heartbeat.events import Message

T = TypeVar("T")

Provider: TypeAlias = T | Callable[[], T | Awaitable[T]]
"""A value, or a function or coroutine function that is called for a fresh one on every attempt."""

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
"""Header fields for the handshake: a mapping, or pairs where a name repeats."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """How a silent link is noticed.

    interval: seconds without any inbound byte until a ping is sent; traffic suppresses pings. Default 15.
    timeout: seconds in which any byte must then arrive. Default 10. A dead link is noticed within
        interval + timeout.
    message: None sends RFC 6455 pings (default). A str, bytes or a function returning either is sent instead,
        for servers with a heartbeat of their own; their answers are delivered to you like any message.
    """

    interval: float = 15
    timeout: float = 10
    message: Message | Callable[[], Message] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_seconds("Heartbeat.interval", self.interval)
        check_seconds("Heartbeat.timeout", self.timeout)
        if callable(self.message):
            check_function("Heartbeat.message", self.message)
        elif self.message is not None and not isinstance(self.message, str | bytes):
            raise TypeError(
                f"Heartbeat.message must be str, bytes, callable or None, not {type(self.message).__name__}"
            )


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before each retry; `core/backoff.py` has the formula.

    initial: the first retry comes at a random time within the first `initial` seconds. Default 1.
    maximum: no two retries are further apart than this, unless the server asks for more, in seconds.
        Default 60, reached after three hours: delays grow to about 8 * initial within half a minute, and
        very slowly after that.
    stable_after: seconds that a link must have been open to end an outage: the next outage begins with
        `initial` again. Default 30.
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
