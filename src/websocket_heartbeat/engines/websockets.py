"""The default engine: the handshake by websockets' Sans-I/O protocol, and our own wire for what follows."""

import asyncio
import ssl
from typing import Any

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHeader, NegotiationError
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from websocket_heartbeat.engines.answer import BODY_EXCERPT, MAX_HEAD, read_head
from websocket_heartbeat.engines.base import Engine, LinkEvents, OpenRequest
from websocket_heartbeat.engines.dial import dial
from websocket_heartbeat.engines.sansio import CLIENT_DEFLATE, SILENT
from websocket_heartbeat.engines.transport import default_ssl_context
from websocket_heartbeat.engines.wire_client import ClientLink
from websocket_heartbeat.errors import HandshakeError, HandshakeRejected

try:
    import aiofastnet
except ImportError:
    aiofastnet = None


class _Opening(asyncio.Protocol):
    """The handshake on one transport; gone when the link is open."""

    def __init__(self, events: LinkEvents, request: OpenRequest, protocol: ClientProtocol) -> None:
        self.link: ClientLink | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._events = events
        self._request = request
        self._protocol = protocol
        self._head = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(b"".join(self._protocol.data_to_send()))

    def data_received(self, data: bytes) -> None:
        if self.done.done():
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end >= 0 or len(self._head) > MAX_HEAD:
            error = self._judge(end)
            if error is not None:
                self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(HandshakeError("the connection ended before the server answered the handshake"))

    def _fail(self, error: HandshakeError) -> None:
        if not self.done.done():
            self.done.set_exception(error)
        self.drop()

    def _judge(self, end: int) -> HandshakeError | None:
        """Judge the answer to the handshake, of which websockets would await the body too."""
        head = read_head(self._head[:end])
        if end < 0 or end > MAX_HEAD or head is None:
            return HandshakeError("the server's answer is not a valid HTTP/1.1 response")
        status, headers = head
        if status != 101:
            return HandshakeRejected(status, headers, self._head[end + 4 :][:BODY_EXCERPT])
        protocol = self._protocol
        protocol.receive_data(self._head[: end + 4])
        problem = protocol.handshake_exc
        if isinstance(problem, NegotiationError):
            return HandshakeError("the server chose a subprotocol or an extension not offered")
        if isinstance(problem, InvalidHeader):
            return HandshakeError(f"the server's answer has a wrong or no {problem.name} header")
        if problem is not None:
            return HandshakeError("the server's answer is not a valid HTTP/1.1 response")
        protocol.events_received()
        self.done.set_result(None)
        self.link = ClientLink(
            self._events, self._request.max_size, protocol.subprotocol, protocol.extensions
        )
        self.link.response_headers = tuple(headers)
        self.link.begin(self._transport, self._head[end + 4 :])
        return None

    def drop(self) -> None:
        """Drop the transport, unless it has become a link: that is the client's."""
        if self.link is None and self._transport is not None:
            self._transport.abort()


class WebsocketsEngine(Engine):
    """Opens links with websockets."""

    name = "websockets"
    compresses = True

    async def open(self, request: OpenRequest, events: LinkEvents) -> None:
        uri = parse_uri(request.url)
        protocol = ClientProtocol(
            uri,
            extensions=CLIENT_DEFLATE if request.compression else None,
            subprotocols=[Subprotocol(name) for name in request.subprotocols] or None,
            max_size=request.max_size,
            logger=SILENT,
        )
        handshake = protocol.connect()
        for name, value in request.headers:
            if name.lower() == "host":
                del handshake.headers["Host"]
            handshake.headers[name] = value
        protocol.send_request(handshake)

        sock = await dial(uri.host, uri.port, request.proxy)
        opening = _Opening(events, request, protocol)
        try:
            await _connect(
                opening, sock, (request.ssl or default_ssl_context()) if uri.secure else None, uri.host
            )
            await opening.done
        except BaseException:
            opening.drop()
            if not opening.done.cancel() and not opening.done.cancelled():
                opening.done.exception()  # looked at, asyncio does not log it
            raise


async def _connect(opening: _Opening, sock: Any, context: ssl.SSLContext | None, host: str) -> None:
    loop = asyncio.get_running_loop()
    server_hostname = host if context is not None else None
    if context is not None and aiofastnet is not None:
        await aiofastnet.create_connection(
            loop, lambda: opening, sock=sock, ssl=context, server_hostname=server_hostname
        )
    else:
        await loop.create_connection(lambda: opening, sock=sock, ssl=context, server_hostname=server_hostname)
