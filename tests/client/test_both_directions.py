"""A link is quiet when nothing is heard or nothing is sent; only what is heard says whether it lives."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.client.conftest import World
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import CloseEvent, Heartbeat, Message, connect
from websocket_heartbeat.engines.memory import MemoryPeer
from websocket_heartbeat.server import serve


async def every(seconds: float, action: Callable[[], Any]) -> None:
    while True:
        await asyncio.sleep(seconds)
        action()


def test_a_link_that_only_receives_is_pinged_once_an_interval(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(heartbeat=Heartbeat(10, 5)) as connection:
            peer = await world.opened(connection, 1)
            connection.on_message = lambda message: None
            ticking = asyncio.create_task(every(1, lambda: peer.send("tick")))
            await asyncio.sleep(605)
            assert peer.pings == 60
            assert connection.stats.links == 1
            ticking.cancel()

    play(main())


def test_a_link_in_use_in_both_directions_is_not_pinged(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(heartbeat=Heartbeat(10, 5)) as connection:
            peer = await world.opened(connection, 1)
            connection.on_message = lambda message: None

            def talk() -> None:
                peer.send("tick")
                connection.send_nowait("tock")

            talking = asyncio.create_task(every(4, talk))
            await asyncio.sleep(600)
            assert peer.pings == 0
            talking.cancel()

    play(main())


def test_a_peer_that_pushes_and_answers_no_ping_lives(world: World, play: Run) -> None:
    """It only has to be heard within interval + timeout, as before."""

    async def main() -> None:
        async with world.connect(heartbeat=Heartbeat(10, 5)) as connection:
            peer = await world.opened(connection, 1)
            peer.answers_pings = False
            connection.on_message = lambda message: None
            ticking = asyncio.create_task(every(14, lambda: peer.send("tick")))
            await asyncio.sleep(600)
            assert connection.stats.links == 1
            assert peer.pings >= 40
            ticking.cancel()

    play(main())


def test_a_link_that_falls_silent_after_a_ping_in_time_is_noticed_as_soon_as_ever(
    world: World, play: Run
) -> None:
    async def main() -> None:
        async with world.recorded(heartbeat=Heartbeat(10, 5)) as connection:
            peer = await world.opened(connection, 1)
            peer.answers_pings = False
            connection.on_message = lambda message: None
            await asyncio.sleep(9)
            peer.send("the last")
            last = asyncio.get_running_loop().time()
            await until(lambda: world.seen(CloseEvent))
            assert 14.9 <= asyncio.get_running_loop().time() - last <= 15.3
            assert peer.pings == 1, "TCP still carries the first ping"

    play(main())


@pytest.mark.parametrize("sends", ["nothing", "messages"])
def test_only_messages_count_where_a_message_is_the_heartbeat(sends: str, world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(heartbeat=Heartbeat(10, 5, message="beat")) as connection:
            peer = await world.opened(connection, 1)
            connection.on_message = lambda message: None
            ticking = asyncio.create_task(every(1, lambda: peer.send("tick")))
            talking = asyncio.create_task(
                every(4, lambda: connection.send_nowait("tock") if sends == "messages" else None)
            )
            await asyncio.sleep(301)
            beats = peer.received.count("beat")
            assert beats == (0 if sends == "messages" else 30)
            ticking.cancel()
            talking.cancel()

    play(main())


def test_pongs_do_not_count_where_a_message_is_the_heartbeat(run_asyncio: Run) -> None:
    """Over real sockets: the server pings all the time, and wants messages."""
    got: list[Message] = []

    async def main() -> None:
        async with (
            serve(lambda peer, message: got.append(message), idle_timeout=0.1) as server,
            connect(server.url(), heartbeat=Heartbeat(0.3, 3, message="beat")) as connection,
        ):
            connection.on_message = lambda message: None
            await connection.wait_open(PATIENCE)
            pushing = asyncio.create_task(every(0.02, lambda: server.connections[0].send("tick")))
            await until(lambda: got.count("beat") >= 3)
            assert connection.stats.links == 1
            pushing.cancel()

    run_asyncio(main())


def test_the_kernel_tells_when_data_was_sent(run_asyncio: Run) -> None:
    """Over real sockets: a client that sends all the time sends no ping, and one that does not, does."""

    async def main() -> None:
        async with serve() as server, connect(server.url(), heartbeat=Heartbeat(0.5, 5)) as connection:
            connection.on_message = lambda message: None
            await connection.wait_open(PATIENCE)
            for _ in range(75):
                await connection.send("talk")
                await asyncio.sleep(0.02)
            assert connection.stats.pings <= 1  # a busy machine may let half a second pass
            await until(lambda: connection.stats.pings >= 3)

    run_asyncio(main())


def test_the_watchdog_replaces_a_link_whose_data_stopped_though_pongs_come(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.recorded(heartbeat=Heartbeat(10, 5), message_timeout=60) as connection:
            peer = await world.opened(connection, 1)
            connection.on_message = lambda message: None
            for _ in range(20):
                await asyncio.sleep(50)
                peer.send("tick")
            assert connection.stats.links == 1
            last = asyncio.get_running_loop().time()
            await until(lambda: world.seen(CloseEvent))
            assert 59.9 <= asyncio.get_running_loop().time() - last <= 60.3
            assert world.seen(CloseEvent)[0].reason == "no message came within message_timeout"
            await world.opened(connection, 2)

    play(main())


def test_the_watchdog_does_not_blame_a_peer_for_a_slow_reader(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(message_timeout=60, receive_queue=1) as connection:
            peer: MemoryPeer = await world.opened(connection, 1)
            for number in range(10):
                peer.send(str(number))
            await asyncio.sleep(600)
            assert connection.stats.links == 1
            for number in range(10):
                assert await connection.recv() == str(number)

    play(main())
