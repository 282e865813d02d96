"""What waits to be sent can be seen and taken back, is bounded in bytes, and may have a time to live."""

import asyncio
from typing import Any

import pytest
from tests.client.conftest import World
from tests.client.servers import free_port
from tests.watch import PATIENCE, Run, turns, until

from websocket_heartbeat import (
    Backoff,
    Fleet,
    Message,
    OpenEvent,
    SendQueueFull,
    Undelivered,
    connect,
)
from websocket_heartbeat.engines.base import WRITE_LIMIT
from websocket_heartbeat.server import Peer, serve
from websocket_heartbeat.system import kernel


def shut(world: World) -> asyncio.Event:
    """Let no link open until the event is set."""
    gate = asyncio.Event()
    world.engine.answer = lambda request: gate.wait()
    return gate


# Looking at it, and emptying it


def test_the_queue_shows_what_waits_oldest_first(world: World, play: Run) -> None:
    async def main() -> None:
        gate = shut(world)
        async with world.connect() as connection:
            assert list(connection.queued) == []
            await connection.send("a")
            await connection.send(b"b", ttl=60)
            connection.send_nowait("c")
            assert connection.queued == ("a", b"b", "c")
            assert connection.stats.queued == 3
            gate.set()
            await connection.drain()
            assert list(connection.queued) == []
            assert world.peer.received == ["a", b"b", "c"]

    play(main())


def test_what_is_taken_out_of_the_queue_is_not_sent_and_makes_room(world: World, play: Run) -> None:
    async def main() -> None:
        gate = shut(world)
        async with world.recorded(send_queue=2) as connection:
            await connection.send("a")
            await connection.send("b", ttl=60)
            blocked = asyncio.create_task(connection.send("c"))
            draining = asyncio.create_task(connection.drain())
            await turns()
            assert connection.clear_queue() == ("a", "b")
            await blocked
            assert connection.queued == ("c",)
            assert connection.clear_queue() == ("c",)
            await draining
            assert connection.clear_queue() == ()
            gate.set()
            await connection.wait_open()
            await connection.send("d")
        assert world.peer.received == ["d"]
        assert world.seen(Undelivered) == []

    play(main())


def test_close_waits_no_more_once_the_queue_was_emptied(world: World, play: Run) -> None:
    async def main() -> None:
        shut(world)
        async with world.recorded(close_timeout=50) as connection:
            await connection.send("stale")
            closing = asyncio.create_task(connection.close())
            await asyncio.sleep(1)
            since = asyncio.get_running_loop().time()
            connection.clear_queue()
            await closing
            assert asyncio.get_running_loop().time() == since
        assert world.seen(Undelivered) == []

    play(main())


def test_subscriptions_that_on_open_sends_are_not_sent_twice_if_it_empties_the_queue(
    world: World, play: Run
) -> None:
    async def main() -> None:
        async with world.connect() as connection:

            @connection.on_open
            def subscribe(event: OpenEvent) -> None:
                connection.clear_queue()
                connection.send_nowait("subscribe")

            await connection.wait_open()
            world.peer.reset()
            await connection.send("subscribe")
            await connection.wait_open()
            assert world.peer.received == ["subscribe"]

    play(main())


def test_after_the_end_the_queue_has_what_was_reported_and_time_stands_still(world: World, play: Run) -> None:
    async def main() -> None:
        shut(world)
        async with world.recorded(close_timeout=0) as connection:
            await connection.send("lost", ttl=60)
        await asyncio.sleep(100)
        assert [error.messages for error in world.seen(Undelivered)] == [("lost",)]
        assert connection.clear_queue() == ("lost",)
        assert connection.queued == ()

    play(main())


# Its bound in bytes


def test_the_queue_is_bounded_in_bytes_of_what_is_sent(world: World, play: Run) -> None:
    async def main() -> None:
        gate = shut(world)
        async with world.connect(send_queue_bytes=10) as connection:
            connection.send_nowait("12345")
            connection.send_nowait("€x")
            with pytest.raises(SendQueueFull, match="send_queue_bytes=10"):
                connection.send_nowait("xx")
            connection.send_nowait("x")
            blocked = asyncio.create_task(connection.send("waits"))
            await turns()
            assert not blocked.done()
            assert connection.queued == ("12345", "€x", "x")
            gate.set()
            await blocked
            assert world.peer.received == ["12345", "€x", "x", "waits"]

    play(main())


def test_a_message_above_the_bound_waits_alone(world: World, play: Run) -> None:
    async def main() -> None:
        gate = shut(world)
        async with world.connect(send_queue_bytes=10) as connection:
            connection.send_nowait("x" * 1000)
            with pytest.raises(SendQueueFull):
                connection.send_nowait("y")
            gate.set()
            await connection.drain()
            connection.send_nowait("y")
            assert world.peer.received == ["x" * 1000, "y"]

    play(main())


def test_room_in_bytes_comes_back_however_messages_leave(world: World, play: Run) -> None:
    async def main() -> None:
        gate = shut(world)
        async with world.connect(send_queue_bytes=10) as connection:
            for leave in ("cleared", "expired", "sent"):
                connection.send_nowait("x" * 10, ttl=1 if leave == "expired" else None)
                with pytest.raises(SendQueueFull):
                    connection.send_nowait("y")
                if leave == "cleared":
                    connection.clear_queue()
                elif leave == "expired":
                    await asyncio.sleep(2)
                else:
                    gate.set()
                    await connection.drain()
            world.peer.stop_reading()
            await connection.send("x" * (WRITE_LIMIT + 1))
            connection.send_nowait("x" * 10)
            with pytest.raises(SendQueueFull):
                connection.send_nowait("y")
            world.peer.start_reading()

    play(main())


# A time to live


def test_a_message_that_waits_longer_than_its_time_is_reported_then_and_not_sent(
    world: World, play: Run
) -> None:
    async def main() -> None:
        gate = shut(world)
        loop = asyncio.get_running_loop()
        async with world.connect() as connection:
            told: list[tuple[float, Exception]] = []
            connection.on_error = lambda error: told.append((loop.time(), error))
            since = loop.time()
            await connection.send("buy", ttl=3)
            await connection.send("log")
            connection.send_nowait("sell", ttl=2)
            await connection.send("hold", ttl=30)
            await asyncio.sleep(5)
            assert [at - since for at, _ in told] == pytest.approx([2, 3], abs=0.1)  # by the kernel's clock
            assert [error.messages for _, error in told if isinstance(error, Undelivered)] == [
                ("sell",),
                ("buy",),
            ]
            assert str(told[0][1]) == "1 message expired before it could be sent"
            assert connection.queued == ("log", "hold")
            gate.set()
            await connection.drain()
            await asyncio.sleep(60)
            assert world.peer.received == ["log", "hold"]
            assert len(told) == 2

    play(main())


def test_what_is_sent_at_once_never_expires(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.recorded() as connection:
            await connection.wait_open()
            await connection.send("x", ttl=1)
            await asyncio.sleep(9)
            assert world.peer.received == ["x"]
            assert world.seen(Exception) == []

    play(main())


def test_a_sender_that_waits_for_room_is_told_itself(world: World, play: Run) -> None:
    async def main() -> None:
        shut(world)
        async with world.recorded(send_queue=1, close_timeout=0) as connection:
            await connection.send("fills the queue")
            since = asyncio.get_running_loop().time()
            with pytest.raises(Undelivered, match="expired") as caught:
                await connection.send("stale", ttl=2)
            assert asyncio.get_running_loop().time() - since == pytest.approx(2, abs=0.1)
            assert caught.value.messages == ("stale",)
            assert world.seen(Exception) == []
            blocked = asyncio.create_task(connection.send("in time", ttl=2))
            await asyncio.sleep(1)
            connection.clear_queue()
            await blocked
            await asyncio.sleep(2)
            assert world.seen(Undelivered)[0].messages == ("in time",)  # its time began when it was given

    play(main())


def test_time_in_suspend_counts(world: World, play: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asleep = 0.0
    monkeypatch.setattr(kernel, "suspended_for", lambda: asleep)

    async def main() -> None:
        nonlocal asleep
        gate = shut(world)
        async with world.recorded() as connection:
            await connection.send("stale", ttl=60)
            asleep = 3600.0
            gate.set()
            await connection.drain()
            assert world.peer.received == []
            assert world.seen(Undelivered)[0].messages == ("stale",)

    play(main())


def test_on_error_may_send_again_what_has_expired(world: World, play: Run) -> None:
    async def main() -> None:
        gate = shut(world)
        async with world.connect() as connection:

            @connection.on_error
            def again(error: Exception) -> None:
                if isinstance(error, Undelivered):
                    for message in error.messages:
                        connection.send_nowait(f"{message!s} again")

            await connection.send("a", ttl=1)
            await connection.send("b", ttl=1.5)
            await connection.send("c")
            await asyncio.sleep(2)
            assert connection.queued == ("c", "a again", "b again")
            gate.set()
            await connection.drain()
            assert world.peer.received == ["c", "a again", "b again"]

    play(main())


def test_close_waits_for_what_lives_and_reports_once_what_does_not(world: World, play: Run) -> None:
    async def main() -> None:
        shut(world)
        async with world.recorded(close_timeout=50) as connection:
            await connection.send("a", ttl=2)
            await connection.send("b", ttl=3)
            since = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - since == pytest.approx(3, abs=0.1)
        assert [error.messages for error in world.seen(Undelivered)] == [("a",), ("b",)]

    play(main())


def test_a_member_of_a_fleet_may_send_with_a_time_before_its_turn(world: World, play: Run) -> None:
    async def main() -> None:
        async with Fleet(open_rate=1) as fleet:
            told: list[Exception] = []
            fleet.on_error = lambda connection, error: told.append(error)
            fleet.add(world.connect())
            second = fleet.add(world.connect())
            await second.send("stale", ttl=0.5)
            await second.send("fresh", ttl=5)
            await second.drain()
            assert world.peer.received == ["fresh"]
            assert len(told) == 1

    play(main())


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), "1", True])
def test_a_time_to_live_must_be_seconds_above_0(ttl: Any, world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            with pytest.raises((TypeError, ValueError), match="ttl"):
                await connection.send("x", ttl=ttl)
            with pytest.raises((TypeError, ValueError), match="ttl"):
                connection.send_nowait("x", ttl=ttl)
            assert connection.queued == ()

    play(main())


def test_over_a_real_socket_a_stale_command_does_not_arrive_and_the_others_do(run: Run) -> None:
    async def main() -> None:
        got: list[Message] = []

        def keep(peer: Peer, message: Message) -> None:
            got.append(message)

        port = free_port()
        async with connect(f"ws://127.0.0.1:{port}/", backoff=Backoff(0.05, 0.1), proxy=None) as connection:
            errors: list[Exception] = []
            connection.on_error = errors.append
            await connection.send("stale", ttl=0.1)
            await connection.send("fresh", ttl=PATIENCE)
            await until(lambda: any(isinstance(error, Undelivered) for error in errors))
            async with serve(keep, port=port):
                await until(lambda: got)
                await connection.close()
        assert got == ["fresh"]

    run(main())
