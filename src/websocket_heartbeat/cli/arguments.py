"""The kinds of arguments that commands take; argparse puts the argument's name before what these raise."""

import argparse
import math
from collections.abc import Callable

from websocket_heartbeat.checks import check_message, check_request_headers
from websocket_heartbeat.core.settings import LONGEST


def seconds(least: float = 0, *, zero: bool = False) -> Callable[[str], float]:
    """Return the kind: seconds of at least `least`, above 0 unless `zero`, and at most a year."""

    def kind(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (least <= value <= LONGEST and (value > 0 or zero)):
            wanted = f"of at least {least:g}" if least or zero else "above 0"
            raise argparse.ArgumentTypeError(
                f"must be a number of seconds {wanted} and at most {LONGEST:.0f} (one year), not {text!r}"
            )
        return value

    return kind


def port(text: str) -> int:
    """The kind: a port to listen on, 0 for a free one."""
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"must be a port from 0 to 65535, not {text!r}")
    return int(text)


def whole(text: str) -> int:
    """The kind: a whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None


def message(text: str) -> str:
    """The kind: a text message."""
    try:
        check_message("the text", text, 2**20)  # which is the default of max_size
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def header(text: str) -> tuple[str, str]:
    """The kind: a header field NAME:VALUE. Its value may be secret, so no error shows it."""
    name, colon, value = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError("must be NAME:VALUE, and has no colon")
    field = (name.strip(), value.strip())
    try:
        check_request_headers("header", [field])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return field
