"""One socket of a platform, and the socket task that its program gets."""

import asyncio
import base64
import itertools
from typing import TYPE_CHECKING, Any, Final

from websocket_heartbeat.engines import load
from websocket_heartbeat.engines.base import Closure, Link, OpenRequest
from websocket_heartbeat.miniprogram.language import Record, read
from websocket_heartbeat.testing.phone.listeners import Listeners

if TYPE_CHECKING:
    from websocket_heartbeat.testing.phone.host import Host
    from websocket_heartbeat.testing.phone.phone import Phone

EVENTS: Final = ("Open", "Message", "Close", "Error")
"""What a program can listen to on a socket."""

MAX_MESSAGE: Final = 1 << 24
CONNECT_TIMEOUT: Final = 60.0
"""Seconds that a platform tries to connect for, where the program says nothing else."""
CLOSE_TIMEOUT: Final = 60.0
"""Seconds that a platform waits for a silent peer to close; WeChat's is not known, Chromium's is this."""

_numbers = itertools.count(1)


class Socket:
    """One socket of a host: the platform's side of a task, over one link of the engine.

    params: what the program gave connectSocket. number: of the socket, unique in the process. state: as
    SocketTask.readyState. headers: of the server's answer. task: what the program gets.
    """

    def __init__(self, host: "Host", phone: "Phone", params: Record) -> None:
        self._host = host
        self._phone = phone
        self._params = params
        self._link: Link | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._is_cut = False
        self._close_timer: asyncio.TimerHandle | None = None
        self.number: int = next(_numbers)
        self.state: int = 0
        self.headers: dict[str, str] = {}
        self.listeners: Listeners = Listeners(phone.deliver, *EVENTS)
        self.task: SocketTask = SocketTask(self)

    def refuse(self, text: str) -> None:
        """Call `fail`, and nothing else ever."""
        self.state = 3
        self._answer(self._params, "fail", text)

    def connect(self, url: str) -> None:
        """Begin to connect."""
        loop = asyncio.get_running_loop()
        result = Record(errMsg="connectSocket:ok", socketTaskId=self.number)
        loop.call_soon(self.listeners.call, read(self._params, "success"), result)
        header = read(self._params, "header") or {}
        protocols = read(self._params, "protocols") or ()
        request = OpenRequest(url, MAX_MESSAGE, tuple(header.items()), tuple(protocols))
        self._attempt = loop.create_task(self._open(request))

    async def _open(self, request: OpenRequest) -> None:
        timeout = read(self._params, "timeout")
        try:
            if not self._phone.is_online:
                raise OSError("network is unreachable")
            async with asyncio.timeout(timeout / 1000 if timeout else CONNECT_TIMEOUT):
                await load(self._phone.engine).open(request, self)
        except Exception as error:
            text = str(error) or type(error).__name__
            self.end(
                "onSocketError:fail " + text, 1006, "", has_error=True, has_close=self._host.is_failure_closed
            )

    def send(self, params: Any) -> None:
        """What `send` of a task does."""
        data = read(params, "data")
        if read(params, "isBuffer") and isinstance(data, str):
            data = base64.b64decode(data)
        if self._phone.is_hidden:
            self._answer(params, "fail", "sendSocketMessage:fail interrupted")
        elif self.state != 1 or self._link is None or not isinstance(data, str | bytes):
            self._answer(params, "fail", "sendSocketMessage:fail")
        else:
            if not self._is_cut:
                self._link.send(data)
            # Also on a socket whose network is gone: success proves nothing.
            self._answer(params, "success", "sendSocketMessage:ok")

    def close(self, params: Any) -> None:
        """What `close` of a task does."""
        if self._phone.is_hidden:
            self._answer(params, "fail", "closeSocket:fail interrupted")
        elif self.state > 1:
            self._answer(params, "fail", "closeSocket:fail WebSocket is not connected")
        else:
            code, reason = read(params, "code") or 1000, read(params, "reason") or ""
            if self._link is not None and self.state == 1:
                self.state = 2
                if not self._is_cut:
                    self._link.close(code, reason)
                loop = asyncio.get_running_loop()
                self._close_timer = loop.call_later(CLOSE_TIMEOUT, self.end, "", 1006, "")
            else:
                asyncio.get_running_loop().call_soon(self.end, "", code, reason)
            self._answer(params, "success", "closeSocket:ok")

    def interrupt(self) -> None:
        """The program is stopped: the platform cuts the socket, and says so when the program goes on."""
        is_open = self.state > 0
        self.end("interrupted", 1006, "interrupted", has_error=not is_open, has_close=is_open)

    def lose_network(self, is_noticed: bool) -> None:
        """The network is gone."""
        if is_noticed:
            self.end("network is gone", 1006, "abnormal closure", has_error=True)
        elif self._link is not None:
            self._is_cut = True
            self._link.pause_reading()
        elif self._attempt is not None:
            self._attempt.cancel()

    def end(self, text: str, code: int, reason: str, has_error: bool = False, has_close: bool = True) -> None:
        """Drop the socket; tell the program by onError, by onClose or by both."""
        if self.state == 3:
            return
        self.state = 3
        self._host.sockets.remove(self)
        if self._close_timer is not None:
            self._close_timer.cancel()
        if self._link is not None:
            self._link.abort()
        if self._attempt is not None and self._attempt is not asyncio.current_task():
            self._attempt.cancel()
        if has_error:
            self.listeners.emit("Error", self._host.erred(self, text))
        if has_close:
            self.listeners.emit("Close", self._host.closed(self, code, reason))

    def _answer(self, params: Any, name: str, text: str) -> None:
        result = Record(errMsg=text)
        for each in (name, "complete"):
            self.listeners.call(read(params, each), result)

    # What the engine calls

    def opened(self, link: Link) -> None:
        """The handshake is complete."""
        if self.state == 3:
            link.abort()
            return
        self._link = link
        self.state = 1
        self.headers = dict(link.response_headers)
        link.deliver = lambda data: self.listeners.emit("Message", self._host.message(self, data))
        self.listeners.emit("Open", self._host.opened(self))

    def closed(self, closure: Closure) -> None:
        """The link has ended."""
        self._link = None
        is_lost = closure.code is None and self.state == 1
        code = 1006 if closure.code is None else closure.code
        self.end(str(closure.error or "connection lost"), code, closure.reason, has_error=is_lost)

    def batch_delivered(self) -> None:
        """Nothing to do."""

    def deliver_returned(self, result: object) -> None:
        """Nothing to do."""

    def deliver_failed(self, error: BaseException) -> None:
        """Does not happen: `Listeners.call` reports what a listener raises."""

    def ponged(self) -> None:
        """Do nothing: no platform reports it."""

    def writable(self) -> None:
        """Do nothing: no platform reports it."""


class SocketTask:
    """What a program gets of a socket."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket

    @property
    def readyState(self) -> int:  # noqa: N802
        """0 connecting, 1 open, 2 closing, 3 closed."""
        return self._socket.state

    def onOpen(self, listener: Any) -> None:  # noqa: N802
        """Listen to the open of the socket."""
        self._socket.listeners.add("Open", listener)

    def onMessage(self, listener: Any) -> None:  # noqa: N802
        """Listen to messages."""
        self._socket.listeners.add("Message", listener)

    def onClose(self, listener: Any) -> None:  # noqa: N802
        """Listen to the end of the socket."""
        self._socket.listeners.add("Close", listener)

    def onError(self, listener: Any) -> None:  # noqa: N802
        """Listen to errors."""
        self._socket.listeners.add("Error", listener)

    def send(self, params: Any) -> None:
        """Send a message: {data, success, fail, complete}."""
        self._socket.send(params)

    def close(self, params: Any) -> None:
        """Close: {code, reason, success, fail, complete}."""
        self._socket.close(params)
