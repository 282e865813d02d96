"""The client over the memory engine, on simulated time: `simulated_clock` comes from testing/plugin.py."""

from typing import Any

import pytest
from tests.watch import Run, Watch, turns, until

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


@pytest.fixture
def play(simulated_clock: SimulatedClock) -> Run:
    """Run a coroutine on the simulated clock."""
    return lambda main: Watch().run(main, simulated_clock.run)


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


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment, without proxies."""
    for name in ("http", "https", "ws", "wss", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    return monkeypatch


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
