"""The platforms that differ from WeChat: Baidu, Douyin, Alipay, and the frameworks Taro and uni-app."""

import asyncio
import base64
from typing import TYPE_CHECKING, Any, ClassVar

from websocket_heartbeat.events import Message
from websocket_heartbeat.miniprogram.language import Record, attempt, read
from websocket_heartbeat.testing.phone.host import Host
from websocket_heartbeat.testing.phone.listeners import Listeners
from websocket_heartbeat.testing.phone.sockets import EVENTS, Socket, SocketTask

if TYPE_CHECKING:
    from websocket_heartbeat.testing.phone.phone import Phone


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

    default_multiple: what app.json says of `behavior.connectSocketDefaultMultiple`. single: the latest socket
    without a task, None if there was none.
    """

    is_upper_case: ClassVar[bool] = True

    def __init__(self, phone: "Phone", default_multiple: bool = False) -> None:
        super().__init__(phone)
        self.default_multiple = default_multiple
        self.single: Socket | None = None
        self._single_listeners = Listeners(phone.deliver, *EVENTS)

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
        socket.listeners = self._single_listeners
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
        self._single_listeners.add("Open", listener)

    def onSocketMessage(self, listener: Any) -> None:  # noqa: N802
        """Listen to the single socket."""
        self._single_listeners.add("Message", listener)

    def onSocketClose(self, listener: Any) -> None:  # noqa: N802
        """Listen to the single socket."""
        self._single_listeners.add("Close", listener)

    def onSocketError(self, listener: Any) -> None:  # noqa: N802
        """Listen to the single socket."""
        self._single_listeners.add("Error", listener)

    def offSocketOpen(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        self._single_listeners.remove("Open", listener)

    def offSocketMessage(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        self._single_listeners.remove("Message", listener)

    def offSocketClose(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        self._single_listeners.remove("Close", listener)

    def offSocketError(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        self._single_listeners.remove("Error", listener)

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
        self._socket.listeners.remove("Open", listener)

    def offMessage(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        self._socket.listeners.remove("Message", listener)

    def offClose(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        self._socket.listeners.remove("Close", listener)

    def offError(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        self._socket.listeners.remove("Error", listener)


class Promise:
    """JavaScript's promise, as far as the adapters and `await` need one."""

    def __init__(self) -> None:
        self._future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def resolve(self, value: Any) -> None:
        """Resolve it, unless it is settled."""
        if not self._future.done():
            self._future.set_result((True, value))

    def reject(self, reason: Any) -> None:
        """Reject it, unless it is settled."""
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

    is_failure_closed: ClassVar[bool] = True

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

    is_failure_closed: ClassVar[bool] = True

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
