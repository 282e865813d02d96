"""One link's liveness: when to ping, and when to doubt it."""

from websocket_heartbeat.core.settings import Settings


class Liveness:
    """What is known of one link: when it was last heard and pinged, and how long it may keep us waiting.

    Any inbound byte is proof of life, whether it answers the ping or not.
    """

    def __init__(self, settings: Settings, now: float) -> None:
        self.interval = settings.interval
        self.heard_at = now
        self.pinged_at = now
        self.patient_from = now
        self.patience = settings.timeout

    def ping_due(self) -> float:
        """When the link will have been idle long enough for a ping."""
        return self.heard_at + self.interval

    def doubt_due(self) -> float:
        """When an unanswered ping will have stayed unanswered for too long."""
        return self.patient_from + self.patience

    def pinged(self, now: float) -> None:
        """A ping left at `now`: what arrives from then on answers it."""
        self.pinged_at = now

    def be_patient(self, now: float, patience: float) -> None:
        """Give the peer `patience` seconds from `now` on: for a new ping, or once more for the same."""
        self.patient_from = now
        self.patience = patience

    def heard(self, at: float) -> None:
        """Take proof of life from the time `at`; the latest counts."""
        if at > self.heard_at:
            self.heard_at = at
