"""A viewer of the dashboard that is a program: gets the page's files and a ticket, and reads the feed."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from websocket_heartbeat import connect

PATIENCE = 40
"""Seconds that anything may take."""


async def get(url: str, path: str = "", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Return the status, the header fields and the body of what is at a path below a URL."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    first = f"GET {parts.path}{path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
    writer.write(f"{first}{fields}\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *lines = head.decode().split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    return int(first.split()[1]), {name.lower(): value for name, _, value in pairs}, body


async def feed_url(url: str) -> str:
    """Return the URL of the feed, with a ticket."""
    _, _, ticket = await get(url, "ticket")
    return f"{url.replace('http', 'ws', 1)}feed/{ticket.decode()}"


class Viewer:
    """What a viewer knows: all lines by their name, and all events."""

    def __init__(self, messages: AsyncIterator[Any]) -> None:
        self._messages = messages
        self.text = ""
        self.message: dict[str, Any] = {}
        self.events: list[str] = []
        self.totals: dict[str, Any] = {}
        self._lines: dict[int, dict[str, Any]] = {}

    @property
    def lines(self) -> dict[str, dict[str, Any]]:
        return {line["name"] or line["where"]: line for line in self._lines.values()}

    async def until(self, holds: Callable[["Viewer"], bool]) -> None:
        """Read until a condition holds."""
        async with asyncio.timeout(PATIENCE):
            while not holds(self):
                text = await anext(self._messages)
                self.text += text
                self._take(json.loads(text))

    def _take(self, message: dict[str, Any]) -> None:
        self.message = message
        if message["kind"] == "snapshot":
            self._lines.clear()
        before, self._lines = self._lines, {}
        for news in message["lines"]:
            line = before.get(news["id"], {"samples": [], "marks": []})
            line["samples"] += news.pop("samples", [])
            line["marks"] += news.pop("marks", [])
            self._lines[news["id"]] = line | news
        self.events += [f"{event[3]} {event[4]}" for event in message["events"]]
        if message["seconds"]:
            self.totals = message["seconds"][-1]


@asynccontextmanager
async def viewing(url: str) -> AsyncIterator[Viewer]:
    """View the dashboard at a URL."""
    async with connect(await feed_url(url), max_size=2**26, name="viewer") as connection:
        yield Viewer(aiter(connection))
