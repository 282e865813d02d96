"""One timer that rings at a deadline which moves."""

from typing import Any, Callable, Final

from websocket_heartbeat.miniprogram.clock import Clock

LONGEST_TIMER: Final = 2000000000.0
"""Milliseconds; beyond 2^31 setTimeout fires at once."""


class Alarm:
    """Calls `ring` at the deadline, or before: whoever is called early sets the deadline again.

    timer: the host's timer, which fires at `fires_at` in seconds of the clock; nothing while none is set.
    """

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self.clock = clock
        self.ring = ring
        self.timer: Any = None
        self.fires_at: float = 0.0

    def set(self, deadline: float | None) -> None:
        """Ring at the deadline; not at all if there is none."""
        if deadline is not None and self.timer is not None and self.fires_at <= deadline:
            return
        self.clock.stop_timer(self.timer)
        self.timer = None
        if deadline is not None:
            self.fires_at = deadline
            # A busy program comes late, and Node warns of timers in the past.
            wait = max(0.0, min((deadline - self.clock.now()) * 1000, LONGEST_TIMER))
            self.timer = self.clock.start_timer(lambda: self._fired(), wait)

    def _fired(self) -> None:
        self.timer = None
        self.ring()
