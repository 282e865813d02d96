"""Hooks whose own task is cancelled by the user's code: on_open has failed, on_message goes on."""

import asyncio

from tests.client.conftest import World
from tests.watch import Run, until

from websocket_heartbeat import CloseEvent, Message, OpenEvent


def test_an_on_open_that_was_cancelled_has_called_the_link_bad(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.recorded() as connection:

            @connection.on_open
            async def log_in(event: OpenEvent) -> None:
                task = asyncio.current_task()
                assert task is not None
                if event.link == 1:
                    task.cancel()
                await asyncio.sleep(1)

            await connection.wait_open(60)
            assert [event.link for event in world.seen(CloseEvent)] == [1]
            assert connection.stats.links == 2

    play(main())


def test_on_message_goes_on_after_one_of_its_calls_was_cancelled(world: World, play: Run) -> None:
    """The pattern "cancel what the message before has begun", whose task is the same one here."""
    begun: list[Message] = []
    done: list[Message] = []

    async def main() -> None:
        async with world.connect(receive_queue=5) as connection:
            peer = await world.opened(connection, 1)

            @connection.on_message
            async def handle(message: Message) -> None:
                begun.append(message)
                if message == "3":
                    task = asyncio.current_task()
                    assert task is not None
                    task.cancel()
                await asyncio.sleep(0.1)
                done.append(message)

            numbers = [str(number) for number in range(30)]
            for number in numbers:
                peer.send(number)
            await until(lambda: len(begun) == 30)
            assert begun == numbers
            await until(lambda: len(done) == 29)

    play(main())
