"""Messages wait for a link, keep their order, and are reported when they cannot be sent."""

import asyncio

import pytest
from tests.client.conftest import World
from tests.watch import Run, turns, until

from websocket_heartbeat import (
    CloseEvent,
    ConnectionClosed,
    ConnectionFailed,
    HandshakeRejected,
    Message,
    NotConnected,
    OpenEvent,
    SendQueueFull,
    State,
    Undelivered,
)
from websocket_heartbeat.engines.base import WRITE_LIMIT, OpenRequest


def test_messages_wait_for_a_link_and_keep_their_order(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            sent: list[Message] = ["a", b"b", "ä"]
            for message in sent:
                await connection.send(message)
            await connection.drain()
            assert world.peer.received == sent
            world.peer.reset()
            await connection.send("c")
            await connection.drain()
            await connection.send("d")
            assert world.peer.received == ["c", "d"]

    play(main())


def test_whatever_is_bytes_like_is_sent_as_bytes(world: World, play: Run) -> None:
    class Name(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "something else"

    async def main() -> None:
        async with world.connect() as connection:
            await connection.wait_open()
            buffer = bytearray(b"1")
            await connection.send(buffer)
            buffer[0] = 0
            await connection.send(memoryview(b"abcdef")[::2])
            await connection.send(Name("name"))
            await connection.send(State.OPEN)
            assert world.peer.received == [b"1", b"ace", "name", "open"]
            assert [type(message) for message in world.peer.received] == [bytes, bytes, str, str]

    play(main())


def test_send_waits_while_the_queue_is_full_and_tasks_keep_their_turn(world: World, play: Run) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        world.engine.answer = lambda request: gate.wait()
        async with world.connect(send_queue=2) as connection:
            connection.send_nowait("0")
            connection.send_nowait("1")
            with pytest.raises(SendQueueFull, match="send_queue=2"):
                connection.send_nowait("refused")
            senders = []
            for number in range(2, 50):
                senders.append(asyncio.create_task(connection.send(str(number))))
                await turns(1)
            assert not any(sender.done() for sender in senders)
            senders[5].cancel()
            gate.set()
            await connection.wait_open()
            with pytest.raises(SendQueueFull):
                connection.send_nowait("must not overtake")
            await asyncio.gather(*senders, return_exceptions=True)
            await connection.send("50")
            assert world.peer.received == [str(number) for number in range(51) if number != 7]

    play(main())


def test_with_no_queue_sending_needs_a_link(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect(send_queue=0)
        opening = asyncio.Event()

        @connection.on_open
        async def slowly(event: OpenEvent) -> None:
            connection.send_nowait("greeting")
            await opening.wait()

        async with connection:
            with pytest.raises(NotConnected, match="send_queue is 0"):
                await connection.send("x")
            with pytest.raises(NotConnected):
                connection.send_nowait("x")
            peer = await world.opened(connection, 1)
            await turns()
            with pytest.raises(NotConnected):
                connection.send_nowait("x")
            sender = asyncio.create_task(connection.send("after the hook"))
            await turns()
            assert not sender.done()
            opening.set()
            await sender
            connection.send_nowait("direct")
            assert peer.received == ["greeting", "after the hook", "direct"]
            peer.stop_reading()
            await connection.send("x" * (WRITE_LIMIT + 1))
            sender = asyncio.create_task(connection.send("waits for room"))
            await turns()
            assert not sender.done()
            peer.reset()
            with pytest.raises(NotConnected):
                await sender

    play(main())


def test_a_full_link_fills_the_queue_and_then_makes_senders_wait(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(send_queue=1) as connection:
            peer = await world.opened(connection, 1)
            peer.stop_reading()
            await connection.send("x" * (WRITE_LIMIT + 1))
            await connection.send("queued")
            waiting = asyncio.create_task(connection.send("waits"))
            draining = asyncio.create_task(connection.drain())
            await turns()
            assert not waiting.done()
            assert not draining.done()
            peer.start_reading()
            await waiting
            await draining
            await turns()
            assert peer.received[1:] == ["queued", "waits"]

    play(main())


def test_what_a_dead_link_did_not_take_goes_to_the_next_one(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.recorded() as connection:
            peer = await world.opened(connection, 1)
            peer.stop_reading()
            lost = "x" * (WRITE_LIMIT + 1)
            await connection.send(lost)
            await connection.send("kept")
            await until(lambda: connection.stats.links == 2)
            assert world.peer.received == ["kept"]
            assert world.seen(CloseEvent)[0].uncertain_bytes == len(lost)

    play(main())


def test_what_cannot_be_sent_any_more_is_reported(world: World, play: Run) -> None:
    async def main() -> None:
        world.engine.answer = lambda request: asyncio.Event().wait()
        for asynchronous in (False, True):
            errors: list[Exception] = []

            async def keep(error: Exception, errors: list[Exception] = errors) -> None:
                await asyncio.sleep(0.1)
                errors.append(error)

            connection = world.connect()
            connection.on_error = keep if asynchronous else errors.append
            async with connection:
                connection.send_nowait("a")
                connection.send_nowait(b"b")
                draining = asyncio.create_task(connection.drain())
                await turns()
            assert [type(error) for error in errors] == [Undelivered]
            assert isinstance(errors[0], Undelivered)
            assert errors[0].messages == ("a", b"b")
            with pytest.raises(ConnectionClosed):
                await draining

    play(main())


def test_what_a_failed_connection_could_not_send_is_reported(world: World, play: Run) -> None:
    async def reject(request: OpenRequest) -> None:
        raise HandshakeRejected(401, [])

    async def main() -> None:
        world.engine.answer = reject
        async with world.recorded() as connection:
            connection.send_nowait("a")
            with pytest.raises(ConnectionFailed):
                await connection.drain()
        assert world.seen(Undelivered)[0].messages == ("a",)

    play(main())


def test_drain_without_a_queue_returns_at_once(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            await connection.drain()
            await connection.wait_open()
            await connection.drain()
        await connection.drain()

    play(main())
