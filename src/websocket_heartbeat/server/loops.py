"""On which event loop a hub is called, that of its peers and its store; errors say how to get there."""

import asyncio

HOW = (
    "from another thread, have it called there by loop.call_soon_threadsafe(...), "
    "or by asyncio.run_coroutine_threadsafe(...) what is awaited; "
    "from a view that is no coroutine function, by async_to_sync (Django) or anyio.from_thread (FastAPI)"
)
"""How it is called from elsewhere, for errors."""


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that runs in this thread.

    Raises:
        RuntimeError: none does.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            f"a hub and its peers belong to an event loop, and none runs here: {HOW}; "
            "a program without one has asyncio.run(...) run what sends within `async with hub`"
        ) from None
