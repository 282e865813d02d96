"""The example chat: complete as WeChat wants it, and it runs, over real sockets."""

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.miniprogram.chromium import executable, opened
from tests.miniprogram.real_hosts import HOSTS

from websocket_heartbeat.cli.js import library
from websocket_heartbeat.server import serve
from websocket_heartbeat.testing import FaultProxy

CHAT = Path(__file__).parents[2] / "examples" / "miniprogram-chat"
WECHAT = CHAT / "wechat"
PATIENCE = 30
"""Seconds that anything may take."""


def test_the_project_has_every_file_that_it_names() -> None:
    app = json.loads((WECHAT / "app.json").read_text())
    project = json.loads((WECHAT / "project.config.json").read_text())
    assert project["compileType"] == "miniprogram"
    assert (WECHAT / project["miniprogramRoot"] / "app.js").is_file()
    assert "rules" in json.loads((WECHAT / app["sitemapLocation"]).read_text())
    for page in app["pages"]:
        json.loads((WECHAT / f"{page}.json").read_text())
        for suffix in ("js", "wxml", "wxss"):
            assert (WECHAT / f"{page}.{suffix}").is_file()


def test_the_markup_names_what_its_page_has() -> None:
    markup = (WECHAT / "pages/chat/chat.wxml").read_text()
    page = (WECHAT / "pages/chat/chat.js").read_text()
    handlers = set(re.findall(r' bind\w+="(\w+)"', markup))
    assert handlers == {"typed", "send", "retry"}
    assert [name for name in handlers if not re.search(rf"^    {name}\(", page, re.M)] == []
    data = re.search(r"data: \{(.*)\}", page)
    assert data is not None
    shown = set(re.findall(r"\{\{(\w+)", markup)) - {"item"}
    assert shown == set(re.findall(r"(\w+):", data[1])) - {"WORDS"}


@pytest.mark.parametrize("name", ["taro.jsx", "uni-app.vue"])
def test_the_snippets_are_javascript_that_imports_the_library(name: str, node: str, real_hosts: Path) -> None:
    code = (CHAT / name).read_text()
    if name.endswith(".vue"):
        _, _, code = code.partition("<script setup>\n")
        code, end, _ = code.partition("</script>")
        assert end
    esbuild = [node, str(HOSTS / "node_modules/esbuild/bin/esbuild"), "--loader=jsx", "--format=esm"]
    done = subprocess.run(esbuild, input=code, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert 'import WebsocketHeartbeat from "websocket-heartbeat"' in done.stdout


def test_the_program_shows_what_happens_and_sends_later_what_it_cannot_send_now(
    node: str, real_hosts: Path, tmp_path: Path
) -> None:
    program = tmp_path / "wechat"
    shutil.copytree(WECHAT, program, ignore=shutil.ignore_patterns("lib"))
    (program / "lib").mkdir()
    (program / "lib" / "websocket-heartbeat.js").write_text(library("cjs", "miniprogram", minify=True))
    script = Path(__file__).parent / "node" / "chat.js"
    pipe = asyncio.subprocess.PIPE

    async def main() -> None:
        async with (
            asyncio.timeout(PATIENCE),
            serve() as server,
            serve() as second,
            FaultProxy("127.0.0.1", server.port) as proxy,
        ):
            about = {"program": str(program), "modules": str(HOSTS / "node_modules"), "url": proxy.url()}
            process = await asyncio.create_subprocess_exec(
                node, str(script), json.dumps(about), stdin=pipe, stdout=pipe
            )
            assert process.stdin is not None
            assert process.stdout is not None

            async def until(words: str, *messages: str) -> dict[str, Any]:
                """Wait until the page shows this state and these last messages."""
                assert process.stdout is not None
                while line := await process.stdout.readline():
                    data: dict[str, Any] = json.loads(line)
                    texts = [f"{message['who']}: {message['text']}" for message in data["messages"]]
                    if data["words"].startswith(words) and texts[len(texts) - len(messages) :] == [*messages]:
                        return data
                raise AssertionError("the program has ended")

            try:
                await until("connected")
                process.stdin.write(b"hello\n")
                data = await until("connected", "me: hello", "server: hello")
                assert data["isOpen"]
                assert not data["canRetry"]
                assert data["text"] == ""
                proxy.refuse()
                server.abort()
                data = await until("disconnected")
                assert data["canRetry"]
                process.stdin.write(b"meanwhile\n")
                await until("", "me: meanwhile")
                proxy.retarget("127.0.0.1", second.port)
                proxy.accept()
                process.stdin.write(b"retry\n")
                await until("connected", "me: meanwhile", "server: meanwhile")
            finally:
                process.kill()
                await process.communicate()

    asyncio.run(main())


@pytest.mark.timeout(300)
def test_the_web_page_talks_and_shows_that_it_is_connected(tmp_path: Path) -> None:
    executable()
    files = {
        "index.html": (CHAT / "page.html").read_text(),
        "websocket-heartbeat.js": library("iife", "browser"),
    }

    async def main() -> None:
        async with (
            asyncio.timeout(200),
            serve() as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            opened(files, tmp_path, proxy.url()) as (page, errors),
        ):
            await page.wait_for_selector("output.open")
            await page.fill("input", "hello")
            await page.click("button")
            await page.wait_for_selector("p.server")
            assert await page.inner_text("#messages") == "hello\n\nhello"
            proxy.refuse()
            proxy.reset()
            await page.wait_for_selector("output:not(.open)")
            proxy.accept()
            await page.wait_for_selector("output.open")
            assert errors == []

    asyncio.run(main())
