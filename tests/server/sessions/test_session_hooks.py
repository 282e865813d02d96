"""Hooks of peers with a session: each message is handled once, one after the other, whatever a hook does."""

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.server.raw import client
from tests.server.sessions.test_sessions import running, session, told
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Backoff, ConnectionFailed, connect
from websocket_heartbeat.server import Hub, Peer, Server, serve
from websocket_heartbeat.server.sessions.reports import Reports
from websocket_heartbeat.server.throttle import LINES


@pytest.mark.timeout(60)
def test_an_on_open_hook_that_takes_one_message_leaves_the_rest_to_on_message(run_asyncio: Run) -> None:
    async def main() -> None:
        up: list[object] = []

        async def on_open(peer: Peer) -> None:
            up.append(("login", await peer.recv()))

        hub = Hub(sessions="memory", on_open=on_open, on_message=lambda peer, message: up.append(message))
        async with running(hub) as server, session(server.url()) as connection:
            for text in ("me", "a", "b"):
                await connection.send(text)
            await until(lambda: len(up) == 3)
            assert up == [("login", "me"), "a", "b"]
            await connection.flush()

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_a_recv_in_a_hook_that_is_cancelled_handles_nothing(run_asyncio: Run) -> None:
    async def main() -> None:
        seen: list[tuple[int, object]] = []
        release = asyncio.Event()
        waits = asyncio.Event()

        async def on_message(peer: Peer, message: object) -> None:
            seen.append((peer.number, message))
            if message == "first":
                try:
                    async with asyncio.timeout(0.05):
                        await peer.recv()
                except TimeoutError:
                    pass
                waits.set()
                await release.wait()
            if message == "second":
                seen.append((peer.number, "still second"))

        hub = Hub(sessions="memory", on_message=on_message)
        async with running(hub) as server, session(server.url()) as connection:
            await connection.send("first")
            await waits.wait()
            await connection.send("second")
            await connection.send("third")
            await until(lambda: hub.peers[0].waiting == 1)
            release.set()
            await connection.flush()
            assert seen == [(1, "first"), (2, "second"), (2, "still second"), (3, "third")]

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_an_on_open_hook_may_dismiss(run_asyncio: Run) -> None:
    async def main() -> None:
        ends: list[Any] = []
        hub = Hub(
            sessions="memory",
            on_open=lambda peer: peer.dismiss("not you"),
            on_session_end=lambda *end: ends.append(end[1:]),
        )
        async with running(hub) as server, session(server.url()) as connection:
            events = told(connection)
            with pytest.raises(ConnectionFailed):
                async with asyncio.timeout(10):
                    await connection.recv()
            assert (events[-1].kind, events[-1].why) == ("over", "not you")
            assert ends == [("not you", ())]

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_an_end_hook_may_be_a_coroutine_function(run_asyncio: Run) -> None:
    async def main() -> None:
        ends: list[Any] = []

        async def on_session_end(*end: object) -> None:
            await asyncio.sleep(0)
            ends.append(end[1:])

        hub = Hub(sessions="memory", on_session_end=on_session_end)
        async with running(hub) as server:
            async with session(server.url()) as connection:
                events = told(connection)
                await until(lambda: len(events) == 1)
            await until(lambda: ends == [("", ())])

    run_asyncio(main())


def test_an_end_hook_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="on_session_end"):
        Hub(sessions="memory", on_session_end=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="on_session_end"):
        Hub(sessions="memory", on_session_end=lambda session: None)  # type: ignore[arg-type, misc]


@pytest.mark.timeout(60)
def test_a_session_takes_one_place_and_none_while_its_client_is_away(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory", max_peers=2, on_message=lambda peer, message: peer.send(message))
        async with running(hub) as server, session(server.url()) as connection:
            events = told(connection)
            for number in range(1, 6):
                await connection.send("x")
                assert await connection.recv() == "x"
                assert len(events) == number
                connection.reconnect_now()
                await until(lambda number=number: len(events) == number + 1)  # type: ignore[misc]
            async with session(server.url()) as other:
                await other.send("y")
                assert await other.recv() == "y"

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_a_session_takes_a_place_for_each_link_that_it_goes_on_with(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory", max_peers=2)
        async with running(hub) as server, session(server.url()) as connection:
            events = told(connection)
            for number in range(1, 4):
                await until(lambda number=number: len(events) == number)  # type: ignore[misc]
                connection.reconnect_now()
            await until(lambda: len(events) == 4)
            async with client(server) as second, client(server) as third:
                assert (second.status, third.status) == (101, 503)

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_a_session_whose_link_was_dropped_leaves_its_place_to_another_client(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory", max_peers=1, on_message=lambda peer, message: peer.send(message))
        later = Backoff(initial=600, maximum=600)
        async with running(hub) as server, connect(server.url(), session="require", backoff=later) as away:
            await away.wait_open()
            hub.peers[0].abort()
            async with session(server.url()) as other:
                await other.send("x")
                assert await other.recv() == "x"
            assert not hub.peers[0].closed

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_hooks_are_called_for_nothing_once_the_session_is_over(run_asyncio: Run) -> None:
    async def main() -> None:
        order: list[object] = []

        def on_message(peer: Peer, message: object) -> None:
            order.append(message)
            if message == "2":
                for _ in range(5000):
                    peer.send("overflow")

        hub = Hub(
            sessions="memory",
            on_message=on_message,
            on_close=lambda peer, *end: order.append(("close", peer.id)),
        )
        async with serve(hub=hub) as server, session(server.url()) as connection:
            events = told(connection)
            await until(lambda: len(events) == 1)
            for number in range(6):
                connection.send_nowait(str(number))
            await until(lambda: len(events) == 2)
            assert order == ["0", "1", "2", ("close", 1)]
            await connection.send("again")
            await until(lambda: order[-1] == "again")
            await hub.close()

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_a_message_whose_hook_is_cancelled_is_handled_again_though_on_close_is_a_coroutine_function(
    run_asyncio: Run, tmp_path: Path
) -> None:
    async def main() -> None:
        begun: list[object] = []
        closed: list[object] = []

        async def never(peer: Peer, message: object) -> None:
            begun.append(message)
            await asyncio.Event().wait()

        async def on_close(peer: Peer, code: int | None, reason: str) -> None:
            await asyncio.sleep(0)
            closed.append(reason)

        place = f"sqlite:///{tmp_path / 's.db'}"
        first = Hub(sessions=place, on_message=never, on_close=on_close, close_timeout=0.5)
        second = Hub(sessions=place, on_message=lambda peer, message: begun.append(message))
        servers: list[Server] = []
        async with AsyncExitStack() as stack:
            servers.append(await stack.enter_async_context(running(first)))
            connection = await stack.enter_async_context(session(lambda: servers[-1].url()))
            await connection.send("x")
            await until(lambda: begun == ["x"])
            servers.append(await stack.enter_async_context(running(second)))
            await first.close()
            assert closed == ["the server has closed"]
            await connection.flush()
            assert begun == ["x", "x"]

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_an_end_hook_that_never_ends_is_cancelled_when_the_hub_closes(run_asyncio: Run) -> None:
    async def main() -> None:
        begun: list[str] = []
        ended: list[str] = []

        async def never(session: str, why: str, unacknowledged: object) -> None:
            begun.append(session)
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(session)

        hub = Hub(sessions="memory", on_session_end=never, close_timeout=0.2)
        async with serve(hub=hub) as server:
            async with session(server.url()) as connection:
                events = told(connection)
                await until(lambda: len(events) == 1)
            await until(lambda: begun)
        async with asyncio.timeout(PATIENCE):
            await hub.close()
        assert ended == begun

    run_asyncio(main())


def test_an_end_hook_that_raises_for_every_session_does_not_fill_the_log(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*end: object) -> None:
        raise ValueError(end)

    async def main() -> None:
        reports = Reports(fail)
        for number in range(3 * LINES):
            reports.over(str(number), "", ())

    run_asyncio(main())
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == LINES
