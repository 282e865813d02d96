"""What findings mean: errors in words that a person can act on, and the settings that follow from them."""

import json
import math
import os
import socket
import ssl
from http import HTTPStatus

from websocket_heartbeat.cli.probe.report import Idle, Recommended, Report
from websocket_heartbeat.config import Heartbeat
from websocket_heartbeat.errors import HandshakeRejected

_STATUSES = {
    200: "this is an ordinary web page: is the path right, and does a proxy before it pass on Upgrade?",
    400: (
        "the server sees no valid WebSocket handshake: does a proxy before it pass on Upgrade, "
        "does it require a --subprotocol?"
    ),
    401: "it wants credentials: give them by --auth or --header",
    403: "credentials or Origin are not accepted: give them by --auth, --header or --origin",
    404: (
        "there is nothing at this path; or a proxy before it does not pass on Upgrade, and plain HTTP is not "
        "served there"
    ),
    407: "a proxy wants credentials: --proxy http://user:password@host:port",
    421: "this server does not serve this name: is the Host right?",
    426: "it wants another version of HTTP or of WebSocket",
    429: "too many requests: it wants us to wait",
    502: "the gateway gets no good answer from the service behind it",
    503: "it is overloaded or restarting, or a gateway has nothing behind it",
    504: "the gateway gets no answer from the service behind it",
}

# By the numbers of X509_V_ERR_* in OpenSSL.
_CERTIFICATES = {
    9: "is this machine's clock right?",
    10: "the server's must be renewed, unless this machine's clock is wrong",
    18: "trust it by --ca FILE, in Python by connect(..., ssl=...)",
    19: "trust its authority by --ca FILE, in Python by connect(..., ssl=...)",
    20: "this machine does not know its authority, or the server leaves an intermediate certificate out",
    21: "this machine does not know its authority, or the server leaves an intermediate certificate out",
    62: "the server has no certificate for this name",
    64: "the server has no certificate for this address",
}

_KNOWN_CUTS = {
    55: "Heroku cuts after 55 s",
    60: "nginx (proxy_read_timeout) and AWS application load balancers cut after 60 s unless told otherwise",
    100: "Cloudflare cuts after 100 s",
    240: "Azure's load balancers cut after 4 minutes unless told otherwise",
    350: "AWS network load balancers and NAT gateways cut after 350 s",
}

_LEAST_TIMEOUT = 5
"""Seconds in which TCP sends a lost packet again four times: after 0.2, 0.6, 1.4 and 3 s."""

SHORTEST_IDLE_TIMEOUT = 0.5
"""Seconds; a cut after less is for another reason than silence."""

_USUAL_OPEN_TIMEOUT = 10


_HANGS = {
    "dns": "this machine's resolver does not answer",
    "tcp": "the machine is off, or a firewall swallows what it is sent",
    "tls": "does the server speak TLS on this port?",
    "handshake": "the connection was accepted, but no answer came; does the server want TLS on this port?",
}


def in_words(error: Exception, timeout: float, stage: str = "", *, in_plain: bool = False) -> str:
    """Say what went wrong and what to look at; nothing of it is secret.

    timeout: the one that may have run out. stage: of the opening, if it was there. in_plain: a handshake was
    tried without TLS.
    """
    if isinstance(error, HandshakeRejected):
        hint = _STATUSES.get(error.status)
        if error.status == 400 and in_plain:
            hint = f"{hint} Does it want TLS on this port (wss://)?"
        return f"refused with {status_name(error.status)}" + (f": {hint}" if hint else "")
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = _CERTIFICATES.get(error.verify_code)
        why = error.verify_message.rstrip(".")
        return f"the certificate does not verify: {why}" + (f": {hint}" if hint else "")
    if isinstance(error, ssl.SSLError):
        if error.reason == "WRONG_VERSION_NUMBER":
            return "the server does not speak TLS on this port: is it ws:// in place of wss://?"
        return f"it failed: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if isinstance(error, socket.gaierror):
        return f"the name does not resolve: {(error.strerror or '').lower()}"
    if isinstance(error, ConnectionRefusedError):
        return "refused: nothing listens on this port, or a firewall refuses for it"
    if isinstance(error, ConnectionResetError):
        return "reset by the server, or by a gateway or firewall on the way"
    if isinstance(error, TimeoutError) and error.errno is None:
        hint = _HANGS.get(stage)
        return f"no answer within {timeout:g} s" + (f": {hint}" if hint else "")
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__


def days_in_words(count: int) -> str:
    """Return a number of days with its unit."""
    return "1 day" if count == 1 else f"{count} days"


def status_name(status: int) -> str:
    """Return the status with its name, if it has one."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def close_in_words(code: int | None) -> str:
    """Name a close frame by its code, which may be missing (RFC 6455, section 5.5.1)."""
    return "a close frame without a code" if code is None else f"{code}"


def end_in_words(how: str, code: int | None, reason: str) -> str:
    """Say how a link ended, and who ended it as far as can be told."""
    if how == "close frame":
        return f"by the server, with {code or 'no code'}" + (f": {reason}" if reason else "")
    if how in ("reset", "end of file"):
        return f"by {how}, from the server or from a gateway or firewall on the way"
    return how


def cut_in_words(idle: Idle) -> str:
    """Say how a silent link was cut."""
    if idle.how == "silence":
        return (
            f"cut in silence within {idle.seconds:.1f} s: no word of it came, and nothing answers any more, "
            "as when a firewall or NAT on the way forgets the connection"
        )
    end = end_in_words(idle.how or "", idle.code, idle.reason)
    if idle.one_sided:
        return (
            f"cut after {idle.seconds:.1f} s {end}, though the server kept sending: it wants to hear from us"
        )
    heard = f" ({idle.silent_for:.1f} s after the server last spoke)" if idle.spoke else ""
    return f"cut after {idle.seconds:.1f} s{heard} {end}"


def trials_in_words(report: Report) -> str | None:
    """Say what is wrong if no heartbeat that was tried has kept the link."""
    if not report.trials or any(not trial.cut for trial in report.trials):
        return None
    after = " and ".join(f"{trial.seconds:.1f} s with {trial.heartbeat}s" for trial in report.trials)
    if report.message is None:
        return f"cut after {after}, too (does it want a text? --heartbeat TEXT tries)"
    return f"cut after {after}, too: no heartbeat that was tried helps; how long may a connection last there?"


def known_cut(idle: Idle) -> str | None:
    """Say who is known to cut a link after so long a silence; to the second or so, as timers are coarse."""
    return next(
        (f"known: {who}" for after, who in _KNOWN_CUTS.items() if 0 <= idle.silent_for - after < 1.5), None
    )


def recommend(report: Report) -> Recommended | None:
    """Return settings for the server, None if it answers no heartbeat."""
    by_message = report.message is not None and report.message.answered
    by_ping = report.pings is not None and report.pings.answered == report.pings.sent
    if not (by_ping or by_message):
        return None
    kept_by = next((trial.heartbeat for trial in report.trials if not trial.cut), None)
    by_message = by_message and (kept_by == "message" or not by_ping)
    interval, why_interval = interval_for(report.idle)
    worst = max(
        (report.pings and report.pings.max) or 0.0,
        (report.message and report.message.seconds) or 0.0,
        (report.message and report.message.pong) or 0.0,
    )
    timeout = max(_LEAST_TIMEOUT, math.ceil(10 * worst))
    opening = sum(report.opening.seconds.values())
    slow = 4 * opening > _USUAL_OPEN_TIMEOUT
    open_timeout = float(math.ceil(4 * opening)) if slow else None

    heartbeat = f"interval={interval:g}, timeout={timeout}" + (", message=MESSAGE" if by_message else "")
    arguments = ["URL" if report.url_is_cut else json.dumps(report.url, ensure_ascii=False)]
    if report.opening.subprotocol is not None:
        arguments.append(f"subprotocols=[{json.dumps(report.opening.subprotocol)}]")
    arguments.append(f"heartbeat=Heartbeat({heartbeat})")
    if open_timeout is not None:
        arguments.append(f"open_timeout={open_timeout:g}")
    why = [
        f"interval: {why_interval}.",
        f"timeout: ten times the longest round trip ({worst * 1000:.1f} ms), and at least "
        f"{_LEAST_TIMEOUT} s, in which TCP repeats a lost packet four times.",
        f"heartbeat: {_why_heartbeat(by_ping, by_message, kept_by, bool(report.trials))}.",
    ]
    if open_timeout is not None:
        why.append(f"open_timeout: four times what opening took ({opening:.1f} s).")
    return Recommended(interval, timeout, by_message, open_timeout, f"connect({', '.join(arguments)})", why)


def _why_heartbeat(by_ping: bool, by_message: bool, kept_by: str | None, tried: bool) -> str:
    if by_message and not by_ping:
        why = "by the text message, as pings are not answered"
    elif by_message:
        return "by the text message: the link was not cut with messages, but was with pings"
    else:
        why = "by pings of the protocol, which are answered"
    if not tried:
        return why
    return f"{why}; the link was {'cut all the same' if kept_by is None else f'not cut with {kept_by}s'}"


def interval_for(idle: Idle | None) -> tuple[float, str]:
    """Return the seconds between heartbeats that suit how a link was cut, and why."""
    usual = Heartbeat().interval
    if idle is None:
        return usual, "the default; --idle SECONDS would tell whether it must be shorter"
    if not idle.cut:
        return usual, f"the default; no cut was seen within {idle.seconds:.0f} s"
    if idle.how == "silence":
        least = min(usual, _rounded(idle.seconds / 4))
        return least, (
            f"a quarter of {idle.seconds:g} s, and at most the default: in silence it cannot be seen "
            "when a link is cut, a shorter --idle tells more"
        )
    if idle.borne < SHORTEST_IDLE_TIMEOUT:
        return usual, "the default; no heartbeat helps against a cut so soon, the server wants something else"
    shortest = min(usual, _rounded(idle.borne / 2))
    return shortest, (
        f"half of the {idle.borne:.1f} s after which a silent link is cut, and at most the default, "
        "so that one heartbeat may be lost or late"
    )


def _rounded(seconds: float) -> float:
    """Round to two digits."""
    return float(f"{seconds:.2g}")
