"""Transports: to a server by name, address (RFC 8305), Unix socket or proxy, and from a client; with TLS."""

import asyncio
import base64
import socket
import ssl
from collections.abc import Awaitable
from typing import Any, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

import aiohappyeyeballs

from websocket_heartbeat.engines.answer import HeadReader, may_be_answer, read_head
from websocket_heartbeat.engines.base import OpenRequest
from websocket_heartbeat.engines.tls import TlsTransport
from websocket_heartbeat.engines.transport import default_ssl_context
from websocket_heartbeat.errors import ProxyFailed, ProxyNotSupported
from websocket_heartbeat.redaction import printable

_T = TypeVar("_T")

_HEAD_START = 0.25
"""Seconds that one address family gets before the other is tried: RFC 8305, section 5."""

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
"""Takes addresses only and never blocks: names fail at once."""

_PROXY_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks5": 1080}


async def dial(protocol: asyncio.BaseProtocol, request: OpenRequest, *, with_tls: bool = True) -> Any:
    """Connect the protocol to the server and return its transport; on a failure nothing stays open.

    with_tls: whether to do TLS for wss, which else `go_on` can do.

    Raises:
        socket.gaierror: the name does not resolve.
        OSError: no address of the host could be reached, or TLS failed.
        ProxyNotSupported: a package for a proxy of that scheme is missing.
        ProxyFailed: the same of the proxy, or it refuses, or it speaks something else.
    """
    tls, name = _tls_of(request) if with_tls else (None, "")
    if request.unix_path is not None:
        return await _connect(protocol, await _connected_to_path(request.unix_path), tls, name)
    if request.proxy is None:
        return await _connect(protocol, await _connected(*request.address, request.local_addr), tls, name)
    parts = urlsplit(request.proxy)
    if parts.scheme in ("http", "https"):
        transport = await _of_proxy(parts.scheme, _through_http(parts, request))
        return await _put_over(protocol, transport, tls, name)
    sock = await _of_proxy(parts.scheme, _through_socks(parts, request))
    return await _connect(protocol, sock, tls, name)


async def go_on(protocol: Any, transport: Any, request: OpenRequest) -> Any:
    """Put the protocol over a transport that leads to the server, with TLS for wss; return its transport."""
    return await _put_over(protocol, transport, *_tls_of(request))


def _tls_of(request: OpenRequest) -> tuple[ssl.SSLContext | None, str]:
    """Return the context for TLS with the server, None for ws, and the name to verify."""
    context = (request.ssl or default_ssl_context()) if request.is_secure else None
    return context, request.server_hostname or request.address[0]


async def _of_proxy(scheme: str, work: Awaitable[_T]) -> _T:
    """Return what comes of dealing with a proxy; whatever fails there is a ProxyFailed."""
    try:
        return await work
    except ModuleNotFoundError:
        failure: Exception = ProxyNotSupported(
            f"a proxy of scheme {scheme} needs a package that is missing: "
            "pip install 'websocket-heartbeat[socks]'"
        )
    except Exception as error:
        failure = ProxyFailed(f"the proxy failed: {printable(str(error))}")
    # Raised out here, it does not carry along an exception that may quote what the proxy was sent.
    raise failure


async def _connected(host: str, port: int, local_addr: tuple[str, int] | None) -> socket.socket:
    try:
        # An address needs no resolver, whose few threads a herd of attempts would queue for.
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=_NUMERIC)
    except socket.gaierror:
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return await aiohappyeyeballs.start_connection(
        addresses,
        local_addr_infos=aiohappyeyeballs.addr_to_addr_infos(local_addr),
        happy_eyeballs_delay=_HEAD_START,
    )


async def _connected_to_path(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, path)
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect(
    protocol: asyncio.BaseProtocol, sock: socket.socket, tls: ssl.SSLContext | None, name: str
) -> Any:
    """Put the protocol over a connected socket."""
    loop = asyncio.get_running_loop()
    # uvloop knows the kinds of sockets apart.
    is_unix = sock.family == getattr(socket, "AF_UNIX", None)
    connect: Any = loop.create_unix_connection if is_unix else loop.create_connection
    if tls is None:
        transport, _ = await connect(lambda: protocol, sock=sock)
        return transport
    layer = TlsTransport(protocol, tls, server_hostname=name)
    return await _with_tls(layer, connect(lambda: layer, sock=sock))


async def accept(
    protocol: asyncio.BaseProtocol, sock: socket.socket, tls: ssl.SSLContext | None, timeout: float
) -> None:
    """Put the protocol over an accepted socket; timeout: seconds that TLS may take.

    Raises:
        OSError: TLS failed, or the client has left.
    """
    loop = asyncio.get_running_loop()
    if tls is None:
        await loop.connect_accepted_socket(lambda: protocol, sock)
        return
    layer = TlsTransport(protocol, tls, server_side=True)
    async with asyncio.timeout(timeout):
        await _with_tls(layer, loop.connect_accepted_socket(lambda: layer, sock))


async def _with_tls(layer: TlsTransport, connecting: Awaitable[Any] | None = None) -> TlsTransport:
    """Return the layer when it has a transport and its handshake is done; drop it if not."""
    try:
        if connecting is not None:
            await connecting
        await layer.handshake
    except BaseException:
        layer.abort()
        raise
    return layer


class _Tunnel(HeadReader):
    """Asks a proxy to CONNECT: RFC 9110, section 9.3.6. done: when it has."""

    def __init__(self, request: bytes) -> None:
        super().__init__()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("no complete answer to CONNECT")

    def head_read(self, head: bytes, rest: bytes) -> None:
        answer = read_head(head)
        if answer is None:
            self.not_http()
        elif answer[0] // 100 != 2:
            self._fail(f"it answered CONNECT with HTTP status {answer[0]}")
        elif rest:
            self._fail("it sent more than the answer to CONNECT")
        elif not self.done.done():
            # What goes on with the transport reads on: the proxy may pass on what the server says at once.
            self.transport.pause_reading()
            self.done.set_result(None)

    def may_be_head(self, come: bytes) -> bool:
        return may_be_answer(come)

    def not_http(self) -> None:
        self._fail("the answer to CONNECT is not HTTP")

    def head_too_long(self) -> None:
        self._fail("no complete answer to CONNECT")

    def _fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(ProxyFailed(reason))


async def _through_http(proxy: SplitResult, request: OpenRequest) -> Any:
    """Return a transport to the server through an HTTP proxy, of which nothing is read yet."""
    host, port = request.address
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if request.user_agent is not None:
        lines.append(f"User-Agent: {request.user_agent}")
    if proxy.username is not None:
        credentials = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(credentials.encode()).decode()}")
    tunnel = _Tunnel("\r\n".join([*lines, "", ""]).encode())
    proxy_host = proxy.hostname or ""
    tls = (request.ssl or default_ssl_context()) if proxy.scheme == "https" else None
    try:
        sock = await _connected(proxy_host, proxy.port or _PROXY_PORTS[proxy.scheme], request.local_addr)
        await _connect(tunnel, sock, tls, proxy_host)
        await tunnel.done
    except BaseException:
        if tunnel.transport is not None:
            tunnel.transport.abort()
        tunnel.done.cancel()
        raise
    return tunnel.transport


async def _put_over(protocol: Any, transport: Any, tls: ssl.SSLContext | None, name: str) -> Any:
    """Put the protocol over a transport that there is; return its own."""
    if tls is None:
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.resume_reading()
        return transport
    layer = TlsTransport(protocol, tls, server_hostname=name)
    transport.set_protocol(layer)
    layer.connection_made(transport)
    transport.resume_reading()
    return await _with_tls(layer)


async def _through_socks(proxy: SplitResult, request: OpenRequest) -> socket.socket:
    from python_socks import ProxyType
    from python_socks.async_.asyncio import Proxy

    connector = Proxy(
        ProxyType.SOCKS4 if proxy.scheme == "socks4" else ProxyType.SOCKS5,
        proxy.hostname or "",
        proxy.port or _PROXY_PORTS[proxy.scheme],
        unquote(proxy.username) if proxy.username is not None else None,
        unquote(proxy.password) if proxy.password is not None else None,
    )
    return await connector.connect(*request.address, local_addr=request.local_addr)
