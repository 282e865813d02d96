"""The engine over picows: RFC 6455 in Cython, the fastest there is.

What picows leaves to its user is done here: fragments are assembled, sizes limited, reserved bits refused,
pings answered, close frames echoed, and the error that broke a link is kept.
"""

import asyncio
import logging
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import picows
from picows.url import WSParsedURL

from websocket_heartbeat.engines.answer import BODY_EXCERPT, read_head
from websocket_heartbeat.engines.base import (
    WRITE_LIMIT,
    Closure,
    Engine,
    Link,
    LinkEvents,
    OpenRequest,
    is_close_code,
)
from websocket_heartbeat.engines.dial import dial
from websocket_heartbeat.engines.shortcut import Shortcut
from websocket_heartbeat.engines.transport import (
    NOT_UTF8,
    Ended,
    default_ssl_context,
    discard,
)
from websocket_heartbeat.errors import (
    HandshakeError,
    HandshakeRejected,
    MessageTooBig,
    ProtocolViolation,
    ProxyFailed,
)
from websocket_heartbeat.events import Message
from websocket_heartbeat.kernel import Socket, since_data

_CONTINUATION = picows.WSMsgType.CONTINUATION
_TEXT = picows.WSMsgType.TEXT
_BINARY = picows.WSMsgType.BINARY
_CLOSE = picows.WSMsgType.CLOSE
_PING = picows.WSMsgType.PING
_PONG = picows.WSMsgType.PONG


class Ear(logging.LoggerAdapter[logging.Logger]):
    """The logger of one link: writes nothing, and hears what picows tells nobody else.

    Nothing is written because the lines hold URLs and headers. What is heard is that picows gave a link up,
    which it would otherwise show only after its farewell has left, and behind a full buffer that is never.
    """

    logger = logging.getLogger("picows")
    extra = None

    def __init__(self) -> None:
        self.link: PicowsLink | None = None

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  # the standard library's name
        """Nothing is."""
        return False

    def log(self, level: int, msg: object, *args: object, **kwargs: object) -> None:
        if level < logging.WARNING or self.link is None:
            return
        if args and isinstance(args[0], tuple):
            code, reason = args[0]
            self.link.broken(int(code), str(reason))
        else:
            self.link.crashed(sys.exception())


def _look_at(task: asyncio.Task[None]) -> None:
    """Mark the exception of the task as seen."""
    if not task.cancelled():
        task.exception()


class _ServerTap(asyncio.BufferedProtocol):
    """Stands between transport and picows, which forgets why a connection was lost, and keeps it.

    picows reads everything: its own bound methods are the calls of the read path.
    """

    __slots__ = ("_inner", "_loop", "buffer_updated", "eof_received", "error", "get_buffer", "heard_at")

    # Slots of the same names take the place of the inherited methods.
    get_buffer: Any
    buffer_updated: Any
    eof_received: Any

    def __init__(self, inner: Any, link: "PicowsLink", loop: asyncio.AbstractEventLoop) -> None:
        self._inner = inner
        self._loop = loop
        self.error: Exception | None = None
        self.heard_at = loop.time()
        self.get_buffer = inner.get_buffer
        self.buffer_updated = inner.buffer_updated if since_data(link.socket) is not None else self._stamp
        self.eof_received = inner.eof_received

    def _stamp(self, count: int) -> None:
        self.heard_at = self._loop.time()
        self._inner.buffer_updated(count)

    def is_buffered_protocol(self) -> bool:
        """Tell aiofastnet, which asks."""
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


class _Scratch(threading.local):
    """Where links read to: one for all of a thread, as what was read is taken before the next link reads."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(64 * 1024))


_SCRATCH = _Scratch()


class _ClientTap(Shortcut, asyncio.BufferedProtocol):
    """The same, but the shortcut reads plain messages and gives picows all other frames."""

    __slots__ = ("_clock", "_view", "error", "heard_at")

    def __init__(self, inner: Any, link: "PicowsLink", loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(inner, link)
        # Once per read, where the kernel does not tell.
        self._clock = loop.time if since_data(link.socket) is None else None
        self._view = _SCRATCH.view
        self.error: Exception | None = None
        self.heard_at = loop.time()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        if self._clock is not None:
            self.heard_at = self._clock()
        self.data_received(bytes(self._view[:nbytes]))

    def is_buffered_protocol(self) -> bool:
        """Tell aiofastnet, which asks."""
        return True

    def eof_received(self) -> bool | None:
        ended: bool | None = self._inner.eof_received()
        return ended

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


class PicowsLink(picows.WSListener, Link):
    """One open WebSocket of picows, and the listener that picows calls about it."""

    __slots__ = (
        "_ended",
        "_events",
        "_fragments",
        "_full",
        "_is_text",
        "_loop",
        "_tap",
        "deaf",
        "deliver",
        "left",
        "max_size",
        "native",
        "socket",
        "subprotocol",
    )

    def __init__(self, events: LinkEvents, max_size: int, subprotocol: str | None) -> None:
        self._events: LinkEvents = events
        self.max_size = max_size
        self._loop = asyncio.get_running_loop()
        self._fragments: bytearray | None = None
        self._is_text = False
        self._full = False
        self._ended = False
        self.deaf = False
        self.left: int | None = None
        self._tap: _ClientTap | _ServerTap | None = None
        self.deliver: Callable[[Message], Any] = discard
        self.native: Any = None
        self.socket: Socket | None = None
        self.subprotocol = subprotocol

    # Calls from the client

    def send(self, message: Message) -> None:
        self.native.send(_TEXT if type(message) is str else _BINARY, message)

    def ping(self) -> None:
        self.native.send_ping()

    def close(self, code: int, reason: str) -> None:
        self.native.send_close(code, reason.encode())

    def abort(self) -> None:
        self._end()
        self.native.disconnect(graceful=False)

    def pause_reading(self) -> None:
        self.native.underlying_transport.pause_reading()

    def resume_reading(self) -> None:
        if not self.native.underlying_transport.is_closing():
            self.native.underlying_transport.resume_reading()

    @property
    def response_headers(self) -> Sequence[tuple[str, str]]:  # type: ignore[override]  # kept by picows alone
        return tuple(self.native.response.headers.items())

    @property
    def buffered(self) -> int:
        size: int = self.native.underlying_transport.get_write_buffer_size()
        return size

    @property
    def full(self) -> bool:
        return self._full

    @property
    def heard_at(self) -> float:
        seconds = since_data(self.socket)
        if seconds is None:
            assert self._tap is not None
            return self._tap.heard_at
        return self._loop.time() - seconds

    # Calls from picows

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.native = transport
        beneath = transport.underlying_transport
        self.socket = beneath.get_extra_info("socket")
        # The frames of a client are masked: the shortcut has nothing to gain there.
        tap = _ClientTap if transport.is_client_side else _ServerTap
        self._tap = tap(beneath.get_protocol(), self, self._loop)
        beneath.set_protocol(self._tap)
        beneath.set_write_buffer_limits(high=WRITE_LIMIT)
        self._events.opened(self)
        # Who wanted them has got them; with the request goes a token that has no business in memory any more.
        transport.request.headers.clear()
        transport.response.headers.clear()

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._fail(ProtocolViolation(1002, "the peer set a reserved bit without an extension"))
            return
        kind = frame.msg_type
        if (kind is _TEXT or kind is _BINARY) and frame.fin and self._fragments is None:
            try:
                message: Message = (
                    frame.get_payload_as_utf8_text() if kind is _TEXT else frame.get_payload_as_bytes()
                )
            except UnicodeDecodeError:
                self.not_utf8()
                return
            self._hand_over(message)
        elif kind is _PING:
            # A peer that pings and does not read must not fill our memory: RFC 6455 5.5.3 lets us skip some.
            if not self._full:
                transport.send_pong(frame.get_payload_as_bytes())
        elif kind is _PONG:
            self._events.ponged()
        elif kind is _CLOSE:
            if not self._ended:
                self._peer_closed(transport, frame)
            return
        else:
            self._assemble(kind, frame)
        if frame.last_in_buffer:
            if self.left is None:
                self._events.batch_delivered()
            else:
                self.left = frame.tail_size

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        assert self._tap is not None
        self._finish(Closure(error=self._tap.error))

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._events.writable()

    # Calls from the shortcut

    @property
    def assembling(self) -> bool:
        """Whether fragments of a message wait for more."""
        return self._fragments is not None

    def deliver_returned(self, result: object) -> None:
        """Report what `deliver` returned."""
        self._events.deliver_returned(result)

    def deliver_failed(self, error: BaseException) -> None:
        """Report what `deliver` raised."""
        self._events.deliver_failed(error)

    def ponged(self) -> None:
        """Report a pong."""
        self._events.ponged()

    def not_utf8(self) -> None:
        """Fail the link over a text."""
        self._fail(ProtocolViolation(1007, NOT_UTF8))

    def batch_delivered(self) -> None:
        """Report the end of a read."""
        self._events.batch_delivered()

    # Calls from the logger

    def broken(self, code: int, reason: str) -> None:
        """Take the news that picows found a violation; what it has parsed before it still delivers now."""
        self.deaf = True
        self.native.underlying_transport.pause_reading()
        violation = MessageTooBig(self.max_size) if code == 1009 else ProtocolViolation(code, reason)
        self._loop.call_soon(self._give_up, violation)
        # picows puts the same into a future, and asyncio logs an exception that nobody looks at.
        self._loop.create_task(self.native.wait_disconnected()).add_done_callback(_look_at)

    def crashed(self, error: BaseException | None) -> None:
        """Report a mistake in this program, which picows would log."""
        self._loop.call_exception_handler({"message": "error in a callback of picows", "exception": error})

    # Beneath

    def _assemble(self, kind: picows.WSMsgType, frame: picows.WSFrame) -> None:
        """Take one fragment of a message that comes in several: RFC 6455, section 5.4."""
        if (kind is _CONTINUATION) is (self._fragments is None):
            self._fail(ProtocolViolation(1002, "the peer sent fragments out of order"))
            return
        if self._fragments is None:
            self._fragments = bytearray()
            self._is_text = kind is _TEXT
        if len(self._fragments) + frame.payload_size > self.max_size:
            self._fail(MessageTooBig(self.max_size))
            return
        self._fragments += frame.get_payload_as_memoryview()
        if not frame.fin:
            return
        data = self._fragments
        self._fragments = None
        try:
            message: Message = data.decode() if self._is_text else bytes(data)
        except UnicodeDecodeError:
            self.not_utf8()
            return
        self._hand_over(message)

    def _hand_over(self, message: Message) -> None:
        try:
            result = self.deliver(message)
        except (Exception, asyncio.CancelledError) as error:
            self._events.deliver_failed(error)
        else:
            if result is not None:
                self._events.deliver_returned(result)

    def _peer_closed(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        """Answer the server's close frame with its code: RFC 6455, section 5.5.1."""
        received: Any = transport.close_handshake.recv
        code = int(received.code) if frame.payload_size else None
        if code is not None and not is_close_code(code):
            self._fail(ProtocolViolation(1002, f"the peer sent the close code {code}"))
            return
        unsent = self.buffered
        transport.send_close(1000 if code is None else code)  # type: ignore[arg-type]  # takes any integer
        self._leave()
        self._events.batch_delivered()
        self._finish(Closure(code=code, reason=received.reason or "", unsent_bytes=unsent, framed=True))

    def _fail(self, violation: ProtocolViolation) -> None:
        """Give up in the middle of a read, whose messages so far count as its last."""
        self._events.batch_delivered()
        self._give_up(violation)

    def _give_up(self, violation: ProtocolViolation) -> None:
        """Fail the link, as RFC 6455, section 7.1.7, has it: say why, then drop it."""
        if self._ended:
            return
        unsent = self.buffered
        self.native.send_close(violation.code, str(violation).encode()[:123])
        self._leave()
        self._finish(Closure(error=violation, unsent_bytes=unsent))

    def _leave(self) -> None:
        """Give the loop one turn to write what it can, then drop the socket: the peer may never read."""
        self.native.disconnect()
        self._loop.call_soon(self.native.disconnect, False)

    def _finish(self, closure: Closure) -> None:
        events = self._events
        self._end()
        events.closed(closure)

    def _end(self) -> None:
        self._ended = True
        self.deaf = True
        self._events = Ended(self._events)
        self.deliver = discard


class PicowsEngine(Engine):
    """Opens links with picows."""

    __slots__ = ()

    name = "picows"

    async def open(self, request: OpenRequest, events: LinkEvents) -> None:
        sock: socket.socket | None = None
        link: PicowsLink | None = None
        ear = Ear()

        secure = request.url.startswith("wss:")
        # picows alone can speak TLS to a proxy; the other kinds are dialled through.
        secure_proxy = request.proxy if (request.proxy or "").startswith("https:") else None
        dialled_proxy = None if secure_proxy else request.proxy

        async def connected_socket(target: WSParsedURL) -> socket.socket:
            # We dial ourselves to hold the socket: when it is cancelled, picows leaves it open.
            nonlocal sock
            sock = await dial(target.host, target.port, dialled_proxy)
            return sock

        def listener(_: picows.WSUpgradeRequest, response: picows.WSUpgradeResponse) -> PicowsLink:
            nonlocal link
            link = PicowsLink(events, request.max_size, _negotiated(request, response))
            ear.link = link
            return link

        failure: Exception | None = None
        try:
            await picows.ws_connect(
                listener,
                request.url,
                ssl_context=(request.ssl or default_ssl_context()) if secure else None,
                websocket_handshake_timeout=None,
                disconnect_on_exception=False,
                logger_name=ear,
                enable_auto_pong=False,
                max_frame_size=request.max_size,
                extra_headers=_handshake_headers(request),
                max_redirects=0,
                proxy=secure_proxy,
                proxy_ssl_context=request.ssl if secure_proxy else None,
                read_buffer_init_size=2048,
                socket_factory=connected_socket,
                # The loop's own transports take 5 KiB less for a link, and only in TLS are they slower.
                use_aiofastnet=secure,
            )
        except picows.WSHandshakeError as error:
            failure = _translated(error)
        except Exception as error:
            failure = error
            if secure_proxy and not isinstance(error, ssl.SSLError | HandshakeError):
                failure = ProxyFailed(f"the proxy failed: {error}")
        except asyncio.CancelledError:
            if link is not None:
                link.abort()
            if sock is not None:
                await _drop(sock)
            raise
        if link is None and failure is None:
            failure = HandshakeError("the connection ended before the server answered the handshake")
        if failure is not None:
            # Raised out here, an exception does not carry along that of picows, which may quote secrets.
            if sock is not None:
                await _drop(sock)
            raise failure


def _handshake_headers(request: OpenRequest) -> list[tuple[str, str]]:
    headers = list(request.headers)
    if request.subprotocols:
        headers.append(("Sec-WebSocket-Protocol", ", ".join(request.subprotocols)))
    return headers


def _negotiated(request: OpenRequest, response: picows.WSUpgradeResponse) -> str | None:
    """Return the subprotocol, having checked that the server chose only what we offered: RFC 6455, 4.1."""
    if "Sec-WebSocket-Extensions" in response.headers:
        raise HandshakeError("the server chose an extension that was not offered")
    chosen = response.headers.get("Sec-WebSocket-Protocol")
    if chosen is not None and chosen not in request.subprotocols:
        raise HandshakeError("the server chose a subprotocol that was not offered")
    return chosen


def _translated(error: picows.WSHandshakeError) -> HandshakeError:
    # Read here once more: picows takes a status unknown to Python's http.HTTPStatus for a malformed answer.
    head = read_head(error.raw_header or b"")
    if head is not None and head[0] != 101:
        return HandshakeRejected(*head, (error.raw_body or b"")[:BODY_EXCERPT])
    if isinstance(error, picows.WSInvalidHeaderError):
        return HandshakeError(f"the server's answer has a wrong or no {error.name} header")
    return HandshakeError("the server's answer is not a valid HTTP/1.1 response")


async def _drop(sock: socket.socket) -> None:
    """End the transport of an unfinished handshake, which picows does not hand out, through its socket."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:  # closed already, or by the peer
        pass
    # The transport sees the end of file, and closes the socket a few turns of the loop later.
    for _ in range(20):
        if sock.fileno() == -1:
            return
        await asyncio.sleep(0)
