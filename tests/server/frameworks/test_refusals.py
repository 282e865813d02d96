"""Who is refused by a hub over ASGI learns it by status, headers and body, or by a close code."""

import asyncio
import re
from typing import Any

import pytest
from starlette.websockets import WebSocket
from tests.server.frameworks.applications import Failure
from tests.server.frameworks.serving import serving, socket_app
from tests.server.raw import CLOSE, TEXT, client
from tests.watch import Run

from websocket_heartbeat.server import Hub, Refusal
from websocket_heartbeat.server.admission import Request


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


def _without_denial(app: Any) -> Any:
    """Return the application as it is called by a server that has no denial responses."""

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "extensions": None}, receive, send)

    return outer


def _refuse(request: Request) -> str | Refusal:
    match request.path:
        case "/no":
            return Refusal(401, {"WWW-Authenticate": "Bearer"}, b"who are you?")
        case "/busy":
            return Refusal(503, {"Retry-After": "17"}, b"later")
        case "/many":
            return Refusal(429, {"Retry-After": "Sat, 28 Nov 2026 20:00:00 GMT"})
        case "/broken":
            raise Failure
    return "alice"


@pytest.mark.parametrize("ws", ["websockets-sansio", "wsproto"])
def test_a_refusal_arrives_with_status_headers_and_body(
    run_asyncio: Run, ws: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        hub = Hub(authenticate=_refuse)
        async with serving(hub.asgi(socket_app(echo)), ws=ws) as place:
            for path, status, header, body in (
                ("/no", 401, b"www-authenticate: Bearer", b"who are you?"),
                ("/busy", 503, b"retry-after: 17", b"later"),
                ("/broken", 500, b"", b""),
            ):
                async with client(place, path) as raw:
                    assert raw.status == status
                    assert header.lower() in raw.head.lower()
                    assert await raw.reader.read() == body
            async with client(place, "/") as raw:
                raw.frame(TEXT, b"hello")
                assert await raw.read() == (TEXT, b"hello")
                assert [peer.principal for peer in hub.peers] == ["alice"]
        await hub.close()
        # uvicorn has nothing to complain of; what a hook has raised is logged.
        errors = [record for record in caplog.records if record.levelname == "ERROR"]
        assert [record.name for record in errors] == ["websocket_heartbeat.server"]

    run_asyncio(main())


def test_where_the_server_cannot_say_it_busy_becomes_1013_with_the_hint(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(authenticate=_refuse, close_timeout=0.2)
        async with serving(_without_denial(hub.asgi(socket_app(echo))), lifespan="off") as place:
            async with client(place, "/busy") as raw:
                assert await raw.read() == (CLOSE, (1013).to_bytes(2) + b"retry-after=17")
                raw.frame(CLOSE, (1013).to_bytes(2))
                assert await raw.end() == "end of file"
            async with client(place, "/many") as raw:
                # Seconds alone can be said; and who does not answer is dropped.
                assert await raw.read() == (CLOSE, (1013).to_bytes(2))
                assert await raw.end() == "reset"
            async with client(place, "/no") as raw:
                assert raw.status == 403
        assert not hub.peers

    run_asyncio(main())


def test_authenticate_may_take_its_time_but_not_more_than_open_timeout(run_asyncio: Run) -> None:
    async def main() -> None:
        async def authenticate(request: Request) -> str:
            await asyncio.sleep(0 if request.path == "/" else 60)
            return "bob"

        hub = Hub(authenticate=authenticate, open_timeout=0.2)
        async with serving(hub.asgi(socket_app(echo))) as place:
            async with client(place, "/") as raw:
                raw.frame(TEXT, b"heartbeat")
                assert await raw.read() == (TEXT, b"heartbeat")
                assert len(hub.user("bob")) == 1
            async with client(place, "/slow") as raw:
                assert raw.status == 503
        await hub.close()

    run_asyncio(main())


def test_a_place_is_free_again_where_an_endpoint_refuses(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(max_peers=1)
        errors: list[BaseException] = []

        async def endpoint(websocket: WebSocket) -> None:
            if websocket.headers.get("x-come"):
                await echo(websocket)
            try:
                raise Failure
            except Failure as error:
                errors.append(error)  # whose traceback has a reference to all that was at hand
            await websocket.close()

        async with serving(hub.asgi(socket_app(endpoint))) as place:
            for _ in range(2):
                async with client(place, "/") as raw:
                    assert raw.status == 403
                    await raw.end()
            async with client(place, "/", "X-Come: yes\r\n") as raw, client(place, "/") as other:
                assert raw.status == 101
                assert other.status == 503
                assert re.search(rb"retry-after: \d+", other.head.lower())
        await hub.close()

    run_asyncio(main())
