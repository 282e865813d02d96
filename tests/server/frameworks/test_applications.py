"""What applications do around the middleware and beneath it: middlewares, mounts, hooks, odd endpoints."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket, WebSocketDisconnect
from tests.server.frameworks.serving import serving, socket_app
from tests.server.raw import BINARY, CLOSE, PING, PONG, TEXT, client
from tests.watch import Run, until

from websocket_heartbeat.errors import PeerGone
from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Hub, Peer


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(f"echo {text}")


async def talks(place: Any, path: str = "/") -> None:
    """Check that heartbeats and messages are answered."""
    async with client(place, path) as raw:
        raw.frame(TEXT, b"heartbeat")
        assert await raw.read() == (TEXT, b"heartbeat")
        raw.frame(TEXT, b"hello")
        assert await raw.read() == (TEXT, b"echo hello")


class _Passing(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


@pytest.mark.parametrize("order", ["before", "after"])
def test_middlewares_stand_around_it_and_within_it(run_asyncio: Run, order: str) -> None:
    async def main() -> None:
        hub = Hub()
        app = socket_app(echo)
        middlewares = [_Passing, hub.asgi] if order == "before" else [hub.asgi, _Passing]
        for middleware in middlewares:
            app.add_middleware(middleware)  # type: ignore[arg-type]
        async with serving(app) as place:
            await talks(place)
            async with client(place, "/"):
                await until(lambda: hub.peers)
        await hub.close()

    run_asyncio(main())


def test_a_middleware_around_it_sees_what_a_router_puts_into_the_scope(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub()
        seen: list[Any] = []
        inner = hub.asgi(socket_app(echo))

        async def outer(scope: Any, receive: Any, send: Any) -> None:
            await inner(scope, receive, send)
            if scope["type"] == "websocket":
                seen.append(scope["endpoint"])

        async with serving(outer) as place:
            await talks(place)
            await until(lambda: seen)
            assert seen == [echo]
        await hub.close()

    run_asyncio(main())


def test_one_hub_before_an_application_and_before_a_mounted_one_makes_one_peer(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub()
        opened: list[Peer] = []
        hub = Hub(on_open=opened.append)
        app = Starlette(routes=[Mount("/sub", hub.asgi(socket_app(echo)))])
        app.add_middleware(hub.asgi)
        async with serving(app) as place:
            await talks(place, "/sub/")
            assert len(opened) == 1
        await hub.close()

    run_asyncio(main())


def test_two_hubs_have_a_peer_each(run_asyncio: Run) -> None:
    async def main() -> None:
        outer, inner = Hub(), Hub(heartbeat="other")
        joined: list[Peer] = []

        async def both(websocket: WebSocket) -> None:
            async with inner.accept(websocket) as peer:
                peer.join("room")
                joined.append(peer)
                async for message in peer:
                    assert isinstance(message, str)
                    peer.send(f"echo {message}")

        app = Starlette(routes=[Mount("/sub", inner.asgi(socket_app(both)))])
        app.add_middleware(outer.asgi)
        async with serving(app) as place:
            await talks(place, "/sub/")
            async with client(place, "/sub/") as raw:
                await until(lambda: len(joined) == 2)
                assert len(outer.peers) == len(inner.peers) == len(inner.room("room")) == 1
                raw.frame(TEXT, b"other")
                assert await raw.read() == (TEXT, b"other")
                outer.peers[0].close(4005, "both end")
                assert await raw.read() == (CLOSE, (4005).to_bytes(2) + b"both end")
                raw.frame(CLOSE, (4005).to_bytes(2))
                await until(lambda: not inner.peers and not outer.peers)
                assert joined[1].close_code == 4005
        for hub in (outer, inner):
            await hub.close()

    run_asyncio(main())


def test_several_tasks_of_an_endpoint_receive(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub()
        ends: list[str] = []

        async def endpoint(scope: Any, receive: Any, send: Any) -> None:
            # The second one receives before the endpoint has accepted.
            assert (await receive())["type"] == "websocket.connect"
            readers = [asyncio.create_task(read(receive, send)) for _ in range(2)]
            await asyncio.sleep(0.05)
            await send({"type": "websocket.accept"})
            await asyncio.gather(*readers)

        async def read(receive: Any, send: Any) -> None:
            while True:
                event = await receive()
                if event["type"] == "websocket.disconnect":
                    ends.append(event["code"])
                    return
                await send({"type": "websocket.send", "text": f"echo {event['text']}"})

        async with serving(hub.asgi(endpoint), lifespan="off") as place:
            await talks(place)
            await until(lambda: len(ends) == 2)
        await hub.close()

    run_asyncio(main())


@pytest.mark.parametrize("slow", [False, True], ids=["", "and the server is slow to tell of the connect"])
@pytest.mark.parametrize("meanwhile", [False, True], ids=["", "and another task of it receives meanwhile"])
def test_an_endpoint_may_accept_before_it_receives_the_connect(
    run_asyncio: Run, slow: bool, meanwhile: bool
) -> None:
    async def main() -> None:
        hub = Hub()
        kinds: list[str] = []

        async def endpoint(scope: Any, receive: Any, send: Any) -> None:
            async with asyncio.TaskGroup() as tasks:
                accepting = tasks.create_task(send({"type": "websocket.accept"}))
                if not meanwhile:
                    await accepting
                while "websocket.disconnect" not in kinds:
                    event = await receive()
                    kinds.append(event["type"])
                    if event["type"] == "websocket.receive":
                        await send({"type": "websocket.send", "text": f"echo {event['text']}"})

        async def server(scope: Any, receive: Any, send: Any) -> None:
            async def receive_slowly() -> Any:
                event = await receive()
                if slow and event["type"] == "websocket.connect":
                    await asyncio.sleep(0.05)
                return event

            await hub.asgi(endpoint)(scope, receive_slowly, send)

        async with serving(server, lifespan="off") as place:
            await talks(place)
            await until(lambda: "websocket.disconnect" in kinds)
        assert kinds[0] == "websocket.connect"
        assert kinds.count("websocket.connect") == kinds.count("websocket.disconnect") == 1
        await hub.close()

    run_asyncio(main())


def test_an_endpoint_that_never_accepts_gets_the_disconnect(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub()
        events: list[str] = []

        async def endpoint(scope: Any, receive: Any, send: Any) -> None:
            for _ in range(2):
                events.append((await receive())["type"])

        async with serving(hub.asgi(endpoint), lifespan="off") as place:
            _, writer = await asyncio.open_connection(place.host, place.port)
            writer.write(
                b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            await until(lambda: events)
            writer.close()
            await until(lambda: len(events) == 2)
        assert events == ["websocket.connect", "websocket.disconnect"]
        assert not hub.peers

    run_asyncio(main())


def test_hooks_of_the_hub_and_an_endpoint_share_a_peer(run_asyncio: Run) -> None:
    async def main() -> None:
        seen: list[Any] = []
        hub = Hub(
            on_open=lambda peer: seen.append("open"),
            on_message=lambda peer, message: peer.send(f"echo {message!s}"),
            on_close=lambda peer, code, reason: seen.append((code, reason)),
        )

        async def endpoint(websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.send_text("welcome")
            with pytest.raises(WebSocketDisconnect) as end:
                await websocket.receive_text()  # messages go to the hook
            seen.append(end.value.code)

        async with serving(hub.asgi(socket_app(endpoint))) as place, client(place, "/") as raw:
            assert await raw.read() == (TEXT, b"welcome")
            raw.frame(TEXT, b"hello")
            assert await raw.read() == (TEXT, b"echo hello")
            raw.frame(CLOSE, (4001).to_bytes(2) + b"bye")
            await until(lambda: len(seen) == 3)
        assert seen == ["open", (4001, "bye"), 4001]
        await hub.close()

    run_asyncio(main())


def test_messages_that_came_before_the_end_are_still_received(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub()
        go = asyncio.Event()
        seen: list[str] = []

        async def endpoint(websocket: WebSocket) -> None:
            await websocket.accept()
            await go.wait()
            async for text in websocket.iter_text():
                seen.append(text)
            with pytest.raises(RuntimeError):
                await websocket.receive_text()
            seen.append("end")

        async with serving(hub.asgi(socket_app(endpoint))) as place, client(place, "/") as raw:
            for number in range(5):
                raw.frame(TEXT, b"%d" % number)
            raw.frame(CLOSE, (1000).to_bytes(2))
            await raw.close_code()
            await until(lambda: not hub.peers)
            go.set()
            await until(lambda: "end" in seen)
        assert seen == ["0", "1", "2", "3", "4", "end"]
        await hub.close()

    run_asyncio(main())


def test_a_client_that_the_hub_drops_is_a_disconnect_with_the_reason(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(idle_timeout=0.3)
        ends: list[WebSocketDisconnect] = []

        async def endpoint(websocket: WebSocket) -> None:
            await websocket.accept()
            try:
                await websocket.receive_text()
            except WebSocketDisconnect as end:
                ends.append(end)

        async with serving(hub.asgi(socket_app(endpoint))) as place, client(place, "/") as raw:
            assert await raw.read() == (PING, b"")
            assert await raw.end() == "reset"
            await until(lambda: ends)
        assert (ends[0].code, ends[0].reason) == (1006, "silent for 0.3 s")
        await hub.close()

    run_asyncio(main())


def test_what_an_endpoint_sends_to_a_client_that_is_asked_to_go_is_not_lost_silently(
    run_asyncio: Run,
) -> None:
    async def main() -> None:
        hub = Hub()
        errors: list[object] = []
        go = asyncio.Event()

        async def endpoint(websocket: WebSocket) -> None:
            await websocket.accept()
            await go.wait()
            try:
                await websocket.send_text("too late")
            except WebSocketDisconnect as error:
                errors.append(type(error.__context__))

        async with serving(hub.asgi(socket_app(endpoint))) as place, client(place, "/") as raw:
            await until(lambda: hub.peers)
            hub.peers[0].close(4000)
            go.set()
            assert await raw.read() == (CLOSE, (4000).to_bytes(2))
            assert not errors
            raw.frame(CLOSE, (4000).to_bytes(2))
            await until(lambda: errors)
        assert errors == [PeerGone]
        await hub.close()

    run_asyncio(main())


def test_what_cannot_be_sent_is_an_error_where_it_is_sent(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(close_timeout=0.1, dismissal="go")
        errors: list[type[Exception]] = []

        async def endpoint(websocket: WebSocket) -> None:
            await websocket.accept()
            hub.peers[0].send("one")  # so that the link is writing
            for event in (
                {"type": "websocket.send", "text": "\ud800"},
                {"type": "websocket.close", "code": 1005},
                {"type": "websocket.close", "code": "no"},
                {"type": "websocket.send", "text": "go"},
            ):
                try:
                    await websocket._send(event)
                except Exception as error:
                    errors.append(type(error))
            await websocket.send_bytes(b"two")

        async with serving(hub.asgi(socket_app(endpoint))) as place, client(place, "/") as raw:
            assert await raw.read() == (TEXT, b"one")
            assert await raw.read() == (BINARY, b"two")
            assert errors == [UnicodeEncodeError, ValueError, TypeError, ValueError]
        await hub.close()

    run_asyncio(main())


def test_an_endpoint_that_is_cancelled_closes_with_1001(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub()
        tasks: list[asyncio.Task[Any]] = []

        async def endpoint(websocket: WebSocket) -> None:
            await websocket.accept()
            tasks.append(asyncio.current_task())  # type: ignore[arg-type]
            await asyncio.Event().wait()

        async with serving(hub.asgi(socket_app(endpoint))) as place, client(place, "/") as raw:
            await until(lambda: tasks)
            tasks[0].cancel()
            assert await raw.read() == (CLOSE, (1001).to_bytes(2))
            raw.frame(CLOSE, (1001).to_bytes(2))
            await until(lambda: not hub.peers)
        await hub.close()

    run_asyncio(main())


def test_a_stream_of_http_2_is_not_taken_for_the_whole_connection(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(idle_timeout=0.3)
        inner = hub.asgi(socket_app(echo))

        async def outer(scope: Any, receive: Any, send: Any) -> None:
            await inner({**scope, "http_version": "2"}, receive, send)

        async with serving(outer, lifespan="off") as place:
            await talks(place)
            async with client(place, "/") as raw:
                await asyncio.sleep(0.5)
                raw.frame(PING)
                assert await raw.read() == (PONG, b"")  # it was neither pinged nor dropped
                hub.peers[0].abort()
                assert await raw.close_code() == 1001  # nor reset
        await hub.close()

    run_asyncio(main())


def test_a_denial_response_of_an_endpoint_arrives(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub()

        async def endpoint(websocket: WebSocket) -> None:
            await websocket.send_denial_response(PlainTextResponse("no", 418, {"X-Why": "tea"}))

        async with serving(hub.asgi(socket_app(endpoint))) as place, client(place, "/") as raw:
            assert raw.status == 418
            assert b"x-why: tea" in raw.head.lower()

    run_asyncio(main())


# Starlette's TestClient


def _for_test_client(hub: Hub) -> Starlette:
    async def feed(websocket: WebSocket) -> None:
        async with hub.accept(websocket, subprotocol="chat") as peer:
            async for message in peer:
                peer.send(message)

    async def denied(websocket: WebSocket) -> None:
        await websocket.send_denial_response(PlainTextResponse("no", 418))

    async def closes(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(4001, "go")

    app = Starlette(
        routes=[
            WebSocketRoute("/echo", echo),
            WebSocketRoute("/feed", feed),
            WebSocketRoute("/denied", denied),
            WebSocketRoute("/closes", closes),
        ]
    )
    app.add_middleware(hub.asgi)
    return app


def _talk_with_test_client(tests: TestClient, hub: Hub) -> None:
    with tests.websocket_connect("/echo") as session:
        session.send_text("heartbeat")
        assert session.receive_text() == "heartbeat"
        session.send_text("hello")
        assert session.receive_text() == "echo hello"
    with tests.websocket_connect("/feed") as session:
        assert str(session.accepted_subprotocol) == "chat"
        session.send_bytes(b"hello")
        assert session.receive_bytes() == b"hello"
        assert len(hub.peers) == 1
    with tests.websocket_connect("/closes") as session, pytest.raises(WebSocketDisconnect) as closed:
        session.receive_text()
    assert (closed.value.code, closed.value.reason) == (4001, "go")
    with pytest.raises(WebSocketDenialResponse), tests.websocket_connect("/denied"):
        pass


def test_the_test_client_of_starlette_works_on_one_loop() -> None:
    hub = Hub()
    with TestClient(_for_test_client(hub)) as tests:
        for _ in range(3):
            _talk_with_test_client(tests, hub)
    assert not hub.peers


def test_the_test_client_of_starlette_works_on_a_loop_a_connection() -> None:
    hub = Hub()
    tests = TestClient(_for_test_client(hub))
    for _ in range(3):
        _talk_with_test_client(tests, hub)
    assert not hub.peers


def test_a_hub_serves_on_the_loops_of_one_test_after_the_other(run_asyncio: Run) -> None:
    """Its timer must not wait on a loop that has ended."""
    hub = Hub(idle_timeout=0.6, close_timeout=0.2)
    reasons: list[str] = []

    async def endpoint(websocket: WebSocket) -> None:
        async with hub.accept(websocket) as peer:
            await peer.recv()
        reasons.append(peer.close_reason)

    app = hub.asgi(socket_app(endpoint))

    async def main() -> None:
        async with serving(app) as place:
            async with client(place, "/") as raw:
                raw.frame(TEXT, b"end")
                assert await raw.close_code() == 1000
                assert await raw.end() == "reset"
            await until(lambda: len(reasons) == 2)

    async def first() -> None:
        async with serving(app) as place, client(place, "/") as raw:
            raw.frame(CLOSE)
            await until(lambda: not hub.peers)

    asyncio.run(first())
    time.sleep(0.3)  # by then, the timer of the first loop would have rung
    run_asyncio(_then(main(), hub))
    assert reasons == ["ended without a close code", "did not answer the close frame in time"]


async def _then(main: Awaitable[None], hub: Hub) -> None:
    await main
    await hub.close()


def test_messages_are_checked_for_heartbeats_by_their_type(run_asyncio: Run) -> None:
    async def main() -> None:
        seen: list[Message] = []
        hub = Hub()

        async def endpoint(websocket: WebSocket) -> None:
            async with hub.accept(websocket) as peer:
                async for message in peer:
                    seen.append(message)

        async with serving(hub.asgi(socket_app(endpoint))) as place, client(place, "/") as raw:
            raw.frame(BINARY, b"heartbeat")
            raw.frame(TEXT, b"heartbeat ")
            raw.frame(TEXT, b"heartbeat")
            assert await raw.read() == (TEXT, b"heartbeat")
            await until(lambda: len(seen) == 2)
        assert seen == [b"heartbeat", "heartbeat "]
        await hub.close()

    run_asyncio(main())


def test_a_message_that_a_server_cannot_send_ends_the_peer_and_is_told(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub()
        ends: list[tuple[int | None, str]] = []

        async def endpoint(websocket: WebSocket) -> None:
            async with hub.accept(websocket) as peer:
                peer.send("lost")
                await peer.wait_closed()
                ends.append((peer.close_code, peer.close_reason))

        inner = hub.asgi(socket_app(endpoint))

        async def outer(scope: Any, receive: Any, send: Any) -> None:
            async def broken(event: Any) -> None:
                if event["type"] == "websocket.send":
                    raise RuntimeError("the server is broken")
                await send(event)

            await inner(scope, receive, broken)

        async with serving(outer, lifespan="off") as place, client(place, "/"):
            await until(lambda: ends)
        assert ends == [(None, "the server is broken")]
        await hub.close()

    run_asyncio(main())
