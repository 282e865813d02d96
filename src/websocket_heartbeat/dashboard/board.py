"""The dashboard without a server: its files, the tickets that its feed requires, and the feed.

The page gets a ticket by HTTP, and opens the feed, a WebSocket, with it. So authentication that protects
the page protects the feed too, even if it is for HTTP only, as middlewares for `http` are. The page of
another site cannot read a ticket.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from typing import NamedTuple

from websocket_heartbeat.dashboard.feed import Feed
from websocket_heartbeat.dashboard.recorder import Recorder

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing from other hosts, nothing inline: Content Security Policy, level 3."""

HEADERS = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)

_FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "dashboard.js": ("dashboard.js", "text/javascript; charset=utf-8"),
    "drawing.js": ("drawing.js", "text/javascript; charset=utf-8"),
    "dashboard.css": ("dashboard.css", "text/css; charset=utf-8"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}

_SCRIPT = "heartbeat.js"
"""Our own client for pages, which receives the feed."""

_TICKET = "ticket"
_FEED = "feed"

_TICKETS = 100
"""The most that are valid at a time."""

_TICKET_LIFE = 60.0
"""Seconds for which a ticket is valid."""


class Page(NamedTuple):
    """The answer to a GET, sent with HEADERS."""

    content_type: str
    body: bytes


class Board:
    """Shows the connections of this process, and what happens to them from now on, until `stop`."""

    def __init__(self) -> None:
        self._recorder = Recorder()
        self._feed = Feed(self._recorder)
        self._tickets: OrderedDict[str, float] = OrderedDict()  # when each expires, oldest first
        self._recorder.start()

    def stop(self) -> None:
        """Stop recording and sending."""
        self._feed.stop()
        self._recorder.stop()

    def wake(self) -> None:
        """Take samples from now on, on the running loop, also while there is no viewer."""
        self._feed.wake()

    def page(self, path: str) -> Page | None:
        """Return what is at a path below the dashboard's, None: nothing.

        Raises:
            FileNotFoundError: the JavaScript was not built.
        """
        if path == _TICKET:
            return Page("text/plain; charset=utf-8", self._ticket().encode())
        from importlib.resources import files  # it takes milliseconds to import

        if path == _SCRIPT:
            script = files("websocket_heartbeat.miniprogram") / "javascript" / "browser.min.js"
            return Page("text/javascript; charset=utf-8", script.read_bytes())
        if path not in _FILES:
            return None
        name, content_type = _FILES[path]
        return Page(content_type, (files("websocket_heartbeat.dashboard") / "page" / name).read_bytes())

    def has_ticket(self, path: str) -> bool:
        """Whether a path ends with that of the feed and a valid ticket."""
        rest, _, ticket = path.rpartition("/")
        return (rest == _FEED or rest.endswith(f"/{_FEED}")) and self._tickets.get(
            ticket, 0.0
        ) > time.monotonic()

    def take_ticket(self, path: str) -> bool:
        """Do as `has_ticket`, and invalidate the ticket."""
        if not self.has_ticket(path):
            return False
        del self._tickets[path.rpartition("/")[2]]
        return True

    def watch(self) -> AsyncGenerator[str, None]:
        """Return the messages for one viewer, without an end."""
        return self._feed.watch()

    def _ticket(self) -> str:
        if len(self._tickets) >= _TICKETS:
            self._tickets.popitem(last=False)
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = time.monotonic() + _TICKET_LIFE
        return ticket
