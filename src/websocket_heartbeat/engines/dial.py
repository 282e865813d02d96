"""Transports: to a server by name, address (RFC 8305) or proxy, and from a client, with TLS if asked for."""

import asyncio
import base64
import socket
import ssl
from collections.abc import Awaitable
from typing import Any, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

import aiohappyeyeballs

from websocket_heartbeat.engines.answer import HeadReader, read_head
from websocket_heartbeat.engines.tls import TlsTransport
from websocket_heartbeat.errors import ProxyFailed

_T = TypeVar("_T")

_HEAD_START = 0.25
"""Seconds that one address family gets before the other is tried: RFC 8305, section 5."""

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
"""Takes addresses only and never blocks: names fail at once."""

_PROXY_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks5": 1080}


async def dial(
    protocol: asyncio.BaseProtocol,
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    proxy: str | None = None,
    proxy_tls: ssl.SSLContext | None = None,
    user_agent: str | None = None,
) -> Any:
    """Connect the protocol to the host and return its transport; on a failure nothing stays open.

    tls: for the connection to the host. proxy: a URL of scheme http, https, socks4 or socks5, whose path and
    query mean nothing. proxy_tls: for the connection to a proxy of scheme https. user_agent: the header for
    a proxy of scheme http or https; None sends it none.

    Raises:
        socket.gaierror: the name does not resolve.
        OSError: no address of the host could be reached, or TLS failed.
        ProxyFailed: the same of the proxy, or it refuses, or it speaks something else.
    """
    if proxy is None:
        return await _connect(protocol, await _connected(host, port), tls, host)
    parts = urlsplit(proxy)
    if parts.scheme in ("http", "https"):
        inner_tls = proxy_tls if parts.scheme == "https" else None
        transport = await _of_proxy(parts.scheme, _through_http(parts, host, port, inner_tls, user_agent))
        return await go_on(protocol, transport, tls, host)
    sock = await _of_proxy(parts.scheme, _through_socks(parts, host, port))
    return await _connect(protocol, sock, tls, host)


async def _of_proxy(scheme: str, work: Awaitable[_T]) -> _T:
    """Return what comes of dealing with a proxy; whatever fails there is a ProxyFailed."""
    try:
        return await work
    except ModuleNotFoundError:
        failure = ProxyFailed(
            f"a proxy of scheme {scheme} needs a package that is missing: "
            "pip install 'websocket-heartbeat[socks]'"
        )
    except Exception as error:
        failure = ProxyFailed(f"the proxy failed: {error}")
    # Raised out here, it does not carry along an exception that may quote what the proxy was sent.
    raise failure


async def _connected(host: str, port: int) -> socket.socket:
    try:
        # An address needs no resolver, whose few threads a herd of attempts would queue for.
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=_NUMERIC)
    except socket.gaierror:
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_HEAD_START)


async def _connect(
    protocol: asyncio.BaseProtocol, sock: socket.socket, tls: ssl.SSLContext | None, host: str
) -> Any:
    """Put the protocol over a connected socket."""
    loop = asyncio.get_running_loop()
    if tls is None:
        transport, _ = await loop.create_connection(lambda: protocol, sock=sock)
        return transport
    layer = TlsTransport(protocol, tls, server_hostname=host)
    return await _with_tls(layer, loop.create_connection(lambda: layer, sock=sock))


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
            self._fail("the answer to CONNECT is not HTTP")
        elif answer[0] // 100 != 2:
            self._fail(f"it answered CONNECT with HTTP status {answer[0]}")
        elif rest:
            self._fail("it sent more than the answer to CONNECT")
        elif not self.done.done():
            # Whoever goes on reads on: the proxy may pass on what the server says at once.
            self.transport.pause_reading()
            self.done.set_result(None)

    def head_too_long(self) -> None:
        self._fail("no complete answer to CONNECT")

    def _fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(ProxyFailed(reason))


async def _through_http(
    proxy: SplitResult, host: str, port: int, tls: ssl.SSLContext | None, user_agent: str | None
) -> Any:
    """Return a transport to the host through an HTTP proxy, of which nothing is read yet."""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if user_agent is not None:
        lines.append(f"User-Agent: {user_agent}")
    if proxy.username is not None:
        credentials = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(credentials.encode()).decode()}")
    tunnel = _Tunnel("\r\n".join([*lines, "", ""]).encode())
    proxy_host = proxy.hostname or ""
    try:
        sock = await _connected(proxy_host, proxy.port or _PROXY_PORTS[proxy.scheme])
        await _connect(tunnel, sock, tls, proxy_host)
        await tunnel.done
    except BaseException:
        if tunnel.transport is not None:
            tunnel.transport.abort()
        tunnel.done.cancel()
        raise
    return tunnel.transport


async def go_on(protocol: Any, transport: Any, tls: ssl.SSLContext | None, host: str) -> Any:
    """Put the protocol over a transport that there is, through TLS where asked for; return its transport."""
    if tls is None:
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.resume_reading()
        return transport
    layer = TlsTransport(protocol, tls, server_hostname=host)
    transport.set_protocol(layer)
    layer.connection_made(transport)
    transport.resume_reading()
    return await _with_tls(layer)


async def _through_socks(proxy: SplitResult, host: str, port: int) -> socket.socket:
    from python_socks import ProxyType
    from python_socks.async_.asyncio import Proxy

    connector = Proxy(
        ProxyType.SOCKS4 if proxy.scheme == "socks4" else ProxyType.SOCKS5,
        proxy.hostname or "",
        proxy.port or _PROXY_PORTS[proxy.scheme],
        unquote(proxy.username) if proxy.username is not None else None,
        unquote(proxy.password) if proxy.password is not None else None,
    )
    return await connector.connect(host, port)
