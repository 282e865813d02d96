"""The host object of a platform in WeChat's shape, which also stands for what is not known of the others."""

from typing import TYPE_CHECKING, Any, ClassVar

from websocket_heartbeat.events import Message
from websocket_heartbeat.miniprogram.clock import Clock
from websocket_heartbeat.miniprogram.language import Record, read
from websocket_heartbeat.testing.phone.clock import PhoneClock
from websocket_heartbeat.testing.phone.listeners import Listeners
from websocket_heartbeat.testing.phone.sockets import Socket

if TYPE_CHECKING:
    from websocket_heartbeat.testing.phone.phone import Phone


class Host:
    """WeChat's `wx`, as far as sockets go; QQ, Kuaishou and JD have the same.

    sockets: those that are not closed.
    """

    max_sockets: ClassVar[int] = 5
    is_upper_case: ClassVar[bool] = False
    """How the platform spells the names of networks."""
    is_failure_closed: ClassVar[bool] = False
    """Whether onClose follows onError when a connection cannot be made."""

    def __init__(self, phone: "Phone") -> None:
        self._phone = phone
        self._listeners = Listeners(phone.deliver, "AppShow", "AppHide", "NetworkStatusChange")
        self.sockets: list[Socket] = []

    @property
    def clock(self) -> Clock:
        """A clock that stops with the program."""
        return PhoneClock(self._phone.deliver)

    def connectSocket(self, params: Any) -> Any:  # noqa: N802
        """Begin to connect; return the socket task."""
        return self.begin(params).task

    def begin(self, params: Any) -> Socket:
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
        self._listeners.emit(name, event)

    def onAppShow(self, listener: Any) -> None:  # noqa: N802
        """Listen to the return to the foreground."""
        self._listeners.add("AppShow", listener)

    def onAppHide(self, listener: Any) -> None:  # noqa: N802
        """Listen to the way into the background."""
        self._listeners.add("AppHide", listener)

    def onNetworkStatusChange(self, listener: Any) -> None:  # noqa: N802
        """Listen to the network."""
        self._listeners.add("NetworkStatusChange", listener)

    def offAppShow(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        self._listeners.remove("AppShow", listener)

    def offAppHide(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        self._listeners.remove("AppHide", listener)

    def offNetworkStatusChange(self, listener: Any = None) -> None:  # noqa: N802
        """Remove a listener; without one, everybody's."""
        self._listeners.remove("NetworkStatusChange", listener)

    # The shape of what listeners get, which is where platforms differ most

    def opened(self, socket: Socket) -> Record:
        """What onOpen gets."""
        return Record(header=Record(socket.headers), profile=Record(rtt=1, cost=1))

    def message(self, socket: Socket, data: Message) -> Record:
        """What onMessage gets."""
        return Record(data=data)

    def closed(self, socket: Socket, code: int, reason: str) -> Record:
        """What onClose gets."""
        return Record(code=code, reason=reason)

    def erred(self, socket: Socket, text: str) -> Record:
        """What onError gets."""
        return Record(errMsg=text)
