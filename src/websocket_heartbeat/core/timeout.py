"""A limit of time, and the one grace period at its end."""

from typing import Final

SHORTEST_GRACE: Final = 0.001
"""Seconds: one turn of any event loop, in which it reads what has arrived."""


class Timeout:
    """So many seconds for something to happen.

    A host that was busy or asleep may not have read yet that it has happened. So the first time that the end
    is noticed gives one grace period: as long as the host was late, at most the whole time again.

    seconds: how long. due: when the time is over, or the grace period.
    had_grace: whether the grace period was given.
    """

    def __init__(self, now: float, seconds: float) -> None:
        self.seconds = seconds
        self.due: float = now + seconds
        self.had_grace: bool = False

    def restart(self, at: float) -> None:
        """Give the whole time from `at` on, unless more than that is left."""
        due = at + self.seconds
        if due >= self.due:
            self.due = due
            self.had_grace = False

    def ran_out(self, now: float) -> bool:
        """Whether the grace period is over too; give it if the time is over and it was not given yet."""
        if now < self.due:
            return False
        if self.had_grace:
            return True
        self.had_grace = True
        self.due = now + min(self.seconds, max(now - self.due, SHORTEST_GRACE))
        return False
