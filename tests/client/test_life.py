"""A connection's life from its start to its end, and what can be seen of it, on the simulated clock."""

import asyncio
import errno
import gc
import threading
import weakref
from typing import Any

import pytest
from tests.client.conftest import World
from tests.watch import Run, counts_references, turns, until

from websocket_heartbeat import (
    Backoff,
    CloseEvent,
    Connection,
    ConnectionClosed,
    ConnectionFailed,
    Message,
    OpenEvent,
    ReconnectEvent,
    State,
)
from websocket_heartbeat.engines.base import OpenRequest


def test_states_and_events_come_in_the_order_of_life(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.recorded() as connection:
            peer = await world.opened(connection, 1)
            peer.reset()
            await world.opened(connection, 2)
        retry = world.seen(ReconnectEvent)[0]
        assert world.events == [
            "connecting",
            "open",
            OpenEvent(1),
            CloseEvent(1, "connection reset by peer"),
            ReconnectEvent(1, retry.delay, "connection reset by peer"),
            "waiting",
            "connecting",
            "open",
            OpenEvent(2),
            "closing",
            CloseEvent(2, "we closed the connection", 1000),
            "closed",
        ]
        assert 0 <= retry.delay <= 1

    play(main())


def test_entering_waits_for_nothing(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            before = (connection.state, connection.native, connection.closed)
            assert before == (State.CONNECTING, None, False)
        after = (connection.state, connection.native, connection.closed)
        assert after == (State.CLOSED, None, True)

    play(main())


def test_await_starts_a_connection_too_and_leaves_close_to_the_user(world: World, play: Run) -> None:
    async def main() -> None:
        connection = await world.connect()
        assert connection.state == "connecting"
        await connection.wait_open()
        await connection.close()

    play(main())


def test_a_connection_can_be_started_only_once(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            await connection.wait_open()
            with pytest.raises(RuntimeError, match="started only once"):
                await connection
            assert connection.state == "open"
        with pytest.raises(RuntimeError, match="started only once"):
            await connection
        assert len(world.engine.requests) == 1

    play(main())


def test_another_event_loop_can_neither_start_nor_close_it_and_harms_nothing(
    world: World, run_asyncio: Run
) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            await connection.wait_open()

            async def elsewhere() -> None:
                with pytest.raises(RuntimeError, match="started only once"):
                    connection.start()
                with pytest.raises(RuntimeError, match="another event loop"):
                    await connection.close()

            thread = threading.Thread(target=asyncio.run, args=(elsewhere(),))
            thread.start()
            await until(lambda: not thread.is_alive())
            connection.reconnect_now()
            await world.opened(connection, 2)
        await connection.close()

    run_asyncio(main())


def test_a_connection_that_was_closed_before_its_start_never_opens_a_link(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.recorded()
        connection.reconnect_now()
        assert connection.state == "idle"
        await connection.close()
        assert connection.state == "closed"
        with pytest.raises(RuntimeError, match="started only once"):
            await connection
        with pytest.raises(ConnectionClosed):
            await connection.send("late")
        await asyncio.sleep(100)
        assert world.engine.requests == []

    play(main())


def test_the_repr_says_where_to_and_how_it_stands(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            assert repr(connection) == "<Connection ws://example.com/feed connecting link=1>"

    play(main())


def test_native_is_the_current_link_s_own_object(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            first = await world.opened(connection, 1)
            natives = [connection.native]
            first.reset()
            natives.append(connection.native)
            second = await world.opened(connection, 2)
            assert [*natives, connection.native] == [first, None, second]

    play(main())


def test_stats_count_what_happened_and_are_a_snapshot(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            (await world.opened(connection, 1)).close(1001, "bye")
            await world.opened(connection, 2)
            await asyncio.sleep(12)
            stats = connection.stats
            assert (stats.attempts, stats.links, stats.pings) == (2, 2, 1)
            assert stats.reasons == ["the server closed the link with 1001: bye"]
            stats.reasons.clear()
            assert connection.stats.reasons != []

    play(main())


def test_stats_keep_ten_reasons(world: World, play: Run) -> None:
    async def refuse(request: OpenRequest) -> None:
        raise OSError(f"refused {len(world.engine.requests)}")

    async def main() -> None:
        world.engine.answer = refuse
        async with world.connect() as connection:
            await until(lambda: len(world.engine.requests) == 15)
            await turns()
            assert connection.stats.reasons == [f"refused {number}" for number in range(6, 16)]

    play(main())


def test_stats_give_the_reason_of_a_failed_attempt_in_the_words_of_the_event(world: World, play: Run) -> None:
    errors = iter([OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 9)"), TimeoutError()])

    async def refuse(request: OpenRequest) -> None:
        raise next(errors)

    async def main() -> None:
        world.engine.answer = refuse
        async with world.recorded(max_retries=1) as connection:
            with pytest.raises(ConnectionFailed, match=r"gave up after 1 retry: TimeoutError$"):
                await connection.wait_closed()
        assert [event.reason for event in world.seen(ReconnectEvent)] == ["connection refused"]
        assert connection.stats.reasons == ["connection refused", "TimeoutError"]

    play(main())


@pytest.mark.parametrize("words", ["open timeout", "heartbeat timeout", "lost"])
def test_an_error_in_the_words_of_a_cause_is_reported_once(words: str, world: World, play: Run) -> None:
    async def refuse(request: OpenRequest) -> None:
        raise OSError(words)

    async def main() -> None:
        world.engine.answer = refuse
        told: list[Exception] = []
        connection = world.connect(max_retries=0)
        connection.on_error = told.append
        async with connection:
            with pytest.raises(ConnectionFailed, match=f"gave up after 0 retries: {words}$"):
                await connection.wait_closed()
        assert [str(error) for error in told] == [words]
        assert connection.stats.reasons == [words]

    play(main())


def test_wait_open_returns_once_on_open_is_done(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect()
        done = asyncio.Event()

        @connection.on_open
        async def subscribe(event: OpenEvent) -> None:
            await connection.wait_open()  # within the hook the link is open
            await asyncio.sleep(2)
            done.set()

        async with connection:
            with pytest.raises(TimeoutError):
                await connection.wait_open(timeout=1)
            await connection.wait_open(timeout=5)
            assert done.is_set()
            await connection.wait_open(timeout=0)

    play(main())


def test_wait_open_times_out_and_the_connection_goes_on_trying(world: World, play: Run) -> None:
    gate = asyncio.Event()

    async def main() -> None:
        world.engine.answer = lambda request: gate.wait()
        async with world.connect() as connection:
            for timeout in (0, 3):
                with pytest.raises(TimeoutError):
                    await connection.wait_open(timeout)
            gate.set()
            await connection.wait_open(1)

    play(main())


def test_whoever_waits_learns_of_the_end(world: World, play: Run) -> None:
    async def main() -> None:
        world.engine.answer = lambda request: asyncio.Event().wait()
        connection = await world.connect(send_queue=1)
        connection.send_nowait("fills the queue")
        waiting = [
            asyncio.create_task(use)
            for use in (connection.wait_open(), connection.send("x"), connection.drain(), connection.recv())
        ]
        ending = asyncio.create_task(connection.wait_closed())
        await turns()
        assert not any(task.done() for task in [*waiting, ending])
        await connection.close()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [ConnectionClosed] * 4
        await ending

    play(main())


def test_retries_are_announced_with_the_delay_that_follows(world: World, play: Run) -> None:
    async def refuse(request: OpenRequest) -> None:
        raise OSError("refused")

    async def main() -> None:
        world.engine.answer = refuse
        loop = asyncio.get_running_loop()
        attempts: list[float] = []
        announced: list[float] = []

        async with world.connect(backoff=Backoff(1, 60, 30)) as connection:
            connection.on_reconnect = lambda event: announced.append(loop.time() + event.delay)
            connection.on_state = lambda state: (
                attempts.append(loop.time()) if state == "connecting" else None
            )
            await asyncio.sleep(300)
        for due, happened in zip(announced, attempts, strict=False):
            assert due - 1e-6 <= happened <= due + 0.2
        assert len(attempts) > 10

    play(main())


@counts_references
def test_a_connection_nobody_refers_to_goes_on_and_is_collected_after_its_end(
    world: World, play: Run
) -> None:
    async def main() -> None:
        got: list[Message] = []

        async def start() -> weakref.ref[Connection]:
            connection = await world.connect(final_close_codes=[4000])
            connection.on_message = got.append
            return weakref.ref(connection)

        with pytest.warns(ResourceWarning, match="unclosed connection") as warned:
            reference = await start()
        warned.clear()  # they hold the connection
        gc.collect()
        await asyncio.sleep(100)
        world.peer.send("still there")
        assert got == ["still there"]
        world.peer.close(4000)
        world.engine.peers.clear()
        await turns()
        gc.collect()
        assert reference() is None

    play(main())


@counts_references
def test_a_loop_that_ends_with_an_open_connection_ends_quietly(world: World) -> None:
    caught: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: caught.append(context))
        connection = await world.connect()

        async def hook(argument: Any) -> None:
            await asyncio.sleep(1000)

        connection.on_open = hook
        connection.on_state = hook
        await turns()

    with pytest.warns(ResourceWarning, match="unclosed connection"):
        asyncio.run(main())
    gc.collect()
    assert caught == []
