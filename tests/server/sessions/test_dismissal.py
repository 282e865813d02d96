"""`Peer.dismiss` and `Peer.end`: a session ends when what was sent before is handled, or in time."""

import asyncio
from typing import Any

import pytest
from tests.server.sessions.test_sessions import running, session, told
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Backoff, ConnectionFailed, connect
from websocket_heartbeat.server import Hub, Peer

LATER = Backoff(initial=600, maximum=600)


def test_the_end_is_waited_for_until_the_client_has_handled_what_came_before(
    run_asyncio: Run, place: str
) -> None:
    async def main() -> None:
        ends: list[Any] = []
        hub = Hub(sessions=place, close_timeout=PATIENCE, on_session_end=lambda *end: ends.append(end[1:]))
        async with running(hub) as server, session(server.url()) as connection:
            events = told(connection)
            await connection.wait_open()
            (peer,) = hub.peers
            for number in range(100):
                peer.send(str(number))
            ending = asyncio.create_task(peer.end("account closed"))
            assert [await connection.recv() for _ in range(100)] == [str(number) for number in range(100)]
            await until(lambda: events[-1].kind == "over")
            assert not ending.done()
            with pytest.raises(ConnectionFailed):  # the last one is handled by that
                await connection.recv()
            await ending
            assert (peer.closed, hub.peers, ends) == (True, (), [("account closed", ())])
            await peer.end("again")

    run_asyncio(main())


@pytest.mark.parametrize("is_away", [False, True])
def test_the_end_comes_in_time_where_the_client_does_not_handle_it(
    run_asyncio: Run, place: str, is_away: bool
) -> None:
    async def main() -> None:
        ends: list[Any] = []
        hub = Hub(sessions=place, close_timeout=0.2, on_session_end=lambda *end: ends.append(end[1:]))
        async with (
            running(hub) as server,
            connect(server.url(), session="require", backoff=LATER) as connection,
        ):
            events = told(connection)
            await connection.wait_open()
            (peer,) = hub.peers
            if is_away:
                peer.abort()
                await until(lambda: connection.state == "waiting")
            peer.send("never handled")
            async with asyncio.timeout(PATIENCE):
                await peer.end("account closed")
            assert ends == [("account closed", ("never handled",))]
            connection.reconnect_now()
            await until(lambda: connection.closed)
            assert (events[-1].kind, events[-1].why) == ("over", "account closed")

    run_asyncio(main())


def test_a_dismissal_waits_for_a_client_that_is_away(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        ends: list[Any] = []
        hub = Hub(sessions=place, close_timeout=0, on_session_end=lambda *end: ends.append(end[1:]))
        async with (
            running(hub) as server,
            connect(server.url(), session="require", backoff=LATER) as connection,
        ):
            await connection.wait_open()
            (peer,) = hub.peers
            peer.abort()
            await until(lambda: connection.state == "waiting")
            peer.send("before")
            peer.dismiss("account closed")
            connection.reconnect_now()
            assert await connection.recv() == "before"
            with pytest.raises(ConnectionFailed):
                await connection.recv()
            await until(lambda: ends == [("account closed", ())])

    run_asyncio(main())


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_dismissal_is_over_after_a_ttl_though_the_client_is_there(
    run_asyncio: Run, place: str, comes_back: bool
) -> None:
    async def main() -> None:
        ends: list[Any] = []
        hub = Hub(sessions=place, session_ttl=1, on_session_end=lambda *end: ends.append(end[1:]))
        async with running(hub) as server, session(server.url()) as connection:
            events = told(connection)
            await connection.wait_open()
            (peer,) = hub.peers
            peer.send("never handled")
            peer.dismiss("account closed")
            if comes_back:
                await until(lambda: len(events) == 2)
                connection.reconnect_now()
            await until(lambda: bool(ends))
            assert ends == [("account closed", ("never handled",))]
            await until(lambda: events[-1].kind == "over")

    run_asyncio(main())


def test_without_a_session_the_end_is_waited_for_too(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub()
        async with running(hub) as server, connect(server.url()) as connection:
            await connection.wait_open()
            (peer,) = hub.peers
            await peer.end("account closed")
            assert (peer.closed, peer.close_code) == (True, 4500)
            await until(lambda: connection.closed)
            with pytest.raises(ConnectionFailed, match="4500"):
                await connection.recv()

    run_asyncio(main())


def test_a_hook_that_ends_its_own_peer_is_cancelled_as_any_other(run_asyncio: Run) -> None:
    async def main() -> None:
        seen: list[str] = []

        async def on_message(peer: Peer, message: object) -> None:
            try:
                await peer.end("enough")
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        hub = Hub(sessions="memory", on_message=on_message)
        async with running(hub) as server, session(server.url()) as connection:
            await connection.send("x")
            await until(lambda: connection.closed)
            await until(lambda: seen == ["cancelled"])

    run_asyncio(main())


def test_a_reason_that_is_too_long_is_refused_before_anything_is_said(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory", on_message=lambda peer, message: peer.send(message))
        async with running(hub) as server, session(server.url()) as connection:
            await connection.wait_open()
            (peer,) = hub.peers
            with pytest.raises(ValueError, match="reason must be at most 123 bytes"):
                await peer.end("x" * 124)
            await connection.send("still here")
            assert await connection.recv() == "still here"

    run_asyncio(main())
