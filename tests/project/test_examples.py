"""The examples run, against a real server."""

import asyncio
import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from websocket_heartbeat.server import serve

EXAMPLES = Path(__file__).parents[2] / "examples" / "python"


@contextlib.contextmanager
def running(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-u", "-W", "error", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as program:
        try:
            yield program
        finally:
            program.kill()


async def first_line(*arguments: str) -> str:
    """Run an example against our echo server until it prints a line."""
    async with serve() as server:
        with running(str(EXAMPLES / arguments[0]), server.url("/"), *arguments[1:]) as program:
            assert program.stdout is not None
            async with asyncio.timeout(30):
                return (await asyncio.to_thread(program.stdout.readline)).strip()


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["feed.py"], "subscribe"),
        (["text_heartbeat.py"], "hello"),
        (["blocking.py"], "hello"),
        # Whichever of the three is open first.
        (["fleet.py", "3"], "hello from [012]"),
    ],
)
def test_an_example_shows_what_the_server_sends_back(arguments: list[str], pattern: str) -> None:
    line = asyncio.run(first_line(*arguments))
    assert re.fullmatch(pattern, line), line


def test_the_example_with_tokens_says_that_they_were_refused() -> None:
    from websocket_heartbeat.server import Refusal

    async def main() -> str:
        async with serve(on_handshake=lambda request: Refusal(403)) as server:
            with running(str(EXAMPLES / "fresh_token.py"), server.url("/")) as program:
                assert program.stdout is not None
                async with asyncio.timeout(30):
                    return await asyncio.to_thread(program.stdout.read)

    assert "refused with status 403" in asyncio.run(main()).splitlines()


def test_the_example_server_ends_politely() -> None:
    with running(str(EXAMPLES / "server.py")) as program:
        assert program.stdout is not None
        assert program.stdout.readline().startswith("ws://127.0.0.1:")
        program.send_signal(signal.SIGTERM)
        assert program.wait(30) == 0
