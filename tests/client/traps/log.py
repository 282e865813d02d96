"""What a connection told its user during a test of a trap, and the times that these tests go by."""

import time

from websocket_heartbeat import Backoff, CloseEvent, Connection, Heartbeat, ReconnectEvent

QUICK = Heartbeat(0.4, 0.4)
BOUND = 0.8
"""Seconds within which QUICK notices a dead link."""
SLACK = 6.0
"""Seconds that a loaded machine may add to what takes a fraction of one."""
SOON = Backoff(0.05, 5, 30)


class Log:
    """What the hooks of a connection were told, and when."""

    def __init__(self, connection: Connection) -> None:
        self.opens: list[float] = []
        self.closes: list[CloseEvent] = []
        self.errors: list[Exception] = []
        self.retries: list[ReconnectEvent] = []
        self.closed_at: list[float] = []
        connection.on_open = lambda event: self.opens.append(time.monotonic())
        connection.on_close = self.closed
        connection.on_error = self.errors.append
        connection.on_reconnect = self.retries.append

    def closed(self, event: CloseEvent) -> None:
        self.closes.append(event)
        self.closed_at.append(time.monotonic())
