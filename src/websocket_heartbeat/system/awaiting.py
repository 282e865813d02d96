"""Awaits what goes on when who awaits it is cancelled, as others wait for it too."""

import asyncio
from typing import TypeVar

_T = TypeVar("_T")


async def await_shared(future: "asyncio.Future[_T]") -> _T:
    """Return the result of a future, or raise its exception; if cancelled, let it go on.

    That is what `asyncio.shield` does, which complains to the loop, from Python 3.14 on, where such a future
    fails after who has awaited it was cancelled: then nobody wants to know.
    """
    if not future.done():
        future.add_done_callback(_note)
        await asyncio.wait([future])
    return future.result()


def _note(future: "asyncio.Future[_T]") -> None:
    """See the exception of a future that nobody may look at."""
    if not future.cancelled():
        future.exception()
