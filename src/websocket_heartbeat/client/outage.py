"""How loud the log is about an outage: a warning when it begins, details at DEBUG, a line when it ends."""

import logging

from websocket_heartbeat.client.hooks import logger


class Outage:
    """The time from a failure to the next link that is ready.

    Each outage is told once at WARNING, however many attempts fail; and once more if the server refuses for
    a reason that would have been final before any link was open.
    """

    __slots__ = ("_attempts", "_since", "_told_refusal")

    def __init__(self) -> None:
        self._since: float | None = None
        self._attempts = 0
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
        self._attempts += 1

    def ended(self, label: str, link: int, now: float) -> None:
        """Tell that a link is ready."""
        if self._since is None:
            logger.info("%s: link %d is open", label, link)
        else:
            logger.info(
                "%s: link %d is open, after %.1f s and %d attempts",
                label,
                link,
                now - self._since,
                self._attempts,
            )
        self._since = None
        self._attempts = 0
        self._told_refusal = False
