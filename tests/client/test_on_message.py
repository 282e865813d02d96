"""on_message gets every message in order, and shares them with iteration when it comes and goes."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.client.conftest import World, receive
from tests.watch import Run, turns, until

from websocket_heartbeat import HookFailed, Message


def test_a_coroutine_on_message_is_awaited_before_the_next_message(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect()
        log: list[str] = []

        @connection.on_message
        async def handle(message: Message) -> None:
            log.append(f"begin {message!s}")
            await asyncio.sleep(1)
            log.append(f"end {message!s}")

        async with connection:
            peer = await world.opened(connection, 1)
            for number in range(3):
                peer.send(str(number))
            peer.reset()
            (await world.opened(connection, 2)).send("3")
            await until(lambda: len(log) == 8)
        assert log == [f"{what} {number}" for number in range(4) for what in ("begin", "end")]

    play(main())


def test_a_slow_on_message_pauses_the_link(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect(receive_queue=3)
        got: list[Message] = []

        @connection.on_message
        async def handle(message: Message) -> None:
            await asyncio.sleep(1)
            got.append(message)

        async with connection:
            peer = await world.opened(connection, 1)
            sent = [str(number) for number in range(30)]
            for text in sent:
                peer.send(text)
                await turns(1)
            await turns()
            assert len(peer.unread) > 15
            await until(lambda: len(got) == 30)
        assert got == sent

    play(main())


@pytest.mark.parametrize("kind", ["coroutine function", "function that returns a coroutine", "iteration"])
def test_on_message_cannot_wait_for_the_next_message_unless_it_is_no_hook_any_more(
    kind: str, world: World, play: Run
) -> None:
    async def main() -> None:
        connection = world.recorded()
        got: list[Message] = []

        async def handle(message: Message) -> None:
            if message == "last":
                connection.on_message = None
                got.append(await connection.recv())
            elif kind == "iteration":
                await anext(connection)
            else:
                await connection.recv()

        def returns(message: Message) -> Any:
            return handle(message)

        connection.on_message = returns if kind == "function that returns a coroutine" else handle
        async with connection:
            peer = await world.opened(connection, 1)
            peer.send("first")
            await until(lambda: len(world.seen(HookFailed)) == 1)
            peer.send("last")
            await turns()
            peer.send("for recv")
            await until(lambda: got == ["for recv"])
        cause = world.seen(HookFailed)[0].__cause__
        assert isinstance(cause, RuntimeError)
        assert "on_message cannot wait" in str(cause)

    play(main())


def test_close_lets_on_message_handle_what_had_arrived(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect(close_timeout=5)
        got: list[Message] = []

        @connection.on_message
        async def handle(message: Message) -> None:
            await asyncio.sleep(1)
            got.append(message)

        async with connection:
            peer = await world.opened(connection, 1)
            for number in range(3):
                peer.send(str(number))
            await turns()
        assert got == ["0", "1", "2"]

    play(main())


def test_iteration_takes_nothing_from_on_message(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect()
        hooked: list[Message] = []
        iterated: list[Message] = []

        @connection.on_message
        async def handle(message: Message) -> None:
            await asyncio.sleep(0.01)
            hooked.append(message)

        async with connection:
            reader = asyncio.create_task(receive(connection, iterated))
            peer = await world.opened(connection, 1)
            for number in range(6):
                peer.send(str(number))
                await turns(number)
            await until(lambda: len(hooked) == 6)
            connection.on_message = None
            peer.send("6")
            await turns()
            await connection.close()
            await reader
        assert hooked == ["0", "1", "2", "3", "4", "5"]
        assert iterated == ["6"]

    play(main())


@pytest.mark.parametrize("kind", ["plain", "coroutine", "lambda"])
def test_a_hook_set_late_gets_what_waits_first(kind: str, world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect(receive_queue=4)
        got: list[Message] = []

        async def handle(message: Message) -> None:
            await asyncio.sleep(0.01)
            got.append(message)

        functions: dict[str, Any] = {
            "plain": got.append,
            "coroutine": handle,
            "lambda": lambda message: handle(message),
        }
        async with connection:
            peer = await world.opened(connection, 1)
            sent = [str(number) for number in range(12)]
            for text in sent[:6]:
                peer.send(text)
            assert await connection.recv() == "0"  # of a batch whose rest waits
            for text in sent[6:11]:
                peer.send(text)
            connection.on_message = functions[kind]
            peer.send("11")
            await until(lambda: len(got) == 11)
        assert got == sent[1:]

    play(main())


def test_on_message_can_change_hands_in_mid_stream(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect(receive_queue=2)
        got: list[str] = []

        def named(name: str) -> Callable[[Message], Any]:
            async def handle(message: Message) -> None:
                got.append(f"{name} {message!s}")
                await asyncio.sleep(1)

            return handle

        connection.on_message = named("first")
        async with connection:
            peer = await world.opened(connection, 1)
            for number in range(8):
                peer.send(str(number))
            await until(lambda: len(got) == 2)
            connection.on_message = named("second")
            await until(lambda: len(got) == 4)
            connection.on_message = lambda message: got.append(f"third {message!s}")
            await until(lambda: len(got) == 8)
        assert [line.split()[1] for line in got] == [str(number) for number in range(8)]
        assert [line.split()[0] for line in got][:4] == ["first", "first", "second", "second"]
        assert got[-1] == "third 7"

    play(main())


def test_hooks_that_replace_each_other_get_a_thousand_waiting_messages_in_turn(
    world: World, play: Run
) -> None:
    async def main() -> None:
        connection = world.recorded(receive_queue=5000)
        sent = [str(number) for number in range(1000)]
        received: list[tuple[str, Message]] = []

        def even(message: Message) -> None:
            received.append(("even", message))
            connection.on_message = odd

        def odd(message: Message) -> None:
            received.append(("odd", message))
            connection.on_message = even

        async with connection:
            peer = await world.opened(connection, 1)
            for message in sent:
                peer.send(message)
            connection.on_message = even
        assert received == [("odd" if int(message) % 2 else "even", message) for message in sent]
        assert world.seen(HookFailed) == []

    play(main())


def test_removing_on_message_wakes_the_iteration(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect()
        blocked = asyncio.Event()

        @connection.on_message
        async def handle(message: Message) -> None:
            await blocked.wait()

        async with connection:
            peer = await world.opened(connection, 1)
            reader = asyncio.create_task(connection.recv())
            peer.send("for the hook")
            peer.send("for the reader")
            await turns()
            connection.on_message = None
            assert await asyncio.wait_for(reader, 1) == "for the reader"
            blocked.set()

    play(main())


def test_no_message_is_stuck_when_the_hook_ends_as_the_next_one_comes(world: World, play: Run) -> None:
    async def main() -> None:
        for delay in range(8):
            connection = world.connect()
            got: list[Message] = []

            @connection.on_message
            async def handle(message: Message, got: list[Message] = got) -> None:
                got.append(message)

            async with connection:
                peer = await world.opened(connection, 1)
                peer.send("first")
                await turns(delay)
                peer.send("second")
                await turns(10)
                assert got == ["first", "second"]
            world.engine.peers.clear()

    play(main())


def test_a_callable_that_returns_an_awaitable_now_and_then_is_awaited_in_order(
    world: World, play: Run
) -> None:
    async def main() -> None:
        connection = world.connect()
        got: list[Message] = []

        async def later(message: Message) -> None:
            await asyncio.sleep(1)
            got.append(message)

        def sometimes(message: Message) -> Any:
            if str(message).startswith("slow"):
                return later(message)
            got.append(message)
            return None

        connection.on_message = sometimes
        async with connection:
            peer = await world.opened(connection, 1)
            sent = ["quick 1", "slow 2", "quick 3", "slow 4", "slow 5", "quick 6"]
            for text in sent:
                peer.send(text)
            await until(lambda: len(got) == 6)
        assert got == sent

    play(main())


def test_a_hook_replaced_by_one_that_waits_is_waited_for_as_well(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect()
        got: list[str] = []
        gate = asyncio.Event()

        async def handle(name: str, message: Message) -> None:
            await gate.wait()
            got.append(f"{name} {message!s}")

        connection.on_message = lambda message: handle("first", message)
        async with connection:
            peer = await world.opened(connection, 1)
            peer.send("1")
            await turns()
            connection.on_message = lambda message: handle("second", message)
            peer.send("2")
            peer.send("3")
            await turns()
            gate.set()
        assert sorted(got) == ["first 1", "second 2", "second 3"]

    play(main())


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="tasks are eager from Python 3.12 on")
def test_a_hook_that_sets_another_is_awaited_first_also_where_tasks_are_eager(
    world: World, play: Run
) -> None:
    log: list[str] = []

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory", None))
        connection = world.connect()

        async def second(message: Message) -> None:
            log.append(f"second {message!s}")

        async def first(message: Message) -> None:
            connection.on_message = second
            await asyncio.sleep(1)
            log.append(f"first {message!s}")

        async with connection:
            peer = await world.opened(connection, 1)
            peer.send("1")
            peer.send("2")
            connection.on_message = first
            await until(lambda: len(log) == 2)
        assert log == ["first 1", "second 2"]

    play(main())
