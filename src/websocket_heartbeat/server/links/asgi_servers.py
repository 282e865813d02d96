"""What each ASGI server can do with a WebSocket, and where it keeps its transport.

Undocumented, so each place is looked at with care: where it is not what we know, the server counts as one of
which nothing is known. Each function below names the code in which it was found; `make conformance` tries it,
and docs/server/conformance.md has its table, with the versions.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from websocket_heartbeat.engines.base import WRITE_LIMIT
from websocket_heartbeat.server.links.wires import PING, AsyncioWire, Wire
from websocket_heartbeat.system.kernel import Socket

Event = MutableMapping[str, Any]
Send = Callable[[Event], Awaitable[None]]

_LARGEST = 2**20
"""Bytes of a message that servers accept of which nothing is known, as most accept more."""
_ANY = 2**30
"""What is said of one that accepts any message."""

_LOOK = 0.02
"""Seconds from one look at what Twisted holds to the next: it tells one producer only, which is daphne's."""


class TwistedWire:
    """A transport of Twisted, as daphne has it: of TCP, or of TLS over one of TCP."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._tcp = getattr(transport, "transport", transport)
        self.socket: Socket | None = self._tcp.getHandle()

    @property
    def buffered(self) -> int:
        """As in Wire; FileDescriptor of twisted/internet/abstract.py has these."""
        tcp = self._tcp
        return int(len(tcp.dataBuffer) - tcp.offset + tcp._tempDataLen)

    def ping(self) -> None:
        """As in Wire."""
        self._transport.write(PING)

    def reset(self) -> None:
        """As in Wire."""
        self._transport.abortConnection()

    def pause_reading(self) -> None:
        """As in Wire."""
        self._tcp.stopReading()

    def resume_reading(self) -> None:
        """As in Wire."""
        if self._tcp.connected:
            self._tcp.startReading()

    async def drain(self) -> None:
        """Wait while more than WRITE_LIMIT waits to be written."""
        while self.buffered > WRITE_LIMIT and self._tcp.connected:  # noqa: ASYNC110  # as _LOOK says
            await asyncio.sleep(_LOOK)


@dataclass(frozen=True, slots=True)
class AsgiServer:
    """What a server can do.

    find_wire: takes the raw `send` of a connection and returns its transport; None: unknown.
    complete: takes the raw `send` of a connection and returns one that can do all that ASGI has for a
    connection that is open: any message, any close code with a reason, and waiting while much is unwritten.
    find_ready: takes the raw `send` of a connection and returns what tells whether sending a message would be
    done at once, without a wait; None: nothing tells.
    find_largest: takes the raw `send` of a connection and returns how many bytes of a message it accepts;
    None: unknown; 0: any number.
    disconnects_twice: whether the application is told of a disconnect at once when it has sent a close event,
    and once more at the end of the connection. (uvicorn: `send` and `connection_lost` of its protocols.)
    """

    name: str
    find_wire: Callable[[Any], Wire | None] = lambda send: None
    find_largest: Callable[[Any], int | None] = lambda send: None
    complete: Callable[[Any], Send] = lambda send: send
    find_ready: Callable[[Any], Callable[[], bool] | None] = lambda send: None
    disconnects_twice: bool = False


def _uvicorn(send: Any) -> Wire | None:
    """`send` is a method of the asyncio protocol, which has its transport.

    protocols/websockets/websockets_sansio_impl.py and wsproto_impl.py; websockets_impl.py calls it asgi_send.
    """
    return AsyncioWire(send.__self__.transport)


def _uvicorn_ready(send: Any) -> Callable[[], bool]:
    """`send` awaits this event first, and for a message nothing else: the files named above."""
    is_set: Callable[[], bool] = send.__self__.writable.is_set
    return is_set


def _uvicorn_largest(send: Any) -> int:
    """`--ws-max-size`: the files named above hand it on."""
    return int(send.__self__.config.ws_max_size)


def _hypercorn_largest(send: Any) -> int:
    """`websocket_max_message_size` of its configuration: protocol/ws_stream.py has it in a buffer."""
    return int(send.__self__.config.websocket_max_message_size)


def _daphne_largest(send: Any) -> int:
    """`--websocket-max-message-size`, which Autobahn keeps."""
    return int(send.args[0].maxMessagePayloadSize)


def _hypercorn(send: Any) -> Wire | None:
    """`send` is WSStream.app_send; its `send` is H11Protocol.stream_send; its `send` TCPServer.protocol_send.

    protocol/ws_stream.py, protocol/h11.py, asyncio/tcp_server.py; the last one has the StreamWriter.
    """
    return AsyncioWire(send.__self__.send.__self__.send.__self__.writer.transport)


def _daphne(send: Any) -> Wire | None:
    """`send` is a partial of Server.handle_reply with Twisted's protocol: server.py, create_application."""
    return TwistedWire(send.args[0].transport)


def _daphne_send(send: Any) -> Send:
    """Speak to the protocol of Autobahn beneath, as daphne itself does: `handle_reply` of ws_protocol.py.

    It would refuse codes from 1001 to 2999, and drop reasons, empty messages, and the wish to wait.
    """
    protocol = send.args[0]
    send_message, send_close_frame = protocol.sendMessage, protocol.sendCloseFrame
    wire = TwistedWire(protocol.transport)

    async def complete(event: Event) -> None:
        if event["type"] == "websocket.close":
            send_close_frame(event["code"], event["reason"].encode())
            return
        text = event.get("text")
        send_message(bytes(event["bytes"]) if text is None else text.encode(), text is None)
        await wire.drain()

    return complete


_SERVERS = (
    AsgiServer("uvicorn", _uvicorn, _uvicorn_largest, find_ready=_uvicorn_ready, disconnects_twice=True),
    AsgiServer("hypercorn", _hypercorn, _hypercorn_largest),
    AsgiServer("daphne", _daphne, _daphne_largest, _daphne_send),
)
_UNKNOWN = AsgiServer("unknown")

_UNFAMILIAR = (AttributeError, IndexError, TypeError)
"""What a version of a server causes in which things are elsewhere."""


def server_of(send: Any) -> AsgiServer:
    """Return what is known of the server whose raw `send` this is."""
    owner = getattr(send, "__self__", None) or next(iter(getattr(send, "args", ())), None)
    package = type(owner).__module__.partition(".")[0]
    return next((server for server in _SERVERS if server.name == package), _UNKNOWN)


def wire_of(send: Any, http_version: str) -> Wire | None:
    """Return the transport of a connection; None where it is unknown, or carries other streams as well."""
    if http_version != "1.1":
        return None
    try:
        wire = server_of(send).find_wire(send)
        if wire is not None:
            _ = wire.buffered  # whose insides may be elsewhere, too
        return wire
    except _UNFAMILIAR:
        return None


def largest_message(send: Any) -> int:
    """Return how many bytes a message of a session may have, which has one more on its link."""
    try:
        largest = server_of(send).find_largest(send)
    except _UNFAMILIAR:
        largest = None
    return min(_LARGEST if largest is None else largest or _ANY, _ANY) - 1


def complete(send: Any) -> Send:
    """Return a `send` for a connection that is open, which can do what that of its server cannot."""
    try:
        return server_of(send).complete(send)
    except _UNFAMILIAR:
        own: Send = send
        return own


def ready_of(send: Any) -> Callable[[], bool] | None:
    """Return what tells whether sending a message would be done at once; None: nothing tells."""
    try:
        return server_of(send).find_ready(send)
    except _UNFAMILIAR:
        return None
