"""One connected socket for the engines: name resolution, TCP with happy eyeballs (RFC 8305), and proxies."""

import asyncio
import base64
import socket
from urllib.parse import SplitResult, unquote, urlsplit

import aiohappyeyeballs

from websocket_heartbeat.engines.answer import MAX_HEAD, read_head
from websocket_heartbeat.errors import ProxyFailed

_HEAD_START = 0.25
"""Seconds that one address family gets before the other is tried: RFC 8305, section 5."""

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
"""Takes addresses only and never blocks: names fail at once."""

_PROXY_PORTS = {"http": 80, "socks4": 1080, "socks5": 1080}


async def dial(host: str, port: int, proxy: str | None = None) -> socket.socket:
    """Return a non-blocking socket connected to the host; the caller closes it.

    proxy: a URL of scheme http, socks4 or socks5, whose path and query mean nothing.

    Raises:
        socket.gaierror: the name does not resolve.
        OSError: no address of the host could be reached.
        ProxyFailed: the same of the proxy, or it refuses, or it speaks something else.
    """
    if proxy is None:
        return await _connected(host, port)
    parts = urlsplit(proxy)
    if parts.scheme not in _PROXY_PORTS:
        raise ProxyFailed(f"this engine cannot use a proxy of scheme {parts.scheme}")
    try:
        if parts.scheme == "http":
            return await _through_http(parts, host, port)
        return await _through_socks(parts, host, port)
    except ModuleNotFoundError:
        failure = ProxyFailed(
            f"a proxy of scheme {parts.scheme} needs a package that is missing: "
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


async def _through_http(proxy: SplitResult, host: str, port: int) -> socket.socket:
    """Ask the proxy to CONNECT: RFC 9110, section 9.3.6."""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.username is not None:
        credentials = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(credentials.encode()).decode()}")
    request = "\r\n".join([*lines, "", ""]).encode()

    loop = asyncio.get_running_loop()
    sock = await _connected(proxy.hostname or "", proxy.port or _PROXY_PORTS["http"])
    try:
        await loop.sock_sendall(sock, request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = await loop.sock_recv(sock, 4096)
            if not data or len(answer) > MAX_HEAD:
                raise ProxyFailed("no complete answer to CONNECT")
            answer += data
        head = read_head(answer.partition(b"\r\n\r\n")[0])
        if head is None:
            raise ProxyFailed("the answer to CONNECT is not HTTP")
        if head[0] // 100 != 2:
            raise ProxyFailed(f"it answered CONNECT with HTTP status {head[0]}")
    except BaseException:
        sock.close()
        raise
    return sock


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
