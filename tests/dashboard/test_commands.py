"""--dashboard of the commands in Chromium: what a person sees when a server is killed and started again."""

import asyncio
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest
from tests.cli.program import Program, discard, start
from tests.dashboard.test_page import PATIENCE, free_port, opened
from tests.miniprogram.chromium import browser

from websocket_heartbeat import Backoff, connect

pytestmark = pytest.mark.timeout(300)


class Commands:
    """Starts commands, which keep their state in a directory of their own; ends those that are left."""

    def __init__(self, state: Path, stack: ExitStack) -> None:
        self._before = f"import os; os.environ['XDG_STATE_HOME'] = {str(state)!r}"
        self._stack = stack

    def start(self, *arguments: str) -> Program:
        """Start one, with input that does not end."""
        program = start(*arguments, before=self._before, stdin=subprocess.PIPE)
        self._stack.callback(discard, program)
        return program


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    with ExitStack() as stack:
        yield Commands(tmp_path / "state", stack)


async def told(pipe: IO[str] | None, pattern: str) -> str:
    """Return what a line of a program has told that matches the pattern."""
    assert pipe is not None
    while line := await asyncio.to_thread(pipe.readline):
        if found := re.search(pattern, line):
            return found[1]
    raise AssertionError(f"the command has not told {pattern}")


def test_serve_shows_its_clients_on_a_page_that_survives_a_kill_of_the_server(
    tmp_path: Path, commands: Commands
) -> None:
    serve = ("serve", "--port", str(free_port()), "--dashboard-at", f"127.0.0.1:{free_port()}")

    async def main() -> None:
        async with browser(tmp_path / "profile") as context:
            server = commands.start(*serve)
            dashboard = await told(server.stderr, r"dashboard: (http://\S+)")
            url = await told(server.stdout, r"(ws://\S+)")
            page, errors = await opened(context, dashboard)
            async with connect(f"{url}orders", backoff=Backoff(initial=0.2, maximum=1)) as connection:
                line = page.locator(".line", has_text="/orders from 127.0.0.1")
                await line.wait_for(timeout=PATIENCE)
                server.send_signal(signal.SIGKILL)
                await page.locator("#status[data-state=lost]").wait_for(timeout=PATIENCE)
                server = commands.start(*serve)
                await page.locator("#events", has_text="was restarted").wait_for(timeout=PATIENCE)
                await line.wait_for(timeout=PATIENCE)
                assert await page.inner_text("#status") == "live"
                await connection.close()
                await page.locator("#events", has_text="disconnected with code 1000").wait_for(
                    timeout=PATIENCE
                )
            assert errors == []

    asyncio.run(main())


def test_connect_shows_why_it_lost_a_server_that_was_killed_and_that_it_has_found_it_again(
    tmp_path: Path, commands: Commands
) -> None:
    port = str(free_port())

    async def main() -> None:
        async with browser(tmp_path / "profile") as context:
            server = commands.start("serve", "--port", port)
            url = await told(server.stdout, r"(ws://\S+)")
            client = commands.start("connect", url, "--dashboard-at", "127.0.0.1:0")
            page, errors = await opened(context, await told(client.stderr, r"dashboard: (http://\S+)"))
            line = page.locator(".line", has_text=url)
            await line.locator(".facts", has_text="open").wait_for(timeout=PATIENCE)
            server.send_signal(signal.SIGKILL)
            await line.locator(".why", has_text="link 1 is gone").wait_for(timeout=PATIENCE)
            await line.locator(".why", has_text="connection refused").wait_for(timeout=PATIENCE)
            await page.keyboard.press("ArrowDown")
            await page.keyboard.press("Enter")
            await page.locator("#details-then", has_text="Nobody listens there").wait_for(timeout=PATIENCE)
            commands.start("serve", "--port", port)
            await page.locator("#details-marks", has_text=re.compile(r"link \d+ is open, after")).wait_for(
                timeout=PATIENCE
            )
            await page.keyboard.press("Escape")
            await page.locator("#events", has_text=re.compile(r"link \d+ is open, after")).wait_for(
                timeout=PATIENCE
            )
            assert errors == []

    asyncio.run(main())
