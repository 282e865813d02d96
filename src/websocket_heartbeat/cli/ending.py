"""Turns the signals that end a command into an event of its loop."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType


@contextmanager
def signalled() -> Iterator[asyncio.Event]:
    """Yield an event that Ctrl-C and SIGTERM set, instead of what they do otherwise."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(event.set)

    with ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, event.set)
                stack.callback(loop.remove_signal_handler, number)
            except NotImplementedError:  # Windows' loop, which wakes up for signals by itself
                stack.callback(signal.signal, number, signal.signal(number, handle))
        yield event
