"""The kinds of arguments that commands take; argparse puts the argument's name before what these raise.

What is wrong with a value is said by the checks of the library, which show no secret.
"""

import argparse
from collections.abc import Callable
from typing import Any, TypeVar

from websocket_heartbeat.checks import (
    check_count,
    check_message,
    check_request_headers,
    check_seconds,
    check_token,
    check_url,
)
from websocket_heartbeat.core.settings import LONGEST

T = TypeVar("T")


def seconds(least: float = 0, *, zero: bool = False) -> Callable[[str], float]:
    """Return the kind: seconds of at least `least`, above 0 unless `zero`, and at most a year."""

    def kind(text: str) -> float:
        try:
            value = check_seconds("it", float(text), zero=zero)
            if value >= least:
                return value
        except ValueError:
            pass
        wanted = f"of at least {least:g}" if least or zero else "above 0"
        raise argparse.ArgumentTypeError(
            f"must be a number of seconds {wanted} and at most {LONGEST:.0f} (one year), not {text!r}"
        )

    return kind


def whole(text: str) -> int:
    """The kind: a whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None


def count(text: str) -> int:
    """The kind: a whole number of at least 1."""
    return _checked(check_count, "it", whole(text), least=1)


def port(text: str) -> int:
    """The kind: a port to listen on, 0 for a free one."""
    return _checked(check_count, "a port", whole(text), most=65535)


def url(text: str) -> str:
    """The kind: the URL of a WebSocket server."""
    if "://" not in text:  # not shown, as it may begin with a password
        raise argparse.ArgumentTypeError(
            "the URL must begin with ws:// or wss://, as wss://example.com/feed does"
        )
    return _checked(check_url, "the URL", text, ("ws", "wss"))


def page(text: str) -> str:
    """The kind: the URL of a page of a web server."""
    return _checked(check_url, "the URL", text, ("http", "https"))


def proxy(text: str) -> str:
    """The kind: the URL of a proxy."""
    return _checked(check_url, "the proxy", text, ("http", "https", "socks4", "socks5"))


def subprotocol(text: str) -> str:
    """The kind: the name of a subprotocol."""
    return _checked(check_token, "the name", text)


def message(text: str) -> str:
    """The kind: a text message."""
    _checked(check_message, "the text", text, 2**20)  # which is the default of max_size
    return text


def header(text: str) -> tuple[str, str]:
    """The kind: a header field NAME:VALUE. Its value may be secret, so no error shows it."""
    name, colon, value = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError("must be NAME:VALUE, and has no colon")
    field = (name.strip(), value.strip())
    _checked(check_request_headers, "header", [field])
    return field


def _checked(check: Callable[..., T], *values: Any, **limits: Any) -> T:
    try:
        return check(*values, **limits)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
