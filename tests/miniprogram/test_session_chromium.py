"""Sessions of a page in Chromium: with our hub, and with a server that has none: that handshake fails."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.miniprogram.chromium import executable, opened

from websocket_heartbeat.cli.js import library
from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Hub, Peer, Request, serve
from websocket_heartbeat.testing import FaultProxy

pytestmark = pytest.mark.timeout(300)

BEGIN = """
([url, mode]) => {
    window.told = [];
    const snapshot = {
        save: (text) => { sessionStorage.setItem("x", text); window.told.push(["save", text !== ""]); },
        load: () => sessionStorage.getItem("x"),
    };
    const session = WebsocketHeartbeatSession(mode, { snapshot });
    const options = { pingTimeout: 500, pongTimeout: 1000, reconnectTimeout: 50 };
    window.heartbeat = new WebsocketHeartbeatJs({ url, session, ...options });
    heartbeat.onopen = (event) => told.push(["open", event instanceof Event, event.session || null]);
    heartbeat.onmessage = (event) => {
        const { data } = event;
        const bytes = data instanceof ArrayBuffer ? [...new Uint8Array(data)] : "Blob";
        const shown = typeof data === "string" ? data : bytes;
        told.push(["message", event instanceof MessageEvent, shown]);
    };
    heartbeat.onsession = ({ kind, why, uncertain }) => told.push(["session", kind, why, uncertain]);
    heartbeat.onstate = (state) => told.push(["state", state]);
}
"""


class Page:
    """A page with a connection."""

    def __init__(self, page: Any) -> None:
        self.page = page

    async def run(self, code: str, argument: object = None) -> Any:
        return await self.page.evaluate(code, argument)

    async def until(self, *words: object, times: int = 1) -> None:
        """Wait until the page was told this, so often."""
        code = (
            "([words, times]) => told.filter((each) => words.every((w, n) => each[n] === w)).length >= times"
        )
        await self.page.wait_for_function(code, arg=[list(words), times])

    async def told(self, name: str) -> list[Any]:
        code = "(name) => told.filter((each) => each[0] === name).map((each) => each.slice(1))"
        return list(await self.run(code, name))


@contextlib.asynccontextmanager
async def page_of(url: str, profile: Path, mode: str = "prefer") -> AsyncIterator[Page]:
    executable()
    tags = "".join(f"<script src={name}.js></script>" for name in ("library", "session"))
    files = {
        "library.js": library("iife", "browser", minify=True),
        "session.js": library("iife", "session", minify=True),
        "index.html": f"<!doctype html><title>.</title>{tags}",
    }
    async with asyncio.timeout(200), opened(files, profile) as (page, errors):
        await page.evaluate(BEGIN, [url, mode])
        yield Page(page)
        assert errors == []


def test_a_page_keeps_its_session_over_links_that_break_and_gets_bytes_that_it_can_read(
    tmp_path: Path,
) -> None:
    up: list[Message] = []

    def answer(peer: Peer, message: Message) -> None:
        up.append(message)
        peer.send(message)

    async def main() -> None:
        ends: asyncio.Queue[tuple[str, tuple[Message, ...]]] = asyncio.Queue()
        hub = Hub(sessions="memory", on_message=answer, on_session_end=lambda _, *end: ends.put_nowait(end))
        async with (
            serve(hub=hub) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            page_of(proxy.url(), tmp_path) as page,
        ):
            await page.until("open", True, "new")
            await page.run("heartbeat.send('text')")
            await page.run("heartbeat.send(new Uint8Array([1, 255]))")
            await page.run("heartbeat.send(new Blob(['blob']))")
            await page.run("heartbeat.flush()")
            assert up == ["text", b"\x01\xff", b"blob"]
            proxy.freeze()
            await page.run("heartbeat.send('meanwhile')")
            await page.until("state", "waiting")
            proxy.disconnect()
            proxy.heal()
            await page.until("open", True, "resumed")
            await page.until("message", True, "meanwhile")
            assert await page.told("message") == [
                [True, "text"], [True, [1, 255]], [True, [*b"blob"]], [True, "meanwhile"],
            ]  # fmt: skip
            await page.run("heartbeat.close(1000, 'leaving')")
            assert await ends.get() == ("leaving", ())
            await page.until("state", "closed")
            assert await page.told("session") == [["new", "", []], ["resumed", "", []]]

    asyncio.run(main())


def test_a_page_that_prefers_a_session_goes_on_without_one_where_the_server_has_none(tmp_path: Path) -> None:
    offers: list[str | None] = []

    def note(request: Request) -> None:
        offers.append(request.header("Sec-WebSocket-Protocol"))

    async def main() -> None:
        async with (
            serve(on_handshake=note) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            page_of(proxy.url(), tmp_path) as page,
        ):
            for times in range(1, 4):
                await page.until("open", True, None, times=times)
                await page.run("heartbeat.send('plain')")
                await page.until("message", True, "plain", times=times)
                await page.run("heartbeat.send(new Uint8Array(1))")
                await page.until("message", True, "Blob", times=times)
                proxy.disconnect()
            await page.until("open", True, None, times=4)
            ours = "websocket-heartbeat.v1"
            assert offers == [ours, None, ours, None, None, None]
            assert await page.told("session") == []
            await page.run("heartbeat.close()")

    asyncio.run(main())


def test_a_page_that_requires_a_session_does_not_open_where_the_server_has_none(tmp_path: Path) -> None:
    offers: list[str | None] = []

    def note(request: Request) -> None:
        offers.append(request.header("Sec-WebSocket-Protocol"))

    async def main() -> None:
        async with serve(on_handshake=note) as server, page_of(server.url(), tmp_path, "require") as page:
            await page.until("state", "connecting", times=4)
            assert await page.told("open") == []
            assert set(offers) == {"websocket-heartbeat.v1"}
            await page.run("heartbeat.close()")

    asyncio.run(main())


def test_a_page_that_is_loaded_again_or_frozen_goes_on_with_its_session(tmp_path: Path) -> None:
    up: list[Message] = []

    def answer(peer: Peer, message: Message) -> None:
        up.append(message)
        peer.send(message)

    async def main() -> None:
        hub = Hub(sessions="memory", on_message=answer)
        async with (
            serve(hub=hub) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            page_of(proxy.url(), tmp_path) as page,
        ):
            await page.until("open", True, "new")
            proxy.freeze()
            await page.run("heartbeat.send(new Uint8Array([0, 255]))")
            await page.run("heartbeat.send('under way')")
            hub.peers[0].send("from the server")
            await page.page.reload()
            proxy.disconnect()
            proxy.heal()
            await page.run(BEGIN, [proxy.url(), "prefer"])
            await page.until("open", True, "resumed")
            await page.until("message", True, "under way")
            assert await page.told("message") == [
                [True, "from the server"], [True, [0, 255]], [True, "under way"],
            ]  # fmt: skip
            assert up == [b"\x00\xff", "under way"]
            # Chromium without a window hides and freezes no page: the events are ours.
            await page.run("document.dispatchEvent(new Event('freeze'))")
            hub.peers[0].send("to a frozen page")
            await page.until("state", "probing")
            await page.run("document.dispatchEvent(new Event('resume'))")
            await page.until("message", True, "to a frozen page")
            events = await page.run("told.map(([name, what]) => [name, what])")
            since = events[events.index(["save", True]) :]
            assert [each for each in since if each[0] != "state"] == [
                ["save", True], ["save", False], ["message", True],
            ]  # fmt: skip
            await page.run("heartbeat.send('still here')")
            await page.until("message", True, "still here")
            assert await page.told("session") == [["resumed", "", []]]
            await page.run("heartbeat.close()")

    asyncio.run(main())
