"""The functions that a program has given a platform, called as the platform does."""

from collections.abc import Callable
from typing import Any

from websocket_heartbeat.miniprogram.language import report


class Listeners:
    """The listeners to some kinds of event.

    deliver: calls what it gets now, or later where the program is stopped. names: the kinds of event.
    """

    def __init__(self, deliver: Callable[[Callable[[], None]], None], *names: str) -> None:
        self._deliver = deliver
        self._by_name: dict[str, list[Any]] = {name: [] for name in names}

    def add(self, name: str, listener: Any) -> None:
        """Add a listener to one kind of event."""
        self._by_name[name].append(listener)

    def remove(self, name: str, listener: Any) -> None:
        """Remove a listener to one kind of event; with None, as platforms do, everybody's."""
        kept = [] if listener is None else [each for each in self._by_name[name] if each is not listener]
        self._by_name[name] = kept

    def emit(self, name: str, event: Any) -> None:
        """Call the listeners to one kind of event."""
        for listener in list(self._by_name[name]):
            self.call(listener, event)

    def call(self, function: Any, argument: Any) -> None:
        """Call one function of the program, if it is one; what it throws is reported, no more."""
        self._deliver(lambda: _call(function, argument))


def _call(function: Any, argument: Any) -> None:
    if callable(function):
        try:
            function(argument)
        except Exception as error:
            report(error)
