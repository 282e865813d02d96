"""One link's liveness: when a ping is due, and when its answer is overdue."""

from websocket_heartbeat.core.settings import Settings


class Liveness:
    """When one link was last heard, sent to and pinged, and how long an answer may take.

    Any inbound byte is proof of life, whether it answers the ping or not.
    """

    def __init__(self, settings: Settings, now: float) -> None:
        self.interval = settings.interval
        self.both_directions = settings.both_directions
        self.heard_at = now
        self.sent_at = now
        self.received_at = now
        self.pinged_at = now
        self.timeout_from = now
        self.timeout = settings.timeout

    def is_silent(self, now: float) -> bool:
        """Whether nothing was heard for the interval."""
        return now >= self.heard_at + self.interval

    def ping_due(self) -> float:
        """When the link will have been quiet long enough for a ping."""
        last = min(self.heard_at, self.sent_at) if self.both_directions else self.heard_at
        return last + self.interval

    def is_pinged(self) -> bool:
        """Whether a ping is unanswered."""
        return self.heard_at < self.pinged_at

    def timeout_due(self) -> float:
        """When the time for an answer is over."""
        return self.timeout_from + self.timeout

    def pinged(self, now: float) -> None:
        """A ping was sent at `now`: whatever arrives from then on answers it."""
        self.pinged_at = now
        self.sent_at = now

    def start_timeout(self, now: float, timeout: float) -> None:
        """Give the peer `timeout` seconds from `now` on: for a new ping, or once more for the same one."""
        self.timeout_from = now
        self.timeout = timeout

    def heard(self, at: float) -> None:
        """Take proof of life from the time `at`; the latest counts."""
        if at > self.heard_at:
            self.heard_at = at

    def sent(self, at: float) -> None:
        """Note that something was sent at the time `at`; the latest counts."""
        if at > self.sent_at:
            self.sent_at = at

    def received(self, at: float) -> None:
        """Note that a message arrived at the time `at`; the latest counts."""
        if at > self.received_at:
            self.received_at = at
