"""The engines and event loops under which each conformance test runs."""

import asyncio
import gc
import os
import sys
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from websocket_heartbeat import engines
from websocket_heartbeat.engines.base import Engine

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(scope="session", autouse=True)
def _frozen() -> None:
    """Spare the collections after each test what was there before the first: they are most of the time."""
    gc.freeze()


@pytest.fixture(params=engines.NAMES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine with its defaults."""
    return engines.load(request.param)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on a loop of its own; nothing may be left or be logged by the loop."""
    complaints: list[dict[str, Any]] = []

    async def watched(main: Coroutine[Any, Any, None]) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        before = _sockets()
        await main
        # What was dropped closes its socket within a few turns of the loop.
        for _ in range(10):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert _sockets() <= before

    def runner(main: Coroutine[Any, Any, None]) -> None:
        factory = uvloop.new_event_loop if request.param == "uvloop" else None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ResourceWarning)
            with asyncio.Runner(loop_factory=factory) as loop_runner:
                loop_runner.run(watched(main))
            gc.collect()
        assert [str(warning.message) for warning in caught] == []
        assert complaints == []

    return runner


def _sockets() -> set[str]:
    """Name the sockets that this process has open, as well as the system tells."""
    if sys.platform != "linux":
        return set()
    names = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            names.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:  # the one of listdir itself
            continue
    return {name for name in names if name.startswith("socket:")}
