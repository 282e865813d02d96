"""What users receive: the state, what hooks are told, and the numbers of a connection."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

Message = str | bytes
"""A text message is a str, a binary message is bytes."""


def size_of(message: Message) -> int:
    """Return the bytes of a message as it is sent, without framing and compression."""
    return len(message.encode()) if isinstance(message, str) and not message.isascii() else len(message)


class State(StrEnum):
    """The state of a connection."""

    IDLE = "idle"
    """Not started yet."""
    CONNECTING = "connecting"
    """An attempt is under way."""
    OPEN = "open"
    """A link is open."""
    PROBING = "probing"
    """A link is open and silent: a ping was sent, and nothing has been received since."""
    WAITING = "waiting"
    """A retry is scheduled."""
    CLOSING = "closing"
    """We are closing; the closing handshake is under way."""
    CLOSED = "closed"
    """Our own side has closed the connection."""
    FAILED = "failed"
    """Ended because no retry can help or none is left."""


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """A session has begun, gone on, or ended, or stands still."""

    kind: str
    """What has happened: "new"; "resumed": nothing is lost; "reset": the server does not have the session any
    more, and a new one has begun; "over": it has ended, and the connection with it; "stalled": for 30 s the
    server has handled nothing of what fills its window, though the link lives."""
    why: str = ""
    """Why it was reset or has ended, in the server's words; else ""."""
    uncertain: Sequence[Message] = field(default=(), repr=False)
    """Messages of ours that may have been handled or not, oldest first. They are not sent again."""


@dataclass(frozen=True, slots=True)
class OpenEvent:
    """A link has opened."""

    link: int
    """Its number: 1 for the first attempt of the connection, and so on."""
    subprotocol: str | None = None
    """The one that the server chose, or None."""
    response_headers: Sequence[tuple[str, str]] = field(default=(), repr=False)
    """Those of the handshake, as pairs of name and value; not part of the repr."""
    session: str | None = None
    """That of the link: "new"; "resumed": the server knows still what it was told; "reset": as new, in place
    of one that the server does not have any more; None: none. Subscribe unless it is "resumed"."""


@dataclass(frozen=True, slots=True)
class CloseEvent:
    """An open link is gone."""

    link: int
    """Its number, as in its OpenEvent."""
    reason: str
    """Why it is gone, for a person to read."""
    code: int | None = None
    """The close code that the server sent, or None if it sent none (RFC 6455 calls this 1005 or 1006)."""
    uncertain_bytes: int | None = 0
    """Bytes sent on the link, but for a close frame, that the kernel at its other end had not acknowledged
    when it ended, those that had not left this machine included; None where the system does not tell. What
    that means for messages: docs/topics/messages.md."""


@dataclass(frozen=True, slots=True)
class ReconnectEvent:
    """A retry was scheduled."""

    retry: int
    """Which one it is since the last stable link, from 1; `max_retries` bounds it."""
    delay: float
    """The seconds until then."""
    reason: str
    """What made it necessary, for a person to read."""

    @property
    def attempt(self) -> int:
        """The old name of `retry`, with a DeprecationWarning."""
        warnings.warn("attempt is retry now", DeprecationWarning, stacklevel=2)
        return self.retry


@dataclass(slots=True)
class Stats:
    """What a connection has done so far."""

    links: int = 0
    """Links that opened."""
    attempts: int = 0
    """Links that were tried."""
    pings: int = 0
    """Heartbeats sent."""
    bytes_received: int = 0
    """Payload of TCP (of TLS, where it is used) received on all links, where the platform can tell."""
    bytes_sent: int = 0
    """Payload of TCP (of TLS, where it is used) sent on all links, where the platform can tell."""
    queued: int = 0
    """Messages that wait in the send queue."""
    dropped: int = 0
    """Messages that have come and were thrown away, by `receive_policy`, or as volatile ones of a session
    came faster than they were taken."""
    not_sent: int = 0
    """Volatile messages that were not sent, as they would have had to wait."""
    reasons: list[str] = field(default_factory=list)
    """Why links and attempts ended, the latest last, ten at most."""
