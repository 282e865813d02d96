"""Notices a window of a session that stays full while its link lives: nobody handles what was sent."""

import asyncio
from collections.abc import Callable

from websocket_heartbeat.core.session import Half

STALLED_AFTER = 30.0
"""Seconds that a window stays full until that is told, or up to twice as many (docs/session.md, 6)."""


class Stall:
    """Looks by a timer, which runs while the window is full now and then: a message costs nothing.

    half: whose outbox it is. is_full: whether the window is full. tell: called once for each time that it
    stays so.
    """

    __slots__ = ("_acked", "_half", "_is_full", "_tell", "_timer", "_told_at")

    def __init__(self, half: Half, is_full: Callable[[], bool], tell: Callable[[], None]) -> None:
        self._half = half
        self._is_full = is_full
        self._tell = tell
        self._acked = 0  # when the timer was set
        self._told_at = -1  # what was acknowledged then
        self._timer: asyncio.TimerHandle | None = None

    def begins(self) -> None:
        """Take the news that the window is full."""
        if self._timer is None and self._half.acked != self._told_at:
            self._acked = self._half.acked
            self._timer = asyncio.get_running_loop().call_later(STALLED_AFTER, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._is_full():
            if self._half.acked == self._acked:
                self._told_at = self._acked
                self._tell()
            else:
                self.begins()

    def stop(self) -> None:
        """Forget it, as the link is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
