"""renew() replaces a link without a gap: the next one opens first, takes over, and the old one is closed."""

import asyncio

import pytest
from tests.client.conftest import World, receive
from tests.watch import Run, turns, until

from websocket_heartbeat import CloseEvent, ConnectionClosed, Message, OpenEvent, ReconnectEvent
from websocket_heartbeat.engines.base import OpenRequest


def test_renewal_has_no_gap_and_ends_the_old_link_politely(world: World, play: Run) -> None:
    received: list[Message] = []

    async def main() -> None:
        async with world.recorded() as connection:
            old = await world.opened(connection, 1)
            reading = asyncio.create_task(receive(connection, received))
            opening: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            async def answer(request: OpenRequest) -> None:
                await opening

            world.engine.answer = answer
            renewal = asyncio.create_task(connection.renew())
            await turns()
            old.send("while the next link opens")
            await connection.send("over the old link")
            await until(lambda: len(received) == 1)
            assert old.received == ["over the old link"]
            assert connection.state == "open"
            opening.set_result(None)
            await renewal
            assert (old.close_code, connection.stats.links) == (1000, 2)
            old.send("too late")
            world.peer.send("over the next link")
            await connection.send("over the new link")
            await until(lambda: len(received) == 2)
            assert received == ["while the next link opens", "over the next link"]
            assert world.peer.received == ["over the new link"]
            assert [(event.link, event.reason) for event in world.seen(CloseEvent)] == [(1, "renewed")]
            assert world.seen(ReconnectEvent) == []
        await reading

    play(main())


def test_the_login_of_the_next_link_is_done_before_it_takes_over(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:

            @connection.on_open
            async def log_in(event: OpenEvent) -> None:
                await connection.send(f"login {event.link}")
                assert await connection.recv() == f"welcome {event.link}"

            await until(lambda: bool(world.engine.peers))
            await turns()
            old = world.peer
            old.send("welcome 1")
            await connection.wait_open(1)
            renewal = asyncio.create_task(connection.renew())
            await until(lambda: world.peer is not old)
            await turns()
            await connection.send("of everybody")
            old.send("for everybody")
            assert await connection.recv() == "for everybody"
            assert old.received == ["login 1", "of everybody"]
            assert world.peer.received == ["login 2"]
            world.peer.send("welcome 2")
            await renewal
            await connection.send("after that")
            assert world.peer.received == ["login 2", "after that"]

    play(main())


@pytest.mark.parametrize("failure", ["refused", "silent", "login fails", "login takes too long", "ends"])
def test_a_renewal_that_fails_leaves_the_old_link_and_says_why(failure: str, world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(open_timeout=2) as connection:
            old = await world.opened(connection, 1)

            async def answer(request: OpenRequest) -> None:
                if failure == "refused":
                    raise ConnectionRefusedError("refused")
                if failure == "silent":
                    await asyncio.sleep(60)

            async def log_in(event: OpenEvent) -> None:
                if failure == "login fails":
                    raise PermissionError
                if failure == "login takes too long":
                    await asyncio.sleep(60)
                if failure == "ends":
                    world.peer.reset()
                    await asyncio.sleep(60)

            world.engine.answer = answer
            connection.on_open = log_in
            with pytest.raises(Exception, match=r"refused|was ready within|on_open raised|reset by peer"):
                await connection.renew()
            assert connection.state == "open"
            await connection.send("still here")
            assert old.received == ["still here"]
            world.engine.answer = None
            connection.on_open = None
            await connection.renew()
            await connection.send("renewed")
            assert world.peer.received == ["renewed"]
            assert connection.stats.links in (2, 3)

    play(main())


@pytest.mark.parametrize("when", ["while it opens", "while it logs in"])
def test_the_next_link_takes_over_at_once_when_the_old_one_breaks(when: str, world: World, play: Run) -> None:
    async def main() -> None:
        async with world.recorded() as connection:
            old = await world.opened(connection, 1)
            go_on = asyncio.Event()

            async def answer(request: OpenRequest) -> None:
                if when == "while it opens":
                    await go_on.wait()

            @connection.on_open
            async def log_in(event: OpenEvent) -> None:
                await go_on.wait()

            world.engine.answer = answer
            renewal = asyncio.create_task(connection.renew())
            await until(lambda: len(world.engine.requests) == 2)
            await turns()
            old.reset()
            await turns()
            await connection.send("waits")
            go_on.set()
            await renewal
            await until(lambda: world.peer.received == ["waits"])
            assert len(world.engine.requests) == 2
            assert len(world.seen(CloseEvent)) == 1

    play(main())


def test_closing_ends_a_renewal(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            await world.opened(connection, 1)

            async def answer(request: OpenRequest) -> None:
                await asyncio.sleep(60)

            world.engine.answer = answer
            renewal = asyncio.create_task(connection.renew())
            await turns()
            await connection.close()
            with pytest.raises(ConnectionClosed):
                await renewal

    play(main())


def test_renewing_twice_at_once_opens_one_link(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            await world.opened(connection, 1)
            await asyncio.gather(connection.renew(), connection.renew())
            assert connection.stats.links == 2

    play(main())


def test_renewal_of_a_connection_without_a_link_waits_for_one(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            peer = await world.opened(connection, 1)
            peer.reset()
            await until(lambda: connection.state == "waiting")
            await connection.renew()
            assert connection.state == "open"
            assert connection.stats.links == 2

    play(main())
