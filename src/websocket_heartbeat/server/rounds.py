"""Does a thing to each of many members in turn, and gives the loop turns for others meanwhile.

What is begun later comes later to each member: there is one queue for all rooms of a hub.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

TURN = 0.01
"""Seconds after which the rest waits for the loop's next turn. A thousand short messages take less."""

_MOST = 16
"""Rounds that may wait. A program that begins them faster than they can be done waits for its own work."""

M = TypeVar("M")


class _Round(NamedTuple, Generic[M]):
    """left: those still to be reached. members: who is a member now: those who have left are passed over."""

    left: Iterator[M]
    members: Collection[M]
    act: Callable[[M], None]


class Rounds(Generic[M]):
    """The rounds of all rooms of a hub, the oldest first."""

    def __init__(self) -> None:
        self._waiting: deque[_Round[Any]] = deque()

    def begin(self, members: Collection[M], act: Callable[[M], None]) -> None:
        """Call `act` with each who is a member now and still is when it is reached; it must not raise."""
        self._waiting.append(_Round(iter(tuple(members)), members, act))
        if len(self._waiting) == 1:
            self._go_on()
        elif len(self._waiting) > _MOST:
            self._work(float("inf"))

    async def done(self) -> None:
        """Wait until all that was begun so far is done."""
        if self._waiting:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(_Round(iter((done,)), (done,), _set_done))
            await done

    def _go_on(self) -> None:
        """Work for a while, and then in the loop's next turn."""
        try:
            until = time.monotonic() + TURN
            while self._waiting and self._work(until):
                pass
        finally:  # also where something was raised: the others must not wait for ever
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._go_on)

    def _work(self, until: float) -> bool:
        """Work on the oldest round until that time; return whether it is done."""
        left, members, act = self._waiting[0]
        for member in left:
            if member in members:
                act(member)
                if time.monotonic() >= until:
                    return False
        self._waiting.popleft()
        return True


def _set_done(future: "asyncio.Future[None]") -> None:
    if not future.done():  # nobody has cancelled who waits
        future.set_result(None)
