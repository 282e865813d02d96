"""Messages that were received: the user gets one after the other, each when the one before was handled."""

from typing import Any, Callable, Final

MOST_VOLATILE: Final = 256
"""Messages that may wait when one comes that is kept nowhere; it is dropped then."""


class Received:
    """A message. event: what the user gets. is_volatile: whether it has no number."""

    def __init__(self, event: Any, is_volatile: bool) -> None:
        self.event = event
        self.is_volatile = is_volatile


class Inbox:
    """What was received and not handled yet.

    deliver: gives the user an event, and calls back when the user has done with it.
    handled: is told of each message with a number that the user has done with.
    is_stopped: whether the user gets nothing for now.
    """

    def __init__(
        self, deliver: Callable[[Any, Callable[[], None]], None], handled: Callable[[], None]
    ) -> None:
        self.deliver = deliver
        self.handled = handled
        self.waiting: list[Received] = []
        self.current: Received | None = None
        self.is_giving: bool = False
        self.is_stopped: bool = False

    def add(self, event: Any, is_volatile: bool) -> None:
        """Take a message that has come."""
        if not is_volatile or len(self.waiting) < MOST_VOLATILE:
            self.waiting.append(Received(event, is_volatile))
            self._give()

    def stop(self) -> None:
        """Give the user nothing until `go_on`."""
        self.is_stopped = True

    def go_on(self) -> None:
        """Give the user what waits."""
        self.is_stopped = False
        self._give()

    def forget_all(self) -> None:
        """Give the user nothing more."""
        self.waiting = []

    def _give(self) -> None:
        if self.is_giving:
            return
        self.is_giving = True
        while len(self.waiting) > 0 and self.current is None and not self.is_stopped:
            received: Received = self.waiting.pop(0)
            self.current = received
            self.deliver(received.event, lambda: self._done())
        self.is_giving = False

    def _done(self) -> None:
        received = self.current
        self.current = None
        if received is not None and not received.is_volatile:
            self.handled()
        self._give()
