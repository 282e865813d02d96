"""The validated numbers that the core decides by."""

from typing import Final

from websocket_heartbeat.core.close_codes import FinalCodes

LONGEST: Final = 31536000.0
"""The longest duration accepted, in seconds: one year."""


def positive(name: str, value: float) -> float:
    """Return a duration in seconds above 0 and at most a year; raise ValueError that names it otherwise."""
    # Written so that NaN fails too.
    if not (value > 0 and value <= LONGEST):
        raise ValueError(name + " must be above 0 and at most 31536000 seconds, not " + str(value))
    return value


def at_least_zero(name: str, value: float) -> float:
    """Return a duration in seconds from 0 to a year; raise ValueError that names it otherwise."""
    if not (value >= 0 and value <= LONGEST):
        raise ValueError(name + " must be from 0 to 31536000 seconds, not " + str(value))
    return value


class Settings:
    """Everything that the core can be told, in seconds and whole numbers.

    interval: a link that is quiet for so long is pinged.
    timeout: how long a ping may stay without any sign of life.
    both_directions: whether a link is quiet, too, when nothing was sent, whatever is heard.
    message_timeout: a link that brings no message for so long is replaced; None for any time.
    initial: the width of the first back-off window.
    maximum: the width that no back-off window exceeds.
    hold: how many retries after the first still use the first window, before windows grow.
    stable_after: a link ready for so long ends an outage: attempts count from 0 again.
    open_timeout: covers DNS, TCP, TLS, proxy and handshake together.
    close_timeout: how long a polite close may take.
    max_retries: retries in a row before giving up; None never gives up, 0 never retries.
    final_codes: close codes after which there is no retry; None for none.
    """

    def __init__(
        self,
        interval: float,
        timeout: float,
        both_directions: bool,
        message_timeout: float | None,
        initial: float,
        maximum: float,
        hold: int,
        stable_after: float,
        open_timeout: float,
        close_timeout: float,
        max_retries: int | None,
        final_codes: FinalCodes | None,
    ) -> None:
        self.interval: float = positive("interval", interval)
        self.timeout: float = positive("timeout", timeout)
        self.both_directions = both_directions
        self.message_timeout: float | None = (
            None if message_timeout is None else positive("message_timeout", message_timeout)
        )
        self.initial: float = positive("initial", initial)
        self.maximum: float = positive("maximum", maximum)
        if maximum < initial:
            raise ValueError("maximum must be at least initial (" + str(initial) + "), not " + str(maximum))
        self.hold: float = at_least_zero("hold", hold)
        self.stable_after: float = at_least_zero("stable_after", stable_after)
        self.open_timeout: float = positive("open_timeout", open_timeout)
        self.close_timeout: float = at_least_zero("close_timeout", close_timeout)
        if max_retries is not None and not max_retries >= 0:
            raise ValueError("max_retries must be None or at least 0, not " + str(max_retries))
        self.max_retries = max_retries
        self.final_codes = final_codes
