"""What of a URL, and of a peer's text, may be shown: no secrets, and no control characters."""

import re
from urllib.parse import urlsplit

_PORT_TOO_LARGE = re.compile(
    r"(?P<scheme>[a-z0-9+.-]+://)(?:[^/?#]*@)?(?P<address>[a-z0-9.-]+:(?P<port>[0-9]+))(?:[/?#][^@]*)?",
    re.IGNORECASE,
)
"""No at sign may follow the port: what looks like the port would then be part of a password."""


HIDDEN = "(hidden)"
"""Stands for what may not be shown."""


def shown_url(url: str, path: str | None = None) -> str:
    """Return the URL without user information, query and fragment, which may carry credentials.

    path: shown in place of that of the URL.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port
    except ValueError:
        return _with_a_wrong_port(url)
    if not host:
        # It may be a URL whose scheme or slashes were forgotten: its path may begin with a password.
        return "(a URL without a host)"
    if ":" in host:
        host = f"[{host}]"
    if port is not None:
        host = f"{host}:{port}"
    hidden = "?..." if parts.query else ""
    shown = parts.path if path is None else f"/{path.removeprefix('/')}"
    return printable(f"{parts.scheme}://{host}{shown}{hidden}")


def printable(text: str, keep: str = "") -> str:
    """Return text that a terminal or a log can show: its author might move the cursor or forge lines.

    keep: control characters that are left as they are.
    """
    return "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] for c in text)


def with_reason(text: str, reason: str) -> str:
    """Return a text and the reason that somebody has given, if there is one, as it can be shown."""
    return f"{text}: {printable(reason)}" if reason else text


def _with_a_wrong_port(url: str) -> str:
    match = _PORT_TOO_LARGE.fullmatch(url)
    if match is None or int(match["port"][:6]) <= 65535:
        return "(unreadable URL)"
    return f"{match['scheme']}{match['address']} (a port is from 0 to 65535)"
