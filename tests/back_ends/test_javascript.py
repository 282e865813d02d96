"""Our JavaScript for pages, built and minified, in Node, with foreign back ends."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.back_ends.conftest import Server
from tests.back_ends.program import Program
from tests.watch import Run, until

from websocket_heartbeat.testing import FaultProxy

Page = Callable[..., Program]

QUICK = {"pingTimeout": 200, "pongTimeout": 10_000, "reconnectTimeout": 100}
"""Milliseconds."""


def link_of(server: Server, path: str = "/feed") -> str:
    return f"ws://127.0.0.1:{server.port}{path}"


async def opened(page: Program, server: Server) -> None:
    """Wait until both sides know of the link."""
    await until(lambda: page.told("open") and server.told("open"))


def test_texts_bytes_a_mebibyte_and_heartbeats(server: Server, page: Page, run_asyncio: Run) -> None:
    async def main() -> None:
        async with FaultProxy("127.0.0.1", server.port) as proxy:
            with page(proxy.url("/feed"), protocols=["v1"], pong="heartbeat", **QUICK) as client:
                client.order("send", "grüße 🙂")
                client.order("bytes", 2**20)
                await until(lambda: len(client.told("message")) == 2)
                assert client.told("message") == [["grüße 🙂"], ["Blob"]]
                await until(lambda: client.told("state").count(["probing"]) >= 5)
                client.order("send", "work")
                await until(lambda: ["work"] in client.told("message"))
                assert len(client.told("open")) == 1

    run_asyncio(main())


def test_a_frozen_link_is_noticed_and_replaced(server: Server, page: Page, run_asyncio: Run) -> None:
    async def main() -> None:
        async with FaultProxy("127.0.0.1", server.port) as proxy:
            with page(proxy.url("/feed"), **{**QUICK, "pongTimeout": 500}) as client:
                await opened(client, server)
                proxy.freeze()
                await until(lambda: client.told("closed"))
                assert client.told("closed")[0][0] == "1006"
                proxy.thaw()
                client.order("send", "hello")
                await until(lambda: ["hello"] in client.told("message"))

    run_asyncio(main())


def test_close_in_onclose_ends_it(server: Server, page: Page, run_asyncio: Run) -> None:
    async def main() -> None:
        with page(link_of(server), closesOn=4401, **QUICK) as client:
            await opened(client, server)
            server.order("close", 4401, "log in first")
            await until(lambda: ["closed"] in client.told("state"))
            assert client.told("closed") == [["4401", "log in first"]]
            assert client.told("reconnect") == []

    run_asyncio(main())


@pytest.mark.parametrize(
    "options", [{"dismissal": "dismissed"}, {"finalCloseCodes": [[4500, 4999]]}], ids=str
)
def test_a_dismissal_is_for_good(
    server: Server, page: Page, run_asyncio: Run, options: dict[str, Any]
) -> None:
    async def main() -> None:
        with page(link_of(server), **options, **QUICK) as client:
            await opened(client, server)
            server.order("dismiss", "logged in elsewhere")
            await until(lambda: client.told("gave up"))
            assert client.told("closed")[0] == ["4500", "logged in elsewhere"]
            assert client.told("reconnect") == []

    run_asyncio(main())


def test_the_hint_of_a_send_away_is_waited_for(server: Server, page: Page, run_asyncio: Run) -> None:
    async def main() -> None:
        with page(link_of(server), **QUICK) as client:
            await opened(client, server)
            server.order("away", 300)
            await until(lambda: client.told("reconnect"))
            code, reason = client.told("closed")[0]
            assert (code, reason) == ("1012", "restarting; retry-after=300.0")
            assert float(client.told("reconnect")[0][1]) >= 300_000

    run_asyncio(main())


def test_a_close_without_a_code_is_a_retry(server: Server, page: Page, run_asyncio: Run) -> None:
    async def main() -> None:
        with page(link_of(server), **QUICK) as client:
            await opened(client, server)
            server.order("close")
            await until(lambda: len(client.told("open")) == 2)
            # Node's ws sends an empty close frame; Tomcat and Spring send 1000.
            assert client.told("closed")[0][0] == ("1005" if server.name == "node-ws" else "1000")

    run_asyncio(main())


def test_a_handler_that_works_for_longer_than_a_heartbeat(
    container: Server, page: Page, run_asyncio: Run
) -> None:
    async def main() -> None:
        impatient = {**QUICK, "pongTimeout": 800}
        with page(link_of(container, "/plain"), **impatient) as client:
            client.order("send", "block 3000")
            await until(lambda: client.told("closed"))
        with page(link_of(container), **{**impatient, "pongTimeout": 3000}) as client:
            client.order("send", "block 4000")
            await until(lambda: ["block 4000"] in client.told("message"))
            assert len(client.told("open")) == 1

    run_asyncio(main())
