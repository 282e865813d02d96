"""A back end lets clients in, or refuses them with any HTTP status."""

import re
import ssl

import pytest
import websockets
from tests.server.raw import PING, PONG, Closes, client, connect
from tests.watch import Run
from websockets.typing import Subprotocol

from websocket_heartbeat.server import Hub, Peer, Refusal, Request, Server, serve


def test_the_hook_and_the_peer_see_path_query_and_headers(run: Run) -> None:
    async def main() -> None:
        seen: list[Request] = []
        async with (
            serve(on_handshake=seen.append) as server,
            client(
                server, "/feed/1?token=abc&x=?", "Authorization: Bearer 123\r\nX-A: 1\r\nx-a: 2\r\n"
            ) as raw,
        ):
            assert raw.status == 101
            (peer,) = server.connections
            assert [peer.request] == seen
            assert peer.request.path == "/feed/1"
            assert peer.request.query == "token=abc&x=?"
            assert peer.request.header("authorization") == "Bearer 123"
            assert [v for name, v in peer.request.headers if name.lower() == "x-a"] == ["1", "2"]
            assert peer.request.header("X-B") is None

    run(main())


def test_the_absolute_form_of_a_request_shows_no_user(run: Run) -> None:
    async def main() -> None:
        async with serve() as server, client(server, "ws://user:password@host/a?b"):
            assert server.connections[0].request == Request("/a", "b", server.connections[0].request.headers)

    run(main())


@pytest.mark.parametrize("status", [200, 204, 302, 401, 403, 404, 429, 499, 500, 503, 599])
def test_a_handshake_is_refused_with_any_status(run: Run, status: int) -> None:
    async def main() -> None:
        headers = {"Retry-After": "30", "Location": "/elsewhere"}
        async with (
            serve(on_handshake=lambda _: Refusal(status, headers, b"" if status == 204 else b"no")) as server,
            client(server) as raw,
        ):
            assert raw.status == status
            assert b"\r\nRetry-After: 30\r\n" in raw.head
            assert b"\r\nLocation: /elsewhere\r\n" in raw.head
            assert await raw.reader.read() == (b"" if status == 204 else b"no")
            assert server.connections == ()

    run(main())


def test_a_refusal_reaches_another_client_library(run: Run) -> None:
    async def main() -> None:
        async with serve(on_handshake=lambda _: Refusal(503, [("Retry-After", "7")])) as server:
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(server.url())
            assert refused.value.response.status_code == 503
            assert refused.value.response.headers["Retry-After"] == "7"

    run(main())


def test_a_check_by_plain_http_can_be_answered(run: Run) -> None:
    def health(request: Request) -> Refusal | None:
        return Refusal(200, body=b"ok") if request.path == "/health" else None

    async def main() -> None:
        async with serve(on_handshake=health) as server:
            async with connect(server) as raw:
                raw.writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await raw.reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
            async with connect(server) as raw:
                raw.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await raw.reader.read()).startswith(b"HTTP/1.1 400 ")
            async with connect(server) as raw:
                raw.writer.write(b"no HTTP at all\r\n\r\n")
                assert (await raw.reader.read()).startswith(b"HTTP/1.1 400 ")
            assert server.connections == ()

    run(main())


async def ask(server: Server, request: bytes) -> bytes:
    """Send a request as it is, and return the whole answer of a server that lets nobody in."""
    async with connect(server) as raw:
        raw.writer.write(request)
        return await raw.reader.read()


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /health HTTP/1.1",
        b"GET /health HTTP/1.0",
        b"HEAD /health HTTP/1.1",
        b"OPTIONS /health HTTP/1.1",
        b"POST /health HTTP/1.1\r\nContent-Length: 1000",
        b"POST /health HTTP/1.1\r\nTransfer-Encoding: chunked",
        b"GET http://host/health HTTP/1.1",
        b"GET /health HTTP/1.1\r\nX:\r\nY: \xff\t\x80 \r\nX: twice",
    ],
)
def test_every_well_formed_request_reaches_the_hook(run: Run, request_line: bytes) -> None:
    def health(request: Request) -> Refusal:
        assert request.path == "/health"
        return Refusal(200, body=b"ok")

    async def main() -> None:
        async with serve(on_handshake=health) as server:
            head, _, body = (await ask(server, request_line + b"\r\nHost: x\r\n\r\n")).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"\r\nContent-Length: 2\r\n" in head
            # RFC 9110, section 9.3.2: HEAD asks for no body.
            assert body == (b"" if request_line.startswith(b"HEAD") else b"ok")

    run(main())


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /\xff HTTP/1.1",
        b"GET / HTTP/1.1\r\n folded: x",
        b"GET / HTTP/1.1\r\nno colon",
        b"GET / HTTP/1.1\r\nspace before : x",
        b"GET / HTTP/1.1\r\nX: \x00",
        b"GET / HTTP/1.1\r\nX: a\nY: b",
        b"GET / HTTP/2.0",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"\xff\xfe",
        b"",
    ],
)
def test_what_is_no_well_formed_request_reaches_nobody(run: Run, request_head: bytes) -> None:
    seen: list[Request] = []

    async def main() -> None:
        async with serve(on_handshake=seen.append) as server:
            assert (await ask(server, request_head + b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        assert seen == []

    run(main())


def test_a_request_without_end_is_refused(run: Run) -> None:
    async def main() -> None:
        async with serve() as server:
            assert (await ask(server, b"GET / HTTP/1.1\r\nX: " + bytes(20_000))).startswith(b"HTTP/1.1 431 ")
            whole = b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n"
            assert (await ask(server, whole)).startswith(b"HTTP/1.1 431 ")

    run(main())


FIELDS = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("Connection", "keep-alive, Upgrade", 101),
        ("Connection", "Upgrade , keep-alive", 101),
        ("Connection", "keep-alive,UPGRADE", 101),
        ("Connection", "keep-alive", 400),
        ("Connection", ",Upgrade,, close", 101),
        ("Connection", 'x;y="z", upgrade', 101),
        ("Upgrade", "WebSocket", 101),
        ("Upgrade", "h2c, websocket", 101),
        ("Upgrade", "h2c\r\nUpgrade: websocket", 101),
        ("Upgrade", "websocket/13", 400),
        ("Upgrade", "h2c", 400),
        ("Sec-WebSocket-Key", "short", 400),
        ("Sec-WebSocket-Key", "\xff", 400),
        ("Sec-WebSocket-Version", "12", 426),
        ("Sec-WebSocket-Version", "\xff", 426),
        ("Sec-WebSocket-Protocol", "\xff", 400),
    ],
)
def test_header_fields_are_judged_as_rfc_6455_has_it_and_never_logged(
    run: Run, caplog: pytest.LogCaptureFixture, name: str, value: str, status: int
) -> None:
    fields = {**FIELDS, name: value}
    lines = "".join(f"{key}: {text}\r\n" for key, text in fields.items())
    request = f"GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode("latin-1")

    async def main() -> None:
        async with serve() as server, connect(server) as raw:
            raw.writer.write(request)
            head = await raw.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(f"HTTP/1.1 {status} ".encode())
            # RFC 6455, section 4.4: who speaks another version is told ours.
            assert (b"\r\nSec-WebSocket-Version: 13\r\n" in head) == (status == 426)

    with caplog.at_level(1):
        run(main())
    told = [record.getMessage() for record in caplog.records if record.name != "asyncio"]
    frame = r": (sent|received) \w+, \d+ bytes"
    assert [
        line for line in told if not re.fullmatch(rf"<Peer 1 '/'>( has come| is gone: \w+|{frame})", line)
    ] == []


@pytest.mark.parametrize(
    ("first", "name", "value", "words"),
    [
        ("GET / HTTP/1.0", "Upgrade", "websocket", b"came as HTTP/1.0, it needs HTTP/1.1"),
        ("POST / HTTP/1.1", "Upgrade", "websocket", b"the method is not GET"),
        ("GET / HTTP/1.1", "Connection", "hush", b"no valid Connection header; a proxy"),
        ("GET / HTTP/1.1", "Upgrade", "hush", b"no valid Upgrade header; a proxy"),
        ("GET / HTTP/1.1", "Sec-WebSocket-Key", "hush", b"no valid Sec-WebSocket-Key header"),
    ],
)
def test_what_is_no_handshake_is_told_what_it_lacks(
    run: Run, first: str, name: str, value: str, words: bytes
) -> None:
    lines = "".join(f"{key}: {text}\r\n" for key, text in {**FIELDS, name: value}.items())

    async def main() -> None:
        async with serve() as server:
            answer = await ask(server, f"{first}\r\nHost: x\r\n{lines}\r\n".encode())
        head, body = answer.split(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert body.startswith(b"no WebSocket handshake: ")
        assert words in body
        assert b"hush" not in answer

    run(main())


def test_a_hook_that_raises_or_answers_nonsense_refuses_with_500_and_tells_nobody_why(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(request: Request) -> None:
        raise ValueError(f"secret {request.query}")

    async def main() -> None:
        for hook in (broken, lambda _: 401):
            async with serve(on_handshake=hook) as server, client(server, "/?secret") as raw:  # type: ignore[arg-type]
                assert raw.status == 500
                assert b"secret" not in raw.head + await raw.reader.read()

    run(main())
    assert "on_handshake raised ValueError at" in caplog.text
    assert "on_handshake must return None or a Refusal, not int" in caplog.text
    assert "secret" not in caplog.text


def test_a_client_can_be_let_in_and_closed_at_once(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        async with serve(on_open=lambda peer: peer.close(1008, "bad key"), on_close=closes) as server:
            for _ in range(3):
                async with websockets.connect(server.url()) as ws:
                    await ws.wait_closed()
                    assert (ws.close_code, ws.close_reason) == (1008, "bad key")
        assert closes.seen == [(1, 1008, "bad key"), (2, 1008, "bad key"), (3, 1008, "bad key")]

    run(main())


@pytest.mark.parametrize(
    ("offered", "agreed"), [(["a", "b"], "b"), (["c", "b"], "c"), (["x"], None), ([], None)]
)
def test_the_first_subprotocol_of_ours_that_the_client_offers_is_agreed_on(
    run: Run, offered: list[Subprotocol], agreed: str | None
) -> None:
    async def main() -> None:
        async with (
            serve(subprotocols=["c", "b"]) as server,
            websockets.connect(server.url(), subprotocols=offered or None) as ws,
        ):
            assert ws.subprotocol == agreed
            assert server.connections[0].subprotocol == agreed

    run(main())


def test_a_handshake_that_hangs_is_dropped_in_time(run: Run) -> None:
    async def main() -> None:
        async with serve(open_timeout=0.2) as server, connect(server) as raw:
            raw.writer.write(b"GET / HTTP/1.1\r\nHost")
            assert await raw.end() in ("end of file", "reset")
            assert server.connections == ()

    run(main())


def test_neither_query_nor_headers_nor_messages_are_in_logs_or_reprs(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    shown: list[str] = []

    async def main() -> None:
        def opened(peer: Peer) -> None:
            shown.extend([repr(peer), repr(peer.request), repr(server), repr(Refusal(401, {"A": "SECRET"}))])

        async with serve(on_open=opened, idle_timeout=0.2, write_limit=100_000) as server:
            for ending in range(4):
                async with client(server, "/p?SECRET", "Authorization: SECRET\r\n") as raw:
                    raw.frame(1, b"SECRET")
                    raw.frame(PING, b"SECRET")
                    if ending == 0:
                        raw.frame(8, (1000).to_bytes(2) + b"SECRET")
                    elif ending == 1:
                        raw.frame(1, b"SECRET\xff")
                    elif ending == 2:
                        raw.frame(3, b"SECRET")
                    await raw.end()

    with caplog.at_level(1):
        run(main())
    assert "<Peer 1 '/p'>" in shown
    assert "<Peer 4 '/p'> was dropped: silent for 0.2 s" in caplog.text
    assert "SECRET" not in caplog.text
    assert "SECRET" not in "".join(shown)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"on_message": 5}, TypeError, "on_message must be callable or None, not 5"),
        ({"on_open": "x"}, TypeError, "on_open must be callable or None, not 'x'"),
        ({"on_close": ()}, TypeError, r"on_close must be callable or None, not \(\)"),
        ({"on_handshake": 1}, TypeError, "on_handshake must be callable or None, not 1"),
        ({"host": None}, TypeError, "host must be a str, not None"),
        ({"port": "80"}, TypeError, "port must be a whole number, not '80'"),
        ({"port": -1}, ValueError, "port must be from 0 to 65535, not -1"),
        ({"port": 65536}, ValueError, "port must be from 0 to 65535, not 65536"),
        ({"heartbeat": b"x"}, TypeError, "heartbeat must be a str, a Dialect or None, not bytes"),
        ({"idle_timeout": 0}, ValueError, "idle_timeout must be above 0 and .* not 0"),
        ({"idle_timeout": float("inf")}, ValueError, "idle_timeout must be above 0 and .* not inf"),
        ({"idle_timeout": "60"}, TypeError, "idle_timeout must be a number of seconds, not '60'"),
        ({"open_timeout": 0}, ValueError, "open_timeout must be above 0 and .* not 0"),
        ({"open_timeout": 10000}, ValueError, "open_timeout must be at most 3600 .* Then write 10"),
        ({"close_timeout": 5000}, ValueError, "close_timeout must be at most 3600 .* Then write 5"),
        ({"close_timeout": -1}, ValueError, "close_timeout must be from 0 to .* not -1"),
        ({"max_size": 0}, ValueError, "max_size must be at least 1, not 0"),
        ({"write_limit": 1.5}, TypeError, "write_limit must be a whole number, not 1.5"),
        ({"subprotocols": "abc"}, TypeError, "subprotocols must be a collection, not 'abc'"),
        ({"subprotocols": [1]}, TypeError, r"subprotocols\[0\] must be a str, not int"),
        ({"compression": 1}, TypeError, "compression must be True or False, not 1"),
        ({"ssl": True}, TypeError, "ssl must be an ssl.SSLContext or None, not True"),
        ({"ssl": ssl.create_default_context()}, ValueError, "ssl must not be a context for clients"),
        ({"hub": Hub}, TypeError, "hub must be a Hub or None, not <class"),
    ],
)
def test_a_wrong_argument_is_refused_where_it_is_written(
    arguments: dict[str, object], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        serve(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((101,), ValueError, "status must be from 200 to 599, not 101"),
        ((600,), ValueError, "status must be from 200 to 599, not 600"),
        (("401",), TypeError, "status must be a whole number, not '401'"),
        ((401, {"A b": "c"}), ValueError, "a name in headers must be an HTTP token"),
        ((401, {"A": "b\r\nC: d"}), ValueError, "headers.* line breaks"),
        ((401, (), "no"), TypeError, "body must be bytes, not str"),
    ],
)
def test_a_wrong_refusal_is_refused_itself(
    arguments: tuple[object, ...], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        Refusal(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "ws://127.0.0.1:80/a?b"),
        ("localhost", "ws://localhost:80/a?b"),
        ("0.0.0.0", "ws://127.0.0.1:80/a?b"),
        ("", "ws://127.0.0.1:80/a?b"),
        ("::1", "ws://[::1]:80/a?b"),
        ("::", "ws://[::1]:80/a?b"),
    ],
)
def test_the_url_is_one_that_can_be_dialled_from_this_machine(host: str, url: str) -> None:
    assert serve(host=host, port=80).url("/a?b") == url


def test_an_address_that_is_taken_raises(run: Run) -> None:
    async def main() -> None:
        async with serve() as server, client(server) as raw:
            with pytest.raises(OSError, match="in use"):
                async with serve(port=server.port):
                    pass
            raw.frame(PING)
            assert await raw.read() == (PONG, b"")

    run(main())
