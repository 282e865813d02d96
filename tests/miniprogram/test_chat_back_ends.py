"""The chats with a back end on each framework: each under its own server, with their page in Chromium."""

import asyncio
import contextlib
import shutil
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.miniprogram.chromium import browser, executable

from websocket_heartbeat.cli.js import library

CHAT = Path(__file__).parents[2] / "examples" / "chat"

COMMANDS = {
    "fastapi": "-m uvicorn chat_fastapi:app --ws-ping-interval 0 --port {}",
    "channels": "-m daphne chat_channels:application --port {}",
    "aiohttp": "chat_aiohttp.py {}",
}


PROGRAM = "import sys; from websocket_heartbeat.cli import main; sys.exit(main())"
"""What the command websocket-heartbeat does."""


class BackEnd:
    """One of the back ends, which can be restarted at its port."""

    def __init__(self, command: str, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self._command = command.format(self.port).split()
        self._folder = folder
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *self._command, cwd=self._folder, stdout=asyncio.subprocess.DEVNULL
        )
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            assert self._process.returncode is None, "it does not start"
            await asyncio.sleep(0.05)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def end_politely(self, name: str) -> None:
        """Send the clients away in the way that the example says, and end."""
        assert self._process is not None
        if name == "channels":
            command = [sys.executable, "-c", PROGRAM, "send-away", f"{self.url}send-away"]
            caller = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
            assert await caller.wait() == 0
        self._process.send_signal(signal.SIGTERM)
        await self._process.wait()


class Page:
    """The page of one person."""

    def __init__(self, page: Any) -> None:
        self._page = page

    async def shows(self, state: str, *messages: str) -> None:
        """Wait until it shows this state and these messages last."""
        await self._page.wait_for_selector(f"output.{state}")
        await self._page.wait_for_function(
            """messages => {
                const lines = [...document.querySelectorAll("p")].map((line) => line.textContent);
                return lines.slice(lines.length - messages.length).join() === messages.join();
            }""",
            arg=list(messages),
        )

    async def words(self) -> str:
        return str(await self._page.inner_text("output"))

    async def state(self) -> str:
        return str(await self._page.get_attribute("output", "class"))

    async def say(self, text: str) -> None:
        await self._page.fill("input", text)
        await self._page.click("button")


@contextlib.asynccontextmanager
async def chatting(name: str, folder: Path) -> AsyncIterator[tuple[BackEnd, Any]]:
    """Serve the example in a folder; yield its back end and the browser."""
    shutil.copytree(CHAT, folder)
    (folder / "page" / "websocket-heartbeat.js").write_text(library("iife", "browser"))
    back_end = BackEnd(COMMANDS[name], folder)
    async with browser(folder / "profile") as context:
        try:
            await back_end.start()
            yield back_end, context
        finally:
            await back_end.kill()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_chat_outlives_a_crash_and_a_restart_and_ends_when_it_is_opened_elsewhere(
    name: str, tmp_path: Path
) -> None:
    executable()

    async def main() -> None:
        async with asyncio.timeout(200), chatting(name, tmp_path / "chat") as (back_end, context):

            async def visit(person: str) -> Page:
                page = await context.new_page()
                await page.goto(f"{back_end.url}?{person}")
                return Page(page)

            # All pages have this clock, which the test can stop and put forward.
            clock = context.clock
            await clock.install()
            ann, bob = await visit("ann"), await visit("bob")
            await ann.shows("open")
            await bob.shows("open")
            await ann.say("heartbeat")
            await bob.shows("open", "ann: heartbeat")
            await bob.say("hello")
            await ann.shows("open", "ann: heartbeat", "bob: hello")

            await back_end.kill()
            await ann.shows("waiting")
            await bob.shows("waiting")
            await bob.say("meanwhile")
            await back_end.start()
            await ann.shows("open")
            await bob.shows("open")
            await ann.say("again")
            await bob.shows("open", "bob: meanwhile", "ann: again")

            await clock.pause_at(datetime.now(UTC) + timedelta(minutes=1))
            await ann.shows("open")
            await bob.shows("open")
            await back_end.end_politely(name)
            pages = {}
            for page in (ann, bob):
                await page.shows("waiting")
                words = await page.words()
                assert words.startswith("connecting again: restarting; retry-after=")
                pages[words.partition("=")[2]] = page
            first, second = pages["5"], pages["15"]
            await back_end.start()
            await clock.run_for(4900)
            assert (await first.state(), await second.state()) == ("waiting", "waiting")
            await clock.run_for(2100)
            await first.shows("open")
            await clock.run_for(7900)
            assert (await first.state(), await second.state()) == ("open", "waiting")
            await clock.run_for(2100)
            await second.shows("open")
            await bob.say("well?")
            await ann.shows("open", "bob: well?")
            await clock.resume()

            elsewhere = await visit("ann")
            await ann.shows("failed")
            assert await ann.words() == "the end: the chat is open elsewhere"
            await elsewhere.say("here")
            await bob.shows("open", "bob: well?", "ann: here")
            await clock.fast_forward(300_000)
            assert await ann.state() == "failed"
            await elsewhere.shows("open")

    asyncio.run(main())
