"""What the docs show of frameworks, of restarts and of logging in works."""

import asyncio
import signal
from types import SimpleNamespace
from typing import Any

from starlette.websockets import WebSocket
from tests.docs.pages import DOCS, blocks
from tests.server.frameworks.serving import serving, socket_app
from tests.server.raw import TEXT, client
from tests.watch import Run, until

from websocket_heartbeat.server import Hub


def programs(page: str) -> list[str]:
    """Return the blocks of Python of a page."""
    return [block.text for block in blocks(DOCS / page) if block.language == "python"]


def test_a_user_of_fastapi_follows_the_page(run_asyncio: Run) -> None:
    async def main() -> None:
        [application] = programs("server/asgi.md")
        names: dict[str, Any] = {}
        exec(application, names)
        async with serving(names["app"]) as place:
            async with client(place, "/echo") as raw:
                raw.frame(TEXT, b"heartbeat")
                raw.frame(TEXT, b"hello")
                assert [await raw.read(), await raw.read()] == [(TEXT, b"heartbeat"), (TEXT, b"hello")]
            async with client(place, "/prices") as one, client(place, "/prices") as other:
                await until(lambda: len(names["hub"].room("prices")) == 2)
                one.frame(TEXT, b"3.50")
                assert await one.read() == await other.read() == (TEXT, b"3.50")
        await names["hub"].close()

    run_asyncio(main())


def test_before_a_restart_a_line_of_the_lifespan_and_an_endpoint_send_clients_away(run_asyncio: Run) -> None:
    async def main() -> None:
        names: dict[str, Any] = {}
        exec(programs("how-to/deployment.md")[0], names)
        before = signal.getsignal(signal.SIGTERM)
        async with serving(names["app"]) as place:
            assert signal.getsignal(signal.SIGTERM) is not before
        await names["hub"].close()
        exec(programs("server/closing.md")[0], names)
        async with serving(names["app"]) as place:
            reader, writer = await asyncio.open_connection(place.host, place.port)
            writer.write(b"POST /send-away HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert b"0 clients were sent away" in await reader.read()
            writer.close()
            await writer.wait_closed()
            async with client(place, "/") as late:
                assert late.status == 503
        await names["hub"].close()

    run_asyncio(main())


def test_a_user_of_fastapi_logs_in_as_the_page_has_it(run_asyncio: Run) -> None:
    async def user_of(token: str) -> Any:
        return SimpleNamespace(id="ann") if token == "ann's" else None

    async def main() -> None:
        login = programs("server/who-may-connect.md")[0]
        names: dict[str, Any] = {"user_of": user_of}
        exec(login, names)
        hub: Hub = names["hub"]

        async def mail(websocket: WebSocket) -> None:
            async with hub.accept(websocket) as peer:
                hub.user("ann").send("you have mail")
                await peer.wait_closed()

        async with serving(hub.asgi(socket_app(mail))) as place:
            async with client(place, "/?token=none") as stranger:
                assert stranger.status == 401
            async with client(place, "/?token=ann's") as ann:
                assert await ann.read() == (TEXT, b"you have mail")
        await hub.close()

    run_asyncio(main())
