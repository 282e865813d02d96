"""Processes that serve sessions, for tests of several: started, heard, closed and killed."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any


class Node:
    """A process of Python that serves. It prints its port, and then what happens, each as a line of JSON."""

    def __init__(self, *arguments: str) -> None:
        """Start it, and wait until it serves. arguments: those of Python."""
        command = [sys.executable, *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.port = int(self._line())
        except BaseException:
            self.kill()
            raise

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def said(self, what: str) -> Any:
        """Return the next thing of a kind that it says."""
        while line := self._line():
            if what in (said := json.loads(line)):
                return said[what]
        raise AssertionError(f"the process has ended and has not said {what!r}")

    def url(self, query: str = "") -> str:
        return f"ws://127.0.0.1:{self.port}/{query}"

    def close(self) -> None:
        """Let it close, if it does so at the end of its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def nodes(count: int, place: str, durability: str = "through") -> Iterator[list[Node]]:
    """Run so many of node.py, and kill them at the end."""
    started: list[Node] = []
    try:
        for _ in range(count):
            started.append(Node("-m", "tests.server.sessions.node", place, durability))
        yield started
    finally:
        for node in started:
            node.kill()


@asynccontextmanager
async def node(*arguments: str) -> AsyncIterator[Node]:
    """Run one, and kill it at the end."""
    started = await asyncio.to_thread(Node, *arguments)
    try:
        yield started
    finally:
        await asyncio.to_thread(started.kill)
