"""Who may see the dashboard: at its port who has its URL, in an application whom that lets in."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.routing import Mount, WebSocketRoute
from starlette.websockets import WebSocket
from tests.dashboard.viewer import PATIENCE, feed_url, get
from tests.server.frameworks.serving import serving

from websocket_heartbeat import ConnectionFailed, connect
from websocket_heartbeat.server import Hub, Refusal, Request, serve_dashboard


async def status_of(url: str, **options: Any) -> str:
    """Return how a handshake is refused, "" if it is not."""
    try:
        async with connect(url, max_retries=0, **options) as connection:
            await connection.wait_open()
    except ConnectionFailed as failure:
        return str(failure)
    return ""


def test_who_has_not_the_token_gets_nothing_of_it() -> None:
    async def main() -> None:
        async with serve_dashboard(token="a" * 32) as dashboard:
            assert dashboard.url.endswith(f"/{'a' * 32}/")
            root = dashboard.url.partition("/a")[0] + "/"
            for path in ("", "ticket", "b" * 32 + "/", "a" * 31 + "/", "%61" + "a" * 31 + "/ticket"):
                status, _, body = await get(root, path)
                assert (status, body) == (404, b"")
            assert (await get(root, "a" * 32))[:2][0] == 308
            ticket = (await feed_url(dashboard.url)).rpartition("/")[2]
            assert "404" in await status_of(root.replace("http", "ws") + f"feed/{ticket}")
            assert "a" * 32 not in repr(dashboard)

    asyncio.run(main())


def test_a_ticket_is_good_for_one_viewer_and_not_for_the_page_of_another_site() -> None:
    async def main() -> None:
        async with serve_dashboard() as dashboard:
            feed = dashboard.url.replace("http", "ws", 1) + "feed/"
            assert "403" in await status_of(feed)
            assert "403" in await status_of(feed + "guessed")
            url = await feed_url(dashboard.url)
            assert "403" in await status_of(url, additional_headers={"Origin": "https://evil.example"})
            assert await used(url)
            assert "403" in await status_of(url)

    async def used(url: str) -> bool:
        async with connect(url) as connection:
            return '"snapshot"' in str(await connection.recv())

    asyncio.run(main())


def test_the_page_may_load_nothing_but_its_own_files_and_is_kept_by_nobody() -> None:
    async def main() -> None:
        async with serve_dashboard() as dashboard:
            _, headers, page = await get(dashboard.url)
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["cache-control"] == "no-store"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["x-content-type-options"] == "nosniff"
            assert b"://" not in page
            for name in ("heartbeat.js", "dashboard.js", "drawing.js", "dashboard.css", "icon.svg"):
                status, headers, body = await get(dashboard.url, name)
                assert (status, bool(body)) == (200, True)
                assert name.encode() in page
            for path in ("../board.py", "page/index.html", "index.html", "dashboard.js/"):
                assert (await get(dashboard.url, path))[0] == 404

    asyncio.run(main())


def test_a_token_that_is_no_part_of_a_url_is_refused() -> None:
    for token in ("", "a/b", "a b"):
        with pytest.raises(ValueError, match="token"):
            serve_dashboard(token=token)


# In an application


@contextlib.asynccontextmanager
async def application(hub: Hub) -> AsyncIterator[str]:
    """Serve an application whose authentication guards HTTP alone; yield its URL."""

    async def chat(websocket: WebSocket) -> None:
        async with hub.accept(websocket) as peer:
            async for message in peer:
                peer.send(message)

    async def authenticated(
        request: HTTPRequest, call_next: Callable[[HTTPRequest], Awaitable[Response]]
    ) -> Response:
        if request.headers.get("Authorization") != "Basic me":
            return Response(status_code=401)
        return await call_next(request)

    async def any_path(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("a secret of the application")
        await websocket.close()

    routes = [
        WebSocketRoute("/chat", chat),
        WebSocketRoute("/{path:path}", any_path),
        Mount("/cardiogram", hub.dashboard()),
    ]
    app = Starlette(routes=routes)
    app.add_middleware(BaseHTTPMiddleware, dispatch=authenticated)
    app.add_middleware(hub.asgi)
    async with serving(app, lifespan="off") as place:
        yield f"http://127.0.0.1:{place.port}/cardiogram/"
    hub.dashboard()._board.stop()


def test_in_an_application_its_authentication_guards_the_feed_too_and_viewers_are_no_clients() -> None:
    asked = []

    def authenticate(request: Request) -> str | Refusal:
        asked.append(request.path)
        return "ann" if request.query == "key=1" else Refusal(401)

    async def main() -> None:
        hub = Hub(authenticate=authenticate)
        async with application(hub) as url:
            for path in ("", "ticket", "dashboard.js"):
                assert (await get(url, path))[0] == 401
            feed = url.replace("http", "ws") + "feed/"
            assert "HTTP status 40" in await status_of(feed + "guessed")
            assert asked == ["/cardiogram/feed/guessed"]
            assert b"Cardiogram" in (await get(url, Authorization="Basic me"))[2]
            assert (await get(url, "nothing", Authorization="Basic me"))[0] == 404
            _, _, ticket = await get(url, "ticket", Authorization="Basic me")
            async with connect(feed.replace("cardiogram/feed/", "chat?key=1")) as chat:
                await chat.wait_open()
                async with connect(feed + ticket.decode(), name="viewer") as viewer:
                    async with asyncio.timeout(PATIENCE):
                        while "client 1" not in str(await viewer.recv()):
                            pass
                    assert len(hub.peers) == 1
                    assert asked == ["/cardiogram/feed/guessed", "/chat"]
            assert "HTTP status 40" in await status_of(feed + ticket.decode())

    asyncio.run(main())


def test_a_ticket_opens_the_feed_and_no_endpoint_of_the_application_whatever_its_routes() -> None:
    async def main() -> None:
        hub = Hub(authenticate=lambda request: Refusal(401))
        async with application(hub) as url:
            root = url.replace("http", "ws").removesuffix("cardiogram/")
            assert "401" in await status_of(root + "anything")
            for path in ("cardiogram/feed/", "chat/feed/", "feed/"):
                _, _, ticket = await get(url, "ticket", Authorization="Basic me")
                async with connect(f"{root}{path}{ticket.decode()}") as viewer:
                    assert '"snapshot"' in str(await viewer.recv())
                assert "401" in await status_of(f"{root}{path}{ticket.decode()}")

    asyncio.run(main())
