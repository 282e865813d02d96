"""What waits for a slow reader is bounded, in messages and in bytes: beyond that the link is not read."""

import asyncio
from collections.abc import Iterator
from types import ModuleType

import pytest
import websockets.asyncio.server
from tests.client.conftest import World, receive
from tests.engines.peers import port_of
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Message, OpenEvent, connect

MIB = 2**20


def test_more_bytes_than_may_wait_pause_reading_and_none_is_lost(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(receive_queue_bytes=10_000) as connection:
            peer = await world.opened(connection, 1)
            sent: list[Message] = [bytes([number]) * 1000 for number in range(100)]
            for message in sent:
                peer.send(message)
            assert 100 - len(peer.unread) == 10
            assert [await connection.recv() for _ in sent] == sent

    play(main())


def test_text_counts_as_the_bytes_that_it_is_sent_as(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(receive_queue_bytes=3000) as connection:
            peer = await world.opened(connection, 1)
            for _ in range(100):
                peer.send("€" * 100)
            assert 100 - len(peer.unread) == 10

    play(main())


def test_a_message_above_the_bound_passes_by_itself(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(receive_queue_bytes=1) as connection:
            peer = await world.opened(connection, 1)
            got: list[Message] = []
            reader = asyncio.create_task(receive(connection, got))
            for number in range(3):
                peer.send(bytes([number]) * 100_000)
            await until(lambda: len(got) == 3)
            await connection.close()
            await reader

    play(main())


def test_a_slow_hook_is_bounded_in_bytes_too(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect(receive_queue_bytes=10_000)
        got: list[Message] = []

        @connection.on_message
        async def slowly(message: Message) -> None:
            await asyncio.sleep(1)
            got.append(message)

        async with connection:
            peer = await world.opened(connection, 1)
            sent: list[Message] = [bytes([number]) * 1000 for number in range(100)]
            most = 0
            for number, message in enumerate(sent, 1):
                peer.send(message)
                await asyncio.sleep(0.1)
                most = max(most, number - len(peer.unread) - len(got))
            assert most <= 12
            await until(lambda: len(got) == 100)
            assert got == sent

    play(main())


def test_a_reader_that_has_begun_has_its_messages_counted_as_well(world: World, play: Run) -> None:
    async def main() -> None:
        for options in ({"receive_queue": 10}, {"receive_queue_bytes": 10_000}):
            async with world.connect(**options) as connection:
                peer = await world.opened(connection, 1)
                for _ in range(100):
                    peer.send(bytes(1000))
                for taken in range(1, 101):
                    await connection.recv()
                    await asyncio.sleep(0.01)
                    assert 100 - len(peer.unread) - taken <= 11

    play(main())


def test_what_the_link_before_has_left_counts_for_the_next_one(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(receive_queue_bytes=3000) as connection:
            for link in (1, 2):
                peer = await world.opened(connection, link)
                for _ in range(10):
                    peer.send(bytes(1000))
                assert len(peer.unread) == (7 if link == 1 else 10)
                if link == 1:
                    peer.reset()

    play(main())


@pytest.fixture
def tracemalloc() -> Iterator[ModuleType]:
    module = pytest.importorskip("tracemalloc", reason="of CPython", exc_type=ImportError)
    module.start()
    yield module
    module.stop()


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_over_a_real_socket_memory_stays_within_the_bound_however_small_it_was_packed(
    compression: str | None, run: Run, tracemalloc: ModuleType
) -> None:
    message = "x" * MIB

    async def main() -> None:
        async def pour(connection: websockets.asyncio.server.ServerConnection) -> None:
            for _ in range(60):
                await connection.send(message)
            await connection.wait_closed()

        async with (
            websockets.asyncio.server.serve(
                pour, "127.0.0.1", 0, compression=compression, write_limit=MIB
            ) as server,
            connect(
                f"ws://127.0.0.1:{port_of(server)}/",
                receive_queue_bytes=4 * MIB,
                compression=compression is not None,
                proxy=None,
            ) as connection,
        ):
            first = await asyncio.wait_for(connection.recv(), PATIENCE)
            before, _ = tracemalloc.get_traced_memory()
            await asyncio.sleep(0.5)
            now, peak = tracemalloc.get_traced_memory()
            assert max(now, peak) - before < 16 * MIB
            for _ in range(59):
                assert await asyncio.wait_for(connection.recv(), PATIENCE) == first

    run(main())


@pytest.mark.parametrize("name", ["receive_queue_bytes", "send_queue_bytes"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, "1"])
def test_a_bound_in_bytes_must_be_a_whole_number_above_0(name: str, value: object, world: World) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        world.connect(**{name: value})


def test_logins_that_fail_again_and_again_leave_no_more_than_may_wait(
    world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with world.connect(receive_queue=10) as connection:

            @connection.on_open
            async def log_in(event: OpenEvent) -> None:
                for number in range(8):
                    world.peer.send(f"{event.link} {number}")
                await connection.recv()
                raise PermissionError

            await until(lambda: connection.stats.links == 12)
            connection.on_open = None
            await connection.wait_open(1000)
            messages = await connection.recv_waiting()
            assert messages == [f"{link} {number}" for link in (1, 2) for number in range(1, 8)]
            told = [record for record in caplog.records if "were thrown away" in record.message]
            assert len(told) >= 9

    play(main())
