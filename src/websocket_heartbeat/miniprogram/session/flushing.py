"""Promises of `flush`: kept when nothing is unacknowledged any more, broken when that will never be."""

from typing import Any, Callable

from websocket_heartbeat.miniprogram.session.frames import promise


class Waiter:
    """A promise that waits. keep, fail: keep it; break it, with the text of an error."""

    def __init__(self, keep: Callable[[], None], fail: Callable[[str], None]) -> None:
        self.keep = keep
        self.fail = fail


class Flushing:
    """The promises that wait."""

    def __init__(self) -> None:
        self.waiting: list[Waiter] = []

    def begin(self) -> Any:
        """Return another promise."""
        return promise(lambda keep, fail: self._add(keep, fail))

    def _add(self, keep: Callable[[], None], fail: Callable[[str], None]) -> None:
        self.waiting.append(Waiter(keep, fail))

    def done(self) -> None:
        """Keep them all."""
        while len(self.waiting) > 0:
            waiter: Waiter = self.waiting.pop(0)
            waiter.keep()

    def end(self) -> None:
        """Break them all."""
        while len(self.waiting) > 0:
            waiter: Waiter = self.waiting.pop(0)
            waiter.fail("the connection has ended, and not all that was sent was acknowledged")
