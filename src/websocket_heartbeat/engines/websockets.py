"""The engine over websockets, whose protocol without I/O runs here in a transport of ours.

websockets' own connection waits for drain() where it must not: before it pings and before it closes.
"""

import asyncio
import logging

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHeader, NegotiationError, PayloadTooBig, ProtocolError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from websocket_heartbeat.engines.answer import BODY_EXCERPT, MAX_HEAD, read_head
from websocket_heartbeat.engines.base import Engine, LinkEvents, OpenRequest
from websocket_heartbeat.engines.dial import dial
from websocket_heartbeat.engines.transport import NOT_UTF8, TransportLink, default_ssl_context
from websocket_heartbeat.errors import HandshakeError, HandshakeRejected
from websocket_heartbeat.events import Message

_SILENT = logging.Logger("websockets", logging.CRITICAL + 1)
"""Writes nothing: the lines of websockets hold URLs and headers."""

_NO_STATUS = 1005


class WebsocketsLink(TransportLink):
    """One WebSocket of websockets; `native` is its ClientProtocol."""

    def __init__(self, events: LinkEvents, max_size: int, protocol: ClientProtocol) -> None:
        super().__init__(events, max_size)
        self.native = protocol
        self.opening: asyncio.Future[None] | None = self._loop.create_future()
        self._protocol = protocol
        self._head = b""
        self._fragments: bytearray | None = None
        self._is_text = False

    def send(self, message: Message) -> None:
        if self._ended or self._protocol.state is not State.OPEN:
            return
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)
        self._write()

    def ping(self) -> None:
        if not self._ended and self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"")
            self._write()

    def _write_close(self, code: int, reason: str) -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
        self._write()

    def begin(self) -> None:
        """Send the handshake, on the transport that is there now."""
        self._write()

    # Calls from the transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail_opening(HandshakeError("the connection ended before the server answered the handshake"))
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._stamp()
        if self._ended:
            return
        if self.opening is None:
            self._feed(data)
        elif not self.opening.cancelled():
            self._head += data
            self._read_answer()

    def _read_answer(self) -> None:
        """Judge the answer to the handshake, of which websockets would await the body too."""
        end = self._head.find(b"\r\n\r\n")
        if end < 0 and len(self._head) <= MAX_HEAD:
            return
        head = read_head(self._head[:end])
        if end < 0 or end > MAX_HEAD or head is None:
            self._fail_opening(HandshakeError("the server's answer is not a valid HTTP/1.1 response"))
            return
        status, headers = head
        if status != 101:
            body = self._head[end + 4 :][:BODY_EXCERPT]
            self._fail_opening(HandshakeRejected(status, headers, body))
            return
        self._protocol.receive_data(self._head[: end + 4])
        problem = self._protocol.handshake_exc
        if isinstance(problem, NegotiationError):
            self._fail_opening(HandshakeError("the server chose a subprotocol or an extension not offered"))
        elif isinstance(problem, InvalidHeader):
            self._fail_opening(HandshakeError(f"the server's answer has a wrong or no {problem.name} header"))
        elif problem is not None:
            self._fail_opening(HandshakeError("the server's answer is not a valid HTTP/1.1 response"))
        else:
            rest = self._head[end + 4 :]
            self._head = b""
            self._open(headers)
            self._feed(rest)

    # Beneath

    def _open(self, headers: list[tuple[str, str]]) -> None:
        assert self.opening is not None
        self.response_headers = tuple(headers)
        self.subprotocol = self._protocol.subprotocol
        self._protocol.events_received()
        self.opening.set_result(None)
        self.opening = None
        self._events.opened(self)

    def _fail_opening(self, error: HandshakeError) -> None:
        if self.opening is not None:
            if not self.opening.done():  # it was cancelled
                self.opening.set_exception(error)
            self.opening = None
            self.abort()

    def _feed(self, data: bytes) -> None:
        protocol = self._protocol
        protocol.receive_data(data)
        frames = protocol.events_received()
        closed = protocol.close_rcvd
        problem = protocol.parser_exc if closed is None else None
        # A peer that pings and does not read must not fill our memory: RFC 6455 5.5.3 lets us skip some.
        answers = b"".join(protocol.data_to_send())
        if answers and self._transport is not None and (not self._full or closed or problem):
            self._transport.write(answers)
        for frame in frames:
            assert isinstance(frame, Frame)
            self._take(frame)
            if self._ended:
                return
        if frames:
            self._events.batch_delivered()
        if closed is not None:
            self._peer_closed(None if closed.code == _NO_STATUS else closed.code, closed.reason)
        elif problem is not None:
            self._give_up(*_violation(problem))

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PONG:
            self._events.ponged()
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if frame.opcode is not Opcode.CONT:
                self._is_text = frame.opcode is Opcode.TEXT
            data = bytes(frame.data)
            if not frame.fin or self._fragments is not None:
                if self._fragments is None:
                    self._fragments = bytearray()
                self._fragments += data
                if not frame.fin:
                    return
                data = bytes(self._fragments)
                self._fragments = None
            try:
                message: Message = data.decode() if self._is_text else data
            except UnicodeDecodeError:
                self._events.batch_delivered()
                self._give_up(1007, NOT_UTF8)
                return
            self._hand_over(message)

    def _write(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data and self._transport is not None:
            self._transport.write(data)


def _violation(problem: Exception) -> tuple[int, str]:
    """Return the close code for what websockets found wrong, and the reason in words."""
    if isinstance(problem, PayloadTooBig):
        return 1009, "message too big"
    if isinstance(problem, UnicodeDecodeError):
        return 1007, "the peer sent a close reason that is not UTF-8"
    return 1002, str(problem) if isinstance(problem, ProtocolError) else "the peer broke RFC 6455"


class WebsocketsEngine(Engine):
    """Opens links with websockets.

    compression: whether to offer permessage-deflate (RFC 7692), which saves bytes and costs time and memory.
    """

    name = "websockets"

    def __init__(self, compression: bool = False) -> None:
        self._extensions = (
            # As websockets' own connection has it: a window of 32 KiB, less memory than zlib's default.
            [ClientPerMessageDeflateFactory(compress_settings={"memLevel": 5})] if compression else None
        )

    async def open(self, request: OpenRequest, events: LinkEvents) -> None:
        uri = parse_uri(request.url)
        protocol = ClientProtocol(
            uri,
            extensions=self._extensions,
            subprotocols=[Subprotocol(name) for name in request.subprotocols] or None,
            max_size=request.max_size,
            logger=_SILENT,
        )
        handshake = protocol.connect()
        for name, value in request.headers:
            if name.lower() == "host":
                del handshake.headers["Host"]
            handshake.headers[name] = value
        protocol.send_request(handshake)

        loop = asyncio.get_running_loop()
        sock = await dial(uri.host, uri.port, request.proxy)
        link = WebsocketsLink(events, request.max_size, protocol)
        opening = link.opening
        assert opening is not None
        try:
            await loop.create_connection(
                lambda: link,
                sock=sock,
                ssl=(request.ssl or default_ssl_context()) if uri.secure else None,
                server_hostname=uri.host if uri.secure else None,
            )
            link.begin()
            await opening
        except BaseException:
            link.abort()
            if not opening.cancel() and not opening.cancelled():
                opening.exception()  # looked at, asyncio does not log it
            raise
