"""The task that WebsocketHeartbeat resolves with: the API of websocket-heartbeat-miniprogram, and more."""

from typing import Any, Callable, Final

from websocket_heartbeat.miniprogram.clock import Clock
from websocket_heartbeat.miniprogram.connection import Connection
from websocket_heartbeat.miniprogram.driver import no_hook
from websocket_heartbeat.miniprogram.language import (
    ask,
    attempt,
    host_of,
    is_bytes,
    is_promise,
    is_text,
    read,
    record,
)
from websocket_heartbeat.miniprogram.link import Link
from websocket_heartbeat.miniprogram.socket_task import TaskLink, check_url

LATEST_CLOSE: Final = 5.0
"""Seconds in which a host with a single socket may still report that the socket before has closed."""


class MiniProgramTask(Connection):
    """A mini program's connection.

    onOpen, onMessage, onClose, onError, onReconnect, onState, onGiveUp, onSession: assign functions; they
    hold for every link. socketTask: the host's own task; what is registered on it is lost with its link.

    pending_closes: of a single socket, how many closes of dropped sockets the host may still report.
    pending_until: when it will not report them any more.
    """

    def __init__(self, clock: Clock, given: Any) -> None:
        opts = record(given)
        self.host: Any = host_of(opts["miniprogram"])
        if not callable(read(self.host, "connectSocket")):
            raise ValueError("miniprogram must be the host, like wx")
        params = opts["connectSocketParams"]
        url = read(params, "url")
        if not (callable(params) or is_promise(params) or callable(url) or is_promise(url)):
            check_url(url)
        super().__init__(clock, opts)
        self.socketTask: Any = None
        self.pending_closes: int = 0
        self.pending_until: float = 0.0
        self.onOpen: Any = no_hook
        self.onMessage: Any = no_hook
        self.onClose: Any = no_hook
        self.onError: Any = no_hook
        self.onReconnect: Any = no_hook
        self.onState: Any = no_hook
        self.onGiveUp: Any = no_hook
        self.onSession: Any = no_hook
        self.on_shown: Callable[[Any], None] = lambda event: self.shown()
        self.on_hidden: Callable[[Any], None] = lambda event: self._went_to_background()
        self.on_network: Callable[[Any], None] = lambda event: self._network(event)

    def send(self, message: Any) -> bool:
        """Send {data, success, fail, complete}, text or bytes, or let it wait; return False if refused."""
        given = record(None if is_bytes(message) else message)
        if is_text(message) or is_bytes(message):
            given["data"] = message
        return self.outbox.hand_over(given)

    def close(self, params: Any = None) -> None:
        """Close for good; `params` go to the host's own close."""
        self.stop(params)

    def expose(self, socket: Any) -> None:
        """Let the user have the host's own task of a link."""
        self.socketTask = socket

    def listen(self) -> None:
        """Listen to the host's task of the latest link, by the method that the user may have replaced."""
        self.registerHeartBeatEvent()

    def registerHeartBeatEvent(self) -> None:
        """Listen to the host's task of the latest link. The library calls it for each."""
        self.links.latest().listen()

    def expect_close(self) -> None:
        """The host's single socket was dropped, and the host has not reported its close yet."""
        now = self.clock.now()
        if now >= self.pending_until:
            self.pending_closes = 0
        self.pending_closes = self.pending_closes + 1
        self.pending_until = now + LATEST_CLOSE

    def take_pending_close(self) -> bool:
        """Return whether the close that the host reports now is that of an earlier socket, and count it."""
        if self.pending_closes > 0 and self.clock.now() < self.pending_until:
            self.pending_closes = self.pending_closes - 1
            return True
        return False

    def dial(self, number: int) -> Link:
        """Make the link of that number."""
        return TaskLink(self, number)

    def hook(self, name: str, event: Any) -> Any:
        """Call the user's hook, and return what it returns."""
        return ask(self, "on" + name, event)

    def with_data(self, event: Any, data: Any) -> Any:
        """The event of a message, with other data."""
        changed = record(event)
        changed["data"] = data
        return changed

    def watch(self) -> None:
        """Add our listeners to the host, where it has such events."""
        self._listen("on")

    def unwatch(self) -> None:
        """Remove our listeners and no others, where the host can."""
        self._listen("off")

    def _went_to_background(self) -> None:
        self.hidden()
        self.freeze()
        # Hosts take messages for some seconds yet, and say that they are sent, whether they are or not.
        self.outbox.doubt()

    def _network(self, event: Any) -> None:
        is_connected = read(event, "isConnected")
        if is_connected is not None:
            self.network(is_connected)

    def _listen(self, prefix: str) -> None:
        attempt(self.host, prefix + "AppShow", self.on_shown)
        attempt(self.host, prefix + "AppHide", self.on_hidden)
        attempt(self.host, prefix + "NetworkStatusChange", self.on_network)
