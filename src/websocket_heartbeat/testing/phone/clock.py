"""The timers of a program that its platform may stop."""

from collections.abc import Callable
from typing import Any

from websocket_heartbeat.miniprogram.clock import Clock
from websocket_heartbeat.miniprogram.language import Record


class PhoneClock(Clock):
    """Timers that stop with the program and fire, overdue, when it goes on.

    deliver: calls what it gets now, or when the program goes on.
    """

    def __init__(self, deliver: Callable[[Callable[[], None]], None]) -> None:
        super().__init__()
        self._deliver = deliver

    def start_timer(self, callback: Callable[[], None], milliseconds: float) -> Any:
        """Call back once, so many milliseconds from now, or when the program is shown after that."""
        timer = Record(stopped=False)

        def fire() -> None:
            if not timer["stopped"]:
                callback()

        timer["handle"] = super().start_timer(lambda: self._deliver(fire), milliseconds)
        return timer

    def stop_timer(self, timer: Any) -> None:
        """Stop a timer, even one that is overdue already."""
        if timer is not None:
            timer["stopped"] = True
            timer["handle"].cancel()
