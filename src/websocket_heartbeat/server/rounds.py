"""Does a thing to each of many members: to AT_ONCE of them at once, to the others in later turns of the loop.

So what is done to a room of up to AT_ONCE members is done in order with all else, whatever else goes on. In
a larger one it is in order with what is done to the same room.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from operator import length_hint
from typing import Any, Generic, NamedTuple, TypeVar

AT_ONCE = 1000
"""Members. A message is a microsecond for each, and some 5 over a framework."""

_MOST = 16
"""Rounds that may wait. A program that begins them faster than they can be done waits for its own work."""

M = TypeVar("M")


class _Round(NamedTuple, Generic[M]):
    """left: those still to be reached. members: those of now: those that have left are passed over."""

    left: Iterator[M]
    members: Collection[M]
    act: Callable[[M], None]

    def go_on(self, count: int | None) -> bool:
        """Reach so many more, None for all; return whether nobody is left."""
        for member in islice(self.left, count):
            if member in self.members:
                self.act(member)
        return length_hint(self.left) == 0


class Rounds(Generic[M]):
    """The rounds of all rooms of a hub that are not done yet, the oldest first."""

    def __init__(self) -> None:
        self._waiting: deque[_Round[Any]] = deque()

    def begin(self, members: Collection[M], act: Callable[[M], None]) -> None:
        """Call `act` with each member that has not left until its turn comes; it must not raise."""
        new = _Round(iter(tuple(members)), members, act)
        if any(each.members is members for each in self._waiting) or not new.go_on(AT_ONCE):
            self._wait(new)
            if len(self._waiting) > _MOST:
                self._waiting[0].go_on(None)

    async def done(self) -> None:
        """Wait until all that was begun so far is done."""
        if self._waiting:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._wait(_Round(iter((done,)), (done,), _set_done))
            await done

    def forget(self) -> None:
        """Forget all, as the hub has gone on to another event loop than the one that would do them."""
        self._waiting.clear()

    def _wait(self, new: _Round[Any]) -> None:
        self._waiting.append(new)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """Go on with the oldest, and then in the loop's next turn."""
        try:
            if self._waiting and self._waiting[0].go_on(AT_ONCE):  # else all were forgotten
                self._waiting.popleft()
        finally:  # also where something was raised: the others must not wait for ever
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._go_on)


def _set_done(future: "asyncio.Future[None]") -> None:
    if not future.done():  # nobody has cancelled who waits
        future.set_result(None)
