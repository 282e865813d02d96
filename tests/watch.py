"""Sees to it that a test leaves nothing behind, on whatever loop it runs; and how tests wait."""

import asyncio
import gc
import os
import sys
import warnings
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any

import pytest

PATIENCE = 20.0
"""Seconds that anything may take before a test gives up waiting for it."""

IS_CPYTHON = sys.implementation.name == "cpython"

counts_references = pytest.mark.skipif(
    not IS_CPYTHON, reason="PyPy collects only later what nobody refers to"
)
"""Of tests that drop what is open, and see what comes of it."""

Run = Callable[[Coroutine[Any, Any, None]], None]
"""Runs the coroutine of a test to its end: the fixtures run, run_asyncio and play."""


class Watch:
    """Runs a test that must leave no task, timer, socket, warning or complaint of its loop behind."""

    def __init__(self) -> None:
        self._complaints: list[dict[str, Any]] = []
        self._task: asyncio.Task[Any] | None = None  # of the test

    def run(self, main: Coroutine[Any, Any, None], runner: Run) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                runner(self._watched(main))
            except asyncio.CancelledError:
                if not self._complaints:
                    raise
            gc.collect()
        # Elsewhere than in CPython, what is collected now may be another test's.
        ours = [warning for warning in caught if IS_CPYTHON or warning.category is not ResourceWarning]
        _must_be_empty("warnings", [str(warning.message) for warning in ours])
        _must_be_empty("complaints of the loop", self._complaints)

    def _complain(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._complaints.append(context)
        if self._task is not None and isinstance(context.get("exception"), pytest.fail.Exception):
            self._task.cancel()  # the test's time is over: the loop has caught what pytest-timeout raised

    async def _watched(self, main: Coroutine[Any, Any, None]) -> None:
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        loop.set_exception_handler(self._complain)
        before = sockets()
        await main
        await turns(10)  # a socket is closed a few turns of the loop after it was dropped
        _must_be_empty("tasks", asyncio.all_tasks() - {asyncio.current_task()})
        timers = [repr(timer) for timer in getattr(loop, "_scheduled", ()) if not timer.cancelled()]
        _must_be_empty("timers", timers)
        _must_be_empty("sockets", sockets() - before)


def _must_be_empty(name: str, left: Collection[object]) -> None:
    assert not left, f"{name} that the test left behind: {left}"


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    simulated = hasattr(asyncio.get_running_loop(), "clock")
    async with asyncio.timeout(PATIENCE * 60 if simulated else PATIENCE):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02 if simulated else 0.002)


async def eventually(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait for a condition that has to be awaited."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def turns(count: int = 10) -> None:
    """Let everything happen that is due now."""
    for _ in range(count):
        await asyncio.sleep(0)


def sockets() -> set[str]:
    """Name the sockets that this process has open, where the system tells."""
    if sys.platform != "linux":
        return set()
    names = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            names.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:  # the one of listdir itself
            continue
    return {name for name in names if name.startswith("socket:")}
