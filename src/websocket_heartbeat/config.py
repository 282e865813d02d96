"""What users pass in to say how a connection behaves, checked where they write it."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, TypeVar

from websocket_heartbeat.checks import (
    check_count,
    check_function,
    check_message,
    check_seconds,
    check_timeout,
)
from websocket_heartbeat.events import Message
from websocket_heartbeat.system.callbacks import call

T = TypeVar("T")

Provider: TypeAlias = T | Callable[[], T | Awaitable[T]]
"""A value, or a function or coroutine function that is called for a fresh one on every attempt."""

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
"""Header fields for the handshake: a mapping, or pairs where a name repeats."""


FINAL_CLOSE_CODES: Final = (range(3500, 4000), range(4500, 5000))
"""Close codes by which a server tells a client not to come back, as `Peer.dismiss` sends them."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """The heartbeats that a protocol has among its messages, for a client and for a server.

    Its three parts tell them from the messages of the application, which never sees them. Functions are
    called with each message as it arrives, a str or bytes, so let them look at its beginning before they
    parse it. What they raise is reported as `HookFailed`, and the message is delivered.

    ping: the heartbeat that a client sends: a message, or a function that makes one.
    pong: the answer to it: a message, or a function that returns True for one. It is proof of life and
        measures the latency. Default None: heartbeats are not answered. A ping of the protocol then goes
        along with each, as something must be heard of a link that lives.
    reply: a function that returns what answers a heartbeat of the other side, or None if the message is none.
        It is sent at once, past all queues. Default None: a message equal to `ping` is such a heartbeat,
        where both `ping` and `pong` are messages, and `pong` answers it; without a `pong`, nothing does.

    A message that is both, as where a heartbeat is answered by itself, is an answer for a client, and for a
    server a heartbeat to be answered.

    Raises:
        TypeError, ValueError: a part is no message that can be sent, nor a function; the text names it.
    """

    ping: Message | Callable[[], Message] = field(repr=False)
    pong: Message | Callable[[Message], bool] | None = field(default=None, repr=False)
    reply: Callable[[Message], Message | None] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("ping", "pong", "reply"):
            part = getattr(self, name)
            if callable(part):
                check_function(f"Dialect.{name}", part, 0 if name == "ping" else 1)
            elif name == "reply" and part is not None:
                raise TypeError(f"Dialect.reply must be a function or None, not {type(part).__name__}")
            elif name == "ping" or part is not None:
                # Kept as checked: a message that arrives is a plain str or bytes.
                object.__setattr__(self, name, check_message(f"Dialect.{name}", part))

    def is_pong(self, message: Message) -> bool:
        """Whether a message answers a heartbeat of ours, or is one that nobody answers.

        Raises:
            HookFailed: the user's function has failed.
        """
        if callable(self.pong):
            return call("Dialect.pong", _is_true, self.pong, message)
        if self.pong is None:
            return self.reply is None and _is_equal(self.ping, message)
        return _is_equal(self.pong, message)

    def reply_to(self, message: Message) -> Message | None:
        """Return what answers a heartbeat of the other side; None if the message is none.

        Raises:
            HookFailed: the user's function has failed.
        """
        if self.reply is not None:
            return call("Dialect.reply", _message_or_none, self.reply, message)
        return self.pong if not callable(self.pong) and _is_equal(self.ping, message) else None


def _is_equal(part: object, message: Message) -> bool:
    # The type first: under `python -bb`, comparing bytes with a str is an error.
    return type(part) is type(message) and part == message


def _is_true(function: Callable[[Message], bool], message: Message) -> bool:
    result: object = function(message)
    if result and result is not True:  # what keeps messages from the user must not do so by mistake
        raise TypeError(f"Dialect.pong must return True or False, not {type(result).__name__}")
    return result is True


def _message_or_none(function: Callable[[Message], Message | None], message: Message) -> Message | None:
    reply = function(message)
    return None if reply is None else check_message("what Dialect.reply returns", reply)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """How a quiet link is pinged, and a dead one noticed.

    interval: seconds after which a link is quiet, and is pinged: nothing was heard for so long, or nothing
        was sent. Default 15, at most 3600.
    timeout: seconds in which any byte must arrive on a link that was silent for `interval`. Default 10, at
        most 3600. A dead link is noticed within interval + timeout.
    message: None sends RFC 6455 pings (default). A str, bytes or a function returning either is sent instead,
        for servers with a heartbeat of their own; only messages then count as sent, and answers are delivered
        to you like any message. With a `Dialect` they are not, and the server's own heartbeats are answered;
        until a link is ready, while `on_open` runs, it is sent RFC 6455 pings: what the server wants first
        comes first.
    """

    interval: float = 15
    timeout: float = 10
    message: Message | Callable[[], Message] | Dialect | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("interval", "timeout"):
            check_timeout(f"Heartbeat.{name}", getattr(self, name))
        if callable(self.message):
            check_function("Heartbeat.message", self.message, 0)
        elif self.message is not None and not isinstance(self.message, str | bytes | Dialect):
            raise TypeError(
                "Heartbeat.message must be str, bytes, callable, a Dialect or None, "
                f"not {type(self.message).__name__}"
            )


def dialect_of(heartbeat: Heartbeat) -> Dialect | None:
    """Return the dialect of a heartbeat, if it has one."""
    return heartbeat.message if isinstance(heartbeat.message, Dialect) else None


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


SessionMode: TypeAlias = Literal["off", "prefer", "require"]
"""Whether a connection asks for a session: `connect` says what each means."""

_SESSION_MODES = ("off", "prefer", "require")


@dataclass(frozen=True, slots=True)
class Session:
    """How a connection asks for a session: the long form of the option `session` of `connect`.

    mode: as there.
    window: how many messages the server may send beyond the last one that was handled. Default 4096.
    window_bytes: how many bytes these may have together; one message may have more. Default 1 MiB.
    """

    mode: SessionMode
    window: int = 4096
    window_bytes: int = 2**20

    def __post_init__(self) -> None:
        _check_mode("Session.mode", self.mode)
        check_count("Session.window", self.window, least=1, most=2**31)
        check_count("Session.window_bytes", self.window_bytes, least=1, most=2**31)


def session_of(option: SessionMode | Session) -> Session:
    """Return what the option `session` says, in its long form."""
    if isinstance(option, Session):
        return option
    _check_mode("session", option)
    return Session(option)


def _check_mode(name: str, mode: object) -> None:
    if mode not in _SESSION_MODES:
        raise ValueError(f'{name} must be "off", "prefer" or "require", not {mode!r}')
