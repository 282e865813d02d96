"""One link of a probe: pings and messages that are sent on it, and what has come."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from websocket_heartbeat.engines.base import Closure, Link, LinkEvents
from websocket_heartbeat.events import Message


class ProbedLink(LinkEvents):
    """Takes the events of one link; remembers what came and when, never the content of messages.

    heard_at: when the latest message or pong came, on the loop's clock.
    """

    has_opened: bool = False
    link: Link
    response_headers: Sequence[tuple[str, str]]

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self.pongs: int = 0
        self.messages: int = 0
        self.last: tuple[str, int] | None = None
        self.heard_at: float = 0.0
        self.closure: Closure | None = None
        self.ended_at: float = 0.0

    def opened(self, link: Link) -> None:
        """Take the link."""
        self.has_opened = True
        self.link = link
        self.response_headers = link.response_headers
        link.deliver = self._take

    def batch_delivered(self) -> None:
        """Do nothing: messages are counted one by one."""

    def deliver_returned(self, result: object) -> None:
        """Does not happen: `_take` returns nothing."""

    def deliver_failed(self, error: BaseException) -> None:
        """Does not happen: `_take` raises nothing."""

    def ponged(self) -> None:
        """Count a pong."""
        self.pongs += 1
        self._hear()

    def writable(self) -> None:
        """Do nothing: we write too little to fill a buffer."""

    def closed(self, closure: Closure) -> None:
        """Remember how the link has ended."""
        self.closure = closure
        self.ended_at = self._loop.time()
        self._news.set()

    def _take(self, message: Message) -> None:
        self.messages += 1
        if isinstance(message, str):
            self.last = ("text", len(message.encode()))
        else:
            self.last = ("binary", len(message))
        self._hear()

    def _hear(self) -> None:
        self.heard_at = self._loop.time()
        self._news.set()

    def drop(self) -> None:
        """Drop the link without a closing handshake."""
        self.link.abort()
        self.closure = Closure()

    async def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until the condition holds; False if the link ended or time ran out before."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not condition() and self.closure is None:
                    self._news.clear()
                    await self._news.wait()
        return condition()

    async def ended(self, timeout: float) -> bool:
        """Wait for the end of the link."""
        return await self.until(lambda: self.closure is not None, timeout)

    async def ping(self, timeout: float) -> float | None:
        """Send a ping; return the round trip, None if no pong came."""
        before, sent_at = self.pongs, self._loop.time()
        self.link.ping()
        answered = await self.until(lambda: self.pongs > before, timeout)
        return self.heard_at - sent_at if answered else None

    async def say(self, text: str, timeout: float) -> float | None:
        """Send a message; return the seconds until the next one came, None if none did."""
        before, sent_at = self.messages, self._loop.time()
        self.link.send(text)
        answered = await self.until(lambda: self.messages > before, timeout)
        return self.heard_at - sent_at if answered else None
