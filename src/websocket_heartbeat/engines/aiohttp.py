"""The engine over aiohttp, for programs that use its sessions: cookies, connectors, traces.

The session makes the request; frames are read and written by the reader and writer that lie beneath aiohttp's
`ws_connect`. That itself follows redirects, needs a task for every link and waits up to 10 s to close it.
"""

import asyncio
import base64
import hashlib
import os
import random
import ssl
import sys
from collections.abc import Collection, Sequence
from typing import Any

import aiohttp
import yarl
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.hdrs import USER_AGENT
from aiohttp.http import WS_KEY, WebSocketReader, WebSocketWriter
from multidict import CIMultiDict

from websocket_heartbeat.checks import is_close_code
from websocket_heartbeat.engines.answer import BODY_EXCERPT
from websocket_heartbeat.engines.base import Closure, Engine, LinkEvents, OpenRequest
from websocket_heartbeat.engines.transport import TransportLink, default_ssl_context
from websocket_heartbeat.errors import (
    HandshakeError,
    HandshakeRejected,
    MessageTooBig,
    ProtocolViolation,
    ProxyFailed,
    ProxyNotSupported,
)
from websocket_heartbeat.events import Message
from websocket_heartbeat.redaction import printable

if tuple(int(part) for part in aiohttp.__version__.split(".")[:3] if part.isdigit()) < (3, 14, 1):
    # Before, its reader buffers a frame above the limit whole, and its parser headers without end.
    raise ImportError("aiohttp 3.14.1 or newer is needed")

__all__ = ["AiohttpEngine"]

_TEXT = aiohttp.WSMsgType.TEXT
_BINARY = aiohttp.WSMsgType.BINARY
_PING = aiohttp.WSMsgType.PING
_PONG = aiohttp.WSMsgType.PONG
_CLOSE = aiohttp.WSMsgType.CLOSE

_SUPPORTS = ("unix_path", "local_addr", "server_hostname")

_UNPREDICTABLE = random.SystemRandom()
"""Makes masks (RFC 6455, section 5.3); aiohttp's own generator is the same in a forked process."""

_LOST = "the connection ended before the server answered the handshake"


class _Inbox(WebSocketDataQueue):
    """Where aiohttp's reader puts what it has read: no queue, as each frame is handed on at once."""

    link: "AiohttpLink"

    def feed_data(self, data: Any, size: int) -> None:
        self.link.take(data.type, data.data, data.extra)

    def set_exception(self, exc: BaseException, exc_cause: object = None) -> None:
        self.link.refused(exc)


class _Tail:
    """Takes from aiohttp's connection what it has read behind the answer to the handshake."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """Nothing more comes."""


class AiohttpLink(TransportLink, asyncio.Protocol):
    """One WebSocket of aiohttp; `native` is the ClientResponse of its handshake."""

    def __init__(
        self, events: LinkEvents, max_size: int, response: aiohttp.ClientResponse, subprotocol: str | None
    ) -> None:
        super().__init__(events, max_size, subprotocol)
        connection = response.connection
        transport = connection.transport if connection is not None else None
        if connection is None or transport is None or connection.protocol is None:
            raise HandshakeError(_LOST)
        self.native = response
        self.response_headers: Sequence[tuple[str, str]] = _pairs(response)
        self._handler = connection.protocol
        # asyncio's transport for TLS does not say when the one beneath it, which logs, is closing.
        self._beneath = getattr(getattr(transport, "_ssl_protocol", None), "_transport", transport)
        self._frames = 0
        self._farewell: tuple[int | None, str] | None = None
        self._violation: ProtocolViolation | None = None
        inbox = _Inbox(self._handler, sys.maxsize >> 40, loop=self._loop)
        inbox.link = self
        # The limit of aiohttp's reader is the least size that it refuses.
        self._reader = WebSocketReader(inbox, max_size + 1, compress=False, decode_text=True)
        # Its writer awaits room in the transport above its limit: with this one it never does.
        self._writer = WebSocketWriter(
            self._handler, transport, use_mask=True, limit=sys.maxsize, random=_UNPREDICTABLE
        )
        self._tail = _Tail()
        self._handler.set_parser(self._tail, self._tail)
        self._take_over(transport)

    def begin(self) -> None:
        """Report that the link is open, and what came with the answer."""
        self._events.opened(self)
        if self._tail.data:
            self.data_received(self._tail.data)

    def send(self, message: Message) -> None:
        if isinstance(message, str):
            self._write(message.encode(), _TEXT)
        else:
            self._write(message, _BINARY)

    def ping(self) -> None:
        self._write(b"", _PING)

    def _write_close(self, payload: bytes) -> None:
        self._frame(payload, _CLOSE)

    def _write(self, payload: bytes, kind: aiohttp.WSMsgType) -> None:
        if self._sends:
            self._frame(payload, kind)
        else:
            self._came_too_late(payload)

    def _frame(self, payload: bytes, kind: aiohttp.WSMsgType) -> None:
        if self._transport.is_closing() or self._beneath.is_closing():  # it would log what is written to it
            self._came_too_late(payload)
            return
        self._sent_at = self._loop.time()
        size = len(payload)
        self._written += size + (6 if size < 126 else 8 if size < 65536 else 14)
        try:
            # Runs to its end: without compression and below its limit there is nothing to wait for.
            self._writer.send_frame(payload, kind).send(None)
        except StopIteration:
            pass

    # Calls from the transport

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        if self._ended:
            return
        self._frames = 0
        self._reader.feed_data(data)
        if self._frames:
            self._events.batch_delivered()
        if self._farewell is not None:
            code, reason = self._farewell
            if code is None or is_close_code(code):
                self._peer_closed(Closure(code=code, reason=reason, framed=True))
            else:
                self._give_up(ProtocolViolation(1002, f"the peer sent the close code {code}"))
        elif self._violation is not None:
            self._give_up(self._violation)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._handler.connection_lost(exc)

    # Calls from the inbox

    def take(self, kind: aiohttp.WSMsgType, data: Any, extra: str | None) -> None:
        """Take one message or control frame; behind a close frame the reader goes on, but nothing counts."""
        if self._farewell is not None or self._ended:
            return
        self._frames += 1
        if kind is _TEXT or kind is _BINARY:
            self._hand_over(data)
        elif kind is _PONG:
            self._events.ponged()
        elif kind is _PING:
            # A peer that pings and does not read must not fill our memory: RFC 6455 5.5.3 lets us skip some.
            if not self.full:
                self._write(bytes(data), _PONG)
        elif kind is _CLOSE:
            self._farewell = (data or None, extra or "")

    def refused(self, problem: BaseException) -> None:
        """Take the news that the reader has stopped at a violation."""
        code = int(problem.code) if isinstance(problem, aiohttp.WebSocketError) else 1002
        if code == 1009:
            self._violation = MessageTooBig(self._max_size)
        else:
            self._violation = ProtocolViolation(code, printable(str(problem)))

    def _end(self) -> None:
        super()._end()
        # Gives its place among the connections of the session back.
        self.native.close()


class AiohttpEngine(Engine):
    """Opens links with aiohttp.

    session: the ClientSession to use, with its cookies, connector and traces; None for one of our own. Where
    connections lead to and come from is then a matter of its connector, not of the options of `connect`.
    """

    name = "aiohttp"

    def __init__(self, session: aiohttp.ClientSession | None = None) -> None:
        self._session = session
        self.supports: Collection[str] = ("server_hostname",) if session is not None else _SUPPORTS

    async def open(self, request: OpenRequest, events: LinkEvents) -> None:
        if request.unix_path is not None and request.is_secure:
            raise ValueError("unix_path cannot be used for wss with engine 'aiohttp': it does no TLS there")
        if request.proxy is not None:
            scheme = request.proxy.partition(":")[0]
            if scheme not in ("http", "https"):
                raise ProxyNotSupported(f"this engine cannot use a proxy of scheme {scheme}")
            if not request.is_secure:
                # aiohttp would send the proxy the request itself, as for a page, and not ask it to CONNECT.
                raise ProxyNotSupported("this engine can use a proxy for wss only")
        key = base64.b64encode(os.urandom(16))
        session = self._session_for(request)
        response: aiohttp.ClientResponse | None = None
        link: AiohttpLink | None = None
        failure: Exception | None = None
        try:
            response = await session.get(
                yarl.URL(request.url, encoded=True),
                headers=_handshake_headers(request, key.decode(), session),
                skip_auto_headers=(USER_AGENT,),
                allow_redirects=False,
                raise_for_status=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
                ssl=(request.ssl or default_ssl_context()) if request.is_secure else True,
                server_hostname=request.server_hostname,
                proxy=request.proxy,
                proxy_headers={USER_AGENT: request.user_agent} if request.user_agent is not None else None,
                read_until_eof=False,
                middlewares=(*session._middlewares, _once),
            )
            subprotocol = _negotiated(request, response, key)
            link = AiohttpLink(events, request.max_size, response, subprotocol)
            link.begin()
        except HandshakeError as error:
            failure = error
        except _Lost as lost:
            failure = _translated(lost.error, request)
        except (aiohttp.ClientError, OSError) as error:
            failure = _translated(error, request)
        finally:
            if link is None and response is not None:
                response.close()
            if session is not self._session:
                # Of our own session nothing is needed any more but the connection, which the link holds.
                session.detach()
        if failure is not None:
            # Raised out here, an exception does not carry along that of aiohttp, which quotes the URL; on
            # PyPy it would, without `from None`.
            raise failure from None

    def _session_for(self, request: OpenRequest) -> aiohttp.ClientSession:
        """Return the user's session, or one of our own, which is to be detached after the request."""
        if self._session is None:
            return _own_session(request)
        return _without_credentials(self._session) if request.is_foreign else self._session


class _Lost(Exception):
    """Says that a connection was lost, past what would have aiohttp make another one."""

    def __init__(self, error: aiohttp.ClientError) -> None:
        self.error = error


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Make the request over one TCP connection; aiohttp would try a second one."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Lost(error) from None


def _own_session(request: OpenRequest) -> aiohttp.ClientSession:
    connector: aiohttp.BaseConnector
    if request.unix_path is not None:
        connector = aiohttp.UnixConnector(request.unix_path, limit=0, force_close=True)
    else:
        connector = aiohttp.TCPConnector(
            limit=0,
            use_dns_cache=False,
            resolver=aiohttp.ThreadedResolver(),
            force_close=True,
            local_addr=request.local_addr,
        )
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


def _without_credentials(session: aiohttp.ClientSession) -> aiohttp.ClientSession:
    """Return a session over the same connector and cookies, whose jar knows where each belongs to.

    It has neither the default headers of the first nor its auth or middlewares, which add such.
    """
    other = aiohttp.ClientSession(
        connector=session.connector,
        connector_owner=False,
        cookie_jar=session.cookie_jar,
        trace_configs=session.trace_configs,
    )
    other._default_proxy = session._default_proxy
    other._default_proxy_auth = session._default_proxy_auth
    return other


def _handshake_headers(request: OpenRequest, key: str, session: aiohttp.ClientSession) -> CIMultiDict[str]:
    headers = CIMultiDict(request.headers)
    if request.user_agent is not None and USER_AGENT not in session.headers:
        headers.setdefault(USER_AGENT, request.user_agent)
    headers["Upgrade"] = "websocket"
    headers["Connection"] = "Upgrade"
    headers["Sec-WebSocket-Version"] = "13"
    headers["Sec-WebSocket-Key"] = key
    if request.subprotocols:
        headers["Sec-WebSocket-Protocol"] = ", ".join(request.subprotocols)
    return headers


def _negotiated(request: OpenRequest, response: aiohttp.ClientResponse, key: bytes) -> str | None:
    """Check the answer as RFC 6455, section 4.1, has it, and return the subprotocol."""
    if response.status != 101:
        body = response.content.read_nowait(BODY_EXCERPT)
        raise HandshakeRejected(response.status, _pairs(response), body)
    headers = response.headers
    accept = base64.b64encode(hashlib.sha1(key + WS_KEY).digest()).decode()
    for name, good in (
        ("Upgrade", headers.get("Upgrade", "").lower() == "websocket"),
        ("Connection", "upgrade" in headers.get("Connection", "").lower()),
        ("Sec-WebSocket-Accept", headers.get("Sec-WebSocket-Accept", "").strip() == accept),
    ):
        if not good:
            raise HandshakeError(f"the server's answer has a wrong or no {name} header")
    if "Sec-WebSocket-Extensions" in headers:
        raise HandshakeError("the server chose an extension that was not offered")
    chosen = headers.get("Sec-WebSocket-Protocol")
    if chosen is not None and chosen not in request.subprotocols:
        raise HandshakeError("the server chose a subprotocol that was not offered")
    return chosen


def _pairs(response: aiohttp.ClientResponse) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers)


def _translated(error: Exception, request: OpenRequest) -> Exception:
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return ProxyFailed(f"the proxy failed: {printable(str(error.os_error))}")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return ProxyFailed(f"the proxy failed: it answered CONNECT with HTTP status {error.status}")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        certificate_error = error.certificate_error
        return certificate_error if isinstance(certificate_error, OSError) else ssl.SSLError(str(error))
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error
    if isinstance(error.__cause__, ssl.SSLError):  # such as a certificate of ours that the server refuses
        return error.__cause__
    if request.proxy is not None:
        return ProxyFailed("the proxy failed: the connection ended, or its answer is not HTTP")
    if isinstance(error, aiohttp.ClientConnectionError):
        return HandshakeError(_LOST)
    return HandshakeError("the server's answer is not a valid HTTP/1.1 response")
