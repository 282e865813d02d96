"""Runs each test of the client, on simulated or real time, and checks that nothing of it is left."""

import asyncio
import gc
import os
import sys
import warnings
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from websocket_heartbeat import (
    Backoff,
    CloseEvent,
    Connection,
    Heartbeat,
    Message,
    OpenEvent,
    ReconnectEvent,
    State,
    connect,
)
from websocket_heartbeat.engines.base import OpenRequest
from websocket_heartbeat.engines.memory import MemoryEngine, MemoryPeer
from websocket_heartbeat.testing import SimulatedClock

PATIENCE = 20.0
"""Seconds that anything may take before a test gives up waiting for it."""

Run = Callable[[Coroutine[Any, Any, None]], None]


class Watch:
    """Sees to it that a test leaves no task, timer, socket, warning or complaint of its loop behind."""

    def __init__(self) -> None:
        self.complaints: list[dict[str, Any]] = []

    async def watched(self, main: Coroutine[Any, Any, None]) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        before = sockets()
        await main
        await turns(10)  # a socket is closed a few turns of the loop after it was dropped
        assert asyncio.all_tasks() == {asyncio.current_task()}
        timers = [repr(timer) for timer in getattr(loop, "_scheduled", ()) if not timer.cancelled()]
        assert timers == []
        assert sockets() <= before

    def run(self, main: Coroutine[Any, Any, None], runner: Run) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            runner(self.watched(main))
            gc.collect()
        assert [str(warning.message) for warning in caught] == []
        assert self.complaints == []


@pytest.fixture(scope="session", autouse=True)
def _freeze_what_was_imported() -> Iterator[None]:
    """Spare each test's collection of garbage a walk over all modules: it takes longer than most tests."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def play(simulated_clock: SimulatedClock) -> Run:
    """Run a coroutine on the simulated clock."""
    return lambda main: Watch().run(main, simulated_clock.run)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine in real time, once on each event loop."""
    return lambda main: Watch().run(main, uvloop.run if request.param == "uvloop" else asyncio.run)


@pytest.fixture
def run_asyncio() -> Run:
    """Run a coroutine in real time on asyncio's own loop, where the loop makes no difference."""
    return lambda main: Watch().run(main, asyncio.run)


class World:
    """The memory engine, and connections over it that tell the test what they tell their users."""

    def __init__(self) -> None:
        self.engine = MemoryEngine()
        self.events: list[Any] = []

    def connect(self, **options: Any) -> Connection:
        options = {"heartbeat": Heartbeat(10, 5), "backoff": Backoff(1, 60, 30), **options}
        return connect("ws://example.com/feed", engine=self.engine, **options)

    def recorded(self, **options: Any) -> Connection:
        """Return a connection whose hooks write into `events`."""
        connection = self.connect(**options)

        @connection.on_state
        def state(new: State) -> None:
            self.events.append(str(new))

        @connection.on_open
        def opened(event: OpenEvent) -> None:
            self.events.append(event)

        @connection.on_close
        def closed(event: CloseEvent) -> None:
            self.events.append(event)

        @connection.on_reconnect
        def retry(event: ReconnectEvent) -> None:
            self.events.append(event)

        @connection.on_error
        def error(error: Exception) -> None:
            self.events.append(error)

        return connection

    @property
    def peer(self) -> MemoryPeer:
        """The server's end of the latest link."""
        return self.engine.peers[-1]

    def seen(self, kind: type) -> list[Any]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    async def opened(self, connection: Connection, link: int) -> MemoryPeer:
        """Wait until that many links have opened."""
        await until(lambda: connection.stats.links >= link and connection.state == "open")
        return self.peer


@pytest.fixture
def world() -> World:
    return World()


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    simulated = _is_simulated()
    async with asyncio.timeout(PATIENCE * 60 if simulated else PATIENCE):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02 if simulated else 0.002)


async def turns(count: int = 10) -> None:
    """Let everything happen that is due now."""
    for _ in range(count):
        await asyncio.sleep(0)


async def provoke_every_hook(world: World, connection: Connection, times: int) -> None:
    """Let so many links open, bring a message and break, with an attempt that fails before each."""

    async def refuse_every_other(request: OpenRequest) -> None:
        if len(world.engine.requests) % 2 == 0:
            raise OSError("refused")

    world.engine.answer = refuse_every_other
    async with connection:
        for number in range(1, times + 1):
            peer = await world.opened(connection, number)
            peer.send("hello")
            await turns()
            peer.reset()
        await world.opened(connection, times + 1)


async def receive(connection: Connection, into: list[Message]) -> None:
    """Iterate over the connection to its end."""
    async for message in connection:
        into.append(message)


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


def _is_simulated() -> bool:
    return hasattr(asyncio.get_running_loop(), "clock")
