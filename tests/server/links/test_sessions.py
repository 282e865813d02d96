"""Sessions over aiohttp.web and websockets: a handler has its peer for the whole session."""

import asyncio
import logging
from contextlib import suppress

import pytest
import websockets
from tests.server.links.back_ends import BackEnd, application, echo, running
from tests.server.sessions.test_sessions import session, told
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import ConnectionFailed
from websocket_heartbeat.server import Hub, Peer
from websocket_heartbeat.testing import FaultProxy

_OPTION = {"aiohttp_web": "protocols", "websockets_server": "subprotocols"}


def test_a_handler_goes_on_over_links_that_are_cut(run_asyncio: Run, back_end: BackEnd) -> None:
    peers: list[Peer] = []

    async def on_peer(peer: Peer) -> None:
        peers.append(peer)
        await echo(peer)

    async def main() -> None:
        hub = Hub(sessions="memory")
        own = {_OPTION[back_end.__name__]: ("chat",)}
        async with (
            back_end(hub, on_peer, **own) as place,
            FaultProxy(place.host, place.port) as proxy,
            session(f"ws://127.0.0.1:{proxy.port}/", subprotocols=["talk", "chat"]) as connection,
        ):
            events = told(connection)
            for number in range(60):
                await connection.send(str(number))
                if number % 20 == 10:
                    proxy.reset()
                    await until(lambda number=number: len(events) == number // 20 + 2)  # type: ignore[misc]
                async with asyncio.timeout(PATIENCE):
                    assert await connection.recv() == str(number)
            assert [event.kind for event in events] == ["new", "resumed", "resumed", "resumed"]
            assert [peer.subprotocol for peer in peers] == ["chat"]
            async with websockets.connect(place.url(), subprotocols=["chat"]) as plain:  # type: ignore[list-item]
                await plain.send("x")
                assert (await plain.recv(), plain.subprotocol) == ("x", "chat")
            await connection.close()
            await until(lambda: peers[0].closed)
            assert peers[0].close_code == 1000

    run_asyncio(main())


def test_a_handler_that_returns_ends_the_session_when_its_client_has_all_that_was_sent(
    run_asyncio: Run, back_end: BackEnd
) -> None:
    async def on_peer(peer: Peer) -> None:
        await peer.recv()
        for number in range(10):
            peer.send(str(number))

    async def main() -> None:
        async with back_end(Hub(sessions="memory"), on_peer) as place, session(place.url()) as connection:
            events = told(connection)
            await connection.send("go")
            down = []
            with suppress(ConnectionFailed):
                async for message in connection:
                    down.append(message)
            assert down == [str(number) for number in range(10)]
            assert [(event.kind, event.uncertain) for event in events] == [("new", ()), ("over", ())]

    run_asyncio(main())


def test_a_handler_that_raises_ends_the_session_by_a_reset_and_its_client_comes_to_another(
    run_asyncio: Run, back_end: BackEnd, caplog: pytest.LogCaptureFixture
) -> None:
    async def on_peer(peer: Peer) -> None:
        async for message in peer:
            if message == "fail":
                raise ZeroDivisionError
            peer.send(message)

    async def main() -> None:
        async with back_end(Hub(sessions="memory"), on_peer) as place, session(place.url()) as connection:
            events = told(connection)
            await connection.send("fail")
            await until(lambda: len(events) == 2)
            assert (events[1].kind, events[1].why, events[1].uncertain) == ("reset", "failed", ())
            await connection.send("again")
            assert await connection.recv() == "again"
        assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1

    run_asyncio(main())


def test_a_handler_that_is_cancelled_leaves_the_session_to_the_next(
    run_asyncio: Run, back_end: BackEnd
) -> None:
    tasks: list[asyncio.Task[None] | None] = []

    async def on_peer(peer: Peer) -> None:
        tasks.append(asyncio.current_task())
        number = len(tasks)
        async for message in peer:
            peer.send(f"{number}: {message!r}")

    async def main() -> None:
        async with back_end(Hub(sessions="memory"), on_peer) as place, session(place.url()) as connection:
            events = told(connection)
            await connection.send("x")
            assert await connection.recv() == "1: 'x'"
            assert tasks[0] is not None
            tasks[0].cancel()
            await until(lambda: len(events) == 2)
            await connection.send("y")
            assert await connection.recv() == "2: 'y'"
            assert [event.kind for event in events] == ["new", "resumed"]

    run_asyncio(main())


def test_the_place_of_a_link_that_the_hub_drops_is_given_back(run_asyncio: Run, back_end: BackEnd) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory", max_peers=1)
        async with back_end(hub) as place, session(place.url()) as connection:
            events = told(connection)
            for number in range(1, 4):
                await until(lambda number=number: len(events) == number)  # type: ignore[misc]
                hub.peers[0].abort()
            await until(lambda: len(events) == 4)
            assert hub.stats.refused["max_peers"] == 0

    run_asyncio(main())


def test_a_handler_of_aiohttp_whose_link_resumes_leaves_nothing_in_the_log(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        hub = Hub(sessions="memory")
        async with (
            running(application(hub)) as place,
            FaultProxy(place.host, place.port) as proxy,
            session(f"ws://127.0.0.1:{proxy.port}/") as connection,
        ):
            events = told(connection)
            for number in range(1, 4):
                await until(lambda number=number: len(events) == number)  # type: ignore[misc]
                proxy.reset()
            await until(lambda: len(events) == 4)
        await hub.close()
        loud = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert {record.name for record in loud} <= {"websocket_heartbeat"}  # what its client says

    run_asyncio(main())


def test_a_server_closes_though_a_session_has_no_link(run_asyncio: Run, back_end: BackEnd) -> None:
    seen: list[str] = []

    async def on_peer(peer: Peer) -> None:
        async for message in peer:
            peer.send(message)
        seen.append(peer.close_reason)

    async def main() -> None:
        hub = Hub(sessions="memory")
        async with (
            back_end(hub, on_peer) as place,
            FaultProxy(place.host, place.port) as proxy,
            session(f"ws://127.0.0.1:{proxy.port}/", close_timeout=0.1) as connection,
        ):
            events = told(connection)
            await until(lambda: len(events) == 1)
            proxy.refuse()
            proxy.reset()
            await until(lambda: connection.state != "open")
        assert seen == ["the server has closed"]

    run_asyncio(main())
