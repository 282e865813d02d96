"""The browser: links over WebSocket, and the API of websocket-heartbeat-js, and more."""

from typing import Any, Callable, Final

from websocket_heartbeat.miniprogram.clock import Clock
from websocket_heartbeat.miniprogram.connection import Connection
from websocket_heartbeat.miniprogram.driver import no_hook
from websocket_heartbeat.miniprogram.language import (
    ask,
    attempt,
    close_event,
    describe,
    is_promise,
    is_text,
    listen,
    message_event,
    read,
    record,
    report,
    value_of,
    web_socket,
    when,
)
from websocket_heartbeat.miniprogram.link import Link

ABNORMAL_CLOSURE: Final = 1006
"""The close code of an end without a close frame: RFC 6455, section 7.4.1."""


class WebSocketLink(Link):
    """One link over a WebSocket of the page.

    has_erred: whether the page has told of an error, so that its close needs no other.
    """

    def __init__(self, owner: "BrowserTask", number: int) -> None:
        super().__init__(number)
        self.owner = owner
        self.is_open: bool = False
        self.has_erred: bool = False

    def open(self) -> None:
        """Begin the attempt. The url, and the protocols, may be functions, promises, or both."""
        self._ask(self.owner.opts["url"], lambda url: self._given(url))

    def _given(self, url: Any) -> None:
        self._ask(self.owner.opts["protocols"], lambda protocols: self._connect(url, protocols))

    def _ask(self, thing: Any, answered: Callable[[Any], None]) -> None:
        """Go on with what the user gives for this attempt, unless the attempt is over by then."""
        if self.is_over:
            return
        try:
            when(value_of(thing), answered, lambda error: self._failed(error))
        except Exception as error:
            self._failed(error)

    def _connect(self, url: Any, protocols: Any) -> None:
        if self.is_over:
            # It took too long; or a function has closed the connection.
            return
        try:
            check_url(url)
            session = self.owner.session
            if session is not None:
                protocols = session.offer(self, protocols)
            self.native: Any = web_socket(self.owner.page, url, protocols)
            self.owner.adopted(self)
        except Exception as error:
            self._failed(error)

    def listen(self) -> None:
        """Add our listeners to the WebSocket."""
        raw = self.native
        if raw is not None and not self.is_over:
            raw.onopen = lambda event: self._opened(event)
            raw.onmessage = lambda event: self._heard(event)
            raw.onerror = lambda event: self._erred(event)
            raw.onclose = lambda event: self._closed(event)

    def is_closing(self) -> bool:
        """Whether the WebSocket would drop what it is given without a word."""
        state: int | None = read(self.native, "readyState")
        return state == 2 or state == 3

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

    def buffered(self) -> float:
        """How many bytes wait in the WebSocket."""
        amount: float = read(self.native, "bufferedAmount")
        return amount

    def drop(self, code: int | None = None) -> None:
        """Drop the WebSocket at once: Chromium reports the close of a silent one only a minute later."""
        self._end()
        attempt(self.native, "close", 1000 if code is None else code)

    def _end(self) -> None:
        self.is_over = True
        if self.native is not None:
            self.native.onopen = None
            self.native.onmessage = None
            self.native.onerror = None
            self.native.onclose = None

    # What the page reports. Users of the original call these handlers by hand, too, and without an event.

    def _opened(self, raw: Any) -> None:
        self.is_open = True
        self.owner.link_opened(self, raw)

    def _heard(self, raw: Any) -> None:
        if self.is_open:
            self.owner.link_heard(self, raw)

    def _erred(self, raw: Any) -> None:
        """Call onerror; a browser closes the link right after."""
        self.has_erred = True
        self.owner.link_erred(self, raw)

    def _closed(self, raw: Any) -> None:
        if self.is_over:
            return
        # Called by hand, the WebSocket is still there.
        self.drop()
        closed = record(None)
        closed["native"] = raw
        closed["code"] = read(raw, "code")
        reason = read(raw, "reason")
        is_silent = self.is_open or self.has_erred
        failed = None if is_silent else record(closed)
        self.owner.link_lost(self, closed, reason if is_text(reason) else "", failed)

    def _failed(self, error: Any) -> None:
        """There is no WebSocket: the page refuses the url, or the user's functions throw or reject."""
        if not self.is_over:
            self._end()
            failed = record(None)
            failed["native"] = error
            self.owner.link_lost(self, record(None), describe(error), failed)


class BrowserTask(Connection):
    """A page's connection.

    onopen, onmessage, onclose, onerror, onreconnect, onstate, ongiveup, onsession: assign functions; they
    hold for every link. ws: the WebSocket; what is registered on it is lost with its link.
    """

    def __init__(self, clock: Clock, page: Any, given: Any) -> None:
        opts = record(given)
        url = opts["url"]
        if not (callable(url) or is_promise(url)):
            check_url(url)
        if not callable(read(page, "WebSocket")):
            hint = "; a mini program needs the other file, and Node before version 22 a global WebSocket"
            raise ValueError("there is no WebSocket here" + hint)
        super().__init__(clock, opts)
        self.page: Any = page
        self.ws: Any = None
        self.onopen: Any = no_hook
        self.onmessage: Any = no_hook
        self.onclose: Any = no_hook
        self.onerror: Any = no_hook
        self.onreconnect: Any = no_hook
        self.onstate: Any = no_hook
        self.ongiveup: Any = no_hook
        self.onsession: Any = no_hook
        self.on_shown: Callable[[Any], None] = lambda event: self._page_shown(event)
        self.on_hidden: Callable[[Any], None] = lambda event: self.hidden()
        self.on_frozen: Callable[[Any], None] = lambda event: self.freeze()
        self.on_resumed: Callable[[Any], None] = lambda event: self.thaw()
        self.on_online: Callable[[Any], None] = lambda event: self.network(True)
        self.on_offline: Callable[[Any], None] = lambda event: self.network(False)
        self.on_visibility: Callable[[Any], None] = lambda event: self._visibility()

    def send(self, data: Any, options: Any = None) -> bool:
        """Send, or queue while no link is open; return False if refused."""
        message = record(None)
        message["data"] = data
        message["volatile"] = read(options, "volatile")
        return self.outbox.hand_over(message)

    def close(self, code: Any = None, reason: str = "") -> None:
        """Close for good."""
        params = record(None)
        params["code"] = code
        params["reason"] = reason
        self.stop(params)

    def expose(self, socket: Any) -> None:
        """Let the user have the WebSocket of a link. What was set on the one before holds for it, too."""
        kind = read(self.ws, "binaryType")
        if is_text(kind):
            socket.binaryType = kind
        self.ws = socket

    def listen(self) -> None:
        """Listen to the WebSocket of the latest link, by the method that the user may have replaced."""
        self.initEventHandle()

    def initEventHandle(self) -> None:
        """Listen to the WebSocket of the latest link. The library calls it for each."""
        self.links.latest().listen()

    def dial(self, number: int) -> Link:
        """Make the link of that number."""
        return WebSocketLink(self, number)

    def hook(self, name: str, event: Any) -> Any:
        """Call the user's hook with the page's own event, and return what it returns."""
        raw = read(event, "native")
        if raw is None and name == "Close":
            given: dict[str, Any] = event
            code: int = ABNORMAL_CLOSURE if given["code"] is None else given["code"]
            raw = close_event(self.page, code, given["reason"])
        return ask(self, "on" + name.lower(), event if raw is None else raw)

    def with_data(self, event: Any, data: Any) -> Any:
        """The page's event of a message, with other data."""
        return message_event(self.page, event, data)

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
        # Not when the page is only hidden: a tab in the background goes on to take messages.
        listen(document, "freeze", self.on_frozen, is_on)
        listen(document, "resume", self.on_resumed, is_on)
        listen(page, "pagehide", self.on_frozen, is_on)
        listen(page, "pageshow", self.on_shown, is_on)
        listen(page, "online", self.on_online, is_on)
        listen(page, "offline", self.on_offline, is_on)


def check_url(url: Any) -> None:
    """Raise ValueError if there is no usable url: a page would take other things for relative addresses."""
    if not (is_text(url) and url != "") and not is_text(read(url, "href")):
        raise ValueError("url must be a string or a URL, or a function or a promise of one")
