"""Many connections opened at a bounded rate, on the memory engine and simulated time."""

import asyncio
import gc
import weakref
from contextvars import ContextVar
from itertools import pairwise
from typing import Any

import pytest
from tests.watch import PATIENCE

from websocket_heartbeat import (
    Backoff,
    CloseEvent,
    Connection,
    Fleet,
    Message,
    OpenEvent,
    ReconnectEvent,
    State,
    connect,
    sync,
)
from websocket_heartbeat.engines.memory import MemoryEngine
from websocket_heartbeat.server import Hub, serve
from websocket_heartbeat.testing import SimulatedClock


def engine_that_notes(attempts: list[float]) -> MemoryEngine:
    """Return an engine that notes when it is asked for a link."""
    loop = asyncio.get_running_loop()

    async def answer(request: object) -> None:
        attempts.append(loop.time())

    return MemoryEngine(answer)


def test_first_attempts_and_retries_together_keep_to_the_rate() -> None:
    attempts: list[float] = []

    async def main() -> None:
        engine = engine_that_notes(attempts)
        async with Fleet(open_rate=10) as fleet:
            for _ in range(20):
                fleet.add(
                    connect("ws://example.com/", engine=engine, backoff=Backoff(initial=0.01, maximum=0.1))
                )
            await asyncio.sleep(5)
            assert fleet.states == {State.OPEN: 20}
            for peer in engine.live_peers:
                peer.reset()
            await asyncio.sleep(5)
            assert fleet.states == {State.OPEN: 20}
            assert fleet.stats.links == 40

    SimulatedClock().run(main())
    assert len(attempts) == 40
    gaps = [later - earlier for earlier, later in pairwise(attempts)]
    assert min(gaps) > 0.099


def test_one_set_of_hooks_serves_all_and_is_told_which_connection_it_is() -> None:
    async def main() -> None:
        engine = MemoryEngine()
        received: list[tuple[Connection, Message]] = []
        async with Fleet() as fleet:
            early = fleet.add(connect("ws://example.com/1", engine=engine))
            fleet.on_message = lambda connection, message: received.append((connection, message))
            late = fleet.add(connect("ws://example.com/2", engine=engine))
            await early.wait_open(5)
            await late.wait_open(5)
            engine.peers[0].send("one")
            engine.peers[1].send("two")
            assert received == [(early, "one"), (late, "two")]

    SimulatedClock().run(main())


def test_hooks_may_be_given_as_arguments_too() -> None:
    async def main() -> None:
        engine = MemoryEngine()
        told: list[tuple[Connection, object]] = []

        def tell(connection: Connection, what: object) -> None:
            told.append((connection, what))

        names = ["on_open", "on_message", "on_close", "on_reconnect", "on_state", "on_error", "on_session"]
        hooks: dict[str, Any] = dict.fromkeys(names, tell)
        fleet = Fleet(**hooks)
        async with fleet:
            connection = fleet.add(connect("ws://example.com/", engine=engine))
            await connection.wait_open(5)
            engine.peers[0].send("one")
            engine.peers[0].reset()
            await connection.wait_open(60)
        assert {each for each, _ in told} == {connection}
        kinds = {type(what) for _, what in told}
        assert {OpenEvent, str, CloseEvent, ReconnectEvent, State} <= kinds

    SimulatedClock().run(main())


def test_a_fleet_hears_of_sessions() -> None:
    async def main() -> None:
        told: list[tuple[Connection, str]] = []
        hub = Hub(sessions="memory")
        fleet = Fleet(on_session=lambda connection, event: told.append((connection, event.kind)))
        async with serve(hub=hub) as server, fleet:
            connection = fleet.add(connect(server.url(), session="require", proxy=None))
            await connection.wait_open(PATIENCE)
        assert told[0] == (connection, "new")

    asyncio.run(main())


def test_a_hook_that_ends_the_program_keeps_no_other_connection_from_its_turn() -> None:
    class Stop(BaseException):
        pass

    async def main() -> None:
        raised: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: raised.append(context["exception"])
        )

        def stop(connection: Connection, state: State) -> None:
            if connection is connections[1]:
                fleet.on_state = None
                raise Stop

        engine = MemoryEngine()
        async with Fleet(open_rate=10) as fleet:
            fleet.on_state = stop
            connections = [connect("ws://example.com/", engine=engine) for _ in range(4)]
            for connection in connections:
                fleet.add(connection)
            for connection in connections:
                await connection.wait_open(5)
        assert [type(error) for error in raised] == [Stop]

    SimulatedClock().run(main())


def test_close_ends_every_connection_also_those_whose_turn_has_not_come() -> None:
    async def main() -> None:
        engine = MemoryEngine()
        fleet = Fleet(open_rate=1)
        connections = [fleet.add(connect("ws://example.com/", engine=engine)) for _ in range(3)]
        await connections[0].wait_open(5)
        await fleet.close()
        await asyncio.sleep(10)
        assert [connection.state for connection in connections] == [State.CLOSED] * 3
        assert fleet.connections == []
        assert len(engine.requests) == 1

    SimulatedClock().run(main())


def test_a_connection_that_was_started_is_refused() -> None:
    async def main() -> None:
        async with connect("ws://example.com/", engine=MemoryEngine()) as connection, Fleet() as fleet:
            with pytest.raises(ValueError, match="must not be started"):
                fleet.add(connection)

    SimulatedClock().run(main())


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="open_rate"):
        Fleet(open_rate=rate)


def test_a_connection_that_ends_before_its_turn_holds_up_nobody_and_takes_no_turn() -> None:
    attempts: list[float] = []

    async def main() -> None:
        engine = engine_that_notes(attempts)
        async with Fleet(open_rate=1) as fleet:
            connections = [fleet.add(connect("ws://example.com/", engine=engine)) for _ in range(4)]
            await connections[1].close()
            connections[2].start()
            await asyncio.sleep(10)
            assert fleet.states == {State.OPEN: 3, State.CLOSED: 1}

    SimulatedClock().run(main())
    assert [round(at - attempts[0]) for at in attempts] == [0, 0, 1]


def test_a_connection_is_added_once_and_to_one_fleet() -> None:
    async def main() -> None:
        async with Fleet(open_rate=1) as fleet, Fleet() as other:
            fleet.add(connect("ws://example.com/", engine=MemoryEngine()))
            waiting = fleet.add(connect("ws://example.com/", engine=MemoryEngine()))
            for anew in (fleet, other):
                with pytest.raises(ValueError, match="added to a fleet already"):
                    anew.add(waiting)

    SimulatedClock().run(main())


def test_a_connection_for_blocking_code_is_refused() -> None:
    async def main() -> None:
        async with Fleet() as fleet:
            with pytest.raises(TypeError, match="connection must be a Connection"):
                fleet.add(sync.connect("ws://example.com/"))  # type: ignore[arg-type]
            assert fleet.connections == []

    SimulatedClock().run(main())


def test_what_ended_connections_did_stays_in_the_sum_and_they_are_let_go() -> None:
    async def main() -> None:
        engine = MemoryEngine()
        async with Fleet(open_rate=1000) as fleet:
            first = fleet.add(connect("ws://example.com/", engine=MemoryEngine()))
            await first.wait_open(5)
            gone = weakref.ref(first)
            await first.close()
            del first
            for _ in range(200):
                await fleet.add(connect("ws://example.com/", engine=engine)).close()
            gc.collect()
            assert gone() is None
            assert fleet.connections == []
            assert fleet.stats.links == 1
            assert fleet.states == {State.CLOSED: 201}

    SimulatedClock().run(main())


def test_the_sum_tells_how_many_messages_wait() -> None:
    async def main() -> None:
        async with Fleet(open_rate=1) as fleet:
            for _ in range(3):
                await fleet.add(connect("ws://example.com/", engine=MemoryEngine())).send("x")
            assert fleet.stats.queued == 3

    SimulatedClock().run(main())


def test_close_takes_one_close_timeout_however_many_the_server_does_not_answer() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        engine = MemoryEngine()
        async with Fleet(open_rate=10_000) as fleet:
            for _ in range(500):
                fleet.add(connect("ws://example.com/", engine=engine, close_timeout=5))
            await asyncio.sleep(1)
            for peer in engine.live_peers:
                peer.frozen = True
            began = loop.time()
        assert loop.time() - began < 7

    SimulatedClock().run(main())


def test_a_close_that_is_cancelled_drops_every_connection() -> None:
    async def main() -> None:
        engine = MemoryEngine()
        fleet = Fleet(open_rate=10_000)
        for _ in range(500):
            fleet.add(connect("ws://example.com/", engine=engine))
        await asyncio.sleep(1)
        for peer in engine.live_peers:
            peer.frozen = True
        closing = asyncio.create_task(fleet.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        assert fleet.states == {State.CLOSED: 500}

    SimulatedClock().run(main())


def test_a_loop_that_was_blocked_lets_no_herd_loose() -> None:
    clock = SimulatedClock()
    attempts: list[float] = []

    async def main() -> None:
        engine = engine_that_notes(attempts)
        async with Fleet(open_rate=10) as fleet:
            for _ in range(100):
                fleet.add(connect("ws://example.com/", engine=engine))
            clock.advance(5)
            await asyncio.sleep(1)

    clock.run(main())
    assert len(attempts) < 20


def test_each_connection_lives_in_the_context_of_whoever_added_it() -> None:
    place: ContextVar[int] = ContextVar("place")
    seen: list[int] = []

    async def main() -> None:
        async with Fleet(open_rate=10) as fleet:
            fleet.on_open = lambda connection, event: seen.append(place.get())
            for number in range(4):
                place.set(number)
                fleet.add(connect("ws://example.com/", engine=MemoryEngine()))
            await asyncio.sleep(1)

    SimulatedClock().run(main())
    assert seen == [0, 1, 2, 3]
