"""Wakes every task that waits for something to change."""

import asyncio


class Wakeup:
    """Like asyncio.Event without a state: who waits looks again at what it waits for."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        # A tuple, as the empty one takes no memory: hardly anybody waits, and thousands of these exist.
        self._waiters: tuple[asyncio.Future[None], ...] = ()

    async def wait(self) -> None:
        """Return at the next `notify`."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters += (waiter,)
        try:
            await waiter
        finally:
            self._waiters = tuple(other for other in self._waiters if other is not waiter)

    def notify(self) -> None:
        """Wake all."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
