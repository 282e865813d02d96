"""A server on a thread of its own, and programs that may hang, in processes of their own."""

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from websocket_heartbeat.server import serve

WITHOUT_LOG = 'import logging; logging.getLogger("websocket_heartbeat").addHandler(logging.NullHandler())'
"""Keeps warnings of the log from standard error."""

PATIENCE = 40.0
"""Seconds that a program may take before it is taken to hang."""


@dataclass(frozen=True)
class Result:
    """What a program has printed, and its exit status."""

    status: int
    out: str
    err: str


Program = Callable[..., Result]
"""Runs the code of a program, in which URL is that of the server, to its end."""


@pytest.fixture
def program(server: "EchoServer") -> Program:
    def run(code: str, *options: str) -> Result:
        code = f"URL = {server.url!r}; {WITHOUT_LOG}\n" + textwrap.dedent(code)
        done = subprocess.run(
            [sys.executable, *options, "-c", code], capture_output=True, text=True, timeout=PATIENCE
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


class EchoServer:
    """Our server on a thread of its own."""

    def __init__(self) -> None:
        self.url = ""
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        async with serve() as self._server:
            self.url = self._server.url("/")
            self._ready.set()
            await self._end.wait()

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def drop_all(self) -> None:
        def drop() -> None:
            for peer in list(self._server.connections):
                peer.abort()

        assert self._loop is not None
        self._loop.call_soon_threadsafe(drop)

    def stop(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)


@pytest.fixture
def server() -> Iterator[EchoServer]:
    echo = EchoServer()
    echo.start()
    yield echo
    echo.stop()


def background_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "websocket-heartbeat"]
