"""Messages reach whoever iterates, across reconnects, in order and with backpressure."""

import asyncio

import pytest
from tests.client.conftest import World, receive
from tests.watch import Run, turns, until

from websocket_heartbeat import ConnectionClosed, ConnectionFailed, HandshakeRejected, Message, ServerClosed
from websocket_heartbeat.engines.base import OpenRequest


def test_iteration_goes_on_across_reconnects_and_ends_quietly_after_close(world: World, play: Run) -> None:
    async def main() -> None:
        got: list[Message] = []
        async with world.connect() as connection:
            reader = asyncio.create_task(receive(connection, got))
            for number in range(1, 4):
                peer = await world.opened(connection, number)
                peer.send(f"text {number}")
                peer.send(b"binary")
                peer.reset()
            await world.opened(connection, 4)
            await connection.close()
            await reader
        assert got == ["text 1", b"binary", "text 2", b"binary", "text 3", b"binary"]

    play(main())


def test_what_had_arrived_before_close_can_still_be_read(world: World, play: Run) -> None:
    async def main() -> None:
        connection = await world.connect()
        peer = await world.opened(connection, 1)
        peer.send("one")
        peer.send("two")
        await connection.close()
        peer.send("late")
        got: list[Message] = []
        await receive(connection, got)
        assert got == ["one", "two"]
        with pytest.raises(ConnectionClosed):
            await connection.recv()

    play(main())


def test_what_arrives_while_closing_is_thrown_away(world: World, play: Run) -> None:
    async def main() -> None:
        for hooked in (False, True):
            got: list[Message] = []
            connection = await world.connect()
            if hooked:
                connection.on_message = got.append
            peer = await world.opened(connection, 1)
            peer.answers_close = False
            closing = asyncio.create_task(connection.close())
            await turns()
            peer.send("late")
            await closing
            await receive(connection, got)
            assert got == []

    play(main())


def test_iteration_raises_why_the_connection_failed_with_its_cause(world: World, play: Run) -> None:
    async def reject(request: OpenRequest) -> None:
        raise HandshakeRejected(403, [])

    async def main() -> None:
        world.engine.answer = reject
        async with world.connect() as connection:
            for _ in range(2):
                with pytest.raises(ConnectionFailed, match="HTTP status 403") as caught:
                    await anext(connection)
                assert isinstance(caught.value.__cause__, HandshakeRejected)
            assert connection.state == "failed"
            for use in (
                connection.recv(),
                connection.send(""),
                connection.wait_open(),
                connection.wait_closed(),
            ):
                with pytest.raises(ConnectionFailed):
                    await use
            with pytest.raises(ConnectionFailed):
                connection.send_nowait("")

    play(main())


def test_messages_before_the_failure_are_delivered_before_it_is_raised(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(final_close_codes=[4001]) as connection:
            peer = await world.opened(connection, 1)
            peer.send("last")
            peer.close(4001, "banned")
            assert await connection.recv() == "last"
            with pytest.raises(ConnectionFailed) as caught:
                await connection.recv()
            assert caught.value.code == 4001
            assert isinstance(caught.value.__cause__, ServerClosed)

    play(main())


def test_max_retries_ends_in_failure_that_counts_them(world: World, play: Run) -> None:
    async def refuse(request: OpenRequest) -> None:
        raise ConnectionRefusedError("refused")

    async def main() -> None:
        world.engine.answer = refuse
        async with world.connect(max_retries=3) as connection:
            with pytest.raises(ConnectionFailed, match="gave up after 3 retries: refused") as caught:
                await connection.wait_closed()
            assert isinstance(caught.value.__cause__, ConnectionRefusedError)
            assert len(world.engine.requests) == 4

    play(main())


def test_the_cause_of_a_failure_is_the_last_one_also_when_it_was_a_timeout(world: World, play: Run) -> None:
    async def refuse_then_hang(request: OpenRequest) -> None:
        if len(world.engine.requests) == 1:
            raise ConnectionRefusedError("refused")
        await asyncio.Event().wait()

    async def main() -> None:
        world.engine.answer = refuse_then_hang
        async with world.recorded(max_retries=1, open_timeout=3) as connection:
            with pytest.raises(ConnectionFailed, match="open timeout") as caught:
                await connection.wait_closed()
            assert isinstance(caught.value.__cause__, TimeoutError)
            assert "open_timeout=3" in str(caught.value.__cause__)
            assert connection.stats.reasons == ["refused", "open timeout"]
            assert [type(error) for error in world.seen(Exception)] == [ConnectionRefusedError, TimeoutError]

    play(main())


def test_two_consumers_share_the_messages_and_both_end(world: World, play: Run) -> None:
    async def main() -> None:
        got: list[Message] = []
        connection = await world.connect()
        readers = [asyncio.create_task(receive(connection, got)) for _ in range(2)]
        peer = await world.opened(connection, 1)
        sent = [str(number) for number in range(20)]
        for text in sent:
            peer.send(text)
            if int(text) % 3 == 0:
                await turns(2)
        await until(lambda: len(got) == 20)
        await connection.close()
        await asyncio.gather(*readers)
        assert sorted(got, key=lambda message: int(message)) == sent

    play(main())


def test_a_cancelled_reader_loses_no_message(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            peer = await world.opened(connection, 1)
            for count in range(4):
                reader = asyncio.create_task(connection.recv())
                await turns(2)
                peer.send("kept")
                await turns(count)
                if not reader.done():
                    reader.cancel()
                    await turns()
                    assert reader.cancelled()
                    assert await connection.recv() == "kept"
                else:
                    assert reader.result() == "kept"

    play(main())


def test_a_full_receive_queue_pauses_reading_and_loses_nothing(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(receive_queue=4) as connection:
            peer = await world.opened(connection, 1)
            sent = [str(number) for number in range(100)]
            for text in sent:
                peer.send(text)
            held = 100 - len(peer.unread)
            assert 4 <= held <= 10
            got = [await connection.recv() for _ in sent]
            assert got == sent

    play(main())


def test_a_slow_reader_of_one_link_pauses_the_next_one(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(receive_queue=2) as connection:
            for link in range(1, 4):
                peer = await world.opened(connection, link)
                for number in range(10):
                    peer.send(f"{link}-{number}")
                held = len(peer.unread)
                assert held >= 6
                if link > 1:
                    assert held >= 8
                if link < 3:
                    peer.reset()
            got: list[Message] = []
            reader = asyncio.create_task(receive(connection, got))
            await until(lambda: "3-9" in got)
            assert [message for message in got if str(message).startswith("3")] == [
                f"3-{number}" for number in range(10)
            ]
            await connection.close()
            await reader

    play(main())
