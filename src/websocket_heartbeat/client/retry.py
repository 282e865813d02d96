"""Which failures are final, which are worth a retry, and how long the server asks us to wait.

    failure                                         verdict     why
    name resolution                                 retry       resolvers fail for a while, with the network
    refused, unreachable, reset, timed out          retry       servers restart, networks change
    certificate does not verify                     final *     it will not verify the next time either
    other TLS failures                              retry       a handshake cut off in the middle looks so
    proxy fails                                     retry       it is a server too
    engine cannot use such a proxy                  final       nor will it, without the package that is named
    our url or header callable raises               retry       fetching a token fails like any request
    redirect refused, or too many                   final *     the server is configured so
    HTTP 408, 421, 425, 429                         retry       "later", after Retry-After
    other HTTP 4xx, 501, 505                        final *     the request itself is wrong
    other HTTP statuses                             retry       servers behind a gateway restart; portals
    no session offered, and one is required         final *     the server is configured so
    no valid WebSocket answer                       retry       the same
    the server broke RFC 6455, too big a message    retry       a fresh link may not meet it again
    close codes of final_close_codes                final       the server says so; looked at by the core
    other close codes                               retry       servers restart; logins end, and begin anew
    the dismissal message, the end of a session     final       the server says so; retry_if is not asked

* Final until a link has been open: then a server that worked is restarting or misconfigured for a while. That
is retried with delays that grow as for an overloaded server, and told in the log.

`retry_if` overrides each line but the last. A 401 or 403 with a callable url or headers is tried once more
with fresh ones first.
"""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime

from websocket_heartbeat.core.hint import hint_of
from websocket_heartbeat.errors import (
    HandshakeRejected,
    ProxyNotSupported,
    RedirectRefused,
    ServerClosed,
    SessionNotOffered,
    SessionOver,
)

RETRYABLE_STATUSES = frozenset({408, 421, 425, 429})
FINAL_STATUSES = frozenset({501, 505})

BUSY_STATUSES = frozenset({429, 503})

LATER = 0.001
"""Seconds that a busy server is taken to ask for where it does not say: enough to tell the core of it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failure means.

    final: no retry can help; None leaves that to the close code. hint: the least delay in seconds that the
    server asked for. is_refusal: it would be final, had no link been open before.
    """

    final: bool | None
    hint: float = 0.0
    is_refusal: bool = False


def judge(
    error: Exception,
    retry: bool | None = None,
    was_open: bool = False,
) -> Verdict:
    """Apply the table above to the failure of an attempt or of a link.

    retry: what `retry_if` says; None leaves it to the table.
    was_open: whether a link of this connection was ever open.
    """
    if isinstance(error, SessionOver):
        return Verdict(True)
    hint = retry_hint(error)
    if retry is not None:
        return Verdict(not retry, hint or _least_hint(error))
    if isinstance(error, ServerClosed):
        return Verdict(None, hint)
    is_refusal = _is_refusal(error)
    if is_refusal and was_open:
        return Verdict(False, max(hint, LATER), is_refusal=True)
    return Verdict(is_refusal, hint or _least_hint(error))


def _least_hint(error: Exception) -> float:
    return LATER if isinstance(error, HandshakeRejected) and error.status in BUSY_STATUSES else 0.0


def _is_refusal(error: Exception) -> bool:
    """Whether the answer to the same attempt is to be the same again."""
    if isinstance(error, HandshakeRejected):
        client_error = 400 <= error.status < 500 and error.status not in RETRYABLE_STATUSES
        return client_error or error.status in FINAL_STATUSES
    final = ssl.SSLCertVerificationError | RedirectRefused | SessionNotOffered | ProxyNotSupported
    return isinstance(error, final)


def retry_hint(error: Exception) -> float:
    """Return the seconds that the server asks us to wait, 0 if it does not ask.

    A refused handshake says so by the header Retry-After, in seconds or as a date (RFC 9110, section 10.2.3);
    a close frame by `retry-after=SECONDS` in its reason, which is our own convention.
    """
    if isinstance(error, HandshakeRejected):
        return _retry_after(error)
    if isinstance(error, ServerClosed):
        return hint_of(error.reason)
    return 0.0


def _retry_after(rejected: HandshakeRejected) -> float:
    value = (rejected.header("Retry-After") or "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    then = _time(value)
    # Against the server's own clock: ours may be wrong by more than the delay. Without one, ours must do.
    now = _time(rejected.header("Date")) or datetime.now(UTC)
    return max(0.0, (then - now).total_seconds()) if then is not None else 0.0


def _time(date: str | None) -> datetime | None:
    """Read an HTTP date, in any form of RFC 9110, section 5.6.7; all are in UTC."""
    # Needed so seldom, and slow to import.
    from email.utils import parsedate_to_datetime

    try:
        time = parsedate_to_datetime(date or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
