"""Measures a server: opens connections to it, one after the other, and writes what happens into a report.

The first one is opened here stage by stage, as an engine tells no stages apart; the others by the engine, as
for the client. None of it prints anything.
"""

import asyncio
import base64
import os
import socket
import ssl
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import aiohappyeyeballs

from websocket_heartbeat.cli.probe.advice import cut_in_words, end_in_words, in_words, known_cut, recommend
from websocket_heartbeat.cli.probe.report import (
    Address,
    Answer,
    Close,
    Idle,
    Opening,
    Pings,
    Redirect,
    Report,
    Tls,
    Verdict,
    shown_headers,
)
from websocket_heartbeat.client.attempt import MAX_REDIRECTS, is_redirect, prepare, redirected
from websocket_heartbeat.client.options import Options
from websocket_heartbeat.client.retry import judge
from websocket_heartbeat.engines.answer import MAX_HEAD, read_head
from websocket_heartbeat.engines.base import Closure, Link, OpenRequest
from websocket_heartbeat.engines.dial import dial, go_on
from websocket_heartbeat.engines.transport import default_ssl_context
from websocket_heartbeat.errors import (
    HandshakeError,
    HandshakeRejected,
    ProxyFailed,
    RedirectRefused,
    WebSocketHeartbeatError,
)
from websocket_heartbeat.events import Message
from websocket_heartbeat.redaction import shown_url

Progress = Callable[[str], None]

STAGES = {"proxy": "proxy", "dns": "DNS", "tcp": "TCP", "tls": "TLS", "handshake": "handshake"}

_HEAD_START = 0.25  # as the client gives it: RFC 8305, section 5
_OTHER_ADDRESSES = 3.0  # seconds that each address has when all are tried
_PATIENCE_AT_CLOSE = 2.0
_BETWEEN_PINGS = 0.1
_SOON = 14  # days
_CLOSE_1000 = b"\x88\x82" + bytes(4) + (1000).to_bytes(2, "big")  # masked by zeros


async def examine(
    config: Options,
    report: Report,
    *,
    pings: int,
    message: str | None,
    idle: float | None,
    progress: Progress,
) -> None:
    """Fill the report.

    config: as for the client; its open_timeout is for each answer. pings: how many. message: the text
    heartbeat. idle: seconds to wait on a silent link. progress: called with what is being done.
    """
    await _Probe(config, report, progress).examine(pings, message, idle)


class _Wire:
    """One link of the engine: remembers what came and when, never the content of messages."""

    link: Link

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self.pongs = 0
        self.messages = 0
        self.last: tuple[str, int] | None = None
        self.heard_at = 0.0
        self.closure: Closure | None = None
        self.ended_at = 0.0

    def opened(self, link: Link) -> None:
        self.link = link
        link.deliver = self._take

    def batch_delivered(self) -> None:
        """Nothing waits for it."""

    def deliver_returned(self, result: object) -> None:
        """Does not happen."""

    def deliver_failed(self, error: BaseException) -> None:
        """Does not happen."""

    def ponged(self) -> None:
        self.pongs += 1
        self._hear()

    def writable(self) -> None:
        """We write too little to be stopped."""

    def closed(self, closure: Closure) -> None:
        self.closure = closure
        self.ended_at = self._loop.time()
        self._news.set()

    def _take(self, message: Message) -> None:
        self.messages += 1
        if isinstance(message, str):
            self.last = ("text", len(message.encode()))
        else:
            self.last = ("binary", len(message))
        self._hear()

    def _hear(self) -> None:
        self.heard_at = self._loop.time()
        self._news.set()

    def drop(self) -> None:
        """Have done with a link that is not worth a goodbye."""
        self.link.abort()
        self.closure = Closure()

    async def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until the condition holds; False if the link ended or time ran out before."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not condition() and self.closure is None:
                    self._news.clear()
                    await self._news.wait()
        return condition()

    async def ended(self, timeout: float) -> bool:
        """Wait for the end of the link."""
        return await self.until(lambda: self.closure is not None, timeout)

    async def ping(self, timeout: float) -> float | None:
        """Send a ping; return the round trip, None if no pong came."""
        before, sent_at = self.pongs, self._loop.time()
        self.link.ping()
        answered = await self.until(lambda: self.pongs > before, timeout)
        return self.heard_at - sent_at if answered else None

    async def say(self, text: str, timeout: float) -> float | None:
        """Send a message; return the seconds until the next one came, None if none did."""
        before, sent_at = self.messages, self._loop.time()
        self.link.send(text)
        answered = await self.until(lambda: self.messages > before, timeout)
        return self.heard_at - sent_at if answered else None


class _Probe:
    def __init__(self, config: Options, report: Report, progress: Progress) -> None:
        self._config = config
        self._report = report
        self._progress = progress
        self._timeout = config.open_timeout
        self._loop = asyncio.get_running_loop()

    async def examine(self, pings: int, message: str | None, idle: float | None) -> None:
        report = self._report
        is_first = True
        try:
            request = await self._open()
            is_first = False
            await self._talk(request, pings, message)
            await self._offer_compression(request)
            if idle is not None:
                await self._wait_idle(request, idle, message)
        except (OSError, WebSocketHeartbeatError) as error:
            # A wrong answer to the handshake is noticed by the engine, which has the second connection.
            is_answer = isinstance(error, HandshakeError) and not isinstance(error, HandshakeRejected)
            stage = report.opening.stage if is_first or is_answer else ""
            where = STAGES.get(stage, "the next connection")
            report.problems.append(f"{where}: {in_words(error, self._timeout, stage)}")
            verdict = judge(error)
            report.verdict = Verdict(verdict.final, verdict.hint)
        finally:
            if report.pings is not None:
                report.recommended = recommend(report)

    # Opening, stage by stage

    async def _open(self) -> OpenRequest:
        """Open a connection as the client would, redirects included; return the request that led to it."""
        self._progress("opening")
        opening = self._report.opening
        opening.stage = "proxy"
        request = await prepare(self._config)
        addresses: list[Any] = []
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    opening.proxy = None if request.proxy is None else shown_url(request.proxy)
                    try:
                        headers = await _open_by_stages(request, opening, addresses)
                        break
                    except HandshakeRejected as rejected:
                        if not is_redirect(rejected):
                            raise
                        if len(opening.redirects) == MAX_REDIRECTS:
                            raise RedirectRefused(f"more than {MAX_REDIRECTS} redirects") from None
                        request = redirected(self._config, request, rejected)
                        opening.redirects.append(Redirect(rejected.status, shown_url(request.url)))
        finally:
            opening.addresses = await self._tried(addresses)
        opening.subprotocol = _header(headers, "Sec-WebSocket-Protocol") or None
        if request.subprotocols and opening.subprotocol is None:
            self._report.problems.append("subprotocol: the server speaks none of those that were offered")
        if opening.tls is not None and opening.tls.days_left < _SOON:
            self._report.notes.append(f"the certificate expires in {opening.tls.days_left} days")
        return request

    async def _tried(self, addresses: Sequence[Any]) -> list[Address]:
        """Try each of several addresses by itself, as one that fails is hidden by another that does not."""
        tried = [Address(info[4][0]) for info in addresses]
        if len(tried) > 1:
            self._progress("trying each address")
            errors = await asyncio.gather(*(_reach(info) for info in addresses))
            for entry, error in zip(tried, errors, strict=True):
                entry.error = None if error is None else in_words(error, _OTHER_ADDRESSES)
                if entry.error is not None:
                    self._report.notes.append(f"the address {entry.address}: {entry.error}")
        return tried

    async def _offer_compression(self, request: OpenRequest) -> None:
        self._progress("compression")
        offer = ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
        try:
            async with asyncio.timeout(self._timeout):
                asked = replace(request, headers=[*request.headers, offer])
                headers = await _open_by_stages(asked, Opening(), [])
        except (OSError, HandshakeError, ProxyFailed) as error:
            self._report.notes.append(f"with compression offered: {in_words(error, self._timeout)}")
            return
        self._report.compression = "permessage-deflate" in _header(headers, offer[0]).lower()

    # Talking, over the engine

    @asynccontextmanager
    async def _link(self, request: OpenRequest) -> AsyncIterator[_Wire]:
        wire = _Wire()
        async with asyncio.timeout(self._timeout):
            await self._config.engine.open(request, wire)
        try:
            yield wire
            if wire.closure is None:
                wire.link.close(1000, "")
                await wire.ended(_PATIENCE_AT_CLOSE)
        finally:
            if wire.closure is None:
                wire.link.abort()

    async def _talk(self, request: OpenRequest, pings: int, message: str | None) -> None:
        report = self._report
        async with self._link(request) as wire:
            self._progress("pings")
            report.pings = await self._ping(wire, pings)
            if message is not None and wire.closure is None:
                self._progress("the text heartbeat")
                report.message = await self._say(wire, message)
            if wire.closure is not None:
                how, code, reason = _how(wire.closure, self._timeout)
                report.problems.append(f"the link was lost while in use: {end_in_words(how, code, reason)}")
                return
            self._progress("closing")
            report.close = await self._close(wire)
        says = report.message
        if report.pings.answered < report.pings.sent:
            if says is not None and says.answered:
                report.notes.append("pings of the protocol are not answered")
            else:
                hint = " (does it answer a text? --message TEXT tries)" if says is None else ""
                report.problems.append(f"pings: no pong within {self._timeout:g} s{hint}")
        if says is not None and not says.answered:
            report.problems.append(f"message: nothing came back within {self._timeout:g} s")

    async def _ping(self, wire: _Wire, count: int) -> Pings:
        trips: list[float] = []
        sent = 0
        while sent < count:
            sent += 1
            trip = await wire.ping(self._timeout)
            if trip is None:  # the others would not fare better, each for as long
                break
            trips.append(trip)
            if sent < count and await wire.ended(_BETWEEN_PINGS):
                break
        if not trips:
            return Pings(sent, 0)
        steps = [abs(b - a) for a, b in pairwise(trips)]
        return Pings(
            sent,
            len(trips),
            min(trips),
            statistics.median(trips),
            max(trips),
            statistics.fmean(steps) if steps else 0.0,
        )

    async def _say(self, wire: _Wire, text: str) -> Answer:
        unasked = wire.messages
        trip = await wire.say(text, self._timeout)
        if trip is None or wire.last is None:
            return Answer(False, unasked)
        return Answer(True, unasked, trip, *wire.last)

    async def _close(self, wire: _Wire) -> Close:
        began = self._loop.time()
        wire.link.close(1000, "")
        if not await wire.ended(self._timeout) or wire.closure is None:
            self._report.notes.append(f"our close frame was not answered within {self._timeout:g} s")
            wire.drop()
            return Close(False)
        code = wire.closure.code
        if code != 1000:
            answer = "no close frame" if code is None else f"{code}"
            self._report.notes.append(f"our close frame with 1000 was answered with {answer}")
        return Close(True, code, wire.ended_at - began)

    # Waiting

    async def _wait_idle(self, request: OpenRequest, seconds: float, message: str | None) -> None:
        async with self._link(request) as wire:
            opened_at = last = self._loop.time()
            heard: list[float] = []
            try:
                while wire.closure is None:
                    left = opened_at + seconds - self._loop.time()
                    if left <= 0:
                        break
                    self._progress(f"idle: {left:.0f} s left")
                    if await wire.ended(min(left, 0.25)):
                        break
                    if wire.link.heard_at > last + 0.05:  # the kernel tells it to a few milliseconds
                        last = wire.link.heard_at
                        heard.append(last)
            finally:  # when interrupted, too
                ended_at = wire.ended_at if wire.closure is not None else self._loop.time()
                # What came together with the end was the end.
                heard = [at for at in heard if at < ended_at - 0.2]
                idle = Idle(
                    seconds=ended_at - opened_at,
                    cut=wire.closure is not None,
                    silent_for=ended_at - (heard[-1] if heard else opened_at),
                    spoke=len(heard),
                )
                self._report.idle = idle
            if wire.closure is None:
                idle.checked, idle.cut = await self._is_cut_in_silence(wire, message)
                if idle.cut:
                    idle.how = "silence"
                    wire.drop()
            else:
                idle.how, idle.code, idle.reason = _how(wire.closure, self._timeout)
        if idle.cut:
            self._report.problems.append(f"idle: {cut_in_words(idle)}")
            known = known_cut(idle)
            if known is not None:
                self._report.notes.append(known)

    async def _is_cut_in_silence(self, wire: _Wire, message: str | None) -> tuple[bool, bool]:
        """Use a link that looks open, by what was answered before.

        Return whether that can tell, and whether the link is cut.
        """
        self._progress("is the idle link still alive?")
        pings, says = self._report.pings, self._report.message
        if pings is not None and pings.answered:
            return True, await wire.ping(self._timeout) is None
        if says is not None and says.answered and message is not None:
            return True, await wire.say(message, self._timeout) is None
        return False, False


def _how(closure: Closure, timeout: float) -> tuple[str, int | None, str]:
    """Say how a link ended: in words, and with code and reason of the server's close frame."""
    if closure.code is not None or closure.reason:
        return "close frame", closure.code, closure.reason
    if isinstance(closure.error, ConnectionResetError):
        return "reset", None, ""
    if closure.error is None:
        return "end of file", None, ""
    return in_words(closure.error, timeout), None, ""


async def _open_by_stages(
    request: OpenRequest, opening: Opening, addresses: list[Any]
) -> Sequence[tuple[str, str]]:
    """Connect and do the handshake, say goodbye; return the headers of the answer.

    opening, addresses: filled on the way, so that a failure leaves what came before it.

    Raises:
        HandshakeRejected, HandshakeError, ProxyFailed, OSError: as the engines do.
    """
    opening.seconds = {}
    opening.tls = opening.status = opening.body_bytes = opening.connected_to = None
    opening.headers = []
    addresses.clear()
    parts = urlsplit(request.url)
    host = parts.hostname or ""
    secure = parts.scheme == "wss"
    port = parts.port or (443 if secure else 80)

    tls = request.ssl or default_ssl_context()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(MAX_HEAD)
    protocol = asyncio.StreamReaderProtocol(reader)
    if request.proxy is not None:
        with _timed(opening, "proxy"):
            transport = await dial(asyncio.Protocol(), host, port, proxy=request.proxy, proxy_tls=tls)
    else:
        with _timed(opening, "dns"):
            addresses.extend(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        with _timed(opening, "tcp"):
            sock = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_HEAD_START)
        opening.connected_to = sock.getpeername()[0]
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=sock)
    with _timed(opening, "tls") if secure else nullcontext():
        transport = await go_on(protocol, transport, tls if secure else None, host)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    try:
        if secure:
            opening.tls = _tls(writer.get_extra_info("ssl_object"))
        with _timed(opening, "handshake"):
            writer.write(_handshake(request))
            opening.status, headers = await _answer(reader)
        opening.headers = shown_headers(headers, request.url)
        if opening.status != 101:
            length = _header(headers, "Content-Length")
            opening.body_bytes = int(length) if length.isascii() and length.isdigit() else None
            raise HandshakeRejected(opening.status, headers)
        writer.write(_CLOSE_1000)
        return headers
    finally:
        writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):  # TLS waits for the other side's goodbye
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
    if request.subprotocols:
        fields.append(("Sec-WebSocket-Protocol", ", ".join(request.subprotocols)))
    given = {name.lower() for name, _ in request.headers}
    fields = [field for field in fields if field[0].lower() not in given] + list(request.headers)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, list[tuple[str, str]]]:
    """Read status and headers. Whether they make a WebSocket, the engine judges on the next connection."""
    problem = "the server's answer is not a valid HTTP/1.1 response"
    try:
        head = read_head((await reader.readuntil(b"\r\n\r\n"))[:-4])
        if head is not None:
            return head
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            problem = "the connection ended before the server answered"
        elif error.partial.startswith(b"\x15\x03"):  # an alert of TLS: RFC 8446, section 5.1
            problem = "the server speaks TLS on this port: is it wss:// in place of ws://?"
    except asyncio.LimitOverrunError:
        pass
    # Raised out here, it does not carry along an exception that holds what was read.
    raise HandshakeError(problem)


def _tls(beneath: ssl.SSLObject) -> Tls:
    certificate: Any = beneath.getpeercert() or {}
    cipher = beneath.cipher()
    issuer = {key: value for part in certificate.get("issuer", ()) for key, value in part}
    expires = ssl.cert_time_to_seconds(certificate["notAfter"]) if "notAfter" in certificate else 0
    return Tls(
        version=beneath.version() or "",
        cipher=cipher[0] if cipher is not None else "",
        issuer=issuer.get("organizationName") or issuer.get("commonName") or "",
        expires=datetime.fromtimestamp(expires, UTC).isoformat(),
        days_left=int((expires - time.time()) // 86400),
    )


async def _reach(info: Any) -> OSError | None:
    """Connect to one address; return why it cannot be."""
    family, kind, proto, _, address = info
    try:
        with socket.socket(family, kind, proto) as sock:
            sock.setblocking(False)
            async with asyncio.timeout(_OTHER_ADDRESSES):
                await asyncio.get_running_loop().sock_connect(sock, address)
    except OSError as error:
        return error
    return None


def _header(headers: Sequence[tuple[str, str]], name: str) -> str:
    return ", ".join(value for key, value in headers if key.lower() == name.lower())
