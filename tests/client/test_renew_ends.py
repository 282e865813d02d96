"""Whatever becomes of a renewal, whoever waits for it is told, and what it fails at is told of it alone."""

import asyncio
import logging
from typing import Any

import pytest
from tests.client.conftest import World
from tests.watch import Run, turns, until

from websocket_heartbeat import CloseEvent, ConnectionClosed, ConnectionFailed, OpenEvent
from websocket_heartbeat.engines.base import OpenRequest


def hold_attempts(world: World) -> asyncio.Event:
    """Let attempts wait from now on until the event is set."""
    go_on = asyncio.Event()

    async def answer(request: OpenRequest) -> None:
        await go_on.wait()

    world.engine.answer = answer
    return go_on


async def renewing(world: World, connection: Any) -> "asyncio.Task[None]":
    """Begin a renewal; return when its attempt is under way."""
    count = len(world.engine.requests)
    renewal = asyncio.create_task(connection.renew())
    await until(lambda: len(world.engine.requests) == count + 1)
    return renewal


def test_closing_ends_a_renewal_whose_attempt_has_become_the_next_one(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            old = await world.opened(connection, 1)
            hold_attempts(world)
            renewal = await renewing(world, connection)
            old.reset()
            await until(lambda: connection.state == "connecting")
            await connection.close()
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(renewal, 1)

    play(main())


@pytest.mark.parametrize("cause", ["the server asks to wait", "the program wants another link"])
def test_a_renewal_that_another_link_forestalls_waits_for_that(cause: str, world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            old = await world.opened(connection, 1)
            hold_attempts(world)
            renewal = await renewing(world, connection)
            world.engine.answer = None
            if cause == "the server asks to wait":
                old.close(1012, "retry-after=5")
            else:
                connection.reconnect_now()
            await asyncio.wait_for(renewal, 20)
            assert connection.state == "open"

    play(main())


@pytest.mark.parametrize("failure", ["refused", "login fails"])
def test_a_renewal_that_fails_is_no_outage(
    failure: str, world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def log_in(event: OpenEvent) -> None:
        raise PermissionError

    async def refuse(request: OpenRequest) -> None:
        raise ConnectionRefusedError("refused")

    async def main() -> None:
        async with world.connect() as connection:
            old = await world.opened(connection, 1)
            if failure == "refused":
                world.engine.answer = refuse
            else:
                connection.on_open = log_in
            with pytest.raises(Exception, match=r"refused|raised"):
                await connection.renew()
            told = [record.message for record in caplog.records if record.levelname == "WARNING"]
            assert len(told) == 1
            assert "the renewal failed" in told[0]
            world.engine.answer = connection.on_open = None
            caplog.clear()
            old.reset()
            await connection.wait_open(20)
            told = [f"{record.levelname} {record.message}" for record in caplog.records]
            assert len(told) == 2
            assert told[0].startswith("WARNING")
            assert "link 1 is gone: connection reset by peer" in told[0]
            assert told[1].startswith("INFO")

    play(main())


@pytest.mark.parametrize("kind", ["coroutine", "plain"])
def test_within_on_open_fail_link_means_the_link_that_has_opened(kind: str, world: World, play: Run) -> None:
    async def main() -> None:
        async with world.recorded() as connection:
            old = await world.opened(connection, 1)

            async def coroutine(event: OpenEvent) -> None:
                await asyncio.sleep(0.1)
                connection.fail_link("the login was refused")

            def plain(event: OpenEvent) -> None:
                connection.fail_link("the login was refused")

            connection.on_open = coroutine if kind == "coroutine" else plain
            with pytest.raises(Exception, match="the login was refused"):
                await connection.renew()
            assert [event.link for event in world.seen(CloseEvent)] == [2]
            await connection.send("still here")
            assert old.received == ["still here"]

    play(main())


def test_a_link_that_was_called_bad_in_a_plain_on_open_is_not_told_as_open(
    world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        async with world.connect() as connection:

            @connection.on_open
            def log_in(event: OpenEvent) -> None:
                if event.link < 3:
                    connection.fail_link("bad")

            await connection.wait_open(60)
            told = [record.message for record in caplog.records if "is open" in record.message]
            assert len(told) == 1
            assert "link 3 is open" in told[0]

    play(main())


def test_a_link_that_was_renewed_is_not_told_to_have_lost_what_an_earlier_one_has(
    world: World, play: Run
) -> None:
    async def main() -> None:
        async with world.recorded() as connection:
            peer = await world.opened(connection, 1)
            peer.stop_reading()
            for _ in range(10):
                await connection.send(bytes(20_000))
            connection.reconnect_now()
            await world.opened(connection, 2)
            await turns()
            await connection.renew()
            uncertain = {event.link: event.uncertain_bytes for event in world.seen(CloseEvent)}
            assert uncertain[1] > 0
            assert uncertain[2] == 0

    play(main())


def test_a_server_that_lets_in_one_link_of_each_user_is_renewed_without_a_warning(
    world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends the old link when it sees the new one, by a code which is not to be fought as a rule."""

    async def main() -> None:
        async with world.connect(final_close_codes=[4000]) as connection:
            old = await world.opened(connection, 1)

            @connection.on_open
            async def log_in(event: OpenEvent) -> None:
                old.close(4000, "another login")
                await asyncio.sleep(0.1)

            await connection.renew()
            await connection.send("renewed")
            assert world.peer.received == ["renewed"]
            assert connection.stats.links == 2
            assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []
            world.peer.close(4000, "another login")
            with pytest.raises(ConnectionFailed):
                await connection.wait_closed()

    play(main())


def test_within_on_open_there_is_nothing_to_renew(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:

            @connection.on_open
            async def renew(event: OpenEvent) -> None:
                await connection.renew()

            await connection.wait_open(1)
            await asyncio.wait_for(connection.renew(), 1)
            assert connection.stats.links == 2

    play(main())
