"""The engine over picows: RFC 6455 in Cython, the fastest there is.

What picows leaves to its user is done here: fragments are assembled, sizes limited, reserved bits refused,
pings answered, close frames echoed, and the error that broke a link is kept.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import picows
from picows.url import WSParsedURL
from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError

from websocket_heartbeat.engines.base import (
    WRITE_LIMIT,
    Closure,
    Engine,
    Link,
    LinkEvents,
    OpenRequest,
)
from websocket_heartbeat.engines.dial import dial
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

_BODY_EXCERPT = 1024


class _SilentLogger(logging.LoggerAdapter[logging.Logger]):
    """Keeps picows from logging: its lines hold URLs and headers, and a logger of its own for every link."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  # the standard library's name
        """Nothing is."""
        return False


_SILENT = _SilentLogger(logging.getLogger("picows"), {})


@cache
def _default_ssl_context() -> ssl.SSLContext:
    """One for all links: it holds the certificates of every authority, and takes 10 ms to make."""
    return ssl.create_default_context()


def _discard(message: Message) -> None:
    """Takes what still comes after the end."""


class _Tap(asyncio.BufferedProtocol):
    """Stands between transport and picows, which forgets why a connection was lost, and keeps it.

    The calls of the read path go straight to picows: they are its own bound methods.
    """

    __slots__ = ("_inner", "_loop", "buffer_updated", "eof_received", "error", "get_buffer", "heard_at")

    # Slots of the same names take the place of the inherited methods.
    get_buffer: Any
    buffer_updated: Any
    eof_received: Any

    def __init__(self, inner: Any, loop: asyncio.AbstractEventLoop, stamp: bool) -> None:
        self._inner = inner
        self._loop = loop
        self.error: Exception | None = None
        self.heard_at = loop.time()
        self.get_buffer = inner.get_buffer
        self.buffer_updated = self._stamp if stamp else inner.buffer_updated
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


class PicowsLink(picows.WSListener, Link):
    """One open WebSocket of picows, and the listener that picows calls about it."""

    __slots__ = (
        "__weakref__",
        "_ended",
        "_events",
        "_fragment_size",
        "_fragments",
        "_full",
        "_is_text",
        "_loop",
        "_max_size",
        "_tap",
        "_violation",
        "_we_closed",
        "deliver",
        "native",
        "response_headers",
        "socket",
        "subprotocol",
    )

    def __init__(self, events: LinkEvents, max_size: int, response: Any, subprotocol: str | None) -> None:
        self._events = events
        self._max_size = max_size
        self._loop = asyncio.get_running_loop()
        self._fragments: list[bytes] | None = None
        self._fragment_size = 0
        self._is_text = False
        self._full = False
        self._ended = False
        self._we_closed = False
        self._violation: ProtocolViolation | None = None
        self._tap: _Tap | None = None
        self.deliver: Callable[[Message], Any] = _discard
        self.native: Any = None
        self.socket: Socket | None = None
        self.subprotocol = subprotocol
        self.response_headers: Sequence[tuple[str, str]] = tuple(response.headers.items())

    # Calls from the client

    def send(self, message: Message) -> None:
        self.native.send(_TEXT if type(message) is str else _BINARY, message)

    def ping(self) -> None:
        self._notice_own_failure()
        self.native.send_ping()

    def close(self, code: int, reason: str) -> None:
        self._we_closed = True
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
    def buffered(self) -> int:
        size: int = self.native.underlying_transport.get_write_buffer_size()
        return size

    @property
    def full(self) -> bool:
        return self._full

    @property
    def heard_at(self) -> float:
        self._notice_own_failure()
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
        self._tap = _Tap(beneath.get_protocol(), self._loop, stamp=since_data(self.socket) is None)
        beneath.set_protocol(self._tap)
        beneath.set_write_buffer_limits(high=WRITE_LIMIT)
        self._events.opened(self)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._violate(1002, "the server set a reserved bit without having negotiated an extension")
            return
        kind = frame.msg_type
        if (kind == _TEXT or kind == _BINARY) and frame.fin and self._fragments is None:  # noqa: SIM109  # faster
            try:
                message: Message = (
                    frame.get_payload_as_utf8_text() if kind == _TEXT else frame.get_payload_as_bytes()
                )
            except UnicodeDecodeError:
                self._violate(1007, "the server sent text that is not UTF-8")
                return
            try:
                self.deliver(message)
            except Exception as error:
                self._events.deliver_failed(error)
        elif kind == _PING:
            # A peer that pings and does not read must not fill our memory: RFC 6455 5.5.3 lets us skip some.
            if not self._full:
                transport.send_pong(frame.get_payload_as_bytes())
        elif kind == _PONG:
            self._events.ponged()
        elif kind == _CLOSE:
            self._peer_closed(transport)
            return
        else:
            self._assemble(kind, frame)
        if frame.last_in_buffer:
            self._events.batch_delivered()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        if self._ended:
            return
        events = self._events
        self._end()
        error = self._tap.error if self._tap is not None else None
        events.closed(Closure(error=self._own_failure() or error))

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        if not self._ended:
            self._events.writable()

    # Beneath

    def _assemble(self, kind: picows.WSMsgType, frame: picows.WSFrame) -> None:
        """Take one fragment of a message that comes in several: RFC 6455, section 5.4."""
        if (kind == _CONTINUATION) is (self._fragments is None):
            self._violate(1002, "the server sent fragments out of order")
            return
        if self._fragments is None:
            self._fragments = []
            self._fragment_size = 0
            self._is_text = kind == _TEXT
        self._fragments.append(frame.get_payload_as_bytes())
        self._fragment_size += frame.payload_size
        if self._fragment_size > self._max_size:
            self._fail(MessageTooBig(self._max_size))
            return
        if not frame.fin:
            return
        data = b"".join(self._fragments)
        self._fragments = None
        try:
            message: Message = data.decode() if self._is_text else data
        except UnicodeDecodeError:
            self._violate(1007, "the server sent text that is not UTF-8")
            return
        try:
            self.deliver(message)
        except Exception as error:
            self._events.deliver_failed(error)

    def _peer_closed(self, transport: picows.WSTransport) -> None:
        if self._ended:
            return
        received: Any = transport.close_handshake.recv
        code = int(received.code) or None
        unsent = self.buffered
        if not self._we_closed:
            transport.send_close(received.code)
        # With an empty buffer this lets the echo out; behind a full one it would wait for the peer, for ever.
        transport.disconnect(graceful=not unsent)
        events = self._events
        self._end()
        events.batch_delivered()
        events.closed(Closure(code=code, reason=received.reason or "", unsent_bytes=unsent))

    def _violate(self, code: int, reason: str) -> None:
        self._fail(ProtocolViolation(code, reason))

    def _fail(self, violation: ProtocolViolation) -> None:
        """Fail the link, as RFC 6455, section 7.1.7, has it: say why, then drop it."""
        if self._ended:
            return
        unsent = self.buffered
        self.native.send_close(violation.code, str(violation).encode()[:123])
        self.native.disconnect(graceful=not unsent)
        events = self._events
        self._end()
        events.batch_delivered()
        events.closed(Closure(error=violation, unsent_bytes=unsent))

    def _own_failure(self) -> ProtocolViolation | None:
        """Return what picows itself found wrong with the peer, which it tells nobody but the peer."""
        handshake = self.native.close_handshake
        if self._we_closed or handshake is None or handshake.sent is None:
            return None
        code = int(handshake.sent.code)
        if code == 1009:
            return MessageTooBig(self._max_size)
        return ProtocolViolation(code, handshake.sent.reason or "the server broke RFC 6455")

    def _notice_own_failure(self) -> None:
        """End a link that picows has given up: its farewell may wait behind a full buffer for ever."""
        violation = None if self._ended else self._own_failure()
        if violation is not None:
            events = self._events
            self.abort()
            events.closed(Closure(error=violation))

    def _end(self) -> None:
        self._ended = True
        self.deliver = _discard


class PicowsEngine(Engine):
    """Opens links with picows."""

    name = "picows"

    async def open(self, request: OpenRequest, events: LinkEvents) -> None:
        sock: socket.socket | None = None

        async def connected_socket(target: WSParsedURL) -> socket.socket:
            # We dial ourselves to hold the socket: cancelled in mid-handshake, picows would leave it open.
            nonlocal sock
            try:
                sock = await dial(target.host, target.port)
            except OSError as error:
                if request.proxy is not None:
                    raise ProxyFailed(f"the proxy cannot be reached: {error}") from error
                raise
            return sock

        def listener(_: picows.WSUpgradeRequest, response: picows.WSUpgradeResponse) -> PicowsLink:
            return PicowsLink(events, request.max_size, response, _negotiated(request, response))

        try:
            _, link = await picows.ws_connect(
                listener,
                request.url,
                ssl_context=request.ssl or (_default_ssl_context() if request.url[:4] == "wss:" else None),
                websocket_handshake_timeout=None,
                disconnect_on_exception=False,
                logger_name=_SILENT,
                enable_auto_pong=False,
                max_frame_size=request.max_size,
                extra_headers=_handshake_headers(request),
                max_redirects=0,
                proxy=request.proxy,
                read_buffer_init_size=2048,
                socket_factory=connected_socket,
            )
        except picows.WSHandshakeError as error:
            raise _translated(error) from None
        except (ProxyError, ProxyConnectionError, ProxyTimeoutError) as error:
            raise ProxyFailed(str(error)) from None
        except asyncio.CancelledError:
            if sock is not None:
                await _drop(sock)
            raise
        if link is None:
            raise HandshakeError("the connection ended before the server answered the handshake")


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
    if error.response is not None and error.response.status != 101:
        return HandshakeRejected(
            int(error.response.status),
            tuple(error.response.headers.items()),
            (error.raw_body or b"")[:_BODY_EXCERPT],
        )
    # picows takes a status that Python's http.HTTPStatus does not list for a malformed answer.
    words = (error.raw_header or b"").split(b"\r\n", 1)[0].split(b" ", 2)
    if len(words) > 1 and words[0] == b"HTTP/1.1" and words[1].isdigit() and words[1] != b"101":
        return HandshakeRejected(int(words[1]), (), (error.raw_body or b"")[:_BODY_EXCERPT])
    if isinstance(error, picows.WSInvalidHeaderError):
        return HandshakeError(f"the server's answer has a wrong or no {error.name} header")
    return HandshakeError("the server's answer is not a valid HTTP/1.1 response")


async def _drop(sock: socket.socket) -> None:
    """End the transport of an unfinished handshake, which picows does not hand out, through its socket."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:  # closed already
        return
    # The transport sees the end of file in one turn of the loop and closes the socket in the next.
    for _ in range(3):
        await asyncio.sleep(0)
