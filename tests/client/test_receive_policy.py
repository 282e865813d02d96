"""What happens to messages that a slow reader leaves lying: the link pauses, or the oldest are dropped."""

import asyncio
import logging
from itertools import pairwise

import pytest
import websockets.asyncio.server
from tests.client.conftest import World, receive
from tests.engines.peers import port_of
from tests.watch import PATIENCE, Run, turns, until

from websocket_heartbeat import Backoff, CloseEvent, Connection, Message, connect


def texts(first: int, last: int) -> list[Message]:
    return [str(number) for number in range(first, last + 1)]


async def waiting(connection: Connection) -> list[Message]:
    return await connection.recv_waiting()


def test_drop_oldest_keeps_the_newest_and_goes_on_reading(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(receive_queue=5, receive_policy="drop_oldest") as connection:
            peer = await world.opened(connection, 1)
            for text in texts(1, 100):
                peer.send(text)
            assert peer.unread == []
            assert connection.stats.dropped == 95
            assert await waiting(connection) == texts(96, 100)
            peer.send("101")
            assert await connection.recv() == "101"
            assert connection.stats.dropped == 95

    play(main())


def test_drop_oldest_keeps_within_the_bound_in_bytes_but_always_the_newest(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(receive_queue_bytes=5000, receive_policy="drop_oldest") as connection:
            peer = await world.opened(connection, 1)
            for number in range(10):
                peer.send(bytes([number]) * 1000)
            assert [message[:1] for message in await waiting(connection)] == [
                bytes([number]) for number in range(5, 10)
            ]
            peer.send("small")
            peer.send("x" * 10_000)
            assert await waiting(connection) == ["x" * 10_000]
            assert connection.stats.dropped == 6

    play(main())


def test_latest_keeps_nothing_but_the_newest(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(receive_policy="latest") as connection:
            peer = await world.opened(connection, 1)
            got: list[Message] = []

            async def slowly() -> None:
                async for message in connection:
                    got.append(message)
                    await asyncio.sleep(1)

            reader = asyncio.create_task(slowly())
            for text in texts(1, 100):
                peer.send(text)
                await asyncio.sleep(0.1)
            await asyncio.sleep(2)
            assert peer.unread == []
            numbers = [int(message) for message in got]
            assert numbers[0] == 1
            assert numbers[-1] == 100
            assert all(9 <= after - before <= 11 for before, after in pairwise(numbers))
            assert connection.stats.dropped == 100 - len(got)
            await connection.close()
            await reader

    play(main())


def test_a_reader_that_waits_gets_all_that_one_read_brings_unless_it_wants_the_latest(run: Run) -> None:
    async def main() -> None:
        async def pour(connection: websockets.asyncio.server.ServerConnection) -> None:
            await connection.recv()
            connection.transport.write(b"".join(b"\x81\x01" + bytes([65 + number]) for number in range(20)))
            await connection.wait_closed()

        async with websockets.asyncio.server.serve(pour, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{port_of(server)}/"
            for policy, expected in (("drop_oldest", 20), ("latest", 1)):
                async with connect(url, receive_queue=5, receive_policy=policy, proxy=None) as connection:  # type: ignore[arg-type]
                    await connection.wait_open()
                    got: list[Message] = []
                    reader = asyncio.create_task(receive(connection, got))
                    await turns()
                    await connection.send("go")
                    await until(lambda got=got: got and got[-1] == "T")  # type: ignore[misc]
                    assert len(got) == expected
                    assert connection.stats.dropped == 20 - expected
                    await connection.close()
                    await reader

    run(main())


def test_a_slow_coroutine_hook_has_the_same_choice(world: World, play: Run) -> None:
    async def main() -> None:
        for policy, expected in (("drop_oldest", ["1", *texts(16, 20)]), ("latest", ["1", "20"])):
            connection = world.connect(receive_queue=5, receive_policy=policy)
            got: list[Message] = []

            async def slowly(message: Message, got: list[Message] = got) -> None:
                got.append(message)
                await asyncio.sleep(1)

            connection.on_message = slowly
            async with connection:
                await connection.wait_open()
                for text in texts(1, 20):
                    world.peer.send(text)
                    await turns()
                assert world.peer.unread == []
                await until(lambda got=got: len(got) == len(expected))  # type: ignore[misc] # noqa: B023
                assert got == expected

    play(main())


def test_a_plain_hook_takes_every_message_whatever_the_policy(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect(receive_queue=1, receive_policy="latest")
        got: list[Message] = []
        connection.on_message = got.append
        async with connection:
            await connection.wait_open()
            for text in texts(1, 20):
                world.peer.send(text)
            assert got == texts(1, 20)
            assert connection.stats.dropped == 0

    play(main())


def test_each_time_a_reader_falls_behind_it_is_told_once_and_then_how_many_were_dropped(
    world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "websocket_heartbeat")

    def told() -> list[tuple[str, str]]:
        records = [record for record in caplog.records if "dropped" in record.getMessage()]
        return [(record.levelname, record.getMessage().rpartition(": ")[2]) for record in records]

    async def main() -> None:
        async with world.connect(receive_queue=5, receive_policy="drop_oldest") as connection:
            peer = await world.opened(connection, 1)
            warned = (
                "WARNING",
                "the oldest messages are dropped",
            )
            for round in (1, 2):
                for text in texts(1, 20):
                    peer.send(text)
                assert told()[-1] == warned
                await waiting(connection)
                assert told()[-1] == ("INFO", "the reader has caught up; 15 messages were dropped")
                assert len(told()) == 2 * round
        caplog.clear()
        async with world.connect(receive_policy="latest") as connection:
            peer = await world.opened(connection, 1)
            for text in texts(1, 20):
                peer.send(text)
            assert await connection.recv() == "20"
            assert told() == []  # who wants the latest wants the others dropped

    play(main())


@pytest.mark.parametrize(("policy", "stays"), [("pause", False), ("drop_oldest", True), ("latest", True)])
def test_a_server_that_pings_throws_out_a_slow_reader_only_if_that_pauses(
    policy: str, stays: bool, run: Run
) -> None:
    async def main() -> None:
        async def pour(connection: websockets.asyncio.server.ServerConnection) -> None:
            try:
                while True:
                    await connection.send("x" * 1000)
                    await asyncio.sleep(0.001)
            except websockets.ConnectionClosed:
                pass

        closes: list[CloseEvent] = []
        async with websockets.asyncio.server.serve(
            pour, "127.0.0.1", 0, ping_interval=0.3, ping_timeout=0.3
        ) as server:
            connection = connect(
                f"ws://127.0.0.1:{port_of(server)}/",
                receive_queue=10,
                receive_policy=policy,  # type: ignore[arg-type]
                backoff=Backoff(10, 10),
                proxy=None,
            )
            connection.on_close = closes.append
            async with connection:
                await asyncio.wait_for(connection.recv(), PATIENCE)
                if stays:
                    await asyncio.sleep(2)
                    assert closes == []
                    assert connection.stats.dropped > 0
                else:
                    await until(lambda: len(server.connections) == 0)
                    while not closes:  # its close frame lies behind what nobody reads
                        await asyncio.wait_for(connection.recv(), PATIENCE)
                    assert closes[0].code == 1011
                    assert connection.stats.dropped == 0

    run(main())


@pytest.mark.parametrize("policy", ["drop", "", None, 1, ["pause"]])
def test_an_unknown_policy_is_refused(policy: object, world: World) -> None:
    with pytest.raises(ValueError, match="receive_policy must be 'pause', 'drop_oldest' or 'latest', not"):
        world.connect(receive_policy=policy)
