"""One link of a mini program: an attempt over connectSocket, and the socket that it becomes."""

from typing import TYPE_CHECKING, Any, Callable

from websocket_heartbeat.miniprogram.language import (
    attempt,
    close_code,
    copied,
    describe,
    from_base64,
    invoke,
    is_bytes,
    is_text,
    is_view,
    read,
    record,
    tell,
    to_base64,
    value_of,
    when,
)
from websocket_heartbeat.miniprogram.link import Link

if TYPE_CHECKING:
    from websocket_heartbeat.miniprogram.task import MiniProgramTask


class TaskLink(Link):
    """One link over a socket task, a promise of one, or the functions of a host with a single socket.

    is_single: whether `native` stands for the host's only socket.
    is_alipay: whether bytes are base64 in a message marked `isBuffer`, as in Alipay.
    """

    def __init__(self, owner: "MiniProgramTask", number: int) -> None:
        super().__init__(number)
        self.owner = owner
        self.is_open: bool = False
        self.is_single: bool = False
        self.is_alipay: bool = False
        self.on_message: Callable[[Any], None] = lambda event: self._heard(event)
        self.on_close: Callable[[Any], None] = lambda event: self._closed(event)
        self.on_error: Callable[[Any], None] = lambda event: self._failed(event)
        self.on_open: Callable[[Any], None] = lambda event: self._opened(event)

    def open(self) -> None:
        """Begin the attempt. The parameters, and the url, may be functions, promises, or both."""
        self._ask(self.owner.opts["connectSocketParams"], lambda params: self._given(record(params)))

    def _given(self, params: dict[str, Any]) -> None:
        self._ask(params["url"], lambda url: self._connect(params, url))

    def _ask(self, thing: Any, answered: Callable[[Any], None]) -> None:
        """Go on with what the user gives for this attempt, unless the attempt is over by then."""
        if self.is_over:
            return
        try:
            when(value_of(thing), answered, lambda error: self._failed(error))
        except Exception as error:
            self._failed(error)

    def _connect(self, params: dict[str, Any], url: Any) -> None:
        if self.is_over:
            # It took too long; or a function has closed the connection.
            return
        host = self.owner.host
        given = record(params)
        try:
            check_url(url)
            params["url"] = url
            session = self.owner.session
            if session is not None:
                protocols = session.offer(self, params["protocols"])
                if protocols is not None:
                    params["protocols"] = protocols
            # uni-app returns a task only to those who pass a callback.
            params["fail"] = lambda result: self._refused(given, result)
            if callable(read(host, "offSocketOpen")):
                # Perhaps this host has one socket only, whose events may come before the call returns.
                self.is_single = True
                self._adopt(single_socket(host))
            self._returned(host.connectSocket(params))
        except Exception as error:
            self._failed(error)

    def _refused(self, given: dict[str, Any], result: Any) -> None:
        if not self.is_open:
            self._failed(result)
        tell(given, "fail", result)

    def send(self, message: dict[str, Any]) -> bool:
        """Hand a message to the host."""
        data = message["data"]
        if is_bytes(data) and (self.is_alipay or is_view(data)):
            # Hosts take an ArrayBuffer and no view of one, Alipay neither.
            message = record(message)
            message["data"] = to_base64(copied(data)) if self.is_alipay else copied(data)
            if self.is_alipay:
                message["isBuffer"] = True
        return attempt(self.native, "send", message)

    def is_alone(self) -> bool:
        """Whether it is open over the host's only socket, so that no other can open beside it."""
        return self.is_single

    def close(self, params: Any) -> bool:
        """Begin to close."""
        return attempt(self.native, "close", record(params))

    def drop(self, code: int | None = None) -> None:
        """Let go of the socket at once and for good."""
        if self.is_single and not self.is_over:
            self.owner.expect_close()
        self._end()
        params = record(None)
        if code is not None:
            params["code"] = code
        self.close(params)

    def _returned(self, task: Any) -> None:
        """Take what connectSocket returned, or what its promise became."""
        if callable(read(task, "onOpen")):
            if self.is_over or (self.native is not None and not self.is_single):
                # This socket is not needed any more, and nothing else would close it.
                surplus: dict[str, Any] = task
                if surplus is not self.native:
                    attempt(surplus, "close", record(None))
                return
            self._listen("off")
            self.is_single = False
            self._adopt(task)
            # A promise may resolve after the socket has opened or closed.
            ready_state: int | None = read(task, "readyState")
            if ready_state == 1:
                self._opened(None)
            elif ready_state == 3:
                self._failed("closed")
        elif callable(read(task, "then")):
            task.then(lambda each: self._returned(each), lambda error: self._failed(error))
        elif not self.is_single:
            self._failed(task)

    def _adopt(self, task: Any) -> None:
        self.native = task
        self.is_alipay = self.is_single
        self.owner.adopted(self)
        if self.is_over:
            # It has closed already, perhaps before all listeners were added.
            self._listen("off")

    def listen(self) -> None:
        """Add our listeners to the host's task."""
        self._listen("on")

    def _listen(self, prefix: str) -> None:
        """Add our listeners, or remove them and no others; `Open` is last, for a host may open at once."""
        attempt(self.native, prefix + "Message", self.on_message)
        attempt(self.native, prefix + "Close", self.on_close)
        attempt(self.native, prefix + "Error", self.on_error)
        attempt(self.native, prefix + "Open", self.on_open)

    def _end(self) -> None:
        self.is_over = True
        self._listen("off")

    # What the host reports

    def _opened(self, raw: Any) -> None:
        if not (self.is_over or self.is_open):
            self.is_open = True
            self.owner.link_opened(self, self._event(raw))

    def _heard(self, raw: Any) -> None:
        if not self.is_over:
            event = self._event(raw)
            if not self.is_single:
                # Only an open socket receives: onOpen may have come before our listener.
                self._opened(None)
            # What a single socket reports before it is open comes from the socket before.
            # And a hook may have dropped the link meanwhile.
            if self.is_open and not self.is_over:
                self.owner.link_heard(self, event)

    def _closed(self, raw: Any) -> None:
        if self.is_over:
            return
        if self.is_single and self.owner.take_pending_close():
            # It was the close of an earlier socket.
            return
        event = self._event(raw)
        event["code"] = close_code(read(raw, "code"))
        reason = event["reason"] if is_text(event["reason"]) else describe(raw)
        self._end()
        self._lost(event, reason, None if self.is_open else record(event))

    def _failed(self, raw: Any) -> None:
        """The host reports an error, refuses, rejects, throws, or returns what is no socket."""
        if self.is_over:
            return
        if self.is_open or not self.is_single or self.owner.pending_closes > 0:
            self.drop()
        else:
            # Other code uses the host's single socket.
            self._end()
        self._lost(record(None), describe(raw), self._event(raw))

    def _lost(self, closed: dict[str, Any], reason: str, failed: dict[str, Any] | None) -> None:
        self.owner.interrupted()
        self.owner.link_lost(self, closed, reason, failed)

    def _event(self, raw: Any) -> dict[str, Any]:
        """The host's event in the shape that is the same for all hosts; `native` is the event itself."""
        event = record(raw)
        event["native"] = raw
        # Not from the record: events of the DOM inherit their members.
        payload = read(raw, "data")
        if read(payload, "socketTaskID") is not None:
            event["isBuffer"] = read(payload, "isBuffer")
            payload = read(payload, "data")
            self.is_alipay = True
        if event["isBuffer"] is not None:
            self.is_alipay = True
            is_buffer: bool = event["isBuffer"]
            if is_buffer and is_text(payload):
                payload = from_base64(payload)
        event["data"] = payload
        return event


def single_socket(host: Any) -> dict[str, Any]:
    """The global functions of a host with a single socket, in the shape of a socket task."""
    task = record(None)

    def wire(name: str, target: str) -> None:
        task[name] = lambda argument: invoke(host, target, argument)

    def wire_event(name: str) -> None:
        wire("on" + name, "onSocket" + name)
        wire("off" + name, "offSocket" + name)

    wire_event("Open")
    wire_event("Message")
    wire_event("Close")
    wire_event("Error")
    wire("send", "sendSocketMessage")
    wire("close", "closeSocket")
    return task


def check_url(url: Any) -> None:
    """Raise ValueError if there is no usable url."""
    if not is_text(url) or url == "":
        raise ValueError("connectSocketParams.url must be a string, or a function or a promise of one")
