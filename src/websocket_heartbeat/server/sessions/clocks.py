"""The clock of this machine, beside that of the store: deadlines and leases are in the time of day."""

import logging

_logger = logging.getLogger("websocket_heartbeat.server")

_MOST = 5.0
"""Seconds by which two clocks may differ without a word."""


def compare(before: float, there: float, after: float) -> None:
    """Warn if the clock of this machine is not that of the store.

    before, after: what it has shown when the store was asked, and had answered. there: what the store's has.
    """
    ahead = before - there if before > there else min(0.0, after - there)
    if abs(ahead) > _MOST:
        words = (
            "the clock of this machine is %.0f s %s that of the store: sessions that others have may expire "
            "too early here, or ours there"
        )
        way = "ahead of" if ahead > 0 else "behind"
        _logger.warning(words, abs(ahead), way, extra={"clock_ahead": ahead})
