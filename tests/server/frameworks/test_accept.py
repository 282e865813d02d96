"""`hub.accept` within the endpoints of each framework."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import fastapi
import pytest
from starlette.websockets import WebSocket
from tests.server.frameworks.applications import Failure, Stage, playing
from tests.server.frameworks.serving import serving, socket_app
from tests.server.raw import CLOSE, PING, PONG, TEXT, client
from tests.watch import Run, until

from websocket_heartbeat.errors import PeerGone
from websocket_heartbeat.server import Hub, Peer


def test_an_endpoint_talks_with_its_peer(run: Run, framework: str) -> None:
    async def main() -> None:
        stage = Stage(Hub())
        offer = "Sec-WebSocket-Protocol: chat\r\nX-Token: t\r\n"
        async with playing(framework, stage) as place, client(place, "/peer", offer) as raw:
            assert b"sec-websocket-protocol: chat" in raw.head.lower()
            assert b"x-test: yes" in raw.head.lower()
            raw.frame(TEXT, b"wait")
            raw.frame(TEXT, b"one")
            raw.frame(PING, b"ping")
            raw.frame(TEXT, b"heartbeat")
            assert {await raw.read(), await raw.read()} == {(PONG, b"ping"), (TEXT, b"heartbeat")}
            (peer,) = stage.hub.peers
            assert list(stage.hub.user("alice")) == [peer]
            assert peer.subprotocol == "chat"
            assert peer.remote_address is not None
            assert peer.request.header("x-token") == "t"
            stage.go.set()
            assert await raw.read() == (TEXT, b"echo wait")
            assert await raw.read() == (TEXT, b"echo one")
            raw.frame(CLOSE, (4001).to_bytes(2) + b"bye")
            assert await raw.close_code() == 4001
            await until(lambda: stage.seen)
            assert stage.seen == [(4001, "bye")]

    run(main())


def test_an_endpoint_that_has_accepted_gets_the_peer(run_asyncio: Run, framework: str) -> None:
    async def main() -> None:
        stage = Stage(Hub())
        async with playing(framework, stage) as place, client(place, "/late") as raw:
            for _ in range(3):
                raw.frame(TEXT, b"one")
                assert await raw.read() == (TEXT, b"echo one")
            stage.peers[0].close(4002, "go")
            assert await raw.read() == (CLOSE, (4002).to_bytes(2) + b"go")

    run_asyncio(main())


Endpoint = Callable[[WebSocket, Hub], Awaitable[None]]


def play(endpoint: Endpoint, talk: Callable[[Any], Awaitable[None]], hub: Hub | None = None) -> Any:
    """Serve an endpoint of Starlette behind a hub, and let a client talk with it."""

    async def main() -> None:
        the_hub = Hub() if hub is None else hub
        async with serving(the_hub.asgi(socket_app(lambda socket: endpoint(socket, the_hub)))) as place:
            async with client(place, "/") as raw:
                await talk(raw)
            await until(lambda: not the_hub.peers)
        await the_hub.close()

    return main()


def test_a_block_that_ends_early_closes_with_1000(run_asyncio: Run) -> None:
    gone: list[Peer] = []

    async def endpoint(socket: WebSocket, hub: Hub) -> None:
        async with hub.accept(socket) as peer:
            peer.send("bye")
        assert peer.closed
        gone.append(peer)

    async def talk(raw: Any) -> None:
        assert await raw.read() == (TEXT, b"bye")
        assert await raw.read() == (CLOSE, (1000).to_bytes(2))
        raw.frame(CLOSE, (1000).to_bytes(2))
        assert await raw.end() == "end of file"
        await until(lambda: gone)
        assert gone[0].close_code == 1000

    run_asyncio(play(endpoint, talk))


def test_a_client_that_does_not_answer_the_close_frame_is_dropped(run_asyncio: Run) -> None:
    reasons: list[str] = []

    async def endpoint(socket: WebSocket, hub: Hub) -> None:
        async with hub.accept(socket):
            pass

    async def talk(raw: Any) -> None:
        assert await raw.read() == (CLOSE, (1000).to_bytes(2))
        assert await raw.end() == "reset"

    hub = Hub(close_timeout=0.2, on_close=lambda peer, code, reason: reasons.append(reason))
    run_asyncio(play(endpoint, talk, hub))
    assert reasons == ["did not answer the close frame in time"]


def test_a_peer_may_be_used_after_its_end(run_asyncio: Run) -> None:
    told: list[str] = []

    async def endpoint(socket: WebSocket, hub: Hub) -> None:
        async with hub.accept(socket) as peer:
            async for _ in peer:
                pass
        peer.send("nobody hears this")
        peer.close(4001)
        peer.abort()
        for wait in (peer.recv, peer.drain):
            with pytest.raises(PeerGone):
                await wait()
        told.append(peer.close_reason)

    async def talk(raw: Any) -> None:
        raw.frame(CLOSE, (1000).to_bytes(2) + b"enough")
        await until(lambda: told)
        assert told == ["enough"]

    run_asyncio(play(endpoint, talk))


def test_a_block_that_is_cancelled_closes_with_1001(run_asyncio: Run) -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def endpoint(socket: WebSocket, hub: Hub) -> None:
        async with hub.accept(socket) as peer:
            task = asyncio.current_task()
            assert task is not None
            tasks.append(task)
            await peer.recv()

    async def talk(raw: Any) -> None:
        await until(lambda: tasks)
        tasks[0].cancel()
        assert await raw.read() == (CLOSE, (1001).to_bytes(2))

    run_asyncio(play(endpoint, talk))


def test_a_block_may_end_by_the_error_that_its_peer_is_gone(run_asyncio: Run) -> None:
    ended: list[Peer] = []

    async def endpoint(socket: WebSocket, hub: Hub) -> None:
        async with hub.accept(socket) as peer:
            while True:
                await peer.recv()
        ended.append(peer)  # type: ignore[unreachable]

    async def talk(raw: Any) -> None:
        raw.frame(CLOSE, (1000).to_bytes(2))
        assert await raw.close_code() == 1000
        await until(lambda: ended)

    run_asyncio(play(endpoint, talk))


def test_an_endpoint_may_end_by_that_error_too(run_asyncio: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def endpoint(socket: WebSocket, hub: Hub) -> None:
        await socket.accept()
        await hub.peers[0].wait_closed()
        await socket._send({"type": "websocket.send", "text": "too late"})

    async def talk(raw: Any) -> None:
        raw.frame(CLOSE, (1000).to_bytes(2))
        assert await raw.close_code() == 1000

    run_asyncio(play(endpoint, talk))
    assert "ERROR" not in {record.levelname for record in caplog.records}


def test_where_the_middleware_is_missing_the_error_says_the_line_to_add(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        hub = Hub()

        async def endpoint(socket: WebSocket) -> None:
            async with hub.accept(socket):
                pass

        # That of another hub does not count.
        other = Hub()
        async with serving(other.asgi(socket_app(endpoint))) as place, client(place, "/") as raw:
            assert raw.status == 500
        assert "app.add_middleware(hub.asgi)" in caplog.text

    run_asyncio(main())


def test_arguments_are_checked_where_they_are_given(run_asyncio: Run) -> None:
    errors: list[str] = []

    async def endpoint(socket: WebSocket, hub: Hub) -> None:
        for arguments in ({"subprotocol": "a b"}, {"headers": {"X": "a\r\nb"}}):
            with pytest.raises(ValueError, match=r"subprotocol|headers") as caught:
                async with hub.accept(socket, **arguments):
                    pass
            errors.append(str(caught.value))
        async with hub.accept(socket):
            pass

    async def talk(raw: Any) -> None:
        assert raw.status == 101
        await raw.close_code()
        assert len(errors) == 2

    run_asyncio(play(endpoint, talk, Hub(close_timeout=0.1)))


def test_what_is_no_websocket_and_no_application_is_named(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub()
        with pytest.raises(
            TypeError, match="websocket must be what the framework gives to an endpoint, not int"
        ):
            async with hub.accept(3):  # type: ignore[arg-type]
                pass
        with pytest.raises(TypeError, match="app must be callable, not None"):
            hub.asgi(None)  # type: ignore[arg-type]

    run_asyncio(main())


def test_the_handlers_of_exceptions_of_a_framework_close_with_their_code(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(close_timeout=0.1)
        app = fastapi.FastAPI()
        app.add_middleware(hub.asgi)

        @app.websocket("/policy")
        async def policy(websocket: fastapi.WebSocket) -> None:
            async with hub.accept(websocket):
                raise fastapi.WebSocketException(1008, "not like this")

        @app.websocket("/failure")
        async def failure(websocket: fastapi.WebSocket) -> None:
            async with hub.accept(websocket):
                raise Failure

        @app.exception_handler(Failure)
        async def explain(websocket: fastapi.WebSocket, error: Failure) -> None:
            await websocket.send_text("sorry")
            await websocket.close(4321)

        async with serving(app) as place:
            async with client(place, "/policy") as raw:
                assert await raw.read() == (CLOSE, (1008).to_bytes(2) + b"not like this")
            async with client(place, "/failure") as raw:
                assert await raw.read() == (TEXT, b"sorry")
                assert await raw.read() == (CLOSE, (4321).to_bytes(2))
        await hub.close()

    run_asyncio(main())


def test_a_scope_will_do_in_place_of_a_frameworks_object(run_asyncio: Run) -> None:
    async def endpoint(socket: WebSocket, hub: Hub) -> None:
        async with hub.accept(socket.scope) as peer:
            peer.send(await peer.recv())

    async def talk(raw: Any) -> None:
        raw.frame(TEXT, b"hello")
        assert await raw.read() == (TEXT, b"hello")
        await raw.close_code()

    run_asyncio(play(endpoint, talk, Hub(close_timeout=0.1)))
