"""The interface to what speaks RFC 6455: links, the engines that open them, and what both report.

The client uses all of it; the server makes its links itself, of the connections that it has accepted. The
owner of a link takes its events. Plain calls go down, synchronous callbacks come up, all on the loop's
thread. An engine decides nothing about liveness or retries: it sends no pings of its own, sets no timeouts
and never reconnects.
"""

import asyncio
import ssl as ssl_module
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from websocket_heartbeat.events import Message
from websocket_heartbeat.redaction import HIDDEN, shown_url
from websocket_heartbeat.system.kernel import Socket, TcpInfo

__all__ = ["Closure", "Engine", "Evidence", "Link", "LinkEvents", "OpenRequest", "SharedMessage"]

WRITE_LIMIT = 64 * 1024
"""Bytes that may wait in a link's write buffer before the link counts as full."""


@dataclass(frozen=True, slots=True, repr=False)
class OpenRequest:
    """All that an engine needs to open one link.

    Only engines that support them are asked for compression, unix_path, local_addr and server_hostname.
    """

    url: str
    """Of scheme ws or wss."""
    max_size: int
    """The largest message accepted, in bytes, counted over all fragments and after decompression."""
    headers: Sequence[tuple[str, str]] = ()
    """To be added to the handshake."""
    subprotocols: Sequence[str] = ()
    """Offered, best first."""
    ssl: ssl_module.SSLContext | None = None
    """For wss and for a proxy of scheme https; None means the default context."""
    proxy: str | None = None
    """A URL of scheme http, https, socks4 or socks5, of which an engine need not know all."""
    compression: bool = False
    """Whether to offer permessage-deflate (RFC 7692)."""
    user_agent: str | None = None
    """The User-Agent header, unless `headers` or a session of the user's have one; None: none."""
    unix_path: str | None = None
    """Of the Unix socket to connect to, in place of the URL's host."""
    local_addr: tuple[str, int] | None = None
    """IP address and port to connect from; port 0 is any."""
    server_hostname: str | None = None
    """The name that TLS asks for and the certificate must have, in place of the URL's host."""
    link: int = 0
    """The number of the link, for logs."""
    is_foreign: bool = False
    """Whether a redirect has led here from another origin than that of the user's URL. What the engine would
    add by itself was meant for the first one, such as default headers of a session, and is not to be sent."""

    @property
    def is_secure(self) -> bool:
        """Whether the server is spoken to in TLS."""
        return self.url.startswith("wss:")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the URL."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if self.is_secure else 80)

    def __repr__(self) -> str:
        return f"OpenRequest({shown_url(self.url, HIDDEN)})"


@dataclass(frozen=True, slots=True)
class Closure:
    """How a link ended.

    code, reason: of the peer's close frame; None and "" if there was none.
    error: what broke the link, where something did: an OSError, or a ProtocolViolation that we saw.
    uncertain_bytes: as `Link.uncertain`, at the end.
    framed: whether the peer's close frame ended it, which may come without a code.
    """

    code: int | None = None
    reason: str = ""
    error: Exception | None = None
    uncertain_bytes: int | None = field(default=0, compare=False)
    framed: bool = field(default=False, compare=False)


class Evidence(NamedTuple):
    """What is known at one moment of whether a link lives, and moves; read at once, as it asks the kernel.

    heard_at, sent_at: the times of the loop's clock at which bytes last arrived, read or not, and at which
    some were last sent, as well as can be told.
    taken: bytes that the peer has taken of those sent, counted from some fixed number (`Link.position`).
    Linux tells what the peer's kernel has acknowledged; elsewhere it is what our write buffer has given away.
    info: what the kernel says of the socket, where it tells.
    """

    heard_at: float
    sent_at: float
    taken: int
    info: TcpInfo | None = None


class LinkEvents(Protocol):
    """What a link calls, and an engine. None of these raises an Exception.

    Nothing is called after `closed` or after `Link.abort`, but for what a call of `link.deliver` returns or
    raises that has led to them.
    """

    __slots__ = ()

    def opened(self, link: "Link") -> None:
        """The handshake is complete. Called once, before any message; `link.deliver` is set within."""

    def batch_delivered(self) -> None:
        """All messages of one read have been given to `link.deliver`."""

    def deliver_returned(self, result: object) -> None:
        """`link.deliver` returned something other than None, perhaps a coroutine."""

    def deliver_failed(self, error: BaseException) -> None:
        """`link.deliver` raised an Exception or CancelledError; the engine goes on with the next message."""

    def ponged(self) -> None:
        """A pong arrived."""

    def writable(self) -> None:
        """The link was full and is not any more."""

    def closed(self, closure: Closure) -> None:
        """The link has ended: the peer's close frame has come, or the socket is gone. Called once."""


class SharedMessage:
    """A message that goes out on many links: what it is on the wire is made once."""

    __slots__ = ("_marked", "frames", "hold", "message", "place")

    message: Message
    """The message, checked."""
    frames: dict[int, bytes]
    """Made by links, for others of their class. The key is 0 for the message as it is, otherwise the window
    for which it is compressed."""
    hold: Callable[["Link"], None]
    """Called with a link that does not write it at once: `Link.flush` is then called soon."""
    place: tuple[str, int]
    """The stream of which it is, and its number there, for links that keep that; 0: of none."""

    def __init__(
        self, message: Message, hold: Callable[["Link"], None], place: tuple[str, int] = ("", 0)
    ) -> None:
        self.message = message
        self.place = place
        self.hold = hold
        self.frames = {}
        self._marked: SharedMessage | None = None

    def marked(self, mark: str) -> "SharedMessage":
        """Return the message with a character before it, always the same one: for all links of sessions."""
        if self._marked is None:
            self._marked = SharedMessage(marked(mark, self.message), self.hold)
        return self._marked


def marked(mark: str, message: Message) -> Message:
    """Return a message with a character before it, as sessions have one: docs/session.md, 3."""
    return mark + message if isinstance(message, str) else mark.encode() + message


def discard(message: Message) -> None:
    """Take, as `Link.deliver`, what comes on a link after its end."""


class Link(ABC):
    """One open WebSocket."""

    __slots__ = ()

    deliver: Callable[[Message], Any]
    """Takes each message, in order; the owner sets it in `LinkEvents.opened`, and may change it later."""
    native: Any = None
    """The engine's own object."""
    subprotocol: str | None = None
    """The one that was agreed on, or None."""
    response_headers: Sequence[tuple[str, str]] = ()
    """Those that the server answered with, as pairs, to be read within `LinkEvents.opened`: a link need not
    keep them, and one of a server has none."""
    socket: Socket | None = None
    """The TCP socket beneath, for questions only, or None."""
    full: bool = False
    """Whether the write buffer went above WRITE_LIMIT and has not been drained since; no property, as it is
    asked for with each message."""
    can_ping: bool = True
    """Whether `ping` sends one, and any byte that comes counts in `heard_at`. All can but some links of back
    ends, over servers that send no pings for a program and tell it of none: messages are life there."""
    is_session: bool = False
    """Whether it is a session, which outlives links: `close` and `abort` end the link beneath alone."""

    @abstractmethod
    def send(self, message: Message) -> None:
        """Hand over a message; what the socket does not take is buffered. Never raises, never waits."""

    def send_all(self, messages: Sequence[Message]) -> None:
        """Send several; links of ours write them together."""
        for message in messages:
            self.send(message)

    def send_shared(self, shared: SharedMessage) -> None:
        """Do as `send`, with a message that goes out on others too."""
        self.send(shared.message)

    def send_volatile(self, message: Message) -> bool:
        """Do as `send`, unless WRITE_LIMIT or more waits in the write buffer; return whether it did."""
        if self.buffered >= WRITE_LIMIT:
            return False
        self.send(message)
        return True

    def send_shared_volatile(self, shared: SharedMessage) -> bool:
        """Do as `send_volatile`, with a message that goes out on others too."""
        if self.buffered >= WRITE_LIMIT:
            return False
        self.send_shared(shared)
        return True

    def flush(self) -> None:
        """Write what `SharedMessage.hold` was called for. Never raises, never waits."""
        raise NotImplementedError  # none that holds nothing back is asked to

    @abstractmethod
    def ping(self) -> None:
        """Send a ping. Never raises, never waits."""

    @abstractmethod
    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; `closed` follows when the peer answers, or never.

        code: one for which `checks.is_close_code` is true. reason: at most 123 bytes of UTF-8 (RFC 6455,
        section 5.5).
        """

    @abstractmethod
    def abort(self) -> None:
        """Drop the link at once and wait for nothing. Safe in every state; no callback follows."""

    def accept_up_to(self, size: int) -> None:  # noqa: B027  # what cannot change it has a limit for all
        """Take messages of so many bytes at most from now on, where what is beneath lets that change."""

    def handled(self) -> None:  # noqa: B027  # only what has acknowledgements has something to do
        """Take the news that a message that was delivered is handled; sessions acknowledge that."""

    def release(self) -> None:
        """Be used no more here; a session may go on elsewhere, or later."""
        self.abort()

    def fail(self, code: int, reason: str) -> None:
        """Close, as what served the client has failed; a session is given up, and another one begins."""
        self.close(code, reason)

    def link_gone(self) -> asyncio.Future[None] | None:
        """Of a session: return what is done when the link beneath has ended; None: there is none."""
        return None

    def end(self, code: int, reason: str) -> None:
        """Close for good: a session ends when what was sent before is handled."""
        self.close(code, reason)

    @abstractmethod
    def pause_reading(self) -> None:
        """Stop reading from the socket. What has been read already may still be delivered."""

    @abstractmethod
    def resume_reading(self) -> None:
        """Read again."""

    @property
    @abstractmethod
    def buffered(self) -> int:
        """Bytes that wait in the write buffer of this program, not of the kernel."""

    @abstractmethod
    def evidence(self) -> Evidence:
        """Return what is known of the link now."""

    @property
    @abstractmethod
    def position(self) -> int:
        """Where all that was sent so far ends: it has been taken when `Evidence.taken` is as much."""

    @property
    @abstractmethod
    def uncertain(self) -> int | None:
        """Bytes handed over, but for a close frame of ours, that the peer's kernel has not acknowledged.

        Those in our write buffer are among them. None where the system does not tell.
        """


class Engine(ABC):
    """Opens links."""

    __slots__ = ()

    name: str
    """By which users know it."""
    supports: Collection[str] = ()
    """Which of the options "compression", "unix_path", "local_addr" and "server_hostname" it can follow."""

    @abstractmethod
    async def open(self, request: OpenRequest, events: LinkEvents) -> None:
        """Open a link and call `events.opened` with it before returning.

        Redirects are not followed. When cancelled, everything begun is dropped at once, but not a link that
        was given to `events.opened`: it is its owner's from then on.

        Raises:
            HandshakeRejected: an HTTP status other than 101, redirects included.
            HandshakeError: any other answer that is not a WebSocket upgrade.
            ProxyFailed: the proxy is the cause.
            ProxyNotSupported: the engine cannot use one of this kind, or a package for that is missing.
            OSError: name resolution, TCP and TLS (socket.gaierror and ssl.SSLError are OSErrors).
            ValueError: the engine cannot follow two of its options together; the text names them.
        """
