"""Sessions over the frameworks: an endpoint has its peer for the whole session, whatever its links do."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any

import channels.generic.websocket
import fastapi
import pytest
from starlette.websockets import WebSocket
from tests.server.frameworks.applications import Failure, Stage, playing
from tests.server.frameworks.serving import serving, socket_app
from tests.server.raw import client
from tests.server.sessions.test_sessions import session, told
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Connection, ConnectionFailed
from websocket_heartbeat.server import Hub, Peer, Refusal, Request
from websocket_heartbeat.testing import FaultProxy

OFFER = "Sec-WebSocket-Protocol: websocket-heartbeat.v1\r\n"


async def talk_over_cut_links(connection: Connection, proxy: FaultProxy) -> None:
    events = told(connection)
    for number in range(60):
        await connection.send(str(number))
        if number % 20 == 10:
            proxy.reset()
            await until(lambda number=number: len(events) == number // 20 + 2)  # type: ignore[misc]
        async with asyncio.timeout(PATIENCE):
            assert await connection.recv() == f"echo {number}"
    assert [event.kind for event in events] == ["new", "resumed", "resumed", "resumed"]


@pytest.mark.parametrize("path", ["/peer", "/late", "/echo"])
def test_an_endpoint_goes_on_over_links_that_are_cut_whether_it_knows_the_hub_or_not(
    run_asyncio: Run, framework: str, path: str
) -> None:
    async def main() -> None:
        ends: list[Any] = []
        stage = Stage(Hub(sessions="memory", on_session_end=lambda *end: ends.append(end[1:])))
        async with playing(framework, stage) as place, FaultProxy(place.host, place.port) as proxy:
            async with session(f"ws://127.0.0.1:{proxy.port}{path}", subprotocols=["chat"]) as connection:
                await talk_over_cut_links(connection, proxy)
                (peer,) = stage.hub.peers
                assert peer.subprotocol == ("chat" if path != "/late" else None)
            await until(lambda: stage.seen)
            assert stage.seen in ([(1000, "")], ["cancelled"])
            assert len(stage.peers) == (path != "/echo")
            assert ends == [("", ())]

    run_asyncio(main())


def test_an_endpoint_refuses_whoever_offers_a_session_as_anybody_else(
    run_asyncio: Run, framework: str
) -> None:
    async def main() -> None:
        stage = Stage(Hub(sessions="memory"))
        async with (
            playing(framework, stage) as place,
            client(place, "/refuse") as plain,
            client(place, "/refuse", OFFER) as raw,
        ):
            assert raw.status == plain.status >= 400

    run_asyncio(main())


def test_a_synchronous_consumer_of_channels_goes_on_too(run_asyncio: Run) -> None:
    begun: list[object] = []

    class Echo(channels.generic.websocket.WebsocketConsumer):
        def connect(self) -> None:
            self.accept()
            begun.append(self)

        def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            self.send(text_data=f"echo {text_data}")

    async def main() -> None:
        hub = Hub(sessions="memory")
        async with (
            serving(hub.asgi(Echo.as_asgi())) as place,
            FaultProxy(place.host, place.port) as proxy,
            session(f"ws://127.0.0.1:{proxy.port}/") as connection,
        ):
            await talk_over_cut_links(connection, proxy)
            assert len(begun) == 1
        await hub.close()

    run_asyncio(main())


def test_dependencies_of_fastapi_decide_about_each_link_and_those_of_the_first_stay(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = {"good"}
    databases: list[str] = []
    hub = Hub(sessions="memory")
    app = fastapi.FastAPI()
    app.add_middleware(hub.asgi)

    async def user(token: str) -> str:
        if token not in tokens:
            raise fastapi.WebSocketException(1008, "not you")
        return "ann"

    async def database() -> AsyncIterator[str]:
        number = len(databases)
        databases.append("open")
        try:
            yield f"database {number}"
        finally:
            databases[number] = "closed"

    @app.websocket("/")
    async def endpoint(
        websocket: WebSocket,
        name: Annotated[str, fastapi.Depends(user)],
        database: Annotated[str, fastapi.Depends(database)],
    ) -> None:
        async with hub.accept(websocket, principal=name) as peer:
            async for message in peer:
                peer.send(f"{database}: {message!r}")

    async def main() -> None:
        async with serving(app) as place, FaultProxy(place.host, place.port) as proxy:
            async with session(f"ws://127.0.0.1:{proxy.port}/?token=good") as connection:
                events = told(connection)
                await until(lambda: len(events) == 1)
                for number in range(2, 4):
                    proxy.reset()
                    await until(lambda number=number: len(events) == number)  # type: ignore[misc]
                    await connection.send("x")
                    assert await connection.recv() == "database 0: 'x'"
                assert databases == ["open", "closed", "closed"]
                assert hub.peers[0].principal == "ann"
                tokens.clear()
                proxy.reset()
                await connection.send("y")
                await until(lambda: connection.stats.attempts >= 6)
                assert len(events) == 3
                tokens.add("good")
                assert await connection.recv() == "database 0: 'y'"
            await until(lambda: set(databases) == {"closed"})
        await hub.close()
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]

    run_asyncio(main())


async def _serve(endpoint: Any, talk: Any, **options: Any) -> list[Any]:
    """Serve an endpoint of Starlette, let a client with a session talk; return how sessions have ended."""
    ends: list[Any] = []
    hub = Hub(sessions="memory", on_session_end=lambda *end: ends.append(end[1:]), **options)
    async with (
        serving(hub.asgi(socket_app(lambda socket: endpoint(socket, hub)))) as place,
        session(place.url("/")) as connection,
    ):
        await talk(connection, hub)
    await hub.close()
    return ends


def test_an_endpoint_that_returns_ends_the_session_when_its_client_has_all_that_was_sent(
    run_asyncio: Run,
) -> None:
    async def endpoint(socket: WebSocket, hub: Hub) -> None:
        async with hub.accept(socket) as peer:
            await peer.recv()
            for number in range(10):
                peer.send(str(number))

    async def unchanged(socket: WebSocket, hub: Hub) -> None:
        await socket.accept()
        await socket.receive_text()
        for number in range(10):
            await socket.send_text(str(number))
        await socket.close()

    async def talk(connection: Connection, hub: Hub) -> None:
        events = told(connection)
        await connection.send("go")
        down = []
        with suppress(ConnectionFailed):
            async for message in connection:
                down.append(message)
        assert down == [str(number) for number in range(10)]
        assert [event.kind for event in events] == ["new", "over"]
        assert events[-1].uncertain == ()

    async def main() -> None:
        assert await _serve(endpoint, talk) == [("", ())]
        assert await _serve(unchanged, talk) == [("", ())]

    run_asyncio(main())


@pytest.mark.parametrize("why", ["knows the hub", "raises", "closes"])
def test_an_endpoint_that_fails_ends_the_session_by_a_reset_and_its_client_comes_to_another(
    run_asyncio: Run, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def endpoint(socket: WebSocket, hub: Hub) -> None:
        if why == "knows the hub":
            async with hub.accept(socket) as peer:
                async for message in peer:
                    if message == "fail":
                        raise Failure
                    peer.send(message)
        await socket.accept()
        while (text := await socket.receive_text()) != "fail":
            await socket.send_text(text)
        if why == "raises":
            raise Failure
        await socket.close(4000, "because")

    async def talk(connection: Connection, hub: Hub) -> None:
        events = told(connection)
        codes: list[int | None] = []
        connection.on_close = lambda event: codes.append(event.code)
        await connection.send("fail")
        await until(lambda: len(events) == 2)
        assert (events[1].kind, events[1].why, events[1].uncertain) == ("reset", "failed", ())
        assert codes == [4000 if why == "closes" else 1011]
        await connection.send("again")
        assert await connection.recv() == "again"

    async def main() -> None:
        ends = await _serve(endpoint, talk)
        assert ends[0] == ("failed", ())
        raised = [record for record in caplog.records if record.exc_info and record.exc_info[0] is Failure]
        assert len(raised) == (why != "closes")  # logged by the server, as ever

    run_asyncio(main())


def test_an_endpoint_that_fails_while_its_client_is_away_is_logged(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    fail = asyncio.Event()

    async def endpoint(socket: WebSocket, hub: Hub) -> None:
        async with hub.accept(socket):
            await fail.wait()
            raise Failure("a secret")

    async def main() -> None:
        hub = Hub(sessions="memory")
        async with (
            serving(hub.asgi(socket_app(lambda socket: endpoint(socket, hub)))) as place,
            FaultProxy(place.host, place.port) as proxy,
            session(f"ws://127.0.0.1:{proxy.port}/") as connection,
        ):
            events = told(connection)
            await until(lambda: len(events) == 1)
            proxy.refuse()
            proxy.reset()
            link = hub.peers[0]._handler.link
            await until(lambda: link.link_gone() is None)
            fail.set()
            await until(lambda: not hub.peers)
        (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        assert "the endpoint of <Peer 1 '/'>" in line
        assert "Failure" in line
        assert "a secret" not in line
        await hub.close()

    run_asyncio(main())


def test_a_session_whose_endpoint_is_cancelled_goes_on_at_the_next(run_asyncio: Run) -> None:
    tasks: list[Any] = []

    async def endpoint(socket: WebSocket, hub: Hub) -> None:
        async with hub.accept(socket) as peer:
            tasks.append(asyncio.current_task())
            peer.state["endpoints"] = peer.state.get("endpoints", 0) + 1
            async for message in peer:
                peer.send(f"{peer.state['endpoints']}: {message!r}")

    async def talk(connection: Connection, hub: Hub) -> None:
        events = told(connection)
        await connection.send("x")
        assert await connection.recv() == "1: 'x'"
        tasks[0].cancel()
        await until(lambda: len(events) == 2)
        await connection.send("y")
        assert await connection.recv() == "2: 'y'"
        assert [event.kind for event in events] == ["new", "resumed"]

    async def main() -> None:
        assert await _serve(endpoint, talk) == [("", ())]

    run_asyncio(main())


def test_an_unchanged_endpoint_waits_for_room_and_never_overflows(run_asyncio: Run) -> None:
    texts = [str(number) * size for number in range(8) for size in (1, 400_000, 900_000)]
    texts += [str(number) for number in range(600)]

    async def endpoint(socket: WebSocket, hub: Hub) -> None:
        await socket.accept()
        for text in texts:
            await socket.send_text(text)
        await socket.receive_text()

    async def talk(connection: Connection, hub: Hub) -> None:
        for text in texts:
            async with asyncio.timeout(PATIENCE):
                assert await connection.recv() == text
        await connection.send("done")

    async def main() -> None:
        assert await _serve(endpoint, talk) == [("", ())]

    run_asyncio(main())


def test_after_a_restart_a_session_in_memory_is_reset_and_what_is_uncertain_is_told(run_asyncio: Run) -> None:
    async def endpoint(socket: WebSocket, hub: Hub) -> None:
        async with hub.accept(socket) as peer:
            async for message in peer:
                peer.send(message)

    async def main() -> None:
        async with FaultProxy("127.0.0.1", 1) as proxy:
            connection = session(f"ws://127.0.0.1:{proxy.port}/")
            events = told(connection)
            async with connection:
                for life in range(2):
                    hub = Hub(sessions="memory", close_timeout=0.5)
                    async with serving(
                        hub.asgi(socket_app(lambda socket, hub=hub: endpoint(socket, hub)))  # type: ignore[misc]
                    ) as place:
                        proxy.retarget(place.host, place.port)
                        proxy.accept()
                        await until(lambda life=life: len(events) == life + 1)  # type: ignore[misc]
                        await connection.send("x")
                        assert await connection.recv() == "x"
                        await connection.flush()
                        if life == 0:
                            proxy.freeze("to_server")
                            await connection.send("nobody gets this")
                            proxy.reset()
                            proxy.thaw()
                            proxy.refuse()
                    await hub.close()
        assert (events[1].kind, events[1].why) == ("reset", "unknown")
        assert events[1].uncertain == ("nobody gets this",)

    run_asyncio(main())


def test_a_key_is_worth_nothing_without_the_account(run_asyncio: Run) -> None:
    names = iter(["ann", "bob", "bob"])

    async def endpoint(socket: WebSocket, hub: Hub) -> None:
        async with hub.accept(socket, principal=next(names)) as peer:
            await peer.wait_closed()

    async def talk(connection: Connection, hub: Hub) -> None:
        events = told(connection)
        await until(lambda: len(events) == 1)
        (ann,) = hub.peers
        ann.abort()
        await until(lambda: len(events) == 2)
        assert (events[1].kind, events[1].why) == ("reset", "unknown")
        assert not ann.closed
        assert len(hub.user("bob")) == 1

    async def main() -> None:
        await _serve(endpoint, talk)

    run_asyncio(main())


def test_a_session_is_not_resumed_at_another_path_which_may_let_in_others(run_asyncio: Run) -> None:
    async def main() -> None:
        stage = Stage(Hub(sessions="memory"))
        paths = iter(["/peer", "/late", "/late"])
        async with (
            playing("starlette", stage) as place,
            session(lambda: place.url(next(paths))) as connection,
        ):
            events = told(connection)
            await until(lambda: len(events) == 1)
            (first,) = stage.hub.peers
            first.abort()
            await until(lambda: len(events) == 2)
            assert (events[1].kind, events[1].why) == ("reset", "unknown")
            assert not first.closed

    run_asyncio(main())


def test_a_link_that_is_dropped_gives_its_place_back(run_asyncio: Run) -> None:
    async def endpoint(socket: WebSocket, hub: Hub) -> None:
        async with hub.accept(socket) as peer:
            await peer.wait_closed()

    async def talk(connection: Connection, hub: Hub) -> None:
        events = told(connection)
        for number in range(1, 4):
            await until(lambda number=number: len(events) == number)  # type: ignore[misc]
            hub.peers[0].abort()
        await until(lambda: len(events) == 4)
        assert hub.stats.refused["max_peers"] == 0

    async def main() -> None:
        await _serve(endpoint, talk, max_peers=1)

    run_asyncio(main())


def test_sending_all_away_does_not_wait_for_sessions_which_go_on(run_asyncio: Run) -> None:
    async def endpoint(socket: WebSocket, hub: Hub) -> None:
        async with hub.accept(socket) as peer:
            async for message in peer:
                peer.send(message)

    async def talk(connection: Connection, hub: Hub) -> None:
        events = told(connection)
        await until(lambda: len(events) == 1)
        async with asyncio.timeout(PATIENCE):
            await hub.send_away(over=0)
        await connection.send("x")
        assert await connection.recv() == "x"
        assert [event.kind for event in events] == ["new", "resumed"]

    async def main() -> None:
        await _serve(endpoint, talk)

    run_asyncio(main())


def test_a_hub_of_a_module_has_sessions_on_one_loop_after_the_other(run_asyncio: Run) -> None:
    hub = Hub(sessions="memory", authenticate=_nobody_else)
    app = hub.asgi(socket_app(lambda socket: _echo(socket, hub)))

    async def main() -> None:
        async with serving(app) as place, session(place.url("/")) as connection:
            await connection.send("x")
            assert await connection.recv() == "x"
        await hub.close()

    run_asyncio(main())
    run_asyncio(main())


def _nobody_else(request: Request) -> Refusal | None:
    return None if request.path == "/" else Refusal(404)


async def _echo(socket: WebSocket, hub: Hub) -> None:
    async with hub.accept(socket) as peer:
        await _send_back(peer)


async def _send_back(peer: Peer) -> None:
    async for message in peer:
        peer.send(message)
