"""What happened in a proxy, and when."""

import time
from typing import NamedTuple


class LogEntry(NamedTuple):
    """One thing that happened in a proxy."""

    at: float
    """When, by time.monotonic()."""
    event: str
    """The name of a fault, or "accepted", "connected", "unreachable", "cut", "closed" for what happened to
    connections."""
    detail: str
    """The arguments of the fault, or the number of the connection."""


class Log(list[LogEntry]):
    """The entries of a proxy, oldest first."""

    def note(self, event: str, detail: str = "") -> None:
        """Write down what happens now."""
        self.append(LogEntry(time.monotonic(), event, detail))
