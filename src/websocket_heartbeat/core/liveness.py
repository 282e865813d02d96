"""One link's liveness: when a ping is due, and when its answer is overdue."""

from websocket_heartbeat.core.settings import Settings


class Liveness:
    """When one link was last heard and pinged, and how long its answer may take.

    Any inbound byte is proof of life, whether it answers the ping or not.
    """

    def __init__(self, settings: Settings, now: float) -> None:
        self.interval = settings.interval
        self.heard_at = now
        self.pinged_at = now
        self.timeout_from = now
        self.timeout = settings.timeout

    def ping_due(self) -> float:
        """When the link will have been idle long enough for a ping."""
        return self.heard_at + self.interval

    def timeout_due(self) -> float:
        """When the time for an answer is over."""
        return self.timeout_from + self.timeout

    def pinged(self, now: float) -> None:
        """A ping was sent at `now`: whatever arrives from then on answers it."""
        self.pinged_at = now

    def start_timeout(self, now: float, timeout: float) -> None:
        """Give the peer `timeout` seconds from `now` on: for a new ping, or once more for the same one."""
        self.timeout_from = now
        self.timeout = timeout

    def heard(self, at: float) -> None:
        """Take proof of life from the time `at`; the latest counts."""
        if at > self.heard_at:
            self.heard_at = at
