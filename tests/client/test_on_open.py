"""on_open runs on every link before what waits in the queue is sent."""

import asyncio

import pytest
from tests.client.conftest import World
from tests.watch import Run, turns, until

from websocket_heartbeat import Connection, HookFailed, OpenEvent
from websocket_heartbeat.engines.base import WRITE_LIMIT
from websocket_heartbeat.engines.memory import MemoryPeer


def test_what_on_open_sends_goes_before_what_waits(world: World, play: Run) -> None:
    async def main() -> None:
        for asynchronous in (False, True):
            world.engine.peers.clear()
            connection = world.connect()

            def greet(event: OpenEvent, connection: Connection = connection) -> None:
                connection.send_nowait("hello 1")
                connection.send_nowait("hello 2")

            async def subscribe(event: OpenEvent, connection: Connection = connection) -> None:
                await connection.send("hello 1")
                await asyncio.sleep(1)
                connection.send_nowait("hello 2")

            connection.on_open = subscribe if asynchronous else greet
            async with connection:
                connection.send_nowait("queued 1")
                for number in (1, 2):
                    peer = await world.opened(connection, number)
                    connection.send_nowait("queued 2")
                    await connection.wait_open()
                    await connection.send("direct")
                    queued = ["queued 1", "queued 2"] if number == 1 else ["queued 2"]
                    assert peer.received == ["hello 1", "hello 2", *queued, "direct"]
                    peer.reset()

    play(main())


def test_on_open_may_send_more_than_the_link_takes(world: World, play: Run) -> None:
    half = "x" * (WRITE_LIMIT // 2 + 1)

    async def main() -> None:
        connection = world.connect()
        world.engine.on_peer = MemoryPeer.stop_reading
        sent: list[str] = []

        @connection.on_open
        async def greet(event: OpenEvent) -> None:
            world.engine.peers[-1].stop_reading()
            for number in range(6):
                await connection.send(f"{number}{half}")
                sent.append(str(number))
            await connection.drain()
            sent.append("drained")

        async with connection:
            connection.send_nowait("queued")
            await until(lambda: len(sent) == 2)
            await asyncio.sleep(1)
            assert sent == ["0", "1"]
            for _ in range(5):
                world.peer.start_reading()
                await turns()
                world.peer.stop_reading()
            world.peer.start_reading()
            await connection.wait_open(1)
            assert sent == ["0", "1", "2", "3", "4", "5", "drained"]
            assert [message[:1] for message in world.peer.received] == ["0", "1", "2", "3", "4", "5", "q"]

    play(main())


def test_what_on_open_sends_to_a_full_link_goes_before_those_who_wait_already(
    world: World, play: Run
) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        world.engine.answer = lambda request: gate.wait()
        connection = world.connect(send_queue=1)

        @connection.on_open
        async def greet(event: OpenEvent) -> None:
            world.peer.stop_reading()
            await connection.send("x" * (WRITE_LIMIT + 1))
            await connection.send("hello")

        async with connection:
            connection.send_nowait("queued")
            waiting = asyncio.create_task(connection.send("waiting"))
            await turns()
            gate.set()
            await world.opened(connection, 1)
            await turns()
            world.peer.start_reading()
            await waiting
            assert world.peer.received[1:] == ["hello", "queued", "waiting"]

    play(main())


def test_tasks_that_on_open_starts_keep_their_turn_on_a_full_link(world: World, play: Run) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        world.engine.answer = lambda request: gate.wait()
        connection = world.connect(send_queue=0)

        @connection.on_open
        async def subscribe(event: OpenEvent) -> None:
            world.peer.stop_reading()
            await connection.send("x" * (WRITE_LIMIT + 1))
            await asyncio.gather(*[connection.send(str(number)) for number in range(4)])

        async with connection:
            gate.set()
            await world.opened(connection, 1)
            waiting = asyncio.create_task(connection.send("waiting"))
            await turns()
            world.peer.start_reading()
            await waiting
            assert world.peer.received[1:] == ["0", "1", "2", "3", "waiting"]

    play(main())


def test_the_late_end_of_one_on_open_does_not_let_others_before_the_next(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect()
        gate = asyncio.Event()

        @connection.on_open
        async def greet(event: OpenEvent) -> None:
            if event.link == 1:
                try:
                    await asyncio.sleep(1000)
                except asyncio.CancelledError:
                    await asyncio.sleep(100)  # stubborn
            else:
                await gate.wait()
                await connection.send("hello")

        async with connection:
            (await world.opened(connection, 1)).reset()
            connection.send_nowait("queued")
            await world.opened(connection, 2)
            await asyncio.sleep(200)
            assert world.peer.received == []
            gate.set()
            await connection.wait_open(1)
            assert world.peer.received == ["hello", "queued"]

    play(main())


def test_drain_within_on_open_does_not_wait_for_the_queue_behind_it(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect()

        @connection.on_open
        async def greet(event: OpenEvent) -> None:
            await connection.drain()

        async with connection:
            connection.send_nowait("queued")
            await connection.wait_open(1)
            assert world.peer.received == ["queued"]

    play(main())


def test_on_open_is_cancelled_when_its_link_is_lost(world: World, play: Run) -> None:
    ended: list[str] = []

    async def main() -> None:
        connection = world.recorded()

        @connection.on_open
        async def subscribe(event: OpenEvent) -> None:
            try:
                await asyncio.sleep(1000 if event.link == 1 else 0)
                ended.append(f"{event.link} done")
            except asyncio.CancelledError:
                ended.append(f"{event.link} cancelled")
                raise

        async with connection:
            peer = await world.opened(connection, 1)
            await turns()
            peer.reset()
            await world.opened(connection, 2)
            await connection.wait_open(1)
        assert ended == ["1 cancelled", "2 done"]
        assert world.seen(HookFailed) == []

    play(main())


@pytest.mark.parametrize("how", ["fail_link", "reconnect_now"])
def test_an_on_open_that_gives_its_link_up_does_not_go_on_over_the_next_one(
    how: str, world: World, play: Run
) -> None:
    ended: list[str] = []

    async def main() -> None:
        connection = world.recorded()

        @connection.on_open
        async def log_in(event: OpenEvent) -> None:
            if event.link == 1:
                getattr(connection, how)()
                try:
                    await asyncio.sleep(1000)
                except asyncio.CancelledError:
                    ended.append("cancelled")
                    raise
                await connection.send("by the first")

        async with connection:
            await world.opened(connection, 2)
            await connection.wait_open(1)
            assert ended == ["cancelled"]
            await connection.send("by the second")
            assert world.peer.received == ["by the second"]
        assert world.seen(HookFailed) == []

    play(main())


def test_an_on_open_that_gives_its_link_up_may_close_the_connection(world: World, play: Run) -> None:
    ended: list[str] = []

    async def main() -> None:
        connection = world.recorded()

        @connection.on_open
        async def log_in(event: OpenEvent) -> None:
            connection.fail_link("refused")
            await connection.close()
            ended.append("closed")

        async with connection:
            await until(lambda: connection.state == "closed")
        assert ended == ["closed"]
        assert world.seen(HookFailed) == []

    play(main())


def test_a_task_that_on_open_started_sends_like_any_other_later(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect()
        go = asyncio.Event()
        producers: list[asyncio.Task[None]] = []

        async def produce() -> None:
            await go.wait()
            connection.send_nowait("from a task of the hook")

        @connection.on_open
        async def start(event: OpenEvent) -> None:
            if event.link == 1:
                producers.append(asyncio.create_task(produce()))

        async with connection:
            peer = await world.opened(connection, 1)
            await connection.wait_open()
            peer.reset()
            assert connection.state == "waiting"
            go.set()
            await asyncio.gather(*producers)
            await world.opened(connection, 2)
            await connection.wait_open()
            assert world.peer.received == ["from a task of the hook"]

    play(main())


def test_the_opening_of_one_connection_gives_no_rights_on_another(world: World, play: Run) -> None:
    async def main() -> None:
        first = world.connect()
        other = World()
        gate = asyncio.Event()
        other.engine.answer = lambda request: gate.wait()
        second = other.connect()

        @first.on_open
        async def send_on_both(event: OpenEvent) -> None:
            await second.send("queued like any other")
            await first.send("at once")

        async with first, second:
            await first.wait_open(1)
            assert world.peer.received == ["at once"]
            gate.set()
            await second.wait_open(1)
            assert other.peer.received == ["queued like any other"]

    play(main())
