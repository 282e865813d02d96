"""A connection is used where it was started, and closed before it is forgotten: else the program is told."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.client.conftest import World
from tests.watch import PATIENCE, Run, counts_references, turns, until

from websocket_heartbeat import Connection, ConnectionClosed, Fleet, Message, connect
from websocket_heartbeat.server import serve

USES: dict[str, Callable[[Connection], Awaitable[object]]] = {
    "send": lambda connection: connection.send("x"),
    "recv": lambda connection: connection.recv(),
    "recv_waiting": lambda connection: connection.recv_waiting(),
    "anext": lambda connection: anext(connection),
    "wait_open": lambda connection: connection.wait_open(),
    "wait_closed": lambda connection: connection.wait_closed(),
    "drain": lambda connection: connection.drain(),
}
ALL_USES = pytest.mark.parametrize("name", [*USES, "send_nowait"])


async def use(name: str, connection: Connection) -> None:
    if name == "send_nowait":
        connection.send_nowait("x")
    else:
        async with asyncio.timeout(PATIENCE):
            await USES[name](connection)


@ALL_USES
def test_a_connection_that_was_never_started_takes_and_gives_nothing(
    name: str, world: World, play: Run
) -> None:
    async def main() -> None:
        connection = world.connect()
        with pytest.raises(RuntimeError, match="not started"):
            await use(name, connection)
        async with connection:
            await connection.wait_open()
        assert world.peer.received == []

    play(main())


def test_without_any_loop_send_nowait_says_so_too(world: World) -> None:
    with pytest.raises(RuntimeError, match="not started"):
        world.connect().send_nowait("x")


@ALL_USES
@pytest.mark.parametrize("where", ["open", "with a message waiting", "connecting"])
def test_on_another_loop_in_another_thread_a_connection_cannot_be_used(
    where: str, name: str, world: World, run: Run
) -> None:
    async def main() -> None:
        if where == "connecting":
            world.engine.answer = lambda request: asyncio.Event().wait()
        async with world.connect() as connection:
            if where != "connecting":
                await connection.wait_open()
            if where == "with a message waiting":
                world.peer.send("message")

            async def elsewhere() -> None:
                with pytest.raises(RuntimeError, match="another event loop"):
                    await use(name, connection)

            await asyncio.to_thread(asyncio.run, elsewhere())
            await asyncio.get_running_loop().shutdown_default_executor()
            if where == "with a message waiting":
                assert await connection.recv() == "message"
            if where != "connecting":
                await connection.send("right")
                assert world.peer.received == ["right"]

    run(main())


def test_in_a_thread_without_a_loop_send_nowait_is_refused(world: World, run: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            await connection.wait_open()
            with pytest.raises(RuntimeError, match="another event loop"):
                await asyncio.to_thread(connection.send_nowait, "x")
            await asyncio.get_running_loop().shutdown_default_executor()
            assert world.peer.received == []

    run(main())


@ALL_USES
def test_a_later_loop_of_the_same_thread_cannot_use_it_either(name: str, world: World) -> None:
    loop = asyncio.new_event_loop()
    connection = world.connect()

    async def begin() -> None:
        connection.start()
        await connection.wait_open()
        world.peer.send("message")

    async def elsewhere() -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            await use(name, connection)

    loop.run_until_complete(begin())
    asyncio.run(elsewhere())
    if name == "send_nowait":
        with pytest.raises(RuntimeError, match="another event loop"):
            connection.send_nowait("x")  # where no loop runs at all
    assert world.peer.received == []
    loop.run_until_complete(connection.close())
    loop.close()


def test_reconnect_now_is_refused_elsewhere(world: World, run_asyncio: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            await connection.wait_open()
            with pytest.raises(RuntimeError, match="another event loop"):
                await asyncio.to_thread(connection.reconnect_now)
            await asyncio.get_running_loop().shutdown_default_executor()
            assert connection.stats.attempts == 1

    run_asyncio(main())


def test_what_has_ended_says_so_everywhere(world: World) -> None:
    connection = world.connect()

    async def main() -> None:
        async with connection:
            await connection.wait_open()
            world.peer.send("message")
            await turns()

    asyncio.run(main())

    async def elsewhere() -> None:
        assert await connection.recv() == "message"
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        with pytest.raises(ConnectionClosed):
            await connection.send("x")
        await connection.drain()
        await connection.wait_closed()
        await connection.close()

    asyncio.run(elsewhere())


def test_a_member_of_a_fleet_may_be_used_before_its_turn_but_not_elsewhere(
    world: World, run_asyncio: Run
) -> None:
    async def main() -> None:
        async with Fleet(open_rate=5) as fleet:
            fleet.add(world.connect())
            second = fleet.add(world.connect())
            assert second.state == "idle"
            with pytest.raises(RuntimeError, match="another event loop"):
                await asyncio.to_thread(second.send_nowait, "x")
            await asyncio.get_running_loop().shutdown_default_executor()
            await second.send("early")
            await second.drain()
            assert world.peer.received == ["early"]

    run_asyncio(main())


def test_over_a_real_socket_a_send_from_another_thread_is_refused_and_harms_nothing(run: Run) -> None:
    async def main() -> None:
        async with serve() as server, connect(server.url(), proxy=None) as connection:
            await connection.wait_open()
            refused: list[BaseException] = []

            def hammer() -> None:
                for _ in range(1000):
                    try:
                        connection.send_nowait("wrong")
                    except RuntimeError as error:
                        refused.append(error)

            thread = threading.Thread(target=hammer)
            thread.start()
            got: list[Message] = []
            while thread.is_alive():
                await connection.send("right")
                got.append(await connection.recv())
            assert len(refused) == 1000
            assert set(got) <= {"right"}

    run(main())


FORKS = """
import asyncio, os
from websocket_heartbeat import connect
from websocket_heartbeat.server import serve

async def sends(connection):
    for send in (connection.send, connection.send_nowait):
        try:
            await send("from the child")
        except RuntimeError as error:
            assert "another event loop, thread or process" in str(error)
        else:
            raise AssertionError("sent")

async def main():
    async with serve() as server, connect(server.url("/")) as connection:
        await connection.wait_open()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                asyncio._set_running_loop(None)
                asyncio.run(sends(connection))
                status = 0
            finally:
                os._exit(status)
        assert (await asyncio.to_thread(os.waitpid, child, 0))[1] == 0
        await connection.send("from the parent")
        assert await connection.recv() == "from the parent"

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_was_forked_cannot_use_the_connections_of_its_parent() -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")


# Forgotten


def collected(connections: list[Connection]) -> list[str]:
    """Drop the connections, and return what Python warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        connections.clear()
        gc.collect()
    assert {warning.category for warning in caught} <= {ResourceWarning}
    return [str(warning.message) for warning in caught]


@counts_references
@pytest.mark.parametrize("state", ["connecting", "open", "waiting"])
def test_a_connection_that_is_dropped_unclosed_is_warned_of(state: str, world: World) -> None:
    async def refuse(request: object) -> None:
        raise OSError("refused")

    async def main() -> list[str]:
        if state != "open":
            world.engine.answer = refuse if state == "waiting" else lambda request: asyncio.sleep(0.5)
        connections = [await world.connect()]
        await until(lambda: connections[0].state == state)
        return collected(connections)

    (warning,) = asyncio.run(main())
    assert warning == f"unclosed connection <Connection ws://example.com/feed {state} link=1>"


@counts_references
def test_the_end_of_the_loop_is_no_close(world: World) -> None:
    async def main() -> Connection:
        connection = await world.connect()
        await connection.wait_open()
        return connection

    assert len(collected([asyncio.run(main())])) == 1


@counts_references
def test_what_was_never_started_was_closed_or_has_failed_is_dropped_in_silence(world: World) -> None:
    async def reject(request: object) -> None:
        raise OSError("refused")

    async def main() -> list[str]:
        connections = [world.connect(), world.connect(), world.connect(max_retries=0)]
        async with connections[1]:
            await connections[1].wait_open()
        world.engine.answer = reject
        await connections[2]
        await until(lambda: connections[2].closed)
        assert [connection.state for connection in connections] == ["idle", "closed", "failed"]
        return collected(connections)

    assert asyncio.run(main()) == []


def test_a_connection_that_could_not_be_made_is_dropped_in_silence() -> None:
    wrong: Any = Connection
    unraisable: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.unraisablehook", unraisable.append)
        with pytest.raises(TypeError):
            wrong()
        gc.collect()
    assert unraisable == []
