"""Hooks of every kind survive reconnects, and one that fails harms nothing."""

import asyncio
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.client.conftest import World, provoke_every_hook
from tests.client.servers import in_a_thread, well_behaved
from tests.watch import Run, turns, until

from websocket_heartbeat import (
    CloseEvent,
    Connection,
    ConnectionClosed,
    HookFailed,
    OpenEvent,
    ReconnectEvent,
    State,
    Undelivered,
    connect,
)
from websocket_heartbeat.engines.base import OpenRequest
from websocket_heartbeat.engines.memory import MemoryEngine
from websocket_heartbeat.events import Message
from websocket_heartbeat.testing import SimulatedClock

HOOKS = ("on_open", "on_message", "on_close", "on_error", "on_reconnect", "on_state")


def attach(connection: Connection, name: str, function: Callable[..., Any], how: str) -> None:
    if how == "decorator":
        assert getattr(connection, name)(function) is function
    else:
        setattr(connection, name, function)


@pytest.mark.parametrize("how", ["decorator", "assignment", "argument"])
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
        given = {name: functions[kind]} if how == "argument" else {}
        connection = world.connect(**given)
        if how != "argument":
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


# An on_open that raises calls its link bad: test_on_open.py.
@pytest.mark.parametrize("kind", ["plain", "coroutine", "cancelled", "await cancelled"])
@pytest.mark.parametrize("name", [name for name in HOOKS if name != "on_open"])
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

    functions: dict[str, Callable[..., Any]] = {
        "plain": plain,
        "coroutine": coroutine,
        "cancelled": cancelled,
        "await cancelled": await_cancelled,
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


def test_the_link_of_a_program_that_ends_within_on_open_is_closed_and_not_dropped() -> None:
    ends: list[CloseEvent] = []

    async def main(url: str) -> None:
        async with connect(url) as connection:
            connection.on_open = lambda event: sys.exit(3)
            connection.on_close = ends.append
            await connection.wait_closed()

    with in_a_thread(well_behaved) as url, pytest.raises(SystemExit):
        asyncio.run(main(url))
    assert ends == [CloseEvent(1, "we closed the connection", 1000)]


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_close_does_not_wait_for_an_on_open_that_has_ended_the_program(
    kind: str, world: World, simulated_clock: SimulatedClock
) -> None:
    times: list[float] = []

    def leave(event: OpenEvent) -> None:
        times.append(asyncio.get_running_loop().time())
        sys.exit()

    async def leave_later(event: OpenEvent) -> None:
        leave(event)

    async def main() -> None:
        connection = world.recorded(close_timeout=5)
        connection.on_open = leave if kind == "plain" else leave_later
        try:
            async with connection:
                connection.send_nowait("after the login")
                await connection.wait_closed()
        finally:
            times.append(asyncio.get_running_loop().time())

    with pytest.raises(SystemExit):
        simulated_clock.run(main())
    assert times == [times[0]] * 2
    # It was never logged in, and so was sent nothing of that.
    assert world.peer.received == []
    assert [type(error) for error in world.seen(Exception)] == [Undelivered]


def test_whoever_waits_for_the_end_is_told_of_it_though_a_hook_ends_the_program(
    world: World, simulated_clock: SimulatedClock
) -> None:
    class Stop(BaseException):
        pass

    async def main() -> None:
        raised: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: raised.append(context["exception"])
        )

        def stop(event: CloseEvent) -> None:
            raise Stop

        connection = world.connect()
        connection.on_close = stop
        async with connection:
            await world.opened(connection, 1)
            waiting = asyncio.create_task(connection.wait_closed())
            await turns()
        await waiting
        assert [type(error) for error in raised] == [Stop]

    simulated_clock.run(main())


def test_the_log_says_where_a_hook_raised_and_which_line_of_its_file_led_there(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    def parse(message: Message) -> None:
        json.loads(message)

    async def main() -> None:
        engine = MemoryEngine()
        connection = connect("ws://example.com/", engine=engine)
        connection.on_message = parse
        async with connection:
            await connection.wait_open()
            engine.peers[0].send("no JSON")
            await until(lambda: "JSONDecodeError" in caplog.text)

    run_asyncio(main())
    line = parse.__code__.co_firstlineno + 1
    assert f"{Path(json.__file__).parent}/" in caplog.text  # PyPy raises it in another of its files
    assert f", called at {__file__}:{line}\n" in caplog.text
