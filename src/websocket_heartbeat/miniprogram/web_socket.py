"""The browser: links over WebSocket, and the API of websocket-heartbeat-js, and more."""

from typing import Any

from websocket_heartbeat.miniprogram.clock import Clock
from websocket_heartbeat.miniprogram.driver import Driver, ignore
from websocket_heartbeat.miniprogram.language import (
    attempt,
    describe,
    is_number,
    listen,
    read,
    record,
    report,
    tell,
    value_of,
    web_socket,
)
from websocket_heartbeat.miniprogram.link import Link


class WebSocketLink(Link):
    """One link over a WebSocket of the page: `native`.

    has_erred: whether the page has told of an error, so that its close needs no other.
    """

    def __init__(self, owner: "BrowserTask") -> None:
        super().__init__()
        self.owner = owner
        self.native: Any = None
        self.is_open = False
        self.has_erred = False

    def open(self) -> None:
        """Begin the attempt."""
        owner = self.owner
        try:
            url = value_of(owner.opts["url"])
            if self.is_over:
                # The function that gives the url has closed the connection.
                return
            raw = web_socket(owner.page, url, owner.opts["protocols"])
        except Exception as error:
            self._lost(error, describe(error))
            return
        self.native = raw
        owner.ws = raw
        owner.be_ready()
        raw.onopen = lambda event: self._opened(event)
        raw.onmessage = lambda event: self._heard(event)
        raw.onerror = lambda event: self._erred(event)
        raw.onclose = lambda event: self._lost(event, event.reason)

    def send(self, message: dict[str, Any]) -> bool:
        """Send; return False if the WebSocket threw."""
        return attempt(self.native, "send", message["data"])

    def close(self, params: Any) -> bool:
        """Begin the closing handshake; always True, as a page passes no callbacks."""
        given = record(params)
        try:
            if given["code"] is None:
                self.native.close()
            else:
                self.native.close(given["code"], given["reason"])
        except Exception as error:
            report(error)
        return True

    def drop(self) -> None:
        """Drop the WebSocket at once: Chromium reports the close of a silent one only a minute later."""
        self._end()
        attempt(self.native, "close", 1000)

    def _end(self) -> None:
        self.is_over = True
        if self.native is not None:
            self.native.onopen = None
            self.native.onmessage = None
            self.native.onerror = None
            self.native.onclose = None

    def _opened(self, raw: Any) -> None:
        self.is_open = True
        self.owner.link_opened(raw)

    def _heard(self, raw: Any) -> None:
        if self.is_open:
            self.owner.link_heard(raw)

    def _erred(self, raw: Any) -> None:
        """Call onerror; a browser closes the link right after."""
        self.has_erred = True
        self.owner.link_erred(raw)

    def _lost(self, raw: Any, reason: str) -> None:
        if self.is_over:
            return
        self._end()
        event = record(None)
        event["native"] = raw
        event["code"] = read(raw, "code")
        self.owner.link_lost(event, reason, not (self.is_open or self.has_erred))


class BrowserTask(Driver):
    """A page's connection.

    onopen, onmessage, onclose, onerror, onreconnect, onstate, ongiveup: assign functions; they hold for every
    link. ws: the WebSocket; what is registered on it is lost with its link.
    """

    def __init__(self, clock: Clock, page: Any, given: Any) -> None:
        opts = record(given)
        url = opts["url"]
        # Other objects, such as a URL, are for the WebSocket to convert or to refuse.
        if url is None or url == "" or is_number(url):
            raise ValueError("url must be a string, a URL or a function")
        super().__init__(clock, opts)
        self.page: Any = page
        self.ws: Any = None
        self.onopen: Any = ignore
        self.onmessage: Any = ignore
        self.onclose: Any = ignore
        self.onerror: Any = ignore
        self.onreconnect: Any = ignore
        self.onstate: Any = ignore
        self.ongiveup: Any = ignore
        self.on_shown = lambda event: self._page_shown(event)
        self.on_hidden = lambda event: self.hidden()
        self.on_online = lambda event: self.network(True)
        self.on_offline = lambda event: self.network(False)
        self.on_visibility = lambda event: self._visibility()

    def send(self, data: Any) -> bool:
        """Send, or queue while no link is open; return False if refused."""
        message = record(None)
        message["data"] = data
        return self.hand_over(message)

    def close(self, code: Any = None, reason: str = "") -> None:
        """Close for good."""
        params = record(None)
        params["code"] = code
        params["reason"] = reason
        self.stop(params)

    def dial(self) -> Link:
        """Make the next link."""
        return WebSocketLink(self)

    def hook(self, name: str, event: Any) -> None:
        """Call the user's hook, with the page's own event where there is one."""
        raw = read(event, "native")
        tell(self, "on" + name.lower(), event if raw is None else raw)

    def watch(self) -> None:
        """Add our listeners to the page, where there is one."""
        self._listen(True)

    def unwatch(self) -> None:
        """Remove our listeners and no others."""
        self._listen(False)

    def _page_shown(self, event: Any) -> None:
        # Fired after every load, too; `persisted` tells a page that was kept in the back/forward cache.
        is_back: bool = read(event, "persisted")
        if is_back:
            self.shown()

    def _visibility(self) -> None:
        is_in_background: bool = read(self.page.document, "hidden")
        if is_in_background:
            self.hidden()
        else:
            self.shown()

    def _listen(self, is_on: bool) -> None:
        page = self.page
        document = read(page, "document")
        listen(document, "visibilitychange", self.on_visibility, is_on)
        listen(document, "freeze", self.on_hidden, is_on)
        listen(page, "pageshow", self.on_shown, is_on)
        listen(page, "online", self.on_online, is_on)
        listen(page, "offline", self.on_offline, is_on)
