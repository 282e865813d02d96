"""What an engine reported about one link, and a way to wait for it."""

import asyncio
import traceback
from collections.abc import Callable
from typing import Any

from tests.watch import PATIENCE

from websocket_heartbeat.engines.base import Closure, Engine, Link, OpenRequest
from websocket_heartbeat.events import Message

MAX_SIZE = 1 << 20
NOW = 1.0
"""Seconds within which what happens at once has happened, on a loaded machine too."""


class Recorder:
    """LinkEvents that keep everything in the order in which it came."""

    def __init__(self) -> None:
        self.link: Link | None = None
        self.headers: list[tuple[str, str]] = []
        self.log: list[object] = []
        self.messages: list[Message] = []
        self.results: list[object] = []
        self.failures: list[BaseException] = []
        self.closures: list[Closure] = []
        self.pongs = 0
        self.batches = 0
        self.writables = 0
        self.on_opened: Callable[[Link], object] | None = None
        self._news = asyncio.Event()

    def _note(self, entry: object) -> None:
        self.log.append(entry)
        self._news.set()

    def deliver(self, message: Message) -> None:
        self.messages.append(message)
        self._note(message)

    def opened(self, link: Link) -> None:
        assert self.link is None, "opened twice"
        self.link = link
        self.headers = list(link.response_headers)
        link.deliver = self.deliver
        if self.on_opened is not None:
            self.on_opened(link)

    def batch_delivered(self) -> None:
        self.batches += 1
        self._note("batch")

    def deliver_returned(self, result: object) -> None:
        self.results.append(result)
        self._note(result)

    def deliver_failed(self, error: BaseException) -> None:
        self.failures.append(error)
        self._note(error)

    def ponged(self) -> None:
        self.pongs += 1
        self._note("pong")

    def writable(self) -> None:
        self.writables += 1
        self._note("writable")

    def closed(self, closure: Closure) -> None:
        self.closures.append(closure)
        self._note(closure)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition, which depends on what is recorded, holds."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def closure(self) -> Closure:
        await self.until(lambda: self.closures)
        return self.closures[0]


async def warmed_up(link: Link, recorder: Recorder) -> None:
    """Play the client's part of peers.warm_up."""
    link.ping()
    await recorder.until(lambda: recorder.batches)
    assert recorder.log == ["first", "batch"]
    recorder.log.clear()
    link.ping()


async def opened(engine: Engine, url: str, **options: Any) -> tuple[Link, Recorder]:
    """Open a link; the caller drops it."""
    recorder = Recorder()
    options = {"max_size": MAX_SIZE, **options}
    async with asyncio.timeout(PATIENCE):
        await engine.open(OpenRequest(url, **options), recorder)
    assert recorder.link is not None
    return recorder.link, recorder


async def failure(engine: Engine, url: str, **options: Any) -> Exception:
    """Return what the attempt to open raises."""
    recorder = Recorder()
    options = {"max_size": MAX_SIZE, **options}
    try:
        async with asyncio.timeout(PATIENCE):
            await engine.open(OpenRequest(url, **options), recorder)
    except Exception as error:
        assert recorder.log == []
        assert recorder.link is None
        return error
    raise AssertionError("the link opened")


def texts(error: BaseException) -> str:
    """Everything that a person may come to see of an exception."""
    seen: list[str] = []
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is not None:
            seen += [str(current), repr(current), *traceback.format_exception_only(current)]
            pending += [current.__cause__, current.__context__]
    return "\n".join(seen)
