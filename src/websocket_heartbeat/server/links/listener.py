"""Our own listener: accepts connections, does TLS and the handshake, and makes links of who is let in.

It accepts by itself: the servers of asyncio and uvloop show nobody a connection before its TLS is done, nor
one that was accepted in this very turn of the loop, so either could outlive the server.
"""

import asyncio
import errno
import logging
import re
import socket
import ssl as ssl_module
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHeaderValue
from websockets.http11 import Request as HTTPRequest
from websockets.http11 import Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from websocket_heartbeat.engines.answer import HeadReader
from websocket_heartbeat.engines.base import LinkEvents
from websocket_heartbeat.engines.dial import accept
from websocket_heartbeat.engines.sansio import SERVER_DEFLATE, SILENT
from websocket_heartbeat.engines.wire_server import ServerLink
from websocket_heartbeat.server.admission import Refusal, Request
from websocket_heartbeat.system.kernel import end_by_reset

_logger = logging.getLogger("websocket_heartbeat.server")

Admit = Callable[[Request], LinkEvents | Refusal]
"""Decides about a handshake: returns how it is refused, or what takes the events of its link."""

_AT_ONCE = 100
"""Connections that are accepted before the loop has a turn for others; the kernel keeps as many waiting."""

_PAUSE = 1.0
"""Seconds until we try again to accept, where this machine has run out of means for another connection."""

_OUT_OF_MEANS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class Listener:
    """Listens, and hands over each client whose handshake is complete.

    admit: called with each well-formed HTTP request. open_timeout: seconds that TLS may take, and the
    request and its answer after it. max_size: of a message, in bytes. compression: whether permessage-deflate
    is agreed on. subprotocols: those spoken here, best first. ssl: for wss. handshakes: what was accepted and
    has become no link yet.
    """

    def __init__(
        self,
        admit: Admit,
        *,
        open_timeout: float,
        max_size: int,
        compression: bool,
        subprotocols: Sequence[str],
        ssl: ssl_module.SSLContext | None,
    ) -> None:
        self.admit = admit
        self.open_timeout = open_timeout
        self.max_size = max_size
        self.compression = compression
        self.subprotocols = [Subprotocol(name) for name in subprotocols]
        self.ssl = ssl
        self.handshakes: set[_Handshake] = set()
        self._sockets: list[socket.socket] = []
        self._acceptors: list[asyncio.Task[None]] = []  # where the loop cannot watch a socket

    @property
    def is_listening(self) -> bool:
        """Whether clients are let in."""
        return bool(self._sockets)

    async def listen(self, host: str, port: int) -> int:
        """Listen on every address of the host, with "" on all of this machine; return the port.

        Raises:
            OSError: one of them is taken, or this machine has none of them.
        """
        self._sockets = await _bind(host, port)
        for listening in self._sockets:
            self._watch(listening)
        bound: int = self._sockets[0].getsockname()[1]
        return bound

    def stop(self) -> None:
        """Accept nobody any more; whose handshake is under way is refused with 503."""
        for acceptor in self._acceptors:
            acceptor.cancel()
        self._acceptors.clear()
        for listening in self._sockets:
            _unwatch(listening)
            listening.close()
        self._sockets.clear()

    def abort(self) -> None:
        """Stop, and reset every connection that has become no link yet."""
        self.stop()
        for handshake in list(self.handshakes):
            handshake.abort()

    def _watch(self, listening: socket.socket) -> None:
        if listening not in self._sockets:  # closed since
            return
        loop = asyncio.get_running_loop()
        try:
            loop.add_reader(listening, self._accept_all, listening)
        except NotImplementedError:  # Windows' loop
            self._acceptors.append(loop.create_task(self._accept_each(listening)))

    def _accept_all(self, listening: socket.socket) -> None:
        """Accept whoever waits."""
        try:
            for _ in range(_AT_ONCE):
                _Handshake(self, listening.accept()[0])
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            pass
        except OSError as error:
            # It would stay readable, and call us again and again.
            _unwatch(listening)
            asyncio.get_running_loop().call_later(_pause_after(error), self._watch, listening)

    async def _accept_each(self, listening: socket.socket) -> None:
        """Accept one after the other."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listening)
            except OSError as error:
                await asyncio.sleep(_pause_after(error))
            else:
                _Handshake(self, sock)


class _Handshake(HeadReader):
    """One accepted connection, until it is a link or has ended."""

    def __init__(self, listener: Listener, sock: socket.socket) -> None:
        super().__init__()
        sock.setblocking(False)
        with suppress(OSError):  # some systems refuse options on a socket whose peer is gone already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # For a peer whose machine is gone, where nobody pings it: the system notices in some hours.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.handshakes.add(self)
        self._listener = listener
        self._sock = sock
        self._timer: asyncio.TimerHandle | None = None
        self._has_begun = False
        self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        """Put a transport on the socket, with TLS where it is asked for."""
        if self._sock.fileno() < 0:  # aborted before this began
            return
        self._has_begun = True
        listener = self._listener
        try:
            await accept(self, self._sock, listener.ssl, listener.open_timeout)
        except OSError as error:  # such as ssl.SSLError: the client may have left, or speak no TLS
            _logger.debug("an accepted connection ended before its handshake: %s", type(error).__name__)
        finally:
            if self.transport is None:
                self._done()

    def abort(self) -> None:
        """Reset the connection, however far it has come."""
        end_by_reset(self._sock)
        if self.transport is not None:
            self.transport.abort()
        elif self._has_begun:
            self._opening.cancel()  # which aborts its transport
        else:
            self._sock.close()
            self._done()

    # Calls from the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._timer = asyncio.get_running_loop().call_later(self._listener.open_timeout, self.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._done()

    def head_too_long(self) -> None:
        self._refuse(Refusal(431))

    def head_read(self, head: bytes, rest: bytes) -> None:
        asked = _parsed(head.removesuffix(b"\r\n\r\n"))
        if asked is None:
            self._refuse(Refusal(400))
            return
        method, version, target, headers = asked
        listener = self._listener
        admitted = listener.admit(_request(target, headers)) if listener.is_listening else Refusal(503)
        if self.transport.is_closing():  # the hook has aborted the server
            return
        if isinstance(admitted, Refusal):
            self._refuse(admitted, with_body=method != "HEAD")
            return
        protocol = ServerProtocol(
            extensions=SERVER_DEFLATE if listener.compression else None,
            subprotocols=listener.subprotocols or None,
            select_subprotocol=_first_of_ours,
            max_size=listener.max_size,
            logger=SILENT,
        )
        response = protocol.accept(HTTPRequest(target, Headers(headers)))
        if method != "GET" or version != "HTTP/1.1" or response.status_code != 101:
            self._refuse(_no_websocket(protocol.handshake_exc))
            return
        self._done()
        self.transport.write(response.serialize())
        link = ServerLink(admitted, listener.max_size, protocol.subprotocol, protocol.extensions)
        self.link = link
        link.begin(self.transport, rest)

    def _refuse(self, refusal: Refusal, *, with_body: bool = True) -> None:
        try:
            phrase = HTTPStatus(refusal.status).phrase
        except ValueError:
            phrase = "Refused"
        headers = Headers(refusal.headers)
        if refusal.status != 204:
            headers["Content-Length"] = str(len(refusal.body))
        headers["Connection"] = "close"
        body = refusal.body if with_body else b""
        self.transport.write(Response(refusal.status, phrase, headers, body).serialize())
        self.transport.close()  # the timer goes on: the client may never read this

    def _done(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._listener.handshakes.discard(self)


# Sockets


async def _bind(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets on all addresses of the host that this machine has; all share one port."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            port = port or (sockets[0].getsockname()[1] if sockets else 0)
            try:
                sock = socket.create_server((address[0], port, *address[2:]), family=family, backlog=_AT_ONCE)
            except OSError as error:
                if error.errno not in _NO_SUCH_ADDRESS:
                    raise
                missing = error
            else:
                sock.setblocking(False)
                sockets.append(sock)
        if missing is not None and not sockets:
            raise missing
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _unwatch(listening: socket.socket) -> None:
    try:
        asyncio.get_running_loop().remove_reader(listening)
    except NotImplementedError:  # Windows' loop
        pass


def _pause_after(error: OSError) -> float:
    """Return after how many seconds to go on accepting."""
    if error.errno in _OUT_OF_MEANS:
        _logger.error("no connection can be accepted for %g s: %s", _PAUSE, error.strerror)
        return _PAUSE
    return 0


# HTTP

_TOKEN = re.compile(rb"[0-9A-Za-z!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*")
_REQUEST_LINE = re.compile(rb"(%b) ([!-~]+) (HTTP/1\.[01])" % _TOKEN.pattern)


def _parsed(head: bytes) -> tuple[str, str, str, list[tuple[str, str]]] | None:
    """Return method, version, target and header fields of a request (RFC 9112); None if malformed.

    The parser of websockets refuses what can be no handshake, such as the check of a load balancer by HEAD.
    """
    first, *lines = head.split(b"\r\n")
    request_line = _REQUEST_LINE.fullmatch(first)
    if request_line is None:
        return None
    method, target, version = (part.decode("ascii") for part in request_line.groups())
    headers: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not (colon and _TOKEN.fullmatch(name) and _VALUE.fullmatch(value)):
            return None
        headers.append((name.decode("ascii"), value.strip(b" \t").decode("latin-1")))
    return method, version, target, headers


def _request(target: str, headers: Sequence[tuple[str, str]]) -> Request:
    path, _, query = target.partition("?")
    if not path.startswith("/"):  # the absolute form: RFC 9112, section 3.2.2
        path = "/" + path.partition("://")[2].partition("/")[2]
    return Request(path, query, tuple(headers))


def _no_websocket(problem: Exception | None) -> Refusal:
    """Return the answer to a request that is no handshake, or one of a version that we do not speak."""
    if isinstance(problem, InvalidHeaderValue) and problem.name == "Sec-WebSocket-Version":
        return Refusal(426, {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"})  # RFC 6455, section 4.4
    return Refusal(400, {"Upgrade": "websocket"})


def _first_of_ours(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return next((name for name in protocol.available_subprotocols or () if name in offered), None)
