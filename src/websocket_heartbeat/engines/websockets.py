"""The default engine: the handshake by websockets' Sans-I/O protocol, and our own wire for what follows."""

import asyncio
import ssl
from collections.abc import Collection
from contextlib import suppress

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHeader, NegotiationError
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from websocket_heartbeat.engines.answer import BODY_EXCERPT, HeadReader, may_be_answer, read_head
from websocket_heartbeat.engines.base import Engine, LinkEvents, OpenRequest
from websocket_heartbeat.engines.dial import dial
from websocket_heartbeat.engines.sansio import CLIENT_DEFLATE, SILENT
from websocket_heartbeat.engines.wire_client import ClientLink
from websocket_heartbeat.errors import HandshakeError, HandshakeRejected

__all__ = ["WebsocketsEngine"]


class _Opening(HeadReader):
    """The handshake on one transport. done: when its link is open."""

    def __init__(self, events: LinkEvents, request: OpenRequest, protocol: ClientProtocol) -> None:
        super().__init__()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._events = events
        self._request = request
        self._protocol = protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(b"".join(self._protocol.data_to_send()))

    def connection_lost(self, exc: Exception | None) -> None:
        # A server that refuses our certificate says so only when TLS 1.3 is done for us.
        self._fail(
            exc
            if isinstance(exc, ssl.SSLError)
            else HandshakeError("the connection ended before the server answered the handshake")
        )

    def may_be_head(self, come: bytes) -> bool:
        return may_be_answer(come)

    def not_http(self) -> None:
        self._fail(_not_http())

    def head_too_long(self) -> None:
        self._fail(_not_http())

    def head_read(self, head: bytes, rest: bytes) -> None:
        answer = read_head(head)
        if answer is None:
            self._fail(_not_http())
            return
        status, headers = answer
        if status != 101:  # of which websockets would await the body
            self._fail(HandshakeRejected(status, headers, rest[:BODY_EXCERPT]))
            return
        protocol = self._protocol
        protocol.receive_data(head)
        if protocol.handshake_exc is not None:
            self._fail(_in_words(protocol.handshake_exc))
            return
        try:
            self.done.set_result(None)
        except asyncio.InvalidStateError:  # cancelled: by a signal, as asyncio.run's is, even in this call
            return
        link = ClientLink(self._events, self._request.max_size, protocol.subprotocol, protocol.extensions)
        link.response_headers = tuple(headers)
        self.link = link
        link.begin(self.transport, rest)

    def _fail(self, error: HandshakeError | ssl.SSLError) -> None:
        with suppress(asyncio.InvalidStateError):  # cancelled
            self.done.set_exception(error)
        self.drop()

    def drop(self) -> None:
        """Drop the transport, unless it has become a link: that is the client's."""
        if self.link is None and self.transport is not None:
            self.transport.abort()


def _not_http() -> HandshakeError:
    return HandshakeError("the server's answer is not a valid HTTP/1.1 response")


def _in_words(problem: Exception) -> HandshakeError:
    """Return what websockets found wrong with the answer, in words that quote nothing of it."""
    if isinstance(problem, NegotiationError):
        return HandshakeError("the server chose a subprotocol or an extension not offered")
    if isinstance(problem, InvalidHeader):
        return HandshakeError(f"the server's answer has a wrong or no {problem.name} header")
    return _not_http()


class WebsocketsEngine(Engine):
    """Opens links with websockets."""

    name = "websockets"
    supports: Collection[str] = ("compression", "unix_path", "local_addr", "server_hostname")

    async def open(self, request: OpenRequest, events: LinkEvents) -> None:
        protocol = ClientProtocol(
            parse_uri(request.url),
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
        if request.user_agent is not None:
            handshake.headers.setdefault("User-Agent", request.user_agent)
        protocol.send_request(handshake)

        opening = _Opening(events, request, protocol)
        try:
            await dial(opening, request)
            await opening.done
        except BaseException:
            opening.drop()
            if not opening.done.cancel() and not opening.done.cancelled():
                opening.done.exception()  # looked at, asyncio does not log it
            raise
