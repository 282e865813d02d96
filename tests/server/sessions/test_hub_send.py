"""`Hub.send`: to the client of a session, wherever it is, also where this process never had a link of it."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.server.sessions.test_sessions import running, session, told
from tests.watch import Run, until

from websocket_heartbeat import Backoff, Session, connect
from websocket_heartbeat.server import Hub, SessionOver, serve

LATER = Backoff(initial=600, maximum=600)


def test_it_reaches_a_client_that_is_here_and_one_that_is_away(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        hub = Hub(sessions=place)
        async with (
            running(hub) as server,
            connect(server.url(), session="require", backoff=LATER) as connection,
        ):
            await connection.wait_open()
            (peer,) = hub.peers
            assert peer.session is not None
            await hub.send(peer.session, "here")
            assert await connection.recv() == "here"
            peer.abort()
            await until(lambda: connection.state == "waiting")
            await hub.send(peer.session, b"away")
            peer.send("after it")
            connection.reconnect_now()
            assert [await connection.recv() for _ in range(2)] == [b"away", "after it"]

    run_asyncio(main())


@pytest.mark.parametrize("was_killed", [False, True])
def test_it_reaches_a_client_that_has_not_come_back_since_the_process_restarted(
    run_asyncio: Run, tmp_path: Path, was_killed: bool
) -> None:
    async def main() -> None:
        place = f"sqlite:///{tmp_path / 's.db'}"
        port = 0
        connection = connect(lambda: f"ws://127.0.0.1:{port}/", session="require", backoff=LATER)
        events = told(connection)
        ids: list[str] = []
        hub = Hub(sessions=place, on_open=lambda peer: ids.append(str(peer.session)))
        async with serve(hub=hub) as server, connection:
            port = server.port
            connection.reconnect_now()
            await until(lambda: len(events) == len(ids) == 1)
            if was_killed:  # it says nothing of its end to the store
                for peer in hub.peers:
                    peer.abort()
                await until(lambda: connection.state == "waiting")
                await hub.send(ids[0], "in the first process")
            else:
                await server.close()
                await hub.close()
                await until(lambda: connection.state == "waiting")
            second = Hub(sessions=place)
            if was_killed:
                await server.close()
                await hub.close()
            await asyncio.gather(*(second.send(ids[0], f"m{number}") for number in range(5)))
            async with running(second, port):
                connection.reconnect_now()
                first = ["in the first process"] if was_killed else []
                wanted = [*first, *(f"m{number}" for number in range(5))]
                assert [await connection.recv() for _ in wanted] == wanted
                assert [event.kind for event in events] == ["new", "resumed"]
                await second.send(ids[0], "to a peer")
                assert await connection.recv() == "to a peer"
                await connection.close()

    run_asyncio(main())


def test_a_session_whose_client_does_not_come_back_expires_with_what_was_sent(
    run_asyncio: Run, tmp_path: Path
) -> None:
    async def main() -> None:
        place = f"sqlite:///{tmp_path / 's.db'}"
        ids: list[str] = []
        ends: list[Any] = []
        hub = Hub(sessions=place, session_ttl=1, on_open=lambda peer: ids.append(str(peer.session)))
        async with (
            serve(hub=hub) as server,
            connect(server.url(), session="require", backoff=LATER),
        ):
            await until(lambda: len(ids) == 1)
            await server.close()
            await hub.close()
            second = Hub(sessions=place, session_ttl=1, on_session_end=lambda *end: ends.append(end))
            await second.send(ids[0], "too late")
            await second.close()
            third = Hub(sessions=place, session_ttl=1, on_session_end=lambda *end: ends.append(end))
            await third.send(ids[0], "later")
            await until(lambda: ends == [(ids[0], "expired", ("too late", "later"))])
            await third.close()

    run_asyncio(main())


def test_one_that_is_full_is_over(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        ends: list[Any] = []
        hub = Hub(sessions=place, on_session_end=lambda *end: ends.append(end))
        async with (
            running(hub) as server,
            connect(server.url(), session=Session("require", window=256), backoff=LATER) as connection,
        ):
            await connection.wait_open()
            (peer,) = hub.peers
            id = str(peer.session)
            for number in range(256):
                await hub.send(id, str(number))
            with pytest.raises(SessionOver, match="overflow"):
                await hub.send(id, "256")
            assert ends == [(id, "overflow", tuple(str(number) for number in range(257)))]
            with pytest.raises(SessionOver):
                await hub.send(id, "x")

    run_asyncio(main())


def test_one_that_is_unknown_or_over_is_said_to_be(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        hub = Hub(sessions=place)
        async with running(hub) as server:
            with pytest.raises(SessionOver, match="no such session"):
                await hub.send("no such ID", "x")
            async with session(server.url()) as connection:
                events = told(connection)
                await connection.wait_open()
                (peer,) = hub.peers
                id = str(peer.session)
                peer.send("not handled yet")
                peer.dismiss("account\x1b closed")
                with pytest.raises(SessionOver, match=r"ended: account\\x1b closed"):
                    await hub.send(id, "x")
                await until(lambda: events[-1].kind == "over")
                assert await connection.recv() == "not handled yet"
            await until(lambda: not hub.peers)
            with pytest.raises(SessionOver, match=r"account\\x1b closed"):
                await hub.send(id, "x")
        with pytest.raises(OSError, match="the hub is closed"):
            await hub.send(id, "x")

    run_asyncio(main())


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: Hub().send("x", "y"), RuntimeError, "the hub has no sessions"),
        (lambda: Hub(sessions="memory").send(5, "y"), TypeError, "session must be a str"),  # type: ignore[arg-type]
        (lambda: Hub(sessions="memory").send("x", 5), TypeError, "message must be"),  # type: ignore[arg-type]
        (lambda: Hub(sessions="memory", dismissal="go").send("x", "go"), ValueError, "dismissal"),
    ],
)
def test_what_is_wrong_is_named(
    run_asyncio: Run, call: Callable[[], Any], error: type[Exception], text: str
) -> None:
    async def main() -> None:
        with pytest.raises(error, match=text):
            await call()

    run_asyncio(main())


def test_a_thread_with_a_loop_of_its_own_is_refused_where_the_hub_has_its_store_open_on_another_one(
    run_asyncio: Run, shared: str
) -> None:
    async def main() -> None:
        hub, other = Hub(sessions=shared), Hub(sessions=shared)
        async with (
            other,
            running(hub) as server,
            connect(server.url(), session="require", backoff=LATER) as connection,
        ):
            await connection.wait_open()
            (peer,) = hub.peers
            assert peer.session is not None
            await other.send(peer.session, "before")
            with pytest.raises(RuntimeError, match="a hub belongs to one event loop"):
                await asyncio.to_thread(asyncio.run, other.send(peer.session, "from elsewhere"))
            await other.send(peer.session, "after")
            assert [await connection.recv() for _ in range(2)] == ["before", "after"]

    run_asyncio(main())


def test_a_program_that_has_a_loop_for_each_call_and_closes_nothing_reaches_clients_by_each(
    run_asyncio: Run, shared: str
) -> None:
    program = """
import asyncio, sys
from websocket_heartbeat.server import Hub
hub = Hub(sessions=sys.argv[1])
for number in range(3):
    asyncio.run(hub.send(sys.argv[2], str(number)))
"""

    async def main() -> None:
        hub = Hub(sessions=shared)
        async with (
            running(hub) as server,
            connect(server.url(), session="require", backoff=LATER) as connection,
        ):
            await connection.wait_open()
            (peer,) = hub.peers
            assert peer.session is not None
            ours = sys.executable, "-W", "ignore", "-c", program, shared, peer.session
            process = await asyncio.create_subprocess_exec(*ours)
            assert await process.wait() == 0
            assert [await connection.recv() for _ in range(3)] == ["0", "1", "2"]

    run_asyncio(main())


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_was_sent_to_a_room_on_a_loop_that_ended_before_it_was_published_is_said(
    shared: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def sends(hub: Hub) -> None:
        for _ in range(2):
            hub.room("r").send("lost")

    asyncio.run(sends(Hub(sessions=shared)))
    assert "2 messages to a room may be lost: the event loop has ended before hub.close()" in caplog.text
