"""Says in words why a link or an attempt ended, with the evidence, so that a person can act on it."""

import os
import socket
import ssl
from dataclasses import dataclass

from websocket_heartbeat.core import machine as core
from websocket_heartbeat.engines.base import Closure
from websocket_heartbeat.errors import (
    HandshakeError,
    HandshakeRejected,
    HookFailed,
    ProtocolViolation,
    ProxyFailed,
    RedirectRefused,
    ServerClosed,
    SessionNotOffered,
    SessionOver,
)
from websocket_heartbeat.redaction import printable
from websocket_heartbeat.system.kernel import TcpInfo

_BLOCKED = 0.2
"""Seconds by which a deadline must have been missed to be worth telling: less is a busy machine."""

_PROBES = 2
"""Probes in a row without an answer that tell of a cut path; one may be under way."""


@dataclass(frozen=True, slots=True)
class Loss:
    """How a link or an attempt ended.

    error: what ended it; None for an open link that the core gave up. silence: the evidence of that link.
    uncertain_bytes: as `Link.uncertain`, at the end of an open link. is_dismissal: whether the server has
    said on the link that we are not to come back.
    """

    error: Exception | None = None
    silence: str = ""
    uncertain_bytes: int | None = 0
    is_dismissal: bool = False

    def in_words(self, cause: str) -> str:
        """Say why, for one of the causes of core/machine.py."""
        words = self._end_in_words(cause)
        return f"{core.DISMISSED}: {words}" if self.is_dismissal and cause != core.DISMISSED else words

    def _end_in_words(self, cause: str) -> str:
        if cause == core.LOST:
            assert self.error is not None
            return in_words(self.error)
        if cause == core.REJECTED:
            assert self.error is not None
            return f"given up by the program: {in_words(self.error)}"
        if cause == core.MESSAGE_TIMEOUT:
            return "no message came within message_timeout"
        # Every other cause is a constant of the core that says it in words.
        return f"{cause}: {self.silence}" if cause in (core.HEARTBEAT_TIMEOUT, core.PATH_DEAD) else cause

    def kind(self, cause: str) -> str:
        """Return the class of the end, one of few words: for metrics, and as a field of log lines."""
        if self.is_dismissal or cause == core.DISMISSED:
            return "dismissed"
        if cause == core.LOST:
            assert self.error is not None
            return kind_of(self.error)
        return cause.replace(" ", "_")


NO_LOSS = Loss()
"""As long as nothing was lost."""


def of_silence(
    silent_for: float, pinged_for: float, info: TcpInfo | None, blocked_for: float, stuck: int
) -> str:
    """Describe the silence of a link that is given up.

    silent_for: seconds since anything was heard. pinged_for: seconds since our ping. info: what the kernel
    knows of the socket, where it tells. blocked_for: seconds by which our own event loop missed a deadline
    meanwhile. stuck: bytes handed over before the ping that the peer has not taken.
    """
    words = f"nothing heard for {silent_for:.1f} s"
    if info is not None and info.probes >= _PROBES:
        # As after a change of our address, or without a route: then nothing is sent that might time out.
        words += (
            f", and {info.probes} probes of TCP are unanswered while data wait to be sent: the path is cut"
        )
    elif stuck > 0 and (info is None or info.retransmits == 0):
        words += f", and the peer takes none of {stuck} bytes sent before our ping: it does not read"
    elif info is not None and info.unacked:
        # The last acknowledgement may be of long before the ping, on a link that was idle.
        words += (
            f", and what we sent is unacknowledged for {min(pinged_for, info.since_ack):.1f} s "
            f"after {info.retransmits} timeouts of TCP: the path is cut"
        )
    elif info is not None:
        words += (
            ", though what we sent is acknowledged: the peer's application, or a proxy's, is silent; "
            "one that answers no ping while it works needs a longer Heartbeat.timeout"
        )
    if blocked_for > _BLOCKED:
        words += f"; our own event loop was blocked for {blocked_for:.1f} s"
    return words


def error_of(closure: Closure) -> Exception:
    """Return the error that a link ended with, when nobody had asked for its end."""
    if closure.error is not None:
        return closure.error
    if closure.framed:
        return ServerClosed(closure.code, closure.reason)
    return ConnectionResetError("the server closed the connection without a close frame")


_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (ServerClosed, "server_closed"),
    (ProtocolViolation, "protocol_violation"),
    (RedirectRefused, "redirect_refused"),
    (SessionNotOffered, "session_not_offered"),
    (SessionOver, "session_over"),
    (HandshakeError, "handshake_invalid"),
    (ProxyFailed, "proxy_failed"),
    (HookFailed, "hook_failed"),
    (socket.gaierror, "name_not_resolved"),
    (ssl.SSLError, "tls_failed"),
    (ConnectionRefusedError, "connection_refused"),
    (ConnectionError, "connection_lost"),
    (OSError, "network_failed"),
)
"""The first that fits is the class of an error."""


def kind_of(error: Exception) -> str:
    """Return the class of an error; of an HTTP status its number, as `error.type` of OpenTelemetry has it."""
    if isinstance(error, HandshakeRejected):
        return str(error.status)
    return next((kind for errors, kind in _KINDS if isinstance(error, errors)), "_OTHER")


def in_words(error: Exception) -> str:
    """Put an error into words fit to print: of an OSError the system's, without number and address."""
    if isinstance(error, socket.gaierror):
        return f"the name does not resolve: {error.strerror}"
    if isinstance(error, ssl.SSLError) and getattr(error, "reason", None) == "WRONG_VERSION_NUMBER":
        return "the server does not speak TLS on this port: is it ws:// in place of wss://?"
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.errno:
        return os.strerror(error.errno).lower()
    return printable(str(error)) or type(error).__name__
