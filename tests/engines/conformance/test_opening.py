"""A link opens with what was asked for, or says why not, and can be cancelled on its way."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import trustme
from tests.certificates import tls_of_client
from tests.engines import peers
from tests.engines.peers import Peer, close_frame, frame, port_of, quiet, raw_server, serve_echo, ws_server
from tests.engines.recorder import MAX_SIZE, NOW, Recorder, failure, opened
from tests.watch import Run, until

from websocket_heartbeat.engines.base import Closure, Engine, OpenRequest
from websocket_heartbeat.errors import HandshakeError, HandshakeRejected
from websocket_heartbeat.events import Message


def test_text_binary_and_empty_messages_pass_both_ways_in_order(engine: Engine, run: Run) -> None:
    sent: list[Message] = [
        "text",
        b"\x00\xff",
        "",
        b"",
        "\u00fc \U0001f600",
        "x" * 125,
        b"y" * 126,
        "z" * 65536,
    ]

    async def main() -> None:
        async with serve_echo() as server:
            link, recorder = await opened(engine, f"ws://127.0.0.1:{port_of(server)}/")
            for message in sent:
                link.send(message)
            await recorder.until(lambda: len(recorder.messages) == len(sent))
            assert recorder.messages == sent
            link.close(1000, "")
            await recorder.closure()

    run(main())


def test_the_request_carries_path_query_headers_and_subprotocols(engine: Engine, run: Run) -> None:
    seen: list[Peer] = []

    async def handler(peer: Peer) -> None:
        seen.append(peer)
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, _ = await opened(
                engine,
                server.url("/a/b?c=d%20e"),
                headers=[("X-One", "1"), ("Authorization", "Bearer t"), ("User-Agent", "ours")],
                subprotocols=["chat.2", "chat.1"],
            )
            link.abort()
            assert seen[0].request == "GET /a/b?c=d%20e HTTP/1.1"
            assert seen[0].header("host") == f"127.0.0.1:{server.port}"
            assert seen[0].header("x-one") == "1"
            assert seen[0].header("authorization") == "Bearer t"
            assert seen[0].header("user-agent") == "ours"
            offered = seen[0].header("sec-websocket-protocol").split(",")
            assert [name.strip() for name in offered] == ["chat.2", "chat.1"]
            assert seen[0].header("sec-websocket-extensions") == ""

    run(main())


def test_a_host_header_replaces_the_one_of_the_url(engine: Engine, run: Run) -> None:
    seen: list[str] = []

    async def handler(peer: Peer) -> None:
        seen.append(peer.header("host"))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, _ = await opened(engine, server.url(), headers=[("Host", "example.com")])
            link.abort()
            assert seen == ["example.com"]

    run(main())


def test_the_answer_gives_subprotocol_and_headers(engine: Engine, run: Run) -> None:
    async def main() -> None:
        extra = ("Sec-WebSocket-Protocol: chat.1", "X-Node: 7", "Set-Cookie: a=1", "Set-Cookie: b=2")
        async with ws_server(quiet, *extra) as server:
            link, recorder = await opened(engine, server.url(), subprotocols=["chat.2", "chat.1"])
            assert link.subprotocol == "chat.1"
            headers = [(name.lower(), value) for name, value in recorder.headers]
            assert ("x-node", "7") in headers
            assert [value for name, value in headers if name == "set-cookie"] == ["a=1", "b=2"]
            link.abort()

    run(main())


def test_a_server_need_not_choose_a_subprotocol(engine: Engine, run: Run) -> None:
    async def main() -> None:
        async with ws_server(quiet) as server:
            link, _ = await opened(engine, server.url(), subprotocols=["chat.1"])
            assert link.subprotocol is None
            link.abort()

    run(main())


@pytest.mark.parametrize("offered", [[], ["chat.1"]])
def test_a_subprotocol_that_was_not_offered_is_an_error(engine: Engine, run: Run, offered: list[str]) -> None:
    async def main() -> None:
        async with ws_server(quiet, "Sec-WebSocket-Protocol: chat.9") as server:
            error = await failure(engine, server.url(), subprotocols=offered)
            assert type(error) is HandshakeError
            assert "subprotocol" in str(error)

    run(main())


def test_an_extension_that_was_not_offered_is_an_error(engine: Engine, run: Run) -> None:
    async def main() -> None:
        async with ws_server(quiet, "Sec-WebSocket-Extensions: permessage-deflate") as server:
            error = await failure(engine, server.url())
            assert type(error) is HandshakeError
            assert "extension" in str(error)

    run(main())


@pytest.mark.parametrize(
    "status", ["401 Unauthorized", "404 Not Found", "503 Busy", "520 Web Server", "200 OK", "599"]
)
def test_a_refusal_keeps_status_headers_and_body(engine: Engine, run: Run, status: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        headers = "Retry-After: 7\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 4"
        peer.write(f"HTTP/1.1 {status}\r\n{headers}\r\n\r\nbody".encode())
        await peer.gone()

    async def main() -> None:
        async with raw_server(handler) as server:
            error = await failure(engine, server.url())
            assert isinstance(error, HandshakeRejected)
            assert error.status == int(status[:3])
            assert error.header("retry-after") == "7"
            assert [value for name, value in error.headers if name.lower() == "x-a"] == ["1", "2"]
            assert error.body == b"body"

    run(main())


def test_a_refusal_keeps_only_the_beginning_of_a_long_body(engine: Engine, run: Run) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
        await peer.gone()

    async def main() -> None:
        async with raw_server(handler) as server:
            error = await failure(engine, server.url())
            assert isinstance(error, HandshakeRejected)
            assert len(error.body) <= 1024
            assert set(error.body) == {ord("x")}

    run(main())


def test_a_refusal_does_not_wait_for_a_body_that_never_comes(engine: Engine, run: Run) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 10\r\n\r\n")
        await peer.gone()

    async def main() -> None:
        async with raw_server(handler) as server:
            start = time.monotonic()
            error = await failure(engine, server.url())
            assert isinstance(error, HandshakeRejected)
            assert error.status == 503
            assert time.monotonic() - start < NOW

    run(main())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(engine: Engine, run: Run, status: int) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.write(f"HTTP/1.1 {status} Moved\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n".encode())
        await peer.gone()

    async def main() -> None:
        async with raw_server(handler) as server:
            error = await failure(engine, server.url())
            assert isinstance(error, HandshakeRejected)
            assert error.status == status
            assert error.header("Location") == "/other"
            assert server.connections == 1

    run(main())


SWITCHING = "HTTP/1.1 101 Switching Protocols\r\n"
UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
WRONG_ANSWERS = {
    "wrong accept key": SWITCHING + UPGRADE + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    "no accept key": SWITCHING + UPGRADE + "\r\n",
    "no upgrade": SWITCHING + "Connection: Upgrade\r\n\r\n",
    "other protocol": SWITCHING + "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    "no connection": SWITCHING + "Upgrade: websocket\r\n\r\n",
    "another protocol, whose server waits for an answer": "SSH-2.0-OpenSSH_9.6\r\n",
    "no status": "HTTP/1.1 what\r\n\r\n",
    "binary": "\x00\x01\x02",
    "bad header": SWITCHING + "no colon\r\n\r\n",
}


@pytest.mark.parametrize("answer", WRONG_ANSWERS.values(), ids=WRONG_ANSWERS.keys())
def test_any_other_answer_is_a_handshake_error(engine: Engine, run: Run, answer: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.write(answer.encode())
        await peer.gone()

    async def main() -> None:
        async with raw_server(handler) as server:
            error = await failure(engine, server.url())
            assert type(error) is HandshakeError
            assert server.connections == 1

    run(main())


def test_endless_response_headers_are_an_error(engine: Engine, run: Run) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.write(SWITCHING.encode())
        while True:
            peer.write(b"X-More: " + b"x" * 1000 + b"\r\n")
            await peer.writer.drain()

    async def main() -> None:
        async with raw_server(handler) as server:
            assert type(await failure(engine, server.url())) is HandshakeError

    run(main())


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 101 Switching"], ids=["nothing", "half"])
@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
def test_a_connection_lost_in_the_handshake_is_a_handshake_error(
    engine: Engine, run: Run, answer: bytes, reset: bool
) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.write(answer)
        await peer.writer.drain()
        if reset:
            peer.reset()

    async def main() -> None:
        async with raw_server(handler) as server:
            assert type(await failure(engine, server.url())) is HandshakeError
            assert server.connections == 1

    run(main())


def test_a_refused_connection_is_an_os_error(engine: Engine, run: Run) -> None:
    async def main() -> None:
        async with raw_server(quiet) as server:
            pass
        assert isinstance(await failure(engine, server.url()), ConnectionRefusedError)

    run(main())


def test_a_name_that_does_not_resolve_is_a_gaierror(engine: Engine, run: Run) -> None:
    async def main() -> None:
        error = await failure(engine, "ws://name.invalid/")
        assert isinstance(error, socket.gaierror)

    run(main())


def test_messages_in_the_segment_of_the_answer_come_after_opened(engine: Engine, run: Run) -> None:
    first = frame(peers.TEXT, b"one") + frame(peers.BINARY, b"two") + frame(peers.PING, b"p")

    async def handler(peer: Peer) -> None:
        pong = await peer.read_frame()
        assert (pong.opcode, pong.payload) == (peers.PONG, b"p")
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler, first=first) as server:
            link, recorder = await opened(engine, server.url())
            await recorder.until(lambda: recorder.batches)
            assert recorder.log == ["one", b"two", "batch"]
            link.abort()

    run(main())


def test_a_close_frame_in_the_segment_of_the_answer_is_seen(engine: Engine, run: Run) -> None:
    first = frame(peers.TEXT, b"sorry") + close_frame(1013, "busy")

    async def main() -> None:
        async with ws_server(quiet, first=first) as server:
            _, recorder = await opened(engine, server.url())
            assert await recorder.closure() == Closure(1013, "busy")
            assert recorder.messages == ["sorry"]

    run(main())


async def cancel_everywhere(
    open_link: Callable[[Recorder], Coroutine[Any, Any, None]], open_sockets: Callable[[], object]
) -> None:
    """Cancel the opening after 0, 1, 2 and more turns of the loop, until it completes or hangs."""
    for turns in range(80):
        recorder = Recorder()
        task = asyncio.create_task(open_link(recorder))
        for _ in range(turns):
            await asyncio.sleep(0)
        is_open = task.done()
        if not is_open:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            count = len(recorder.log)
            for _ in range(10):
                await asyncio.sleep(0)
            assert len(recorder.log) == count
        if recorder.link is not None:
            recorder.link.abort()  # ours since it opened, also where `open` was cancelled just after that
        if is_open:
            break
    await until(lambda: not open_sockets())


@pytest.mark.parametrize(
    "stage", ["handshake", "answered", "tls", "tls handshake", "http proxy", "socks proxy"]
)
def test_cancelling_the_opening_leaves_nothing(
    engine: Engine, run: Run, stage: str, authority: trustme.CA, server_tls: ssl.SSLContext
) -> None:
    if engine.name == "aiohttp" and stage == "socks proxy":
        pytest.skip("this engine cannot use such a proxy")
    client_tls = tls_of_client(authority)
    live: set[Peer] = set()

    def counted(handler: peers.Handler) -> peers.Handler:
        async def wrapper(peer: Peer) -> None:
            live.add(peer)
            try:
                await handler(peer)
            finally:
                live.discard(peer)

        return wrapper

    async def answer(peer: Peer) -> None:
        await peer.read_request()
        peer.write(peer.response())
        await peer.gone()

    async def main() -> None:
        handler = counted(answer if stage == "answered" else peers.hang)
        async with raw_server(handler, server_tls if stage == "tls handshake" else None) as server:
            url, proxy = server.url(), None
            if stage.startswith("tls"):
                url = server.url(scheme="wss")
            if stage.endswith("proxy"):
                scheme = "http" if stage == "http proxy" else "socks5"
                url, proxy = "wss://127.0.0.1:9/", server.url(scheme=scheme)

            async def open_link(recorder: Recorder) -> None:
                request = OpenRequest(
                    url, max_size=MAX_SIZE, ssl=client_tls if stage.startswith("tls") else None, proxy=proxy
                )
                await engine.open(request, recorder)

            await cancel_everywhere(open_link, lambda: live)

    run(main())
