"""What a connection promises its user, on the memory engine and the simulated clock: always the same."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest
from tests.client.conftest import Run, World, receive, turns, until

from websocket_heartbeat import (
    Backoff,
    CloseEvent,
    Connection,
    ConnectionClosed,
    ConnectionFailed,
    HandshakeRejected,
    Heartbeat,
    HookFailed,
    Message,
    NotConnected,
    OpenEvent,
    ReconnectEvent,
    SendQueueFull,
    ServerClosed,
    State,
    Undelivered,
)
from websocket_heartbeat.engines.base import WRITE_LIMIT, OpenRequest
from websocket_heartbeat.engines.memory import MemoryPeer

# Life


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
        connection.send_nowait("early")
        await connection.close()
        assert connection.state == "closed"
        with pytest.raises(RuntimeError, match="started only once"):
            await connection
        await asyncio.sleep(100)
        assert world.engine.requests == []
        assert world.seen(Undelivered)[0].messages == ("early",)

    play(main())


def test_whoever_waits_on_a_connection_that_was_not_started_is_told(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect()
        waits: list[Callable[[], Awaitable[object]]] = [
            connection.recv,
            connection.wait_open,
            connection.__anext__,
            connection.wait_closed,
        ]
        for use in waits:
            with pytest.raises(RuntimeError, match="not started"):
                await use()
        await connection.drain()
        for _ in range(256):
            await connection.send("early")
        waits = [connection.drain, lambda: connection.send("too much")]
        for use in waits:
            with pytest.raises(RuntimeError, match="not started"):
                await use()
        async with connection:
            await connection.wait_open()

    play(main())


def test_what_is_sent_before_the_start_is_sent_after_it(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect()
        connection.reconnect_now()
        assert connection.state == "idle"
        connection.send_nowait("early")
        async with connection:
            await connection.wait_open()
            assert world.peer.received == ["early"]

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


def test_latency_is_the_time_from_heartbeat_to_answer(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            peer = await world.opened(connection, 1)
            peer.answers_pings = False
            await until(lambda: peer.pings)
            assert connection.latency is None
            assert connection.state == "probing"
            await asyncio.sleep(1.5)
            peer.send("alive")
            assert connection.latency == pytest.approx(1.5, abs=0.05)
            assert connection.state == "open"

    play(main())


def test_a_silent_link_is_noticed_within_interval_and_timeout(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.recorded() as connection:
            peer = await world.opened(connection, 1)
            peer.frozen = True
            since = asyncio.get_running_loop().time()
            await until(lambda: world.seen(CloseEvent))
            assert asyncio.get_running_loop().time() - since <= 15.2
            assert peer.aborted
            assert [event.reason[:17] for event in world.seen(CloseEvent)] == ["heartbeat timeout"]

    play(main())


def test_an_hour_of_idleness_is_an_hour_of_answered_pings(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            peer = await world.opened(connection, 1)
            await asyncio.sleep(3600)
            assert 350 <= peer.pings <= 360
            assert connection.stats.links == 1

    play(main())


def test_a_deadline_that_floats_cannot_express_does_not_stop_the_clock(world: World, play: Run) -> None:
    async def main() -> None:
        # Quotients of these are rounded: an alarm a hair too early would ring for ever in the same instant.
        for interval in (54.60000000000001, 0.1 + 0.2, 9.000000000000002):
            async with world.connect(heartbeat=Heartbeat(interval, 10)) as connection:
                await connection.wait_open()
                await asyncio.sleep(interval * 3)
                assert connection.stats.pings >= 2

    play(main())


# Iteration


def test_iteration_goes_on_across_reconnects_and_ends_quietly_after_close(world: World, play: Run) -> None:
    async def main() -> None:
        got: list[Message] = []
        async with world.connect() as connection:
            reader = asyncio.create_task(receive(connection, got))
            for number in range(1, 4):
                peer = await world.opened(connection, number)
                peer.send(f"text {number}")
                peer.send(b"binary")
                peer.reset()
            await world.opened(connection, 4)
            await connection.close()
            await reader
        assert got == ["text 1", b"binary", "text 2", b"binary", "text 3", b"binary"]

    play(main())


def test_what_had_arrived_before_close_can_still_be_read(world: World, play: Run) -> None:
    async def main() -> None:
        connection = await world.connect()
        peer = await world.opened(connection, 1)
        peer.send("one")
        peer.send("two")
        await connection.close()
        peer.send("late")
        got: list[Message] = []
        await receive(connection, got)
        assert got == ["one", "two"]
        with pytest.raises(ConnectionClosed):
            await connection.recv()

    play(main())


def test_what_arrives_while_closing_is_thrown_away(world: World, play: Run) -> None:
    async def main() -> None:
        for hooked in (False, True):
            got: list[Message] = []
            connection = await world.connect()
            if hooked:
                connection.on_message = got.append
            peer = await world.opened(connection, 1)
            peer.answers_close = False
            closing = asyncio.create_task(connection.close())
            await turns()
            peer.send("late")
            await closing
            await receive(connection, got)
            assert got == []

    play(main())


def test_iteration_raises_why_the_connection_failed_with_its_cause(world: World, play: Run) -> None:
    async def reject(request: OpenRequest) -> None:
        raise HandshakeRejected(403, [])

    async def main() -> None:
        world.engine.answer = reject
        async with world.connect() as connection:
            for _ in range(2):
                with pytest.raises(ConnectionFailed, match="HTTP status 403") as caught:
                    await anext(connection)
                assert isinstance(caught.value.__cause__, HandshakeRejected)
            assert connection.state == "failed"
            for use in (
                connection.recv(),
                connection.send(""),
                connection.wait_open(),
                connection.wait_closed(),
            ):
                with pytest.raises(ConnectionFailed):
                    await use
            with pytest.raises(ConnectionFailed):
                connection.send_nowait("")

    play(main())


def test_messages_before_the_failure_are_delivered_before_it_is_raised(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(final_close_codes=[4001]) as connection:
            peer = await world.opened(connection, 1)
            peer.send("last")
            peer.close(4001, "banned")
            assert await connection.recv() == "last"
            with pytest.raises(ConnectionFailed) as caught:
                await connection.recv()
            assert caught.value.code == 4001
            assert isinstance(caught.value.__cause__, ServerClosed)

    play(main())


def test_max_attempts_ends_in_failure_that_counts_them(world: World, play: Run) -> None:
    async def refuse(request: OpenRequest) -> None:
        raise ConnectionRefusedError("refused")

    async def main() -> None:
        world.engine.answer = refuse
        async with world.connect(max_attempts=3) as connection:
            with pytest.raises(ConnectionFailed, match="gave up after 3 retries: refused") as caught:
                await connection.wait_closed()
            assert isinstance(caught.value.__cause__, ConnectionRefusedError)
            assert len(world.engine.requests) == 4

    play(main())


def test_the_cause_of_a_failure_is_the_last_one_also_when_it_was_a_timeout(world: World, play: Run) -> None:
    async def refuse_then_hang(request: OpenRequest) -> None:
        if len(world.engine.requests) == 1:
            raise ConnectionRefusedError("refused")
        await asyncio.Event().wait()

    async def main() -> None:
        world.engine.answer = refuse_then_hang
        async with world.recorded(max_attempts=1, open_timeout=3) as connection:
            with pytest.raises(ConnectionFailed, match="open timeout") as caught:
                await connection.wait_closed()
            assert isinstance(caught.value.__cause__, TimeoutError)
            assert "open_timeout=3" in str(caught.value.__cause__)
            assert connection.stats.reasons == ["refused", "open timeout"]
            assert [type(error) for error in world.seen(Exception)] == [ConnectionRefusedError, TimeoutError]

    play(main())


def test_two_consumers_share_the_messages_and_both_end(world: World, play: Run) -> None:
    async def main() -> None:
        got: list[Message] = []
        connection = await world.connect()
        readers = [asyncio.create_task(receive(connection, got)) for _ in range(2)]
        peer = await world.opened(connection, 1)
        sent = [str(number) for number in range(20)]
        for text in sent:
            peer.send(text)
            if int(text) % 3 == 0:
                await turns(2)
        await until(lambda: len(got) == 20)
        await connection.close()
        await asyncio.gather(*readers)
        assert sorted(got, key=lambda message: int(message)) == sent

    play(main())


def test_a_cancelled_reader_loses_no_message(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            peer = await world.opened(connection, 1)
            for count in range(4):
                reader = asyncio.create_task(connection.recv())
                await turns(2)
                peer.send("kept")
                await turns(count)
                if not reader.done():
                    reader.cancel()
                    await turns()
                    assert reader.cancelled()
                    assert await connection.recv() == "kept"
                else:
                    assert reader.result() == "kept"

    play(main())


# Waiting


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


# Reconnect now


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


# Hooks


HOOKS = ("on_open", "on_message", "on_close", "on_error", "on_reconnect", "on_state")


def attach(connection: Connection, name: str, function: Callable[..., Any], how: str) -> None:
    if how == "decorator":
        assert getattr(connection, name)(function) is function
    else:
        setattr(connection, name, function)


async def provoke_every_hook(world: World, connection: Connection, times: int) -> None:
    async def refuse_every_other(request: OpenRequest) -> None:
        if len(world.engine.requests) % 2 == 0:
            raise OSError("refused")

    world.engine.answer = refuse_every_other
    async with connection:
        for number in range(1, times + 1):
            peer = await world.opened(connection, number)
            peer.send("hello")
            await turns()
            peer.reset()
        await world.opened(connection, times + 1)


@pytest.mark.parametrize("how", ["decorator", "assignment"])
@pytest.mark.parametrize("kind", ["plain", "coroutine", "lambda", "partial", "object"])
@pytest.mark.parametrize("name", HOOKS)
def test_hooks_of_every_kind_are_called_across_reconnects(
    name: str, kind: str, how: str, world: World, play: Run
) -> None:
    calls: list[Any] = []

    async def asynchronous(argument: Any) -> None:
        await asyncio.sleep(0)
        calls.append(argument)

    class Asynchronous:
        async def __call__(self, argument: Any) -> None:
            await asynchronous(argument)

    functions: dict[str, Callable[..., Any]] = {
        "plain": calls.append,
        "coroutine": asynchronous,
        "lambda": lambda argument: asynchronous(argument),
        "partial": partial(asynchronous),
        "object": Asynchronous(),
    }

    async def main() -> None:
        connection = world.connect()
        attach(connection, name, functions[kind], how)
        await provoke_every_hook(world, connection, times=3)

    play(main())
    kinds = {
        "on_open": OpenEvent,
        "on_message": str,
        "on_close": CloseEvent,
        "on_error": OSError,
        "on_reconnect": ReconnectEvent,
        "on_state": State,
    }
    assert len(calls) >= 3
    assert all(isinstance(call, kinds[name]) for call in calls)


@pytest.mark.parametrize("kind", ["plain", "coroutine", "cancelled", "await cancelled", "wrong arguments"])
@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_that_raises_is_reported_and_harms_nothing(
    name: str, kind: str, world: World, play: Run
) -> None:
    errors: list[Exception] = []

    def plain(argument: Any) -> None:
        raise LookupError("mistake")

    async def coroutine(argument: Any) -> None:
        raise LookupError("mistake")

    def cancelled(argument: Any) -> None:
        raise asyncio.CancelledError

    async def await_cancelled(argument: Any) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async def wrong(argument: Any, another: Any) -> None:
        raise AssertionError

    functions: dict[str, Callable[..., Any]] = {
        "plain": plain,
        "coroutine": coroutine,
        "cancelled": cancelled,
        "await cancelled": await_cancelled,
        "wrong arguments": wrong,
    }

    async def main() -> None:
        connection = world.connect()
        connection.on_error = errors.append
        setattr(connection, name, functions[kind])
        await provoke_every_hook(world, connection, times=2)
        assert connection.state == "closed"
        assert connection.stats.links == 3

    play(main())
    if name != "on_error":
        failures = [error for error in errors if isinstance(error, HookFailed)]
        assert len(failures) >= 2
        assert all(failure.name == name and failure.__cause__ is not None for failure in failures)


def test_a_hook_can_be_replaced_and_removed(world: World, play: Run) -> None:
    calls: list[str] = []

    async def main() -> None:
        connection = world.connect()
        connection.on_open = lambda event: calls.append("first")
        connection.on_open = lambda event: calls.append("second")
        async with connection:
            (await world.opened(connection, 1)).reset()
            connection.on_open = None
            await world.opened(connection, 2)
        assert calls == ["second"]

    play(main())


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
            connection.send_nowait("queued 1")
            async with connection:
                for number in (1, 2):
                    peer = await world.opened(connection, number)
                    connection.send_nowait("queued 2")
                    await connection.wait_open()
                    await connection.send("direct")
                    queued = ["queued 1", "queued 2"] if number == 1 else ["queued 2"]
                    if not asynchronous:
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

        connection.send_nowait("queued")
        async with connection:
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


def test_drain_within_on_open_does_not_wait_for_the_queue_behind_it(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect()

        @connection.on_open
        async def greet(event: OpenEvent) -> None:
            await connection.drain()

        connection.send_nowait("queued")
        async with connection:
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


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_may_send_reconnect_and_change_hooks(name: str, world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect()
        connection.on_error = lambda error: None
        budget = [4]

        def reenter(argument: Any) -> None:
            if connection.closed:
                with pytest.raises(ConnectionClosed):
                    connection.send_nowait("too late")
            elif connection.state != "closing":
                connection.send_nowait("x")
            if budget[0]:
                budget[0] -= 1
                connection.reconnect_now()
                setattr(connection, name, reenter)
            repr(connection), connection.stats, connection.native, connection.latency

        setattr(connection, name, reenter)
        await provoke_every_hook(world, connection, times=6)
        assert len(world.engine.live_peers) == 0
        assert connection.state == "closed"

    play(main())


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_may_close(name: str, world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect(close_timeout=5)
        connection.on_error = lambda error: None
        after: list[str] = []

        async def close(argument: Any) -> None:
            await connection.close()
            after.append(connection.state)

        setattr(connection, name, close)
        loop = asyncio.get_running_loop()
        async with connection:
            if name == "on_error":
                world.engine.answer = refuse
            elif name not in ("on_open", "on_state"):
                peer = await world.opened(connection, 1)
                peer.send("hello")
                await turns()
                peer.reset()
            since = loop.time()
            await connection.wait_closed()
            assert loop.time() - since < 2
        assert after
        assert set(after) == {"closed"}
        assert loop.time() - since < 2

    async def refuse(request: OpenRequest) -> None:
        raise OSError("refused")

    play(main())


def test_two_hooks_that_close_do_not_wait_for_each_other(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect()
        ends: list[str] = []
        go = asyncio.Event()

        async def close(argument: Any) -> None:
            await go.wait()
            await connection.close()
            ends.append("ended")

        connection.on_open = close
        connection.on_message = close
        async with connection:
            peer = await world.opened(connection, 1)
            peer.send("now")
            await turns()
            go.set()
            since = asyncio.get_running_loop().time()
        assert ends == ["ended", "ended"]
        assert asyncio.get_running_loop().time() == since

    play(main())


# on_message


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
            assert len(peer.link._unread) > 15
            await until(lambda: len(got) == 30)
        assert got == sent

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


# Sending


def test_messages_wait_for_a_link_and_keep_their_order(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            sent: list[Message] = ["a", b"b", "ä"]
            for message in sent:
                await connection.send(message)
            await connection.drain()
            assert world.peer.received == sent
            world.peer.reset()
            await connection.send("c")
            await connection.drain()
            await connection.send("d")
            assert world.peer.received == ["c", "d"]

    play(main())


def test_whatever_is_bytes_like_is_sent_as_bytes(world: World, play: Run) -> None:
    class Name(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "something else"

    async def main() -> None:
        async with world.connect() as connection:
            await connection.wait_open()
            buffer = bytearray(b"1")
            await connection.send(buffer)
            buffer[0] = 0
            await connection.send(memoryview(b"abcdef")[::2])
            await connection.send(Name("name"))
            await connection.send(State.OPEN)
            assert world.peer.received == [b"1", b"ace", "name", "open"]
            assert [type(message) for message in world.peer.received] == [bytes, bytes, str, str]

    play(main())


def test_send_waits_while_the_queue_is_full_and_tasks_keep_their_turn(world: World, play: Run) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        world.engine.answer = lambda request: gate.wait()
        async with world.connect(send_queue=2) as connection:
            connection.send_nowait("0")
            connection.send_nowait("1")
            with pytest.raises(SendQueueFull, match="send_queue=2"):
                connection.send_nowait("refused")
            senders = []
            for number in range(2, 50):
                senders.append(asyncio.create_task(connection.send(str(number))))
                await turns(1)
            assert not any(sender.done() for sender in senders)
            senders[5].cancel()
            gate.set()
            await connection.wait_open()
            with pytest.raises(SendQueueFull):
                connection.send_nowait("must not overtake")
            await asyncio.gather(*senders, return_exceptions=True)
            await connection.send("50")
            assert world.peer.received == [str(number) for number in range(51) if number != 7]

    play(main())


def test_with_no_queue_sending_needs_a_link(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect(send_queue=0)
        opening = asyncio.Event()

        @connection.on_open
        async def slowly(event: OpenEvent) -> None:
            connection.send_nowait("greeting")
            await opening.wait()

        async with connection:
            with pytest.raises(NotConnected, match="send_queue is 0"):
                await connection.send("x")
            with pytest.raises(NotConnected):
                connection.send_nowait("x")
            peer = await world.opened(connection, 1)
            await turns()
            with pytest.raises(NotConnected):
                connection.send_nowait("x")
            sender = asyncio.create_task(connection.send("after the hook"))
            await turns()
            assert not sender.done()
            opening.set()
            await sender
            connection.send_nowait("direct")
            assert peer.received == ["greeting", "after the hook", "direct"]
            peer.stop_reading()
            await connection.send("x" * (WRITE_LIMIT + 1))
            sender = asyncio.create_task(connection.send("waits for room"))
            await turns()
            assert not sender.done()
            peer.reset()
            with pytest.raises(NotConnected):
                await sender

    play(main())


def test_a_full_link_fills_the_queue_and_then_makes_senders_wait(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(send_queue=1) as connection:
            peer = await world.opened(connection, 1)
            peer.stop_reading()
            await connection.send("x" * (WRITE_LIMIT + 1))
            await connection.send("queued")
            waiting = asyncio.create_task(connection.send("waits"))
            draining = asyncio.create_task(connection.drain())
            await turns()
            assert not waiting.done()
            assert not draining.done()
            peer.start_reading()
            await waiting
            await draining
            await turns()
            assert peer.received[1:] == ["queued", "waits"]

    play(main())


def test_what_a_dead_link_did_not_take_goes_to_the_next_one(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.recorded() as connection:
            peer = await world.opened(connection, 1)
            peer.stop_reading()
            lost = "x" * (WRITE_LIMIT + 1)
            await connection.send(lost)
            await connection.send("kept")
            await until(lambda: connection.stats.links == 2)
            assert world.peer.received == ["kept"]
            assert world.seen(CloseEvent)[0].unsent_bytes == len(lost)

    play(main())


def test_close_sends_what_waits_behind_a_full_link_and_behind_on_open(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect()
        connection.on_open = lambda event: asyncio.sleep(100)
        connection.send_nowait("one")
        async with connection:
            await world.opened(connection, 1)
        assert world.peer.received == ["one"]
        assert world.peer.close_code == 1000

    play(main())


def test_what_cannot_be_sent_any_more_is_reported(world: World, play: Run) -> None:
    async def main() -> None:
        world.engine.answer = lambda request: asyncio.Event().wait()
        for asynchronous in (False, True):
            errors: list[Exception] = []

            async def keep(error: Exception, errors: list[Exception] = errors) -> None:
                await asyncio.sleep(0.1)
                errors.append(error)

            connection = world.connect()
            connection.on_error = keep if asynchronous else errors.append
            async with connection:
                connection.send_nowait("a")
                connection.send_nowait(b"b")
                draining = asyncio.create_task(connection.drain())
                await turns()
            assert [type(error) for error in errors] == [Undelivered]
            assert isinstance(errors[0], Undelivered)
            assert errors[0].messages == ("a", b"b")
            with pytest.raises(ConnectionClosed):
                await draining

    play(main())


def test_what_a_failed_connection_could_not_send_is_reported(world: World, play: Run) -> None:
    async def reject(request: OpenRequest) -> None:
        raise HandshakeRejected(401, [])

    async def main() -> None:
        world.engine.answer = reject
        async with world.recorded() as connection:
            connection.send_nowait("a")
            with pytest.raises(ConnectionFailed):
                await connection.drain()
        assert world.seen(Undelivered)[0].messages == ("a",)

    play(main())


def test_drain_without_a_queue_returns_at_once_in_every_state(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect()
        await connection.drain()
        async with connection:
            await connection.drain()
            await connection.wait_open()
            await connection.drain()
        await connection.drain()

    play(main())


# Text heartbeats


@pytest.mark.parametrize("kind", ["str", "bytes", "callable"])
def test_a_heartbeat_of_the_user_s_own_is_sent_instead_of_pings(kind: str, world: World, play: Run) -> None:
    messages: dict[str, Any] = {"str": "hb", "bytes": b"hb", "callable": lambda: "hb"}
    expected: Message = b"hb" if kind == "bytes" else "hb"

    async def main() -> None:
        async with world.connect(heartbeat=Heartbeat(10, 5, message=messages[kind])) as connection:
            peer = await world.opened(connection, 1)
            await until(lambda: peer.received)
            assert connection.state == "probing"
            peer.send("hb")
            assert connection.state == "open"
            assert await connection.recv() == "hb"
            assert peer.received == [expected]
            await until(lambda: len(peer.received) == 2)
            assert peer.pings == 0
            assert connection.stats.pings == 2
            # Not answered: the link is given up.
            await world.opened(connection, 2)

    play(main())


@pytest.mark.parametrize(
    "value", [LookupError("mistake"), asyncio.CancelledError(), None, 5, "\ud800", b"x" * 101]
)
def test_a_heartbeat_function_that_fails_is_reported_and_replaced_by_a_ping(
    value: Any, world: World, play: Run
) -> None:
    def message() -> Any:
        if isinstance(value, BaseException):
            raise value
        return value

    async def main() -> None:
        async with world.recorded(heartbeat=Heartbeat(10, 5, message=message), max_size=100) as connection:
            peer = await world.opened(connection, 1)
            await asyncio.sleep(25)
            assert peer.pings == 2
            assert peer.received == []
            assert connection.stats.links == 1
            assert connection.state == "open"
        failures = world.seen(HookFailed)
        assert [failure.name for failure in failures] == ["Heartbeat.message"] * 2

    play(main())


# Backpressure


def test_a_full_receive_queue_pauses_reading_and_loses_nothing(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(receive_queue=4) as connection:
            peer = await world.opened(connection, 1)
            sent = [str(number) for number in range(100)]
            for text in sent:
                peer.send(text)
            held = 100 - len(peer.link._unread)
            assert 4 <= held <= 10
            got = [await connection.recv() for _ in sent]
            assert got == sent

    play(main())


def test_a_paused_link_is_not_given_up_and_gets_its_whole_time_afterwards(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(receive_queue=1) as connection:
            peer = await world.opened(connection, 1)
            for number in range(6):
                peer.send(str(number))
            await turns()
            await asyncio.sleep(300)
            assert connection.stats.links == 1
            got = [await connection.recv() for _ in range(6)]
            assert got == ["0", "1", "2", "3", "4", "5"]
            await asyncio.sleep(300)
            assert connection.stats.links == 1
            peer.frozen = True
            await world.opened(connection, 2)

    play(main())


def test_a_slow_reader_of_one_link_pauses_the_next_one(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(receive_queue=2) as connection:
            for link in range(1, 4):
                peer = await world.opened(connection, link)
                for number in range(10):
                    peer.send(f"{link}-{number}")
                held = len(peer.link._unread)
                assert held >= 6
                if link > 1:
                    assert held >= 8
                if link < 3:
                    peer.reset()
            got: list[Message] = []
            reader = asyncio.create_task(receive(connection, got))
            await until(lambda: "3-9" in got)
            assert [message for message in got if str(message).startswith("3")] == [
                f"3-{number}" for number in range(10)
            ]
            await connection.close()
            await reader

    play(main())


# Closing


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (1001, "", ValueError),
        (999, "", ValueError),
        (5000, "", ValueError),
        (True, "", ValueError),
        ("1000", "", ValueError),
        (1000, "x" * 124, ValueError),
        (1000, "ä" * 62, ValueError),
        (1000, "\ud800", ValueError),
        (1000, b"bytes", TypeError),
        (1000, None, TypeError),
    ],
)
def test_close_refuses_what_cannot_be_sent_and_closes_nothing(
    code: Any, reason: Any, error: type[Exception], world: World, play: Run
) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            await connection.wait_open()
            with pytest.raises(error, match="code" if reason == "" else "reason"):
                await connection.close(code, reason)
            assert connection.state == "open"

    play(main())


def test_close_sends_code_and_reason(world: World, play: Run) -> None:
    async def main() -> None:
        connection = await world.connect()
        await connection.wait_open()
        await connection.close(4999, "ä" * 61)
        assert world.peer.close_code == 4999

    play(main())


def test_close_is_idempotent_and_concurrent_calls_end_together(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.recorded() as connection:
            peer = await world.opened(connection, 1)
            peer.answers_close = False
            closers = [asyncio.create_task(connection.close(code)) for code in (4000, 4001, 1000)]
            await turns()
            peer.close(4000)
            await asyncio.gather(*closers)
            assert peer.close_code == 4000
            await connection.close()
        assert world.events.count("closed") == 1
        assert len(world.seen(CloseEvent)) == 1

    play(main())


@pytest.mark.parametrize("what", ["frozen", "answers_close"])
def test_close_returns_within_close_timeout_whatever_the_peer_does(
    what: str, world: World, play: Run
) -> None:
    async def main() -> None:
        async with world.recorded(close_timeout=2) as connection:
            peer = await world.opened(connection, 1)
            setattr(peer, what, what == "frozen")
            since = asyncio.get_running_loop().time()
            await connection.close()
            assert asyncio.get_running_loop().time() - since <= 2.1
            assert peer.aborted
            assert world.seen(CloseEvent) == [CloseEvent(1, "close timeout")]

    play(main())


def test_close_in_every_state_ends_at_once_where_there_is_nothing_to_wait_for(
    world: World, play: Run
) -> None:
    async def refuse(request: OpenRequest) -> None:
        raise OSError("refused")

    async def main() -> None:
        for state, answer in (("connecting", lambda request: asyncio.Event().wait()), ("waiting", refuse)):
            world.engine.answer = answer
            connection = await world.connect()
            await until(lambda c=connection, s=state: c.state == s)  # type: ignore[misc]
            await turns()
            since = asyncio.get_running_loop().time()
            await connection.close()
            assert asyncio.get_running_loop().time() == since
            assert connection.state == "closed"

    play(main())


def test_the_user_may_close_within_the_loop_over_messages(world: World, play: Run) -> None:
    async def main() -> None:
        got: list[Message] = []
        async with world.connect() as connection:
            (await world.opened(connection, 1)).send("stop")
            async for message in connection:
                got.append(message)
                await connection.close()
        assert got == ["stop"]

    play(main())


def test_hooks_called_at_the_end_run_even_if_the_peer_took_all_the_time(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect(close_timeout=0)
        told: list[Any] = []

        async def tell(event: Any) -> None:
            await asyncio.sleep(0.5)
            told.append(event)

        connection.on_close = tell
        async with connection:
            peer = await world.opened(connection, 1)
            peer.frozen = True
        assert told == [CloseEvent(1, "close timeout")]

    play(main())


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_hook_that_never_ends_does_not_keep_close(stubborn: bool, world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect(close_timeout=2)
        release = asyncio.Event()

        @connection.on_close
        async def hang(event: CloseEvent) -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    if not stubborn:
                        raise

        async with connection:
            await connection.wait_open()
            since = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - since <= 3.1
        release.set()
        await turns()

    play(main())


def test_hooks_that_hooks_call_at_the_end_are_waited_for(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect()
        errors: list[Exception] = []

        @connection.on_close
        async def fail(event: CloseEvent) -> None:
            await asyncio.sleep(0.1)
            raise LookupError

        @connection.on_error
        async def keep(error: Exception) -> None:
            await asyncio.sleep(0.1)
            errors.append(error)

        async with connection:
            await connection.wait_open()
        assert [type(error) for error in errors] == [HookFailed]

    play(main())


def test_cancelling_close_drops_the_link_at_once(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.recorded() as connection:
            peer = await world.opened(connection, 1)
            peer.frozen = True
            closing = asyncio.create_task(connection.close())
            another = asyncio.create_task(connection.close())
            await asyncio.sleep(1)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            assert connection.state == "closed"
            assert peer.aborted
            await another
            assert world.seen(CloseEvent) == [CloseEvent(1, "close was cancelled")]

    play(main())


# Cancellation, collection, loops that end


def test_cancelled_at_any_point_the_user_s_task_ends_promptly_and_leaves_nothing(
    world: World, play: Run
) -> None:
    """The user's task is cancelled at its first step, its second, and so on to its end."""

    async def subscribe(event: OpenEvent) -> None:
        await asyncio.sleep(0.1)

    async def user(connection: Connection) -> None:
        connection.on_open = subscribe
        connection.on_message = None
        async with connection:
            await connection.wait_open()
            await connection.send("x")
            await connection.drain()
            world.peer.send("answer")
            await connection.recv()
            world.peer.reset()
            await connection.send("y")
            await connection.wait_open(100)
            reader = asyncio.create_task(receive(connection, []))
            await asyncio.sleep(1)
            await connection.close()
            await connection.wait_closed()
            await reader

    async def main() -> None:
        loop = asyncio.get_running_loop()
        steps = 0
        finished = False
        while not finished:
            steps += 1
            connection = world.connect(close_timeout=5)
            task = loop.create_task(user(connection))
            for _ in range(steps):
                await asyncio.sleep(0.03)
                if task.done():
                    break
            finished = task.done()
            since = loop.time()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert finished or task.cancelled()
            assert loop.time() - since <= 5
            await turns()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for reader in tasks:  # the one that the user forgot
                await reader
            assert world.engine.live_peers == []
            assert connection.state in ("closed", "idle")
        assert steps > 20

    play(main())


def test_cancelled_twice_the_user_s_task_does_not_wait_for_a_frozen_peer(world: World, play: Run) -> None:
    async def main() -> None:
        async def user() -> None:
            async with world.connect() as connection:
                await connection.wait_open()
                world.peer.frozen = True
                await connection.recv()

        task = asyncio.create_task(user())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(1)
        assert not task.done()
        since = asyncio.get_running_loop().time()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.get_running_loop().time() == since
        await turns()
        assert world.engine.live_peers == []

    play(main())


@pytest.mark.parametrize("use", ["recv", "send", "drain", "wait_open", "wait_closed"])
def test_cancelling_one_wait_leaves_the_connection_as_it_was(use: str, world: World, play: Run) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        world.engine.answer = lambda request: gate.wait()
        async with world.connect(send_queue=1) as connection:
            connection.send_nowait("kept")
            waits = {
                "recv": connection.recv,
                "send": lambda: connection.send("cancelled"),
                "drain": connection.drain,
                "wait_open": connection.wait_open,
                "wait_closed": connection.wait_closed,
            }
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await waits[use]()
            gate.set()
            await connection.wait_open()
            await connection.send("next")
            assert world.peer.received == ["kept", "next"]
            world.peer.send("message")
            assert await connection.recv() == "message"

    play(main())


def test_an_attempt_whose_callables_ignore_cancellation_opens_no_second_link(world: World, play: Run) -> None:
    async def stubborn() -> dict[str, str]:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            await asyncio.sleep(3)
        return {}

    async def main() -> None:
        async with world.connect(additional_headers=stubborn, open_timeout=2) as connection:
            await asyncio.sleep(60)
            assert connection.stats.attempts > 2
            assert connection.stats.links == 0
            assert world.engine.live_peers == []

    play(main())


def test_a_callable_that_asks_a_cancelled_future_fails_its_attempt_at_once(world: World, play: Run) -> None:
    async def cancelled() -> dict[str, str]:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future
        return {}

    async def main() -> None:
        async with world.recorded(additional_headers=cancelled, max_attempts=1) as connection:
            with pytest.raises(ConnectionFailed, match="additional_headers raised CancelledError"):
                await connection.wait_closed()

    play(main())


def test_a_connection_nobody_refers_to_goes_on_and_is_collected_after_its_end(
    world: World, play: Run
) -> None:
    async def main() -> None:
        got: list[Message] = []

        async def start() -> weakref.ref[Connection]:
            connection = await world.connect(final_close_codes=[4000])
            connection.on_message = got.append
            return weakref.ref(connection)

        reference = await start()
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


def test_a_loop_that_ends_with_an_open_connection_ends_quietly(world: World) -> None:
    caught: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: caught.append(context))
        connection = await world.connect()

        async def hook(argument: Any) -> None:
            await asyncio.sleep(1000)

        connection.on_open = hook
        connection.on_state = hook
        await connection.wait_open(0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    gc.collect()
    assert caught == []


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


def test_a_hook_that_ends_the_program_ends_it_and_nothing_else_is_lost(world: World, play: Run) -> None:
    class Stop(BaseException):
        pass

    async def main() -> None:
        connection = world.recorded()
        async with connection:
            await connection.wait_open()

            def stop(state: State) -> None:
                connection.on_state = None
                raise Stop

            connection.on_state = stop
            with pytest.raises(Stop):
                connection.reconnect_now()
            await world.opened(connection, 2)

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
