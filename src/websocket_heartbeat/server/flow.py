"""Whether a peer takes what is sent to it, or holds so much of our memory that it must be dropped.

`Link.evidence` tells how much the peer has taken.

A peer that reads is not dropped for a burst, of any size. Two rules bound memory, for peers of which more
than `write_limit` waits:
- One that takes nothing is dropped after STALLED seconds; where more than MUCH times write_limit waits, after
  a time that is shorter in proportion, down to SHORTEST.
- One that takes less than is sent is dropped after LAGGING seconds, if what waits has not become less in them
  and what waited at their beginning has not all been taken.
"""

import math

from websocket_heartbeat.engines.base import Link

STALLED = 10.0
SHORTEST = 1.0
MUCH = 16
LAGGING = 60.0

LOOK = 0.5
"""Seconds from one look at a peer whose write buffer is full to the next."""


class Progress:
    """Whether a peer takes what waits for it; made when its link becomes full, and gone when it is not."""

    __slots__ = ("_goal", "_goal_set_at", "_taken", "_taken_at", "_waiting")

    def __init__(self, link: Link, now: float) -> None:
        self._taken = link.evidence().taken
        self._taken_at = now
        # The peer has kept up if it has taken as much as `_goal`, or less waits than `_waiting`.
        self._goal = -math.inf
        self._waiting = 0
        self._goal_set_at = 0.0

    def problem(self, link: Link, now: float, write_limit: int) -> str | None:
        """Return why the peer must be dropped, or None."""
        taken = link.evidence().taken
        waiting = link.position - taken
        if taken > self._taken:
            self._taken_at = now
        self._taken = taken
        if taken >= self._goal or waiting < self._waiting:
            self._goal = taken + waiting
            self._waiting = waiting
            self._goal_set_at = now
        buffered = link.buffered
        if buffered <= write_limit:
            return None
        above = f"of {buffered} bytes that wait, more than write_limit={write_limit},"
        patience = max(SHORTEST, STALLED * min(1, MUCH * write_limit / buffered))
        if now - self._taken_at >= patience:
            return f"did not read: {above} it took none for {patience:.1f} s"
        if now - self._goal_set_at >= LAGGING:
            return f"reads too slowly: {above} there were not fewer for {LAGGING:g} s"
        return None
