"""Silent links are noticed and replaced, idle ones are kept, and the user may choose what is sent."""

import asyncio
from typing import Any

import pytest
from tests.client.conftest import World
from tests.watch import Run, turns, until

from websocket_heartbeat import CloseEvent, Heartbeat, HookFailed, Message
from websocket_heartbeat.testing import SimulatedClock


def test_latency_is_the_time_from_heartbeat_to_answer(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            peer = await world.opened(connection, 1)
            peer.answers_pings = False
            await until(lambda: peer.pings)
            assert connection.latency is None
            assert connection.state == "probing"
            await asyncio.sleep(1.5)
            peer.send("alive")
            assert connection.latency == pytest.approx(1.5, abs=0.05)
            assert connection.state == "open"

    play(main())


def test_a_silent_link_is_noticed_within_interval_and_timeout(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.recorded() as connection:
            peer = await world.opened(connection, 1)
            peer.frozen = True
            since = asyncio.get_running_loop().time()
            await until(lambda: world.seen(CloseEvent))
            assert asyncio.get_running_loop().time() - since <= 15.2
            assert peer.aborted
            assert [event.reason[:17] for event in world.seen(CloseEvent)] == ["heartbeat timeout"]

    play(main())


def test_the_reason_tells_of_our_own_loop_only_where_it_was_blocked_since_the_last_proof_of_life(
    world: World, play: Run, simulated_clock: SimulatedClock
) -> None:
    async def main() -> None:
        async with world.recorded() as connection:
            peer = await world.opened(connection, 1)
            peer.answers_pings = False
            await until(lambda: connection.state == "probing")
            simulated_clock.advance(30)
            await turns()
            peer.send("alive")
            assert connection.state == "open"
            peer.frozen = True
            peer = await world.opened(connection, 2)
            peer.frozen = True
            await until(lambda: connection.state == "probing")
            simulated_clock.advance(30)
            await until(lambda: len(world.seen(CloseEvent)) == 2)
        reasons = [event.reason for event in world.seen(CloseEvent)][:2]
        assert ["blocked for 2" in reason for reason in reasons] == [False, True], reasons

    play(main())


def test_the_reason_does_not_tell_of_a_blocked_loop_of_long_ago_on_a_link_that_receives_all_the_time(
    world: World, play: Run, simulated_clock: SimulatedClock
) -> None:
    async def main() -> None:
        async with world.recorded(heartbeat=Heartbeat(message="beat")) as connection:
            peer = await world.opened(connection, 1)
            simulated_clock.advance(30)
            for _ in range(100):
                peer.send("news")
                await asyncio.sleep(1)
            peer.frozen = True
            await until(lambda: world.seen(CloseEvent))
        reason = world.seen(CloseEvent)[0].reason
        assert reason.startswith("heartbeat timeout")
        assert "blocked" not in reason

    play(main())


def test_an_hour_of_idleness_is_an_hour_of_answered_pings(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            peer = await world.opened(connection, 1)
            await asyncio.sleep(3600)
            assert 350 <= peer.pings <= 360
            assert connection.stats.links == 1

    play(main())


def test_a_deadline_that_floats_cannot_express_does_not_stop_the_clock(world: World, play: Run) -> None:
    async def main() -> None:
        # Quotients of these are rounded: an alarm a hair too early would ring for ever in the same instant.
        for interval in (54.60000000000001, 0.1 + 0.2, 9.000000000000002):
            async with world.connect(heartbeat=Heartbeat(interval, 10)) as connection:
                await connection.wait_open()
                await asyncio.sleep(interval * 3)
                assert connection.stats.pings >= 2

    play(main())


@pytest.mark.parametrize("kind", ["str", "bytes", "callable"])
def test_a_heartbeat_of_the_user_s_own_is_sent_instead_of_pings(kind: str, world: World, play: Run) -> None:
    messages: dict[str, Any] = {"str": "hb", "bytes": b"hb", "callable": lambda: "hb"}
    expected: Message = b"hb" if kind == "bytes" else "hb"

    async def main() -> None:
        async with world.connect(heartbeat=Heartbeat(10, 5, message=messages[kind])) as connection:
            peer = await world.opened(connection, 1)
            await until(lambda: peer.received)
            assert connection.state == "probing"
            peer.send("hb")
            assert connection.state == "open"
            assert await connection.recv() == "hb"
            assert peer.received == [expected]
            await until(lambda: len(peer.received) == 2)
            assert peer.pings == 0
            assert connection.stats.pings == 2
            # Not answered: the link is given up.
            await world.opened(connection, 2)

    play(main())


@pytest.mark.parametrize(
    "value", [LookupError("mistake"), asyncio.CancelledError(), None, 5, "\ud800", b"x" * 101]
)
def test_a_heartbeat_function_that_fails_is_reported_and_replaced_by_a_ping(
    value: Any, world: World, play: Run
) -> None:
    def message() -> Any:
        if isinstance(value, BaseException):
            raise value
        return value

    async def main() -> None:
        async with world.recorded(heartbeat=Heartbeat(10, 5, message=message), max_size=100) as connection:
            peer = await world.opened(connection, 1)
            await asyncio.sleep(25)
            assert peer.pings == 2
            assert peer.received == []
            assert connection.stats.links == 1
            assert connection.state == "open"
        failures = world.seen(HookFailed)
        assert [failure.name for failure in failures] == ["Heartbeat.message"] * 2

    play(main())


def test_a_paused_link_is_not_given_up_and_gets_its_whole_time_afterwards(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(receive_queue=1) as connection:
            peer = await world.opened(connection, 1)
            for number in range(6):
                peer.send(str(number))
            await turns()
            await asyncio.sleep(300)
            assert connection.stats.links == 1
            got = [await connection.recv() for _ in range(6)]
            assert got == ["0", "1", "2", "3", "4", "5"]
            await asyncio.sleep(300)
            assert connection.stats.links == 1
            peer.frozen = True
            await world.opened(connection, 2)

    play(main())
