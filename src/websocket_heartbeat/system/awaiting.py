"""Awaits a future that several tasks await: it goes on when one of them is cancelled."""

import asyncio
from typing import TypeVar

_T = TypeVar("_T")


async def await_shared(future: "asyncio.Future[_T]") -> _T:
    """Return the result of a future, or raise its exception; if cancelled, let it go on.

    `asyncio.shield` does that too, but from Python 3.14 on it reports an exception of the future to the
    loop's exception handler if the task that awaited it was cancelled before.
    """
    if not future.done():
        future.add_done_callback(_note)
        await asyncio.wait([future])
    return future.result()


def _note(future: "asyncio.Future[_T]") -> None:
    """Retrieve the exception, which asyncio would log where every task was cancelled."""
    if not future.cancelled():
        future.exception()
