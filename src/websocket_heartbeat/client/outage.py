"""How loud the log is about an outage: a warning when it begins, details at DEBUG, a line when it ends."""

import logging
from typing import NamedTuple


class Ended(NamedTuple):
    """An outage that is over: for how many seconds no link was ready, and how many attempts that took."""

    down_for: float
    retries: int


class Outage:
    """The time from a failure to the next link that is ready.

    Each outage is told once at WARNING, however many attempts fail; and once more if the server refuses for
    a reason that would have been final before any link was open.
    """

    __slots__ = ("_retries", "_since", "_told_refusal")

    def __init__(self) -> None:
        self._since: float | None = None
        self._retries = 0
        self._told_refusal = False

    def level(self, now: float, is_refusal: bool = False) -> int:
        """Take note of a failure; return the level at which to tell it."""
        is_news = self._since is None or (is_refusal and not self._told_refusal)
        self._told_refusal = self._told_refusal or is_refusal
        if self._since is None:
            self._since = now
        return logging.WARNING if is_news else logging.DEBUG

    def attempted(self) -> None:
        """Count an attempt."""
        if self._since is not None:
            self._retries += 1

    def ended(self, now: float) -> Ended | None:
        """Take the news that a link is ready; None: it was no outage."""
        outage = None if self._since is None else Ended(now - self._since, self._retries)
        self._since = None
        self._retries = 0
        self._told_refusal = False
        return outage
