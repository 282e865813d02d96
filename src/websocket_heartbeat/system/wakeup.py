"""Wakes every task that waits for something to change."""

import asyncio


class Wakeup:
    """Like asyncio.Event without a state: a task that is woken checks its condition again."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        # A tuple, as the empty one takes no memory: there are thousands of these, and few have waiters.
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
        """Wake all tasks that wait."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
