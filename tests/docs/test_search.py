"""What people type into a search box finds its page, in Chromium, with no other host to ask."""

import asyncio
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.miniprogram.chromium import browser

SOUGHT = [
    ("index.html", "1006", "troubleshooting.html"),
    ("index.html", "keepalive ping timeout", "troubleshooting.html"),
    ("index.html", "no close frame received", "troubleshooting.html"),
    ("index.html", "middleware of this hub is missing", "troubleshooting.html"),
    ("index.html", "sessions are not available", "troubleshooting.html"),
    ("zh/index.html", "心跳", "zh/quickstart/mini-programs.html"),
    ("zh/index.html", "断线重连", "zh/quickstart/mini-programs.html"),
    ("zh/index.html", "1006", "zh/troubleshooting.html"),
    ("zh/index.html", "onClose 不触发", "zh/troubleshooting.html"),
    ("zh/index.html", "后台断线", "zh/troubleshooting.html"),
    ("zh/index.html", "锁屏断线", "zh/troubleshooting.html"),
    ("zh/index.html", "域名不合法", "zh/troubleshooting.html"),
    ("zh/index.html", "连接超时", "zh/troubleshooting.html"),
    ("zh/index.html", "心跳包", "zh/faq.html"),
    ("zh/index.html", "token 过期", "zh/how-to/login.html"),
    ("zh/index.html", "小程序", "zh/quickstart/mini-programs.html"),
    ("zh/index.html", "后端", "zh/quickstart/back-end.html"),
    ("zh/index.html", "广播", "zh/server/rooms.html"),
    ("zh/index.html", "鉴权", "zh/how-to/login.html"),
    ("zh/index.html", "离线消息", "zh/faq.html"),
]


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_what_people_look_for_is_found(address: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with browser(tmp_path) as context:
            page = await context.new_page()
            hosts = set()
            page.on("request", lambda request: hosts.add("/".join(request.url.split("/")[:3])))
            for start, words, found in SOUGHT:
                await page.goto(f"{address}/{start}")
                await page.fill("input.md-search__input", words)
                await page.press("input.md-search__input", "End")  # the page looks when a key is let go
                result = page.locator(f'.md-search-result__link[href*="/{found}"]').first
                await result.wait_for(state="attached", timeout=30_000)
                # Nobody is led to the other language.
                links = page.locator(".md-search-result__link")
                paths = await links.evaluate_all("links => links.map(link => link.pathname)")
                assert [path for path in paths if path.startswith("/zh/") != start.startswith("zh/")] == []
            assert hosts == {address}

    asyncio.run(main())
