"""The page in Chromium: what a person sees of connections and of their ends, and how the page survives.

`python -m tests.dashboard.test_page` writes the screenshots of the docs: the scene of the first test.
"""

import asyncio
import contextlib
import logging
import re
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.miniprogram.chromium import browser

from websocket_heartbeat import Backoff, Connection, Heartbeat, connect
from websocket_heartbeat.server import Peer, Server, serve, serve_dashboard
from websocket_heartbeat.testing import FaultProxy

pytestmark = pytest.mark.timeout(300)

FIGURES = Path(__file__).parents[2] / "docs" / "figures"
PATIENCE = 60_000
"""Milliseconds that anything may take on a busy machine."""

QUICK = Backoff(initial=0.2, maximum=1)
WIDE = {"width": 1010, "height": 700}
PHONE = {"width": 360, "height": 740}


_HAS_COLOUR = """([selector, name]) => {
    const probe = document.createElement("canvas").getContext("2d");
    probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    probe.fillRect(0, 0, 1, 1);
    const want = probe.getImageData(0, 0, 1, 1).data;
    return [...document.querySelectorAll(selector)].some((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        for (let n = 0; n < data.length; n += 4)
            if (data[n + 3] > 200 && [0, 1, 2].every((k) => Math.abs(data[n + k] - want[k]) < 24))
                return true;
        return false;
    });
}"""
"""A function of JavaScript: see has_colour."""


@pytest.fixture(autouse=True)
def silence(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


class Scene:
    """A server, clients of it that are seen on the page, and a proxy before one of them."""

    def __init__(self, page: Any, server: Server, proxy: FaultProxy, peers: list[Peer]) -> None:
        self.page = page
        self.server = server
        self.proxy = proxy
        self.peers = peers

    async def sees(self, selector: str, words: str) -> None:
        """Wait until an element has these words."""
        await self.page.locator(selector, has_text=words).first.wait_for(timeout=PATIENCE)

    def line(self, name: str) -> Any:
        return self.page.locator(".line", has_text=name).first


@contextlib.asynccontextmanager
async def scene(profile: Path) -> AsyncIterator[Scene]:
    """Open the page beside a server whose clients are `prices`, by the proxy, and `orders`."""
    peers: list[Peer] = []
    async with (
        serve_dashboard() as dashboard,
        serve(on_open=peers.append) as server,
        FaultProxy("127.0.0.1", server.port) as proxy,
        browser(profile) as context,
        client(proxy.url("/prices"), "prices"),
        client(server.url("/orders"), "orders", 1.9),
    ):
        page, errors = await opened(context, dashboard.url)
        yield Scene(page, server, proxy, peers)
        assert errors == []


async def opened(context: Any, url: str) -> tuple[Any, list[str]]:
    """Open a page; return it, and what it complains about."""
    page = await context.new_page()
    await page.set_viewport_size(WIDE)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda told: errors.append(told.text) if "Content Security" in told.text else None)
    await page.goto(url)
    return page, errors


def client(url: str, name: str, interval: float = 0.9) -> Connection:
    return connect(url, heartbeat=Heartbeat(interval, 1.5), backoff=QUICK, name=name)


def test_a_person_sees_the_beats_the_silence_and_in_words_why_a_link_died(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path) as seen:
            await show_a_loss(seen)
            assert "Cardiogram" in await seen.page.title()
            assert "a flat line is silence" in re.sub(r"\s+", " ", await seen.page.inner_text("header"))
            assert "heartbeat timeout: nothing heard for" in await seen.line("prices").inner_text()
            assert "✕" in await seen.page.inner_text("#events")
            assert await has_colour(seen.page, ".line canvas", "--alive")
            assert await has_colour(seen.page, ".line canvas", "--bad")
            assert await seen.page.locator("#plot-rates").get_attribute("aria-label")

    asyncio.run(main())


async def show_a_loss(seen: Scene) -> None:
    """Have `prices` lose its link to a network that is frozen, and find another one."""
    await seen.sees("#status", "live")
    await seen.sees(".line .facts", "open · ")
    seen.proxy.freeze()
    await seen.sees("#events .bad", "prices link 1 is gone: heartbeat timeout")
    await seen.sees("#reasons", "A ping was not answered in time")
    seen.proxy.reset()
    seen.proxy.thaw()
    await seen.sees("#events .good", "is open, after")


async def has_colour(page: Any, selector: str, name: str) -> bool:
    """Whether a canvas has pixels of the colour that the style sheet calls so."""
    found: bool = await page.evaluate(
        _HAS_COLOUR,
        [selector, name],
    )
    return found


def test_the_page_survives_the_restart_of_its_server_before_the_eyes_of_its_viewer(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        port = free_port()
        async with browser(tmp_path) as context:
            async with serve_dashboard(port=port, token="t" * 32) as dashboard, serve() as server:
                page, errors = await opened(context, dashboard.url)
                async with client(server.url(), "before"):
                    await page.locator(".line", has_text="before").wait_for(timeout=PATIENCE)
            await page.locator("#status", has_text=re.compile(r"reconnecting in \d s…")).wait_for(
                timeout=PATIENCE
            )
            assert await page.locator("#status").get_attribute("data-state") == "lost"
            assert "before" in await page.inner_text("#lines")  # what was seen is still there
            async with (
                serve_dashboard(port=port, token="t" * 32),
                serve() as server,
                client(server.url(), "after"),
            ):
                await page.locator(".line", has_text="after").wait_for(timeout=PATIENCE)
                assert await page.inner_text("#status") == "live"
                assert "was restarted" in await page.inner_text("#events")
                assert "before link 1 is open" in await page.inner_text("#events")
                assert errors == []

    asyncio.run(main())


def test_a_page_without_its_client_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with serve_dashboard() as dashboard, browser(tmp_path) as context:
            await context.route("**/heartbeat.js", lambda route: route.abort())
            page, errors = await opened(context, dashboard.url)
            await page.locator("#status", has_text="`make js` builds it").wait_for(timeout=PATIENCE)
            assert errors == []

    asyncio.run(main())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


def test_a_long_outage_does_not_hide_why_it_began(tmp_path: Path) -> None:
    async def main() -> None:
        port = free_port()
        async with serve_dashboard() as dashboard, browser(tmp_path) as context:
            page, errors = await opened(context, dashboard.url)
            line = page.locator(".line", has_text="prices")
            async with contextlib.AsyncExitStack() as stack:
                quick = Backoff(initial=0.05, maximum=0.1)
                server = await stack.enter_async_context(serve(port=port))
                prices = connect(server.url(), backoff=quick, name="prices")
                async with prices:
                    await prices.wait_open()
                    await line.locator(".facts", has_text="open").wait_for(timeout=PATIENCE)
                    await stack.aclose()
                    await line.locator(".why", has_text=re.compile(r"retry [4-9]\d")).wait_for(
                        timeout=PATIENCE
                    )
                    lost = "link 1 is gone: the server closed the link with 1001"
                    assert lost in await line.inner_text()
                    assert "connection refused" in await line.inner_text()
                    await line.click()
                    await page.locator("#details-then", has_text="Nobody listens there").wait_for(
                        timeout=PATIENCE
                    )
                    assert lost in await page.inner_text("#details-why")
                    assert lost in await page.inner_text("#details-marks")
                    told = await page.inner_text("#events")
                    assert told.count("retry") == 1  # the first that was refused
                    assert errors == []

    asyncio.run(main())


def test_a_trace_that_comes_into_view_is_drawn_as_the_page_is_then(tmp_path: Path) -> None:
    async def main() -> None:
        async with browser(tmp_path) as context, contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(serve())
            dashboard = await stack.enter_async_context(serve_dashboard())
            for number in range(20):
                await stack.enter_async_context(client(server.url(), f"link {number}"))
            page, errors = await opened(context, dashboard.url)
            await page.locator(".line .facts", has_text="open · ").last.wait_for(timeout=PATIENCE)
            await stack.aclose()  # so that no news draws it
            await page.locator("#status[data-state=lost]").wait_for(timeout=PATIENCE)
            await page.emulate_media(color_scheme="dark")
            last = "li:last-child > .line canvas"
            assert not await has_colour(page, last, "--alive")
            await page.locator("#lines > li").last.scroll_into_view_if_needed()
            await page.wait_for_function(_HAS_COLOUR, arg=[last, "--alive"], timeout=PATIENCE)
            assert errors == []

    asyncio.run(main())


def test_it_is_walked_by_keyboard(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path) as seen:
            page = seen.page
            await seen.sees(".line", "client 2")

            async def focused() -> str:
                text: str = await page.evaluate("document.activeElement.innerText")
                return text

            await page.keyboard.press("ArrowDown")
            assert (await focused()).startswith("prices")
            await page.keyboard.press("ArrowDown")
            assert (await focused()).startswith("orders")
            await page.keyboard.press("End")
            assert (await focused()).startswith("client 2")
            await page.keyboard.press("ArrowDown")
            assert (await focused()).startswith("client 2")
            await page.keyboard.press("Home")
            await page.keyboard.press("Enter")
            await page.locator("#details[open]").wait_for(timeout=PATIENCE)
            assert await page.inner_text("#details-title") == "prices"
            next(peer for peer in seen.peers if peer.request.path == "/prices").abort()
            await seen.sees("#details-why", "The connection was reset")
            await page.keyboard.press("Escape")
            await page.locator("#details").wait_for(state="hidden", timeout=PATIENCE)
            assert (await focused()).startswith("prices")
            assert await page.locator('.line[tabindex="0"]').count() == 1  # the list is one stop of Tab

    asyncio.run(main())


def test_it_fits_a_phone_and_follows_the_theme(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path) as seen:
            page = seen.page
            await seen.sees(".line .facts", "open · ")
            await page.set_viewport_size(PHONE)
            widths = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert widths == [360, 360]
            grounds = []
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme)
                grounds.append(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
                await page.wait_for_function("Drawing.colours().alive.length > 0")
                for _ in range(600):  # with the next picture, which is drawn each second
                    if await has_colour(page, ".line canvas", "--alive"):
                        break
                    await asyncio.sleep(0.1)
                else:
                    raise AssertionError(f"no trace has the colour of the {scheme} theme")
            assert grounds == ["rgb(255, 255, 255)", "rgb(13, 21, 20)"]

    asyncio.run(main())


def test_what_strangers_say_is_text(tmp_path: Path) -> None:
    evil = "<img src=x onerror=document.title='owned'>"

    async def main() -> None:
        async with scene(tmp_path) as seen:
            await seen.sees(".line", "client 2")
            async with connect(seen.server.url("/<b>bold"), name="<i>name") as connection:
                await connection.wait_open()
                seen.peers[-1].close(1008, evil)
                await seen.sees("#events", evil)
                await seen.sees(".line", "<i>name")
            assert await seen.page.locator("main img, main i, main b b").count() == 0
            assert await seen.page.title() == "Cardiogram"

    asyncio.run(main())


async def write_screenshots(profile: Path) -> None:
    """Write what docs/how-to/dashboard.md shows."""
    async with scene(profile) as seen:
        page = seen.page
        await asyncio.sleep(25)
        await show_a_loss(seen)
        await asyncio.sleep(8)
        await page.screenshot(path=FIGURES / "dashboard.png")
        await page.emulate_media(color_scheme="dark")
        await page.set_viewport_size(PHONE)
        await asyncio.sleep(2)
        await page.screenshot(path=FIGURES / "dashboard-phone.png")
        await page.set_viewport_size(WIDE)
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        await asyncio.sleep(2)
        await page.locator("#details").screenshot(path=FIGURES / "dashboard-details.png")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(write_screenshots(Path(folder)))
    print(f"written to {FIGURES}", file=sys.stderr)
