"""Opens a connection stage by stage, which engines do not, and measures how long each stage takes."""

import asyncio
import base64
import os
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohappyeyeballs

from websocket_heartbeat.cli.probe.report import Opening, Tls, shown_headers
from websocket_heartbeat.engines.answer import MAX_HEAD, read_head
from websocket_heartbeat.engines.base import OpenRequest
from websocket_heartbeat.engines.dial import dial, go_on
from websocket_heartbeat.errors import HandshakeError, HandshakeRejected

STAGES = {"proxy": "proxy", "dns": "DNS", "tcp": "TCP", "tls": "TLS", "handshake": "handshake"}
"""The stages in their order, with their names for a person; a proxy stands for the first two."""

PATIENCE_PER_ADDRESS = 3.0
"""Seconds that each address has when all are tried."""

_HEAD_START = 0.25  # as the client gives it: RFC 8305, section 5
_CLOSE_1000 = b"\x88\x82" + bytes(4) + (1000).to_bytes(2, "big")  # masked by zeros


async def open_by_stages(
    request: OpenRequest, opening: Opening, addresses: list[Any]
) -> Sequence[tuple[str, str]]:
    """Connect, do the handshake and close; return the headers of the answer.

    opening, addresses: filled on the way, so that a failure leaves what came before it.

    Raises:
        HandshakeRejected, HandshakeError, ProxyFailed, OSError: as the engines do.
    """
    opening.seconds = {}
    opening.tls = opening.status = opening.body_bytes = opening.connected_to = None
    opening.headers = []
    addresses.clear()
    host, port = request.address
    secure = request.is_secure
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(MAX_HEAD)
    protocol = asyncio.StreamReaderProtocol(reader)
    if request.proxy is not None:
        with _timed(opening, "proxy"):
            transport = await dial(asyncio.Protocol(), request, with_tls=False)
    else:
        with _timed(opening, "dns"):
            addresses.extend(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        with _timed(opening, "tcp"):
            sock = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_HEAD_START)
        opening.connected_to = sock.getpeername()[0]
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=sock)
    with _timed(opening, "tls") if secure else nullcontext():
        transport = await go_on(protocol, transport, request)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    try:
        if secure:
            opening.tls = _tls(writer.get_extra_info("ssl_object"))
        with _timed(opening, "handshake"):
            writer.write(_handshake(request))
            opening.status, headers = await _answer(reader, secure=secure)
        opening.headers = shown_headers(headers, request.url)
        if opening.status != 101:
            length = header(headers, "Content-Length")
            opening.body_bytes = int(length) if length.isascii() and length.isdigit() else None
            raise HandshakeRejected(opening.status, headers)
        writer.write(_CLOSE_1000)
        return headers
    finally:
        writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):  # TLS waits for the peer's close_notify
                await writer.wait_closed()
        writer.transport.abort()


@contextmanager
def _timed(opening: Opening, stage: str) -> Iterator[None]:
    opening.stage = stage
    began = time.perf_counter()
    yield
    opening.seconds[stage] = time.perf_counter() - began


def _handshake(request: OpenRequest) -> bytes:
    """Write the request: RFC 6455, section 4.1."""
    parts = urlsplit(request.url)
    fields = [
        ("Host", parts.netloc),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", base64.b64encode(os.urandom(16)).decode()),
    ]
    if request.user_agent is not None:
        fields.append(("User-Agent", request.user_agent))
    if request.subprotocols:
        fields.append(("Sec-WebSocket-Protocol", ", ".join(request.subprotocols)))
    given = {name.lower() for name, _ in request.headers}
    fields = [field for field in fields if field[0].lower() not in given] + list(request.headers)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode()


async def _answer(reader: asyncio.StreamReader, *, secure: bool) -> tuple[int, list[tuple[str, str]]]:
    """Read status and headers. Whether they make a WebSocket, the engine judges on the next connection."""
    problem = "the server's answer is not a valid HTTP/1.1 response"
    try:
        start = await reader.readexactly(5)  # servers of other protocols speak first, and wait for an answer
        if start.startswith(b"\x15\x03"):  # an alert of TLS: RFC 8446, section 5.1
            problem = "the server speaks TLS on this port: is it wss:// in place of ws://?"
        elif start == b"HTTP/":
            head = read_head((start + await reader.readuntil(b"\r\n\r\n"))[:-4])
            if head is not None:
                return head
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            hint = "" if secure else ": does the server want TLS on this port?"  # HAProxy hangs up like that
            problem = f"the connection ended before the server answered{hint}"
    except asyncio.LimitOverrunError:
        pass
    # Raised out here, it does not carry along an exception that holds what was read.
    raise HandshakeError(problem)


def _tls(beneath: ssl.SSLObject) -> Tls:
    certificate: Any = beneath.getpeercert() or {}
    cipher = beneath.cipher()
    issuer = {key: value for part in certificate.get("issuer", ()) for key, value in part}
    tls = Tls(
        version=beneath.version() or "",
        cipher=cipher[0] if cipher is not None else "",
        issuer=issuer.get("organizationName") or issuer.get("commonName") or "",
    )
    if "notAfter" in certificate:
        expires = ssl.cert_time_to_seconds(certificate["notAfter"])
        tls.expires = datetime.fromtimestamp(expires, UTC).isoformat()
        tls.days_left = int((expires - time.time()) // 86400)
    return tls


async def reach(info: Any) -> OSError | None:
    """Connect to one address; return why it cannot be."""
    family, kind, proto, _, address = info
    try:
        with socket.socket(family, kind, proto) as sock:
            sock.setblocking(False)
            async with asyncio.timeout(PATIENCE_PER_ADDRESS):
                await asyncio.get_running_loop().sock_connect(sock, address)
    except OSError as error:
        return error
    return None


def header(headers: Sequence[tuple[str, str]], name: str) -> str:
    """Return the values of all headers of that name, "" if there is none."""
    return ", ".join(value for key, value in headers if key.lower() == name.lower())
