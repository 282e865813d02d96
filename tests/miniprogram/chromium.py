"""Finds Chromium, or installs Debian's where that may be done, and opens pages in it."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from tests.debian import program

_FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def executable() -> str:
    """Return the path of Chromium, installed if need be; else skip the test, but fail it in CI."""
    return program("chromium", _NAMES)


@contextlib.asynccontextmanager
async def browser(profile: Path) -> AsyncIterator[Any]:
    """Start Chromium; yield Playwright's context, which opens pages."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            profile, executable_path=executable(), args=list(_FLAGS), headless=True
        )
        try:
            yield context
        finally:
            await context.close()


@contextlib.asynccontextmanager
async def opened(
    files: dict[str, str], profile: Path, query: str = ""
) -> AsyncIterator[tuple[Any, list[str]]]:
    """Open index.html of `files`, served by name; yield Playwright's page, and the errors nobody caught."""
    server = await asyncio.start_server(functools.partial(_answer, files), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, browser(profile) as context:
        page = await context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(f"http://127.0.0.1:{port}/index.html?{query}")
        yield page, errors


async def _answer(files: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        request = await reader.readuntil(b"\r\n\r\n")
        name = request.split(b" ")[1].decode().partition("?")[0].lstrip("/")
        body = files.get(name, "").encode()
        kind = "text/html" if name.endswith(".html") else "text/javascript"
        head = f"HTTP/1.1 {200 if name in files else 404} .\r\nContent-Type: {kind}; charset=utf-8\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()
    writer.close()
