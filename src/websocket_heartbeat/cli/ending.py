"""Turns the signals that end a command into an event of its loop."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType


class Ended(asyncio.Event):
    """Set when a signal has come; `status` is then the exit status that a shell expects: 130 after Ctrl-C."""

    status: int = 0

    def by(self, number: int) -> None:
        """Note the signal."""
        self.status = 128 + number
        self.set()


@contextmanager
def signalled() -> Iterator[Ended]:
    """Yield an event that Ctrl-C and SIGTERM set, instead of what they do otherwise."""
    loop = asyncio.get_running_loop()
    ended = Ended()

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(ended.by, number)

    with ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, ended.by, number)
                stack.callback(loop.remove_signal_handler, number)
            except NotImplementedError:  # Windows' loop, which wakes up for signals by itself
                stack.callback(signal.signal, number, signal.signal(number, handle))
        yield ended
