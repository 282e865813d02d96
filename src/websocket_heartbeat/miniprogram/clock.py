"""Time, timers and random numbers: declared for portable code, and written over asyncio for CPython."""

import asyncio
import random
from collections.abc import Callable
from typing import Any


class Clock:
    """Time, timers and random numbers; handwritten/clock.js has the same methods in JavaScript."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def now(self) -> float:
        """Seconds of a clock that never goes back."""
        return self._loop.time()

    def random(self) -> float:
        """A number from 0 up to, not including, 1."""
        return random.random()

    def start_timer(self, callback: Callable[[], None], milliseconds: float) -> Any:
        """Call back once, so many milliseconds from now; return what stops it."""
        return self._loop.call_later(milliseconds / 1000, callback)

    def stop_timer(self, timer: Any) -> None:
        """Stop a timer. One that has fired, or none at all, is no error."""
        if timer is not None:
            timer.cancel()
