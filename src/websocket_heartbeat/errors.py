"""What users catch: every exception of the package."""

import copyreg
from collections.abc import Callable, Sequence
from typing import Any

from websocket_heartbeat.redaction import with_reason


class WebSocketHeartbeatError(Exception):
    """Base of every exception of this package, except those that say that an argument is wrong."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]:
        # Exception would call the class with its text, which is not what most of these take. An OSError sets
        # its args only in its __init__.
        state = {"args": self.args, **self.__dict__}
        return copyreg.__newobj__, (type(self), *self.args), state  # type: ignore[attr-defined]

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        # As CPython does it; PyPy would hide args in the dict.
        for name, value in (state or {}).items():
            setattr(self, name, value)


class ConnectionClosed(WebSocketHeartbeatError):
    """Our own side closed the connection; nothing more can be sent or received."""


class ConnectionFailed(WebSocketHeartbeatError):
    """The connection has failed for good and will not be retried.

    The last error, if there was one, is `__cause__`.
    """

    reason: str
    """Why, in words."""
    code: int | None
    """The close code, if the server gave one."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class NotConnected(WebSocketHeartbeatError):
    """No link is open and nothing may wait for one (`send_queue=0`)."""


class SendQueueFull(WebSocketHeartbeatError):
    """The message was not taken: `send_nowait` found `send_queue` messages waiting already, or `Room.send`
    found 16 MiB of them, for a store that is away.
    """


class HandshakeError(WebSocketHeartbeatError):
    """The server answered the opening handshake with something that is no WebSocket upgrade, or not at all:
    the connection ended before.
    """


class RedirectRefused(HandshakeError):
    """The server sent a redirect that is not followed."""


class HandshakeRejected(HandshakeError):
    """The server refused the opening handshake with an HTTP status.

    Neither headers nor body are part of the text, as both may carry secrets.
    """

    status: int
    """The HTTP status."""
    headers: tuple[tuple[str, str], ...]
    """Pairs of name and value, as received."""
    body: bytes
    """The beginning of the body, 1 KiB at most."""

    def __init__(self, status: int, headers: Sequence[tuple[str, str]], body: bytes = b"") -> None:
        super().__init__(f"the server rejected the handshake with HTTP status {status}")
        self.status = status
        self.headers = tuple(headers)
        self.body = body

    def header(self, name: str) -> str | None:
        """Return the value of the first header called `name`, in any case, or None."""
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return None


class ProxyFailed(WebSocketHeartbeatError):
    """The proxy could not be reached or refused the connection."""


class ProxyNotSupported(ProxyFailed):
    """The engine cannot use a proxy of this scheme, or a package for it is missing, which the text names."""


class ProtocolViolation(WebSocketHeartbeatError):
    """The peer broke RFC 6455, and the link was closed for it."""

    code: int
    """The close code that it was told."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class ServerClosed(WebSocketHeartbeatError):
    """The server closed the link with a close frame."""

    code: int | None
    """Its code; None if it gave none."""
    reason: str
    """Its reason, as received; the text has it with control characters escaped."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(with_reason(f"the server closed the link with {code or 'no code'}", reason))
        self.code = code
        self.reason = reason


class MessageTooBig(ProtocolViolation):
    """The peer sent a message larger than `max_size` bytes; the link was closed with 1009."""

    def __init__(self, max_size: int) -> None:
        super().__init__(1009, f"the peer sent a message above max_size={max_size}")


class NotJSON(WebSocketHeartbeatError, ValueError):
    """A message that was to be parsed is no JSON. The connection is unharmed; the next message follows."""

    message: str | bytes
    """The message, which is not part of the text."""

    def __init__(self, message: str | bytes) -> None:
        kind, unit = ("text", "characters") if isinstance(message, str) else ("binary", "bytes")
        super().__init__(f"the {kind} message is no JSON; its length in {unit} is {len(message)}")
        self.message = message


class HookFailed(WebSocketHeartbeatError):
    """A hook or a callable of the user's raised; its exception is `__cause__`. The connection is unharmed.

    Or it returned what cannot be used: then the text says what is wrong with that.
    """

    name: str
    """Which one: "on_open", say."""
    has_returned: bool
    """Whether it returned, and that cannot be used."""
    __cause__: BaseException | None

    def __init__(self, name: str, error: BaseException, *, has_returned: bool = False) -> None:
        # What a user's function raises may quote a message or a token; what our own checks raise does not.
        what = f"returned what cannot be used: {error}" if has_returned else f"raised {type(error).__name__}"
        super().__init__(f"{name} {what}")
        self.name = name
        self.has_returned = has_returned
        self.__cause__ = error


class Undelivered(WebSocketHeartbeatError):
    """Messages that waited to be sent will not be, as the connection has ended or they have expired."""

    messages: tuple[str | bytes, ...]
    """The messages, oldest first."""
    expired: bool
    """Whether they have waited longer than their `ttl`."""
    uncertain: bool
    """Whether they are those of a session that has ended: the server may have handled them or not."""

    def __init__(
        self, messages: Sequence[str | bytes], *, expired: bool = False, uncertain: bool = False
    ) -> None:
        if len(messages) == 1:
            what, pronoun = "1 message", "it"
        else:
            what, pronoun = f"{len(messages)} messages", "they"
        if expired:
            text = f"{what} expired before {pronoun} could be sent"
        elif uncertain:
            text = f"the session ended before the server said that it had handled {what}"
        else:
            text = f"the connection ended before {what} could be sent"
        super().__init__(text)
        self.messages = tuple(messages)
        self.expired = expired
        self.uncertain = uncertain


class LinkRejected(WebSocketHeartbeatError):
    """The program gave up an open link by `fail_link`; the text is its reason."""


class PeerGone(WebSocketHeartbeatError, ConnectionResetError):
    """The client of a server is gone."""

    code: int | None
    """The code of its close frame, None if it sent none."""
    reason: str
    """Its reason, or why it is gone."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(with_reason("the peer is gone", reason))
        self.code = code
        self.reason = reason


class SessionNotOffered(HandshakeError):
    """The server has no sessions, and `session="require"` asks for one."""


class SessionOver(WebSocketHeartbeatError):
    """The session has ended; the text says why."""


class SendUncertain(WebSocketHeartbeatError, OSError):
    """It is not known whether a message is kept with its session: sent again, it may come twice."""


class NotCommitted(WebSocketHeartbeatError):
    """The block of `Peer.transaction` was undone, as its database has failed, or others were in the way.

    Its message is not handled. Let this pass in a hook, and it is called with the message again.
    """


class EngineNotInstalled(WebSocketHeartbeatError, ImportError):
    """The engine asked for needs a package that is not installed; the text names the install command."""
