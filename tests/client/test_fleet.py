"""Many connections opened at a bounded rate, on the memory engine and simulated time."""

import asyncio
from itertools import pairwise

import pytest

from websocket_heartbeat import Backoff, Connection, Fleet, Message, State, connect
from websocket_heartbeat.engines.memory import MemoryEngine
from websocket_heartbeat.testing import SimulatedClock


def test_first_attempts_and_retries_together_keep_to_the_rate() -> None:
    attempts: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def answer(request: object) -> None:
            attempts.append(loop.time())

        engine = MemoryEngine(answer)
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
