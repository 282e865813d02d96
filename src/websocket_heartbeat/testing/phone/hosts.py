"""A simulated phone with the mini-program platforms on it, over a real engine: shapes, limits and failures.

A Phone has one host object for each platform, `wx`, `my` and so on, and does what phones do: the program goes
into the background and comes back, the network goes and comes. Where it is not known what a platform does, it
does as WeChat.
"""

import asyncio
import base64
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from websocket_heartbeat.engines import load
from websocket_heartbeat.engines.base import Closure, Engine, Link, OpenRequest
from websocket_heartbeat.events import Message
from websocket_heartbeat.miniprogram.clock import Clock
from websocket_heartbeat.miniprogram.language import Record, attempt, read, report

SUSPENDED_AFTER = 5.0
"""Seconds in the background until a platform stops the program and cuts its sockets."""

MAX_MESSAGE = 1 << 24
CONNECT_TIMEOUT = 60.0
CLOSE_TIMEOUT = 60.0
"""Seconds that a platform waits for a silent peer to close; WeChat's is not known, Chromium's is this."""

_numbers = itertools.count(1)


class Phone:
    """A phone and the platforms on it. engine: what its sockets are made of, as in `connect`."""

    def __init__(self, engine: str | Engine = "auto") -> None:
        self.engine = engine
        self.is_hidden = False
        self.is_suspended = False
        self.is_online = True
        self.network_type = "wifi"
        self._backlog: list[Callable[[], None]] = []
        self._suspension: asyncio.TimerHandle | None = None
        self.wx = Host(self)
        self.qq = Host(self)
        self.ks = Host(self)
        self.jd = Host(self)
        self.swan = Baidu(self)
        self.tt = Douyin(self)
        self.my = Alipay(self)
        self.Taro = Taro(self)
        self.TaroH5 = TaroH5(self)
        self.uni = Uni(self)
        self.hosts = [
            self.wx,
            self.qq,
            self.ks,
            self.jd,
            self.swan,
            self.tt,
            self.my,
            self.Taro,
            self.TaroH5,
            self.uni,
        ]

    def hide(self) -> None:
        """Press the home button. Network calls are refused from now on; in 5 s the program is stopped."""
        if not self.is_hidden:
            self.is_hidden = True
            self._tell("AppHide")
            self._suspension = asyncio.get_running_loop().call_later(SUSPENDED_AFTER, self._suspend)

    def show(self) -> None:
        """Open the program again: what was held back while it was stopped arrives now."""
        if not self.is_hidden:
            return
        self.is_hidden = False
        self.is_suspended = False
        if self._suspension is not None:
            self._suspension.cancel()
        backlog, self._backlog = self._backlog, []
        for callback in backlog:
            callback()
        self._tell("AppShow")

    def go_offline(self, is_noticed: bool = True) -> None:
        """Lose the network. is_noticed: the phone sees it, tells the program and breaks its sockets.

        Otherwise nothing passes any more, and nobody is told: the half-open sockets of a tunnel.
        """
        self.is_online = False
        for socket in self.sockets:
            socket.lose_network(is_noticed)
        if is_noticed:
            self.network_type = "none"
            self._tell("NetworkStatusChange")

    def go_online(self, network_type: str = "4g") -> None:
        """Find a network again."""
        self.is_online = True
        self.network_type = network_type
        self._tell("NetworkStatusChange")

    @property
    def sockets(self) -> "list[Socket]":
        """All sockets that are not closed, of all platforms."""
        return [socket for host in self.hosts for socket in host.sockets]

    def deliver(self, callback: Callable[[], None]) -> None:
        """Call back as the platform does: not while the program is stopped."""
        if self.is_suspended:
            self._backlog.append(callback)
        else:
            callback()

    def _suspend(self) -> None:
        self.is_suspended = True
        for socket in self.sockets:
            socket.interrupt()

    def _tell(self, name: str) -> None:
        for host in self.hosts:
            host.tell(name)


class PhoneClock(Clock):
    """Timers that stop with the program and fire, overdue, when it goes on."""

    def __init__(self, phone: Phone) -> None:
        super().__init__()
        self._phone = phone

    def start_timer(self, callback: Callable[[], None], milliseconds: float) -> Any:
        """Call back once, so many milliseconds from now, or when the program is shown after that."""
        timer = Record(stopped=False)

        def fire() -> None:
            if not timer["stopped"]:
                callback()

        timer["handle"] = super().start_timer(lambda: self._phone.deliver(fire), milliseconds)
        return timer

    def stop_timer(self, timer: Any) -> None:
        """Stop a timer, even one that is overdue already."""
        if timer is not None:
            timer["stopped"] = True
            timer["handle"].cancel()


class Host:
    """WeChat's `wx`, as far as sockets go; QQ, Kuaishou and JD have the same."""

    max_sockets: ClassVar = 5
    is_upper_case: ClassVar = False
    """How the platform spells the names of networks."""
    is_failure_closed: ClassVar = False
    """Whether onClose follows onError when a connection cannot be made."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._signals: dict[str, list[Any]] = {"AppShow": [], "AppHide": [], "NetworkStatusChange": []}
        self.sockets: list[Socket] = []

    @property
    def clock(self) -> Clock:
        """A clock that stops with the program."""
        return PhoneClock(self._phone)

    def connectSocket(self, params: Any) -> Any:  # noqa: N802
        """Begin to connect; return the socket task."""
        return self.begin(params).task

    def begin(self, params: Any) -> "Socket":
        """Make a socket, or one that is dead from the start and only calls `fail`."""
        socket = Socket(self, self._phone, Record(params))
        url = read(params, "url")
        if not isinstance(url, str) or not url.startswith(("ws://", "wss://")):
            socket.refuse("connectSocket:fail invalid url")
        elif self._phone.is_hidden:
            socket.refuse("connectSocket:fail interrupted")
        elif len(self.sockets) >= self.max_sockets:
            socket.refuse(self.limit_text())
        else:
            self.sockets.append(socket)
            socket.connect(url)
        return socket

    def limit_text(self) -> str:
        """What `fail` says of one socket too many."""
        return "connectSocket:fail exceed max task count"

    def tell(self, name: str) -> None:
        """Tell the program that the phone was hidden or shown, or that the network changed."""
        kind = self._phone.network_type
        event = Record()
        if name == "NetworkStatusChange":
            spelt = {"none": "NOTREACHABLE"}.get(kind, kind.upper()) if self.is_upper_case else kind
            event = Record(isConnected=self._phone.is_online, networkType=spelt)
        for listener in list(self._signals[name]):
            self._phone.deliver(partial(_call, listener, event))

    def onAppShow(self, listener: Any) -> None:  # noqa: N802
        """Listen to the return to the foreground."""
        self._signals["AppShow"].append(listener)

    def onAppHide(self, listener: Any) -> None:  # noqa: N802
        """Listen to the way into the background."""
        self._signals["AppHide"].append(listener)

    def onNetworkStatusChange(self, listener: Any) -> None:  # noqa: N802
        """Listen to the network."""
        self._signals["NetworkStatusChange"].append(listener)

    def offAppShow(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        self._remove("AppShow", listener)

    def offAppHide(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        self._remove("AppHide", listener)

    def offNetworkStatusChange(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        self._remove("NetworkStatusChange", listener)

    def _remove(self, name: str, listener: Any) -> None:
        mine = self._signals[name]
        self._signals[name] = [] if listener is None else [each for each in mine if each is not listener]

    # The shape of events

    def opened(self, socket: "Socket") -> Record:
        """What onOpen gets."""
        return Record(header=Record(socket.headers), profile=Record(rtt=1, cost=1))

    def message(self, socket: "Socket", data: Message) -> Record:
        """What onMessage gets."""
        return Record(data=data)

    def closed(self, socket: "Socket", code: int, reason: str) -> Record:
        """What onClose gets."""
        return Record(code=code, reason=reason)

    def erred(self, socket: "Socket", text: str) -> Record:
        """What onError gets."""
        return Record(errMsg=text)


class Socket:
    """One socket of a host: the platform's side of a task, over one link of the engine."""

    def __init__(self, host: Host, phone: Phone, params: Record) -> None:
        self._host = host
        self._phone = phone
        self._params = params
        self._link: Link | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._is_cut = False
        self._patience: asyncio.TimerHandle | None = None
        self.number = next(_numbers)
        self.state = 0
        self.headers: dict[str, str] = {}
        self.listeners: dict[str, list[Any]] = {"Open": [], "Message": [], "Close": [], "Error": []}
        self.task = SocketTask(self)

    def refuse(self, text: str) -> None:
        """Call `fail`, and nothing else ever."""
        self.state = 3
        self._answer(self._params, "fail", text)

    def connect(self, url: str) -> None:
        """Begin."""
        loop = asyncio.get_running_loop()
        result = Record(errMsg="connectSocket:ok", socketTaskId=self.number)
        loop.call_soon(self._phone.deliver, partial(_call, read(self._params, "success"), result))
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

    def emit(self, name: str, event: Any) -> None:
        """Call the listeners as the platform does."""
        for listener in list(self.listeners[name]):
            self._phone.deliver(partial(_call, listener, event))

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
            # Of a socket that the network has left, too: success proves nothing.
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
                self._patience = loop.call_later(CLOSE_TIMEOUT, self.end, "", 1006, "")
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
        if self._patience is not None:
            self._patience.cancel()
        if self._link is not None:
            self._link.abort()
        if self._attempt is not None and self._attempt is not asyncio.current_task():
            self._attempt.cancel()
        if has_error:
            self.emit("Error", self._host.erred(self, text))
        if has_close:
            self.emit("Close", self._host.closed(self, code, reason))

    def _answer(self, params: Any, name: str, text: str) -> None:
        result = Record(errMsg=text)
        for each in (name, "complete"):
            self._phone.deliver(partial(_call, read(params, each), result))

    # What the engine calls

    def opened(self, link: Link) -> None:
        """The handshake is complete."""
        if self.state == 3:
            link.abort()
            return
        self._link = link
        self.state = 1
        self.headers = dict(link.response_headers)
        link.deliver = lambda data: self.emit("Message", self._host.message(self, data))
        self.emit("Open", self._host.opened(self))

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
        """What a listener throws is its own affair."""

    def ponged(self) -> None:
        """No platform tells."""

    def writable(self) -> None:
        """No platform tells."""


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
        self._socket.listeners["Open"].append(listener)

    def onMessage(self, listener: Any) -> None:  # noqa: N802
        """Listen to messages."""
        self._socket.listeners["Message"].append(listener)

    def onClose(self, listener: Any) -> None:  # noqa: N802
        """Listen to the end of the socket."""
        self._socket.listeners["Close"].append(listener)

    def onError(self, listener: Any) -> None:  # noqa: N802
        """Listen to errors."""
        self._socket.listeners["Error"].append(listener)

    def send(self, params: Any) -> None:
        """Send a message: {data, success, fail, complete}."""
        self._socket.send(params)

    def close(self, params: Any) -> None:
        """Close: {code, reason, success, fail, complete}."""
        self._socket.close(params)


class Baidu(Host):
    """Baidu's `swan`."""

    def message(self, socket: Socket, data: Message) -> Record:
        """What onMessage gets."""
        return Record(data=data, dataType="string" if isinstance(data, str) else "arrayBuffer")


class Douyin(Host):
    """Douyin's `tt`, whose close codes may be strings."""

    _kind: ClassVar = {"protocolType": "websocket", "socketType": "ttnet"}

    def opened(self, socket: Socket) -> Record:
        """What onOpen gets."""
        return Record(header=Record(socket.headers), **self._kind)

    def message(self, socket: Socket, data: Message) -> Record:
        """What onMessage gets."""
        return Record(data=data, **self._kind)

    def closed(self, socket: Socket, code: int, reason: str) -> Record:
        """What onClose gets."""
        return Record(code=str(code), reason=reason, errMsg="onClose:ok", **self._kind)


class Alipay(Host):
    """Alipay's `my`: one socket over functions of its own, or, with `multiple: true`, tasks of another shape.

    default_multiple: what app.json says of `behavior.connectSocketDefaultMultiple`.
    """

    is_upper_case: ClassVar = True

    def __init__(self, phone: Phone, default_multiple: bool = False) -> None:
        super().__init__(phone)
        self.default_multiple = default_multiple
        self.single: Socket | None = None
        self._globals: dict[str, list[Any]] = {"Open": [], "Message": [], "Close": [], "Error": []}

    def connectSocket(self, params: Any) -> Any:  # noqa: N802
        """Begin to connect; return a task only if there may be several."""
        multiple = read(params, "multiple")
        if self.default_multiple if multiple is None else multiple:
            return AlipayTask(self.begin(params))
        if self.single is not None and self.single.state == 2:
            self.single.end("", 1006, "replaced")
        if self.single is not None and self.single.state != 3:
            attempt(params, "fail", Record(error=3, errorMessage="the connection already exists"))
            return None
        socket = self.begin(params)
        self.single = socket
        socket.listeners = self._globals
        return None

    def sendSocketMessage(self, params: Any) -> None:  # noqa: N802
        """Send over the single socket."""
        if self.single is None:
            attempt(params, "fail", Record(error=1, errorMessage="no connection"))
        else:
            self.single.send(params)

    def closeSocket(self, params: Any = None) -> None:  # noqa: N802
        """Close the single socket."""
        if self.single is not None:
            self.single.close(params)

    def onSocketOpen(self, listener: Any) -> None:  # noqa: N802
        """Listen to the single socket."""
        self._globals["Open"].append(listener)

    def onSocketMessage(self, listener: Any) -> None:  # noqa: N802
        """Listen to the single socket."""
        self._globals["Message"].append(listener)

    def onSocketClose(self, listener: Any) -> None:  # noqa: N802
        """Listen to the single socket."""
        self._globals["Close"].append(listener)

    def onSocketError(self, listener: Any) -> None:  # noqa: N802
        """Listen to the single socket."""
        self._globals["Error"].append(listener)

    def offSocketOpen(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        _remove(self._globals, "Open", listener)

    def offSocketMessage(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        _remove(self._globals, "Message", listener)

    def offSocketClose(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        _remove(self._globals, "Close", listener)

    def offSocketError(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        _remove(self._globals, "Error", listener)

    def opened(self, socket: Socket) -> Any:
        """What onOpen gets: nothing from the single socket."""
        return None if socket is self.single else Record(data=Record(socketTaskID=socket.number))

    def message(self, socket: Socket, data: Message) -> Record:
        """What onMessage gets: bytes as base64, and within `data` from one of several sockets."""
        is_buffer = isinstance(data, bytes)
        text = base64.b64encode(data).decode("ascii") if isinstance(data, bytes) else data
        if socket is self.single:
            return Record(data=text, isBuffer=is_buffer)
        return Record(data=Record(data=text, isBuffer=is_buffer, socketTaskID=socket.number))

    def closed(self, socket: Socket, code: int, reason: str) -> Record:
        """What onClose gets: never a code."""
        return (
            Record(reason=reason)
            if socket is self.single
            else Record(data=Record(socketTaskID=socket.number))
        )

    def erred(self, socket: Socket, text: str) -> Record:
        """What onError gets: no errMsg."""
        if socket is self.single:
            return Record(error=1, errorMessage=text)
        return Record(data=Record(socketTaskID=socket.number), error=1)


class AlipayTask(SocketTask):
    """Alipay's task, from which listeners can be removed."""

    def offOpen(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        _remove(self._socket.listeners, "Open", listener)

    def offMessage(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        _remove(self._socket.listeners, "Message", listener)

    def offClose(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        _remove(self._socket.listeners, "Close", listener)

    def offError(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        _remove(self._socket.listeners, "Error", listener)


class Promise:
    """JavaScript's promise, as far as the adapters and `await` need one."""

    def __init__(self) -> None:
        self._future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def resolve(self, value: Any) -> None:
        """Settle it well, unless it is settled."""
        if not self._future.done():
            self._future.set_result((True, value))

    def reject(self, reason: Any) -> None:
        """Settle it badly, unless it is settled."""
        if not self._future.done():
            self._future.set_result((False, reason))

    def then(self, resolved: Any, rejected: Any = None) -> None:
        """Call back one turn of the loop after it is settled."""

        def settled(future: asyncio.Future[Any]) -> None:
            is_good, value = future.result()
            callback = resolved if is_good else rejected
            if callback is not None:
                callback(value)

        self._future.add_done_callback(settled)

    def __await__(self) -> Any:
        is_good, value = yield from self._future.__await__()
        if not is_good:
            raise ConnectionError(read(value, "errMsg") or str(value))
        return value


class Taro(Host):
    """Taro on WeChat: the task comes by a promise, one turn after the host's `success`."""

    def connectSocket(self, params: Any) -> Promise:  # noqa: N802
        """Begin to connect; promise the task."""
        promise = Promise()
        loop = asyncio.get_running_loop()
        task: Any = None

        def succeeded(result: Any) -> None:
            loop.call_soon(promise.resolve, task)
            attempt(params, "success", result)

        def failed(result: Any) -> None:
            promise.reject(result)
            attempt(params, "fail", result)

        given = Record(params, success=succeeded, fail=failed)
        task = self.begin(given).task
        return promise


class TaroH5(Host):
    """Taro in a browser: a promise that may resolve to an error object, and events of the DOM."""

    is_failure_closed: ClassVar = True

    def connectSocket(self, params: Any) -> Promise:  # noqa: N802
        """Begin to connect; promise the task, or {errMsg} if a callback was passed."""
        promise = Promise()
        has_callback = read(params, "fail") is not None or read(params, "complete") is not None

        def failed(result: Any) -> None:
            (promise.resolve if has_callback else promise.reject)(result)
            attempt(params, "fail", result)

        socket = self.begin(Record(params, fail=failed))
        if socket.state != 3:
            promise.resolve(socket.task)
        return promise

    def closed(self, socket: Socket, code: int, reason: str) -> Record:
        """What onClose gets: the server's own words are lost."""
        return Record(code=1006, reason="abnormal closure")

    def erred(self, socket: Socket, text: str) -> Record:
        """What onError gets: an event of the DOM, which says nothing."""
        return Record(type="error")


class Uni(Host):
    """uni-app: a task only for those who pass a callback."""

    is_failure_closed: ClassVar = True

    def connectSocket(self, params: Any) -> Any:  # noqa: N802
        """Begin to connect; return the task, or a promise of nothing of use."""
        socket = self.begin(params)
        if any(callable(read(params, name)) for name in ("success", "fail", "complete")):
            return socket.task
        promise = Promise()
        promise.resolve(Record(errMsg="connectSocket:ok"))
        return promise

    def opened(self, socket: Socket) -> Record:
        """What onOpen gets."""
        return Record()

    def erred(self, socket: Socket, text: str) -> Record:
        """What onError gets."""
        return Record()


def _call(listener: Any, argument: Any) -> None:
    """Call what a program gave, if it is a function; what it throws stops nobody else."""
    if callable(listener):
        try:
            listener(argument)
        except Exception as error:
            report(error)


def _remove(listeners: dict[str, list[Any]], name: str, listener: Any) -> None:
    # In place: the lists of a host's functions are those of its socket.
    listeners[name][:] = (
        [] if listener is None else [each for each in listeners[name] if each is not listener]
    )
