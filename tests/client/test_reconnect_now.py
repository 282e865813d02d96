"""reconnect_now() replaces the link at once, in every state in which that means something."""

import asyncio
from contextvars import ContextVar

from tests.client.conftest import World
from tests.watch import Run, turns, until

from websocket_heartbeat import CloseEvent, HandshakeRejected, ReconnectEvent
from websocket_heartbeat.engines.base import OpenRequest


def test_reconnect_now_skips_the_wait(world: World, play: Run) -> None:
    async def refuse_once(request: OpenRequest) -> None:
        if len(world.engine.requests) == 1:
            raise HandshakeRejected(503, [("Retry-After", "600")])

    async def main() -> None:
        world.engine.answer = refuse_once
        async with world.connect() as connection:
            await until(lambda: connection.state == "waiting")
            connection.reconnect_now()
            assert connection.state == "connecting"
            await connection.wait_open(timeout=1)

    play(main())


def test_reconnect_now_replaces_an_open_link_at_once(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.recorded() as connection:
            first = await world.opened(connection, 1)
            connection.reconnect_now()
            assert first.aborted
            second = await world.opened(connection, 2)
            assert world.engine.live_peers == [second]
            first.send("late")
            first.reset()
            second.send("current")
            assert await connection.recv() == "current"
            assert world.seen(CloseEvent) == [CloseEvent(1, "reconnect requested")]
            assert world.seen(ReconnectEvent) == [ReconnectEvent(1, 0, "reconnect requested")]

    play(main())


def test_reconnect_now_replaces_a_link_in_doubt(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            peer = await world.opened(connection, 1)
            peer.frozen = True
            await until(lambda: connection.state == "probing")
            connection.reconnect_now()
            await world.opened(connection, 2)

    play(main())


def test_reconnect_now_changes_nothing_while_connecting_or_after_the_end(world: World, play: Run) -> None:
    async def main() -> None:
        world.engine.answer = lambda request: asyncio.sleep(2)
        connection = await world.connect()
        await asyncio.sleep(1)
        connection.reconnect_now()
        await connection.wait_open(timeout=1.5)
        assert len(world.engine.requests) == 1
        world.peer.answers_close = False
        closing = asyncio.create_task(connection.close())
        await turns()
        connection.reconnect_now()
        assert connection.state == "closing"
        await closing
        connection.reconnect_now()
        assert connection.state == "closed"
        await asyncio.sleep(10)
        assert len(world.engine.requests) == 1

    play(main())


def test_links_do_not_inherit_the_context_of_whoever_caused_them(world: World, play: Run) -> None:
    user: ContextVar[str] = ContextVar("user", default="nobody")
    seen: list[str] = []

    async def main() -> None:
        connection = world.connect()
        connection.on_open = lambda event: seen.append(user.get())
        user.set("starter")
        async with connection:
            peer = await world.opened(connection, 1)

            async def somebody_else() -> None:
                user.set("somebody else")
                connection.reconnect_now()

            await asyncio.create_task(somebody_else())
            await world.opened(connection, 2)
            peer.reset()
            world.peer.frozen = True
            await world.opened(connection, 3)
        assert seen == ["starter"] * 3

    play(main())
