"""A renewal while nobody takes messages: both links are paused and read again, and nothing is lost."""

import asyncio

import pytest
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


@pytest.mark.parametrize("hook", ["none", "plain", "coroutine"])
@pytest.mark.parametrize("policy", ["pause", "drop_oldest"])
def test_what_the_old_link_has_not_brought_yet_comes_before_what_the_new_one_brings(
    hook: str, policy: str, world: World, play: Run
) -> None:
    async def main() -> None:
        async with world.connect(receive_queue=4 if policy == "pause" else 100) as connection:
            old = await world.opened(connection, 1)
            world.engine.on_peer = lambda peer: peer.send("from the new link")

            async def coroutine(event: OpenEvent) -> None:
                await asyncio.sleep(1)

            if hook != "none":
                connection.on_open = coroutine if hook == "coroutine" else lambda event: None
            numbers = [str(number) for number in range(50)]
            for number in numbers:
                old.send(number)
            assert bool(old.unread) == (policy == "pause")
            await connection.renew()
            world.peer.send("and more")
            received = [await asyncio.wait_for(connection.recv(), 5) for _ in range(52)]
            assert received == [*numbers, "from the new link", "and more"]

    play(main())


def test_a_server_that_never_ends_the_old_link_holds_the_new_one_for_a_moment_only(
    world: World, play: Run
) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            old = await world.opened(connection, 1)
            old.answers_close = False
            await connection.renew()
            world.peer.send("new")
            old.send("old")
            assert await connection.recv() == "old"
            assert await asyncio.wait_for(connection.recv(), 2) == "new"
            old.send("much later")
            world.peer.send("new again")
            assert await connection.recv() == "new again"
            world.peer.send("held")
            await connection.renew()
            world.peer.send("behind it")
            assert [await connection.recv(), await connection.recv()] == ["held", "behind it"]

    play(main())


def test_what_waits_for_the_end_of_the_old_link_survives_the_loss_of_the_new_one(
    world: World, play: Run
) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            old = await world.opened(connection, 1)
            old.answers_close = False
            await connection.renew()
            world.peer.send("new")
            world.peer.reset()
            assert await asyncio.wait_for(connection.recv(), 0.5) == "new"

    play(main())
