"""Pings and pongs by hand: an engine over the default one, which hears what comes on its links."""

import time
from collections.abc import Callable, Collection
from typing import Any

from websocket_heartbeat import engines
from websocket_heartbeat.engines.base import Closure, Engine, Link, LinkEvents, OpenRequest
from websocket_heartbeat.engines.wire_client import ClientLink


class HearingEngine(Engine):
    """Opens links as the default engine does, and keeps the latest.

    on_pong: called with the seconds that the answer to `ping` has taken.
    """

    def __init__(self, on_pong: Callable[[float], None]) -> None:
        self._engine = engines.load("auto")
        self.name: str = self._engine.name
        self.supports: Collection[str] = self._engine.supports
        self._on_pong = on_pong
        self._link: ClientLink | None = None
        self._pinged_at: float | None = None

    async def open(self, request: OpenRequest, events: LinkEvents) -> None:
        """As in Engine."""
        await self._engine.open(request, _Ear(self, events))

    def ping(self, payload: bytes) -> bool:
        """Send a ping; return whether a link is open."""
        if self._link is None:
            return False
        self._pinged_at = time.monotonic()
        self._link.ping(payload)
        return True

    def pong(self, payload: bytes) -> bool:
        """Send a pong that nobody has asked for (RFC 6455, section 5.5.3); return whether a link is open."""
        if self._link is None:
            return False
        self._link.pong(payload)
        return True

    def opened(self, link: Link) -> None:
        """A link has opened."""
        assert isinstance(link, ClientLink)
        self._link = link
        self._pinged_at = None

    def ponged(self, link: Link | None) -> None:
        """A pong has come."""
        if link is self._link and self._pinged_at is not None:
            took, self._pinged_at = time.monotonic() - self._pinged_at, None
            self._on_pong(took)

    def closed(self, link: Link | None) -> None:
        """A link is gone."""
        if link is self._link:
            self._link = None


class _Ear:
    """Takes the events of one link, and passes them on."""

    def __init__(self, engine: HearingEngine, events: LinkEvents) -> None:
        self._engine = engine
        self._link: Link | None = None
        self.events = events
        self.batch_delivered = events.batch_delivered
        self.deliver_returned: Callable[[Any], None] = events.deliver_returned
        self.deliver_failed = events.deliver_failed
        self.writable = events.writable

    def opened(self, link: Link) -> None:
        self._link = link
        self._engine.opened(link)
        self.events.opened(link)

    def ponged(self) -> None:
        self._engine.ponged(self._link)
        self.events.ponged()

    def closed(self, closure: Closure) -> None:
        self._engine.closed(self._link)
        self.events.closed(closure)
