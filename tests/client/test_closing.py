"""close() ends in time whatever the peer does, and cancelling the user's task leaves nothing behind."""

import asyncio
from typing import Any

import pytest
from tests.client.conftest import World, receive
from tests.watch import Run, turns, until

from websocket_heartbeat import CloseEvent, Connection, ConnectionClosed, HookFailed, Message, OpenEvent
from websocket_heartbeat.engines.base import OpenRequest


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (1001, "", ValueError),
        (999, "", ValueError),
        (5000, "", ValueError),
        (True, "", TypeError),
        ("1000", "", TypeError),
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


def test_nothing_can_be_sent_while_the_closing_handshake_is_under_way(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            peer = await world.opened(connection, 1)
            await connection.wait_open()
            peer.answers_close = False
            closing = asyncio.create_task(connection.close())
            await turns()
            assert connection.state == "closing"
            with pytest.raises(ConnectionClosed):
                connection.send_nowait("late")
            with pytest.raises(ConnectionClosed):
                await connection.send("late")
            with pytest.raises(ConnectionClosed):
                await connection.wait_open()
            peer.close()
            await closing
            assert peer.received == []

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
