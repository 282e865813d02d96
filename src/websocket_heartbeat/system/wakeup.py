"""Wakes every task that waits for something to change."""

import asyncio


class Wakeup:
    """Like asyncio.Event without a state: a task that is woken checks its condition again."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        # None while no task waits, to save memory: there are thousands of these, and few have waiters.
        self._waiters: list[asyncio.Future[None]] | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether a task waits that was not woken yet."""
        return self._waiters is not None

    async def wait(self) -> None:
        """Return at the next `notify`."""
        waiter = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = [waiter]
        else:
            self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if self._waiters is not None and waiter in self._waiters:
                self._waiters.remove(waiter)
                self._waiters = self._waiters or None
            raise

    def notify(self) -> None:
        """Wake all tasks that wait."""
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)
