"""What a program does at SIGTERM before the server beneath it does: for the lifespan of an application."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from websocket_heartbeat.system.callbacks import place_of

_logger = logging.getLogger("websocket_heartbeat.server")


@contextmanager
def before_sigterm(work: Callable[[], Coroutine[Any, Any, None]]) -> Iterator[None]:
    """Within the block, have SIGTERM call `work` first, and then do what it did before the block.

    A second SIGTERM does that at once. Nothing changes outside the main thread, which has no signals, as in
    tests that run an application in a thread.
    """
    previous = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or previous is None:
        yield
        return
    loop = asyncio.get_running_loop()
    working: asyncio.Task[None] | None = None

    def signalled(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(begin)

    def begin() -> None:
        nonlocal working
        if working is None:
            working = loop.create_task(run())
        else:
            go_on()

    async def run() -> None:
        try:
            await work()
        except Exception as error:
            kind, place = type(error).__name__, place_of(error)
            _logger.error("before SIGTERM: %s at %s", kind, place, extra={"error": kind, "place": place})
        go_on()

    def go_on() -> None:
        if signal.getsignal(signal.SIGTERM) is signalled:
            signal.signal(signal.SIGTERM, previous)
            signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, signalled)
    try:
        yield
    finally:
        if working is not None:
            working.cancel()
        if signal.getsignal(signal.SIGTERM) is signalled:
            signal.signal(signal.SIGTERM, previous)
