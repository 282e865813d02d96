"""The kinds of arguments that commands take; argparse puts the argument's name before what these raise.

What is wrong with a value is said by the checks of the library, which show no secret.
"""

import argparse
import ipaddress
import re
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from websocket_heartbeat.checks import (
    check_count,
    check_header_value,
    check_message,
    check_request_headers,
    check_seconds,
    check_timeout,
    check_token,
    check_url,
)
from websocket_heartbeat.core.settings import LONGEST

T = TypeVar("T")


class WrongArgument(Exception):
    """Arguments that cannot be used, each for itself or together; the text names them, and no secret."""


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


def timeout(text: str) -> float:
    """The kind: seconds above 0, and at most an hour."""
    return _checked(check_timeout, "it", seconds()(text))


def whole(text: str) -> int:
    """The kind: a whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None


def count(text: str) -> int:
    """The kind: a whole number of at least 1."""
    return _checked(check_count, "it", whole(text), least=1)


def retries(text: str) -> int:
    """The kind: a whole number of at least 0."""
    return _checked(check_count, "it", whole(text))


def wait(text: str) -> float | None:
    """The kind: seconds from 0, or -1 for no end, which is None."""
    if text == "-1":
        return None
    try:
        return seconds(zero=True)(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; -1: for ever") from None


def port(text: str) -> int:
    """The kind: a port to listen on, 0 for a free one."""
    return _checked(check_count, "a port", whole(text), most=65535)


def url(text: str) -> str:
    """The kind: the URL of a WebSocket server.

    Without a scheme it is ws:// for localhost and for an address, as localhost:8765, and wss:// otherwise.
    """
    if "://" not in text:
        if re.match(r"(ws|http)s?:", text, re.IGNORECASE):  # not shown, as a password may follow
            raise argparse.ArgumentTypeError(
                "the URL must begin with ws:// or wss://, as wss://example.com/feed does"
            )
        text = f"{'ws' if _is_near(text) else 'wss'}://{text}"
    return _checked(check_url, "the URL", text, ("ws", "wss"))


def _is_near(text: str) -> bool:
    try:
        host = urlsplit(f"//{text}").hostname or ""
        if host == "localhost":
            return True
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


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


def origin(text: str) -> str:
    """The kind: the value of the header Origin."""
    return _checked(check_header_value, "it", text)


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
