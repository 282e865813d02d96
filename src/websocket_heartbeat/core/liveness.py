"""One link's liveness: when it was last heard, sent to and pinged, and so when a ping is due."""

from typing import Final

from websocket_heartbeat.core.settings import Settings

IDLE_SHARE: Final = 0.9
"""The share of the interval after which a link of which a ping is due counts as silent, and not as heard."""


class Liveness:
    """When one link was last heard, sent to and pinged.

    Any inbound byte is proof of life, whether it answers the ping or not.
    """

    def __init__(self, settings: Settings, now: float) -> None:
        self.interval: float = settings.interval
        self.both_directions: bool = settings.both_directions
        self.heard_at: float = now
        self.sent_at: float = now
        self.pinged_at: float = now
        self.is_pinged: bool = False
        """Whether a ping is unanswered."""

    def is_idle(self, now: float) -> bool:
        """Whether nothing was heard for the interval, but for the answer to the ping at its beginning."""
        return now >= self.heard_at + IDLE_SHARE * self.interval

    def ping_due(self) -> float:
        """When the link will have been quiet long enough for a ping."""
        last = min(self.heard_at, self.sent_at) if self.both_directions else self.heard_at
        return last + self.interval

    def pinged(self, now: float) -> None:
        """A ping was sent at `now`: whatever arrives from then on answers it."""
        self.pinged_at = now
        self.sent_at = now
        self.is_pinged = True

    def heard(self, at: float) -> None:
        """Take proof of life from the time `at`; the latest counts."""
        if at > self.heard_at:
            self.heard_at = at
        if at >= self.pinged_at:
            self.is_pinged = False

    def sent(self, at: float) -> None:
        """Note that something was sent at the time `at`; the latest counts."""
        if at > self.sent_at:
            self.sent_at = at
