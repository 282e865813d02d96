"""Odd requests get the answer that HTTP has for them; they raise nothing, and their words reach no log."""

import asyncio
import logging
import random
import re
import shutil
import subprocess
from collections import Counter

import pytest
from tests.server.raw import connect
from tests.watch import Run

from websocket_heartbeat.server import Refusal, Request, Server, serve

FIELDS = [
    ("Host", "x"),
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
]


def handshake(fields: list[tuple[str, str]], line: str = "GET / HTTP/1.1") -> bytes:
    """Return a request with those fields."""
    lines = [line, *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def without(name: str) -> list[tuple[str, str]]:
    """Return the fields of a right handshake without one of them."""
    return [field for field in FIELDS if field[0] != name]


async def answer_to(server: Server, request: bytes) -> bytes:
    """Send a request as it is; return the head of the answer."""
    async with connect(server) as raw:
        raw.writer.write(request)
        return await raw.reader.readuntil(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (handshake(FIELDS), 101),
        # RFC 9112, section 3.2: a request of HTTP/1.1 has exactly one Host.
        (handshake(without("Host")), 400),
        (handshake([*FIELDS, ("Host", "y")]), 400),
        (handshake([("Host", "x")], "GET /health HTTP/1.1"), 200),
        (handshake([], "GET /health HTTP/1.1"), 400),
        (handshake([], "GET /health HTTP/1.0"), 200),
        (handshake([("Host", "x"), ("host", "y")], "GET /health HTTP/1.0"), 400),
        (handshake([*without("Sec-WebSocket-Version"), ("Sec-WebSocket-Version", "8")]), 426),
        (handshake([*without("Sec-WebSocket-Version"), ("Sec-WebSocket-Version", "13, 8")]), 426),
        (handshake([*without("Sec-WebSocket-Version"), ("Sec-WebSocket-Version", "")]), 426),
        (handshake([*without("Sec-WebSocket-Version"), ("Sec-WebSocket-Version", "\xb2")]), 426),
        (handshake([*FIELDS, ("Sec-WebSocket-Version", "8")]), 426),
        (handshake(without("Sec-WebSocket-Version")), 400),
        # Who speaks another version may have other fields than ours.
        (handshake([*without("Sec-WebSocket-Key")[:-1], ("Sec-WebSocket-Version", "7")]), 426),
        (handshake([*FIELDS, ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")]), 400),
        (handshake([*FIELDS, ("Sec-WebSocket-Extensions", "\xff;;=")]), 101),
        (handshake([*FIELDS, ("Origin", "http://x"), ("Origin", "http://x")]), 400),
        (handshake(FIELDS, "OPTIONS * HTTP/1.1"), 400),
        (handshake(FIELDS, "CONNECT x:443 HTTP/1.1"), 400),
        (handshake(FIELDS, "HEAD / HTTP/1.1"), 400),
        (handshake(FIELDS, "GET / HTTP/1.0"), 400),
        (handshake([*FIELDS, ("X", "a\r\n b")]), 400),
        (handshake([*FIELDS, ("X", "a" * 100_000)]), 431),
        (handshake([*FIELDS, *[("X", "a")] * 10_000]), 431),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        # The beginning of TLS, by wss:// to a server of ws://. It waits for an answer, and never ends a head.
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)
def test_an_odd_request_gets_the_answer_that_http_has_for_it(
    run: Run, caplog: pytest.LogCaptureFixture, request_: bytes, status: int
) -> None:
    def health(request: Request) -> Refusal | None:
        return Refusal(200, body=b"ok") if request.path == "/health" else None

    async def main() -> None:
        async with serve(on_handshake=health) as server:
            head = await answer_to(server, request_)
            assert head.startswith(f"HTTP/1.1 {status} ".encode())
            # RFC 6455, section 4.4: who speaks another version is told ours.
            assert (b"\r\nSec-WebSocket-Version: 13\r\n" in head) == (status == 426)

    with caplog.at_level(1):
        run(main())
    lines = [record.getMessage() for record in caplog.records if record.name != "asyncio"]
    told = re.compile(r"<Peer 1 '/[^']*'>( has come|: sent close, 2 bytes| is gone: connection_lost)")
    assert [line for line in lines if not told.fullmatch(line)] == []


def test_requests_changed_at_random_raise_nothing(run_asyncio: Run, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(1)
    right = handshake([*FIELDS, ("Origin", "http://x"), ("Sec-WebSocket-Protocol", "a, b")])

    def changed() -> bytes:
        data = bytearray(right)
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(data))
            kind = chance.randrange(4)
            if kind == 0:
                data[at] = chance.randrange(256)
            elif kind == 1:
                del data[at : at + chance.randrange(1, 20)]
            elif kind == 2:
                data[at:at] = chance.randbytes(3)
            else:
                data[at:at] = data[at : at + 40]
        return bytes(data) + b"\r\n\r\n"

    statuses: Counter[bytes] = Counter()

    async def main() -> None:
        async with serve(origins=None, subprotocols=["b"], compression=True) as server:
            for _ in range(500):
                statuses[(await answer_to(server, changed()))[:12]] += 1

    run_asyncio(main())
    assert set(statuses) == {f"HTTP/1.1 {status}".encode() for status in (101, 400, 426)}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("status", [200, 204, 304, 401, 426, 503])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_answer_is_well_formed(run: Run, method: str, status: int) -> None:
    async def main() -> None:
        async with serve(on_handshake=lambda _: Refusal(status, {"Upgrade": "websocket"})) as server:
            head = await answer_to(server, f"{method} / HTTP/1.0\r\n\r\n".encode())
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:-2])
            # RFC 9110, sections 6.6.1, 7.8 and 8.6.
            assert fields["Date"].endswith(" GMT")
            assert fields["Connection"] == "close, Upgrade"
            assert fields.get("Content-Length") == (None if status in (204, 304) else "0")
        async with serve(on_handshake=lambda _: Refusal(status, {"Date": "today"})) as server:
            head = await answer_to(server, f"{method} / HTTP/1.0\r\n\r\n".encode())
            assert head.count(b"\r\nDate: ") == 1
            assert b"\r\nConnection: close\r\n" in head

    run(main())


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize("options", ["--http1.1", "--http1.0", "--head --output -", "--data x"])
def test_curl_gets_the_answer_to_a_check(run_asyncio: Run, options: str) -> None:
    async def main() -> None:
        async with serve(on_handshake=lambda _: Refusal(200, body=b"ok")) as server:
            url = server.url("/health").replace("ws:", "http:")
            command = ["curl", "--silent", "--show-error", "--fail", *options.split(), url]
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
            assert (done.returncode, done.stderr) == (0, b"")
            if "--head" in options:
                assert done.stdout.startswith(b"HTTP/1.1 200 OK\r\n")
            else:
                assert done.stdout == b"ok"

    run_asyncio(main())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((200, {"Content-Length": "2"}, b"ok"), r"headers\['Content-Length'\] is written by the server"),
        (
            (200, [("transfer-encoding", "chunked")]),
            r"headers\['transfer-encoding'\] is written by the server",
        ),
        ((200, {"Connection": "keep-alive"}), r"headers\['Connection'\] is written by the server"),
        ((204, (), b"x"), "an answer of status 204 has no body"),
        ((304, (), b"x"), "an answer of status 304 has no body"),
    ],
)
def test_a_refusal_that_would_break_http_is_refused_where_it_is_made(
    arguments: tuple[object, ...], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        Refusal(*arguments)  # type: ignore[arg-type]
