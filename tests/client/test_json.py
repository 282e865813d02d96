"""Values go out and come in as JSON, and what is none harms nothing and is shown nowhere."""

import asyncio
from typing import Any

import pytest
from tests.client.conftest import World
from tests.watch import Run

from websocket_heartbeat import NotJSON, WebSocketHeartbeatError
from websocket_heartbeat.testing import SimulatedClock


def test_a_value_is_sent_as_short_text_and_comes_back_as_it_was(world: World, play: Run) -> None:
    values: list[Any] = [{"心跳": [1, 2.5, None, True]}, "text", 0, [], {"a": {"b": "c"}}]

    async def main() -> None:
        async with world.connect() as connection:
            peer = await world.opened(connection, 1)
            for value in values:
                await connection.send_json(value)
            assert peer.received[0] == '{"心跳":[1,2.5,null,true]}'
            for message in peer.received:
                peer.send(message)
            assert [await connection.recv_json() for _ in values] == values

    play(main())


def test_sending_takes_the_options_of_send(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(max_size=10) as connection:
            await connection.send_json("late", ttl=60)
            await connection.send_json("lost", volatile=True)
            assert connection.queued == ('"late"',)
            assert connection.stats.not_sent == 1
            with pytest.raises(ValueError, match="max_size=10"):
                await connection.send_json("x" * 10)
            assert connection.clear_queue() == ('"late"',)

    play(main())


@pytest.mark.parametrize(
    "value", [{1, 2}, object(), b"bytes", float("nan"), float("inf"), {(1, 2): 3}, "\udc80"]
)
def test_what_json_does_not_have_is_refused(value: Any, world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            with pytest.raises((TypeError, ValueError)):
                await connection.send_json(value)
            assert connection.queued == ()

    play(main())


def test_a_value_that_is_nested_too_deeply_is_refused_as_others_are(world: World, play: Run) -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]

    async def main() -> None:
        async with world.connect() as connection:
            with pytest.raises(ValueError, match="nested too deeply"):
                await connection.send_json(value)
            assert connection.queued == ()

    play(main())


def test_iteration_goes_on_across_links_and_ends_with_the_connection(world: World, play: Run) -> None:
    async def main() -> None:
        received: list[Any] = []
        connection = world.connect()

        async def receive() -> None:
            async for value in connection.json():
                received.append(value)

        async with connection:
            reading = asyncio.create_task(receive())
            first = await world.opened(connection, 1)
            first.send('{"number": 1}')
            first.reset()
            (await world.opened(connection, 2)).send(b'{"number": 2}')
        await reading
        assert received == [{"number": 1}, {"number": 2}]

    play(main())


@pytest.mark.parametrize(
    "message", ["secret", '{"secret', "", b"\xff\xfe\xfdsecret", "[" * 10**6, "1" * 5000]
)
def test_a_message_that_is_no_json_is_told_without_its_text_and_the_next_one_follows(
    message: str | bytes, world: World, play: Run
) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            peer = await world.opened(connection, 1)
            values = connection.json()
            for each in (message, "1", message, "2"):
                peer.send(each)
            with pytest.raises(NotJSON) as caught:
                await connection.recv_json()
            assert await connection.recv_json() == 1
            with pytest.raises(NotJSON):
                await anext(values)
            assert await anext(values) == 2
        error = caught.value
        assert error.message == message
        assert isinstance(error, WebSocketHeartbeatError)
        assert isinstance(error, ValueError)
        assert str(len(message)) in str(error)
        assert "secret" not in f"{error} {error!r}"
        assert error.__cause__ is None
        assert error.__context__ is None

    play(main())


def test_who_waits_for_a_value_may_give_up_and_loses_none(
    world: World, simulated_clock: SimulatedClock
) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            peer = await world.opened(connection, 1)
            values = connection.json()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await anext(values)
            peer.send("[1]")
            assert await anext(values) == [1]

    simulated_clock.run(main())
