"""A renewal while nobody takes messages: both links are paused and read again, and nothing is lost."""

import asyncio

from tests.client.conftest import World
from tests.watch import Run, turns, until

from websocket_heartbeat import Connection, OpenEvent


async def renewing_slowly(world: World, connection: Connection) -> "asyncio.Task[None]":
    """Begin a renewal whose on_open takes a while and does not receive; return when it runs."""

    async def subscribe(event: OpenEvent) -> None:
        await asyncio.sleep(1)

    connection.on_open = subscribe
    connection.reconnect_now()
    await world.opened(connection, 2)
    await connection.wait_open(30)  # from now on the connection knows that the hook does not receive
    renewal = asyncio.create_task(connection.renew())
    await until(lambda: connection.stats.links == 3)
    return renewal


def test_a_successor_that_was_paused_is_read_again_when_there_is_room(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(receive_queue=4) as connection:
            await world.opened(connection, 1)
            renewal = await renewing_slowly(world, connection)
            for number in range(10):
                world.peer.send(str(number))
            await turns()
            assert len(world.peer.unread) == 6, "it is paused"
            await renewal
            assert [await connection.recv() for _ in range(10)] == [str(number) for number in range(10)]
            world.peer.send("later")
            assert await asyncio.wait_for(connection.recv(), 5) == "later"

    play(main())


def test_a_reader_that_makes_room_before_the_switch_is_given_what_both_links_bring(
    world: World, play: Run
) -> None:
    async def main() -> None:
        async with world.connect(receive_queue=4) as connection:
            await world.opened(connection, 1)
            renewal = await renewing_slowly(world, connection)
            old, new = world.engine.peers[-2:]
            for number in range(10):
                old.send(f"old {number}")
                new.send(f"new {number}")
            await turns()
            assert min(len(old.unread), len(new.unread)) > 5, "both are paused"
            received = {await asyncio.wait_for(connection.recv(), 5) for _ in range(20)}
            assert len(received) == 20
            assert not renewal.done()
            await renewal

    play(main())


def test_a_login_is_read_though_its_link_was_paused_before_it_received(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(receive_queue=4) as connection:
            await world.opened(connection, 1)

            @connection.on_open
            async def log_in(event: OpenEvent) -> None:
                await asyncio.sleep(3)  # so that messages are for everybody
                for number in range(10):
                    world.peer.send(str(number))
                await turns()
                assert await asyncio.wait_for(connection.recv(), 5)

            await connection.renew()

    play(main())
