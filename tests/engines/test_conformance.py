"""What every engine must do, over real sockets, under every event loop."""

import asyncio
import logging
import os
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest
import trustme
import websockets.asyncio.server
import websockets.exceptions
from tests.engines import peers
from tests.engines.conftest import Run
from tests.engines.peers import Peer, RawServer, close_frame, frame, raw_server, ws_server
from tests.engines.recorder import PATIENCE, Recorder, eventually, warmed_up

from websocket_heartbeat.engines.base import WRITE_LIMIT, Closure, Engine, Link, OpenRequest
from websocket_heartbeat.errors import (
    HandshakeError,
    HandshakeRejected,
    MessageTooBig,
    ProtocolViolation,
    ProxyFailed,
)
from websocket_heartbeat.events import Message
from websocket_heartbeat.system import kernel

MAX_SIZE = 1 << 20
NOW = 1.0
"""Seconds within which what happens at once has happened, on a loaded machine too."""


async def opened(engine: Engine, url: str, **options: Any) -> tuple[Link, Recorder]:
    """Open a link; the caller drops it."""
    recorder = Recorder()
    options = {"max_size": MAX_SIZE, **options}
    async with asyncio.timeout(PATIENCE):
        await engine.open(OpenRequest(url, **options), recorder)
    assert recorder.link is not None
    return recorder.link, recorder


async def failure(engine: Engine, url: str, **options: Any) -> Exception:
    """Return what the attempt to open raises."""
    recorder = Recorder()
    options = {"max_size": MAX_SIZE, **options}
    try:
        async with asyncio.timeout(PATIENCE):
            await engine.open(OpenRequest(url, **options), recorder)
    except Exception as error:
        assert recorder.log == []
        assert recorder.link is None
        return error
    raise AssertionError("the link opened")


async def echo(connection: websockets.asyncio.server.ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def serve_echo(**options: Any) -> Any:
    return websockets.asyncio.server.serve(
        echo, "127.0.0.1", 0, **{"max_size": None, "compression": None, "ping_interval": None, **options}
    )


def port_of(server: websockets.asyncio.server.Server) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port


async def quiet(peer: Peer) -> None:
    """Say nothing until the client leaves."""
    await peer.gone()


# Opening


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
    "not http": "SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "no status": "HTTP/1.1 what\r\n\r\n",
    "binary": "\x00\x01\x02\r\n\r\n",
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


# Cancelling


async def cancel_everywhere(
    open_link: Callable[[Recorder], Coroutine[Any, Any, None]], open_sockets: Callable[[], object]
) -> None:
    """Cancel the opening after 0, 1, 2 and more turns of the loop, until it completes or hangs."""
    for turns in range(80):
        recorder = Recorder()
        task = asyncio.create_task(open_link(recorder))
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.done():
            break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        count = len(recorder.log)
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(recorder.log) == count
    if task.done() and recorder.link is not None:
        recorder.link.abort()
    await eventually(lambda: not open_sockets())


@pytest.mark.parametrize(
    "stage", ["handshake", "answered", "tls", "tls handshake", "http proxy", "socks proxy"]
)
def test_cancelling_the_opening_leaves_nothing(
    engine: Engine, run: Run, stage: str, authority: trustme.CA, server_tls: ssl.SSLContext
) -> None:
    if engine.name == "aiohttp" and stage == "socks proxy":
        pytest.skip("this engine cannot use such a proxy")
    client_tls = ssl.create_default_context()
    authority.configure_trust(client_tls)
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


# Messages


def test_fragments_are_assembled_with_control_frames_between(engine: Engine, run: Run) -> None:
    text = "gr\u00fc\u00dfe".encode()

    async def handler(peer: Peer) -> None:
        # Cut within a character, which only the whole message shows to be right.
        peer.write(frame(peers.TEXT, text[:3], fin=False) + frame(peers.PING, b"1"))
        assert (await peer.read_frame()).payload == b"1"
        peer.write(frame(peers.CONTINUATION, b"", fin=False) + frame(peers.PONG))
        peer.write(frame(peers.CONTINUATION, text[3:]))
        peer.write(frame(peers.BINARY, b"a", fin=False) + frame(peers.CONTINUATION, b"b"))
        peer.write(frame(peers.TEXT, b"", fin=False) + frame(peers.CONTINUATION, b""))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            await recorder.until(lambda: len(recorder.messages) == 3)
            assert recorder.messages == ["gr\u00fc\u00dfe", b"ab", ""]
            assert recorder.pongs == 1
            link.abort()

    run(main())


def test_large_messages_pass_both_ways(engine: Engine, run: Run) -> None:
    async def main() -> None:
        async with serve_echo() as server:
            link, recorder = await opened(engine, f"ws://127.0.0.1:{port_of(server)}/", max_size=1 << 22)
            data = os.urandom(1 << 22)
            link.send(data)
            await recorder.until(lambda: recorder.messages)
            assert recorder.messages == [data]
            link.close(1000, "")
            await recorder.closure()

    run(main())


def test_a_message_of_exactly_max_size_is_accepted(engine: Engine, run: Run) -> None:
    async def handler(peer: Peer) -> None:
        peer.write(frame(peers.BINARY, b"x" * 1000))
        peer.write(frame(peers.BINARY, b"x" * 400, fin=False) + frame(peers.CONTINUATION, b"x" * 600))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url(), max_size=1000)
            await recorder.until(lambda: len(recorder.messages) == 2)
            assert [len(message) for message in recorder.messages] == [1000, 1000]
            link.abort()

    run(main())


TOO_BIG = {
    "one frame": frame(peers.TEXT, b"x" * 1001),
    "fragments": frame(peers.TEXT, b"x" * 600, fin=False) + frame(peers.CONTINUATION, b"x" * 401),
    "endless fragments": frame(peers.TEXT, b"x" * 600, fin=False)
    + frame(peers.CONTINUATION, b"x" * 401, fin=False),
    "a header that announces it": frame(peers.BINARY, b"x" * 200_000)[:10],
}


@pytest.mark.parametrize("data", TOO_BIG.values(), ids=TOO_BIG.keys())
def test_a_message_above_max_size_ends_the_link(engine: Engine, run: Run, data: bytes) -> None:
    closes: list[int | None] = []

    async def handler(peer: Peer) -> None:
        await peers.warm_up(peer)
        peer.write(frame(peers.TEXT, b"before") + data)
        closes.append((await peer.read_frame()).close_code)
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url(), max_size=1000)
            await warmed_up(link, recorder)
            closure = await recorder.closure()
            assert isinstance(closure.error, MessageTooBig)
            assert "max_size=1000" in str(closure.error)
            assert recorder.messages == ["first", "before"]
            await eventually(lambda: closes)
            assert closes == [1009]

    run(main())


def test_pings_are_answered_with_their_payload(engine: Engine, run: Run) -> None:
    answers: list[bytes] = []

    async def handler(peer: Peer) -> None:
        for payload in (b"", b"hello", b"x" * 125):
            peer.write(frame(peers.PING, payload))
            pong = await peer.read_frame()
            assert pong.opcode == peers.PONG
            assert pong.masked
            answers.append(pong.payload)
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            await eventually(lambda: len(answers) == 3)
            assert answers == [b"", b"hello", b"x" * 125]
            assert recorder.pongs == 0
            assert recorder.messages == []
            link.abort()

    run(main())


def test_our_pings_reach_the_server_and_its_pongs_reach_us(engine: Engine, run: Run) -> None:
    async def handler(peer: Peer) -> None:
        for _ in range(2):
            ping = await peer.read_frame()
            assert ping.opcode == peers.PING
            assert ping.masked
            peer.write(frame(peers.PONG, ping.payload))
        peer.write(frame(peers.PONG, b"unasked"))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            link.ping()
            await recorder.until(lambda: recorder.pongs == 1)
            link.ping()
            await recorder.until(lambda: recorder.pongs == 3)
            link.abort()

    run(main())


def test_an_engine_sends_nothing_by_itself(engine: Engine, run: Run) -> None:
    async def main() -> None:
        received: list[bytes] = []

        async def handler(peer: Peer) -> None:
            received.append(await peer.reader.read(1))

        async with ws_server(handler) as server:
            link, _ = await opened(engine, server.url())
            await asyncio.sleep(0.3)
            assert received == []
            link.abort()

    run(main())


BATCHES = {
    "one message": (frame(peers.TEXT, b"a"), ["a", "batch"]),
    "two": (frame(peers.TEXT, b"a") + frame(peers.TEXT, b"b"), ["a", "b", "batch"]),
    "ends with a ping": (frame(peers.TEXT, b"a") + frame(peers.PING), ["a", "batch"]),
    "ends with a pong": (frame(peers.TEXT, b"a") + frame(peers.PONG), ["a", "pong", "batch"]),
    "ends with a fragment": (frame(peers.TEXT, b"a") + frame(peers.TEXT, b"b", fin=False), ["a", "batch"]),
    "holds no whole frame": (frame(peers.TEXT, b"bcd")[:3], []),
    "ends within a frame": (frame(peers.TEXT, b"a") + frame(peers.TEXT, b"bcd")[:3], ["a", "batch"]),
    "ends with a close": (
        frame(peers.TEXT, b"a") + close_frame(1000),
        ["a", "batch", Closure(1000, "")],
    ),
    "ends with a bad frame": (frame(peers.TEXT, b"a") + frame(3), ["a", "batch"]),
    "ends with reserved bits": (frame(peers.TEXT, b"a") + frame(peers.TEXT, rsv=2), ["a", "batch"]),
}


@pytest.mark.parametrize(("data", "log"), BATCHES.values(), ids=BATCHES.keys())
def test_a_batch_ends_exactly_once_after_its_last_message(
    engine: Engine, run: Run, data: bytes, log: list[object]
) -> None:
    async def handler(peer: Peer) -> None:
        await peers.warm_up(peer)
        peer.write(data)
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            await warmed_up(link, recorder)
            await recorder.until(lambda: len(recorder.log) >= len(log))
            # What would come too much would come in the next turns.
            for _ in range(20):
                await asyncio.sleep(0)
            end = [entry for entry in recorder.log[len(log) :] if not isinstance(entry, Closure)]
            assert recorder.log[: len(log)] == log
            assert end == []
            link.abort()

    run(main())


@pytest.mark.parametrize("mishap", [ValueError(), asyncio.CancelledError()], ids=lambda it: type(it).__name__)
def test_a_deliver_that_raises_is_reported_and_the_link_goes_on(
    engine: Engine, run: Run, mishap: BaseException
) -> None:
    async def handler(peer: Peer) -> None:
        peer.write(
            frame(peers.TEXT, b"bad") + frame(peers.TEXT, b"b", fin=False) + frame(peers.CONTINUATION, b"ad")
        )
        peer.write(frame(peers.TEXT, b"good"))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            recorder = Recorder()

            def picky(message: Message) -> None:
                if message == "bad":
                    raise mishap
                recorder.deliver(message)

            recorder.on_opened = lambda link: setattr(link, "deliver", picky)
            await engine.open(OpenRequest(server.url(), max_size=MAX_SIZE), recorder)
            await recorder.until(lambda: recorder.messages)
            assert recorder.messages == ["good"]
            assert recorder.failures == [mishap, mishap]
            assert recorder.link is not None
            recorder.link.abort()

    run(main())


def test_what_a_deliver_returns_is_passed_on(engine: Engine, run: Run) -> None:
    async def handler(peer: Peer) -> None:
        peer.write(frame(peers.TEXT, b"a") + frame(peers.BINARY, b"b") + frame(peers.TEXT, b""))
        peer.write(frame(peers.TEXT, b"c", fin=False) + frame(peers.CONTINUATION, b"d"))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            recorder = Recorder()
            recorder.on_opened = lambda link: setattr(link, "deliver", lambda message: message or None)
            await engine.open(OpenRequest(server.url(), max_size=MAX_SIZE), recorder)
            await recorder.until(lambda: len(recorder.results) == 3)
            assert recorder.results == ["a", b"b", "cd"]
            assert recorder.link is not None
            recorder.link.abort()

    run(main())


@pytest.mark.parametrize("path", ["/whole", "/fragments"])
@pytest.mark.parametrize("told", ["end", ValueError()], ids=["returns", "raises"])
def test_what_a_deliver_that_ends_the_link_comes_to_is_told_and_nothing_else(
    path: str, told: object, engine: Engine, run: Run
) -> None:
    async def handler(peer: Peer) -> None:
        whole = frame(peers.TEXT, b"x") + frame(peers.TEXT, b"too late") + frame(peers.PONG)
        fragments = frame(peers.TEXT, b"x", fin=False) + frame(peers.CONTINUATION, b"x") + whole
        peer.write(fragments if "fragments" in peer.request else whole)
        await peer.gone()

    async def main() -> None:
        recorder = Recorder()

        def end(message: Message) -> object:
            assert recorder.link is not None
            recorder.link.abort()
            if isinstance(told, Exception):
                raise told
            return told

        recorder.on_opened = lambda link: setattr(link, "deliver", end)
        async with ws_server(handler) as server:
            await engine.open(OpenRequest(server.url(path), max_size=MAX_SIZE), recorder)
            await recorder.until(lambda: recorder.log)
            for _ in range(20):
                await asyncio.sleep(0)
            assert recorder.log == [told]

    run(main())


def test_deliver_may_be_changed_at_any_time(engine: Engine, run: Run) -> None:
    async def main() -> None:
        async with serve_echo() as server:
            link, recorder = await opened(engine, f"ws://127.0.0.1:{port_of(server)}/")
            link.send("one")
            await recorder.until(lambda: recorder.messages)
            others: list[Message] = []
            link.deliver = others.append
            link.send("two")
            await eventually(lambda: others)
            assert (recorder.messages, others) == (["one"], ["two"])
            link.close(1000, "")
            await recorder.closure()

    run(main())


# Closing


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, ""),
        (1001, "bye"),
        (1011, "gr\u00fc\u00dfe"),
        (1014, ""),
        (3000, "x" * 123),
        (4999, "late"),
        (None, ""),
    ],
)
def test_a_close_of_the_server_gives_code_and_reason_and_is_answered(
    engine: Engine, run: Run, code: int | None, reason: str
) -> None:
    echoes: list[int | None] = []

    async def handler(peer: Peer) -> None:
        peer.write(close_frame(code, reason))
        echoes.append((await peer.read_frame()).close_code)
        assert not await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            _, recorder = await opened(engine, server.url())
            assert await recorder.closure() == Closure(code, reason)
            await eventually(lambda: echoes)
            assert echoes[0] == code or (code is None and echoes[0] in (None, 1000))

    run(main())


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1000, "done"), (3001, "x" * 123), (4000, "\u00fc")]
)
def test_our_close_gives_the_server_code_and_reason(engine: Engine, run: Run, code: int, reason: str) -> None:
    async def main() -> None:
        seen: list[tuple[int | None, str]] = []

        async def handler(connection: websockets.asyncio.server.ServerConnection) -> None:
            await connection.wait_closed()
            seen.append((connection.close_code, connection.close_reason or ""))

        async with websockets.asyncio.server.serve(handler, "127.0.0.1", 0, compression=None) as server:
            link, recorder = await opened(engine, f"ws://127.0.0.1:{port_of(server)}/")
            link.close(code, reason)
            assert await recorder.closure() == Closure(code, reason)
            await eventually(lambda: seen)
            assert seen == [(code, reason)]

    run(main())


def test_messages_that_come_before_the_answer_to_our_close_are_delivered(engine: Engine, run: Run) -> None:
    async def handler(peer: Peer) -> None:
        assert (await peer.read_frame()).close_code == 1000
        peer.write(frame(peers.TEXT, b"still here") + close_frame(1000))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            link.close(1000, "")
            assert await recorder.closure() == Closure(1000, "")
            assert recorder.messages == ["still here"]

    run(main())


def test_a_close_without_an_answer_ends_nothing_until_the_abort(engine: Engine, run: Run) -> None:
    async def main() -> None:
        async with ws_server(quiet) as server:
            link, recorder = await opened(engine, server.url())
            link.close(1000, "")
            link.send("too late")
            await asyncio.sleep(0.2)
            assert recorder.log == []
            link.abort()

    run(main())


def test_frames_after_the_close_frame_are_ignored(engine: Engine, run: Run) -> None:
    async def handler(peer: Peer) -> None:
        peer.write(
            frame(peers.TEXT, b"a")
            + close_frame(1000)
            + frame(peers.TEXT, b"b")
            + frame(peers.PONG)
            + frame(peers.PING)
            + close_frame(1001)
            + frame(7)
        )
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            _, recorder = await opened(engine, server.url())
            await recorder.closure()
            for _ in range(20):
                await asyncio.sleep(0)
            assert recorder.log == ["a", "batch", Closure(1000, "")]

    run(main())


def test_the_end_of_the_stream_without_a_close_frame_has_no_code_and_no_error(
    engine: Engine, run: Run
) -> None:
    async def handler(peer: Peer) -> None:
        peer.write(frame(peers.TEXT, b"a") + frame(peers.TEXT, b"half")[:3])

    async def main() -> None:
        async with ws_server(handler) as server:
            _, recorder = await opened(engine, server.url())
            assert await recorder.closure() == Closure()
            assert recorder.messages == ["a"]

    run(main())


def test_a_reset_is_kept_as_the_error(engine: Engine, run: Run) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_frame()
        peer.reset()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            link.ping()
            closure = await recorder.closure()
            assert isinstance(closure.error, ConnectionResetError)
            assert closure.code is None

    run(main())


def test_calls_on_a_link_that_has_ended_do_nothing(engine: Engine, run: Run) -> None:
    async def handler(peer: Peer) -> None:
        peer.write(close_frame(1000))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            await recorder.closure()
            for _ in range(2):
                link.send("text")
                link.ping()
                link.close(1000, "again")
                link.pause_reading()
                link.resume_reading()
                link.abort()
                assert link.buffered == 0
                assert not link.full
                assert link.heard_at <= asyncio.get_running_loop().time()
                await asyncio.sleep(0.02)
            assert len(recorder.closures) == 1

    run(main())


VIOLATIONS: dict[str, tuple[bytes, *tuple[int, ...]]] = {
    "invalid UTF-8": (frame(peers.TEXT, b"\xff\xfe"), 1007),
    "a surrogate in UTF-8": (frame(peers.TEXT, b"\xed\xa0\x80"), 1007),
    "invalid UTF-8 over fragments": (
        frame(peers.TEXT, b"\xc3", fin=False) + frame(peers.CONTINUATION, b"("),
        1007,
    ),
    "reserved bit 1": (frame(peers.TEXT, b"a", rsv=4), 1002),
    "reserved bit 2": (frame(peers.BINARY, b"a", rsv=2), 1002),
    "reserved bit 3": (frame(peers.PING, b"a", rsv=1), 1002),
    "a masked frame": (frame(peers.TEXT, b"a", masked=True), 1002),
    "a fragmented ping": (frame(peers.PING, b"a", fin=False), 1002),
    "a ping of 126 bytes": (frame(peers.PING, b"a" * 126), 1002),
    "an unknown data frame": (frame(3, b"a"), 1002),
    "an unknown control frame": (frame(11, b"a"), 1002),
    "a continuation of nothing": (frame(peers.CONTINUATION, b"a"), 1002),
    "text within fragments": (frame(peers.TEXT, b"a", fin=False) + frame(peers.TEXT, b"b"), 1002),
    "close code 999": (close_frame(999), 1002),
    "close code 0": (close_frame(0), 1002),
    "close code 1004": (close_frame(1004), 1002),
    "close code 1005": (close_frame(1005), 1002),
    "close code 1006": (close_frame(1006), 1002),
    "close code 1015": (close_frame(1015), 1002),
    "close code 2000": (close_frame(2000), 1002),
    "close code 5000": (close_frame(5000), 1002),
    "a close of one byte": (frame(peers.CLOSE, b"\x03"), 1002),
    "a close reason that is not UTF-8": (frame(peers.CLOSE, b"\x03\xe8\xff"), 1007),
    "a length with its highest bit set": (b"\x82\x7f\xff" + b"\xff" * 7, 1002, 1009),
}


LENIENT = {("aiohttp", "a masked frame")}
"""What an engine lets pass, as docs/engines.md says."""


@pytest.mark.parametrize("what", VIOLATIONS)
def test_a_violation_ends_the_link_and_names_its_code(engine: Engine, run: Run, what: str) -> None:
    if (engine.name, what) in LENIENT:
        pytest.skip("this engine lets it pass")
    data, *codes = VIOLATIONS[what]
    closes: list[int | None] = []

    async def handler(peer: Peer) -> None:
        await peers.warm_up(peer)
        peer.write(frame(peers.TEXT, b"before") + data + frame(peers.TEXT, b"after"))
        closes.append((await peer.read_frame()).close_code)
        peer.write(frame(peers.TEXT, b"after"))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            await warmed_up(link, recorder)
            closure = await recorder.closure()
            assert isinstance(closure.error, ProtocolViolation)
            assert closure.error.code in codes
            assert closure.code is None
            await eventually(lambda: closes)
            assert closes == [closure.error.code]
            for _ in range(20):
                await asyncio.sleep(0)
            assert recorder.messages == ["first", "before"]
            assert len(recorder.closures) == 1

    run(main())


# Dropping


@pytest.mark.parametrize("moment", ["opened", "message", "batch", "pong", "idle"])
def test_nothing_is_called_after_an_abort(engine: Engine, run: Run, moment: str) -> None:
    data = frame(peers.TEXT, b"a") + frame(peers.PONG) + frame(peers.TEXT, b"b") + close_frame(1000)

    async def main() -> None:
        async with ws_server(quiet, first=data if moment != "idle" else b"") as server:
            recorder = Recorder()
            count = -1

            def drop(*_: object) -> None:
                nonlocal count
                assert recorder.link is not None
                recorder.link.abort()
                count = len(recorder.log)

            if moment == "opened":
                recorder.on_opened = drop
            elif moment == "message":
                recorder.on_opened = lambda link: setattr(link, "deliver", drop)
            elif moment == "batch":
                recorder.batch_delivered = drop  # type: ignore[method-assign]
            elif moment == "pong":
                recorder.ponged = drop  # type: ignore[method-assign]
            async with asyncio.timeout(PATIENCE):
                await engine.open(OpenRequest(server.url(), max_size=MAX_SIZE), recorder)
                if moment == "idle":
                    drop()
                await eventually(lambda: count >= 0)
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(recorder.log) == count

    run(main())


async def fill(link: Link) -> int:
    """Send until the link is full; the number of messages it took."""
    for number in range(1, 10_000):
        link.send(b"x" * 65536)
        await asyncio.sleep(0)
        if link.full:
            return number
    raise AssertionError("never full")


def test_an_abort_behind_a_full_write_buffer_is_immediate(engine: Engine, run: Run) -> None:
    stuck = asyncio.Event()
    dropped = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await stuck.wait()
        start = time.monotonic()
        await peer.gone()
        assert time.monotonic() - start < NOW
        dropped.set()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            await fill(link)
            link.close(1000, "")
            link.abort()
            stuck.set()
            async with asyncio.timeout(PATIENCE):
                await dropped.wait()
            assert recorder.log == []

    run(main())


def test_a_full_link_says_so_and_says_when_it_is_not_any_more(engine: Engine, run: Run) -> None:
    read_on = asyncio.Event()
    received = 0

    async def handler(peer: Peer) -> None:
        nonlocal received
        await read_on.wait()
        while True:
            received += len((await peer.read_frame()).payload)

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            assert (link.full, link.buffered) == (False, 0)
            start = time.monotonic()
            number = await fill(link)
            link.send("y" * 100)
            assert time.monotonic() - start < PATIENCE
            assert link.buffered > WRITE_LIMIT
            assert recorder.writables == 0
            read_on.set()
            await recorder.until(lambda: recorder.writables)
            assert not link.full
            await eventually(lambda: received == number * 65536 + 100)
            assert link.buffered == 0
            assert recorder.writables == 1
            link.abort()

    run(main())


@pytest.mark.parametrize(
    "data", [close_frame(1001, "go"), frame(3), frame(peers.TEXT, rsv=4)], ids=["close", "opcode", "rsv"]
)
def test_a_link_ends_at_once_even_when_its_write_buffer_is_full(
    engine: Engine, run: Run, data: bytes
) -> None:
    stuck = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await stuck.wait()
        peer.write(data)
        # Nothing is read: what we still have to say cannot leave.
        await asyncio.sleep(PATIENCE)

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            await fill(link)
            stuck.set()
            start = time.monotonic()
            closure = await recorder.closure()
            assert time.monotonic() - start < NOW
            assert closure.unsent_bytes > WRITE_LIMIT
            for _ in range(20):
                await asyncio.sleep(0)
            assert link.buffered == 0

    run(main())


def test_pings_of_a_server_that_does_not_read_do_not_fill_our_memory(engine: Engine, run: Run) -> None:
    stuck = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await stuck.wait()
        pings = frame(peers.PING, b"x" * 125) * 1000
        for _ in range(30):
            peer.write(pings)
            await peer.writer.drain()
        peer.write(frame(peers.TEXT, b"end"))
        await asyncio.sleep(PATIENCE)

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            await fill(link)
            before = link.buffered
            stuck.set()
            await recorder.until(lambda: recorder.messages)
            assert link.buffered - before < 4 * WRITE_LIMIT
            link.abort()

    run(main())


# Reading


def test_a_paused_link_delivers_nothing_more_until_it_reads_again(engine: Engine, run: Run) -> None:
    total = 3000
    go = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await go.wait()
        for number in range(total):
            peer.write(frame(peers.TEXT, f"{number:04}".encode() * 1000))
            await peer.writer.drain()
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            link.pause_reading()
            link.pause_reading()
            go.set()
            await asyncio.sleep(0.2)
            held = len(recorder.messages)
            await asyncio.sleep(0.2)
            assert len(recorder.messages) == held < total
            link.resume_reading()
            link.resume_reading()
            await recorder.until(lambda: len(recorder.messages) == total)
            assert recorder.messages == [f"{number:04}" * 1000 for number in range(total)]
            link.abort()

    run(main())


def test_a_link_may_be_paused_within_a_delivery(engine: Engine, run: Run) -> None:
    total = 200

    async def handler(peer: Peer) -> None:
        await peer.read_frame()
        peer.write(b"".join(frame(peers.TEXT, b"%03d" % number + b"x" * 5000) for number in range(total)))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            pauses = 0

            def pausing(message: Message) -> None:
                nonlocal pauses
                pauses += 1
                link.pause_reading()
                recorder.deliver(message)

            link.deliver = pausing
            link.ping()
            async with asyncio.timeout(PATIENCE):
                while len(recorder.messages) < total:
                    await asyncio.sleep(0)
                    link.resume_reading()
            assert [message[:3] for message in recorder.messages] == [
                f"{number:03}" for number in range(total)
            ]
            link.abort()

    run(main())


def longer_than(recorder: Recorder, count: int) -> bool:
    return len(recorder.log) > count


SLACK = 0.02
"""Seconds by which the kernel's clock may differ, which counts in ticks."""


@pytest.mark.parametrize("knows", [True, False], ids=["kernel", "stamps"])
def test_heard_at_is_when_bytes_last_arrived(
    engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch, knows: bool
) -> None:
    if not knows:
        monkeypatch.setattr(kernel, "_TCP_INFO", None)
    server_side: list[Peer] = []

    async def handler(peer: Peer) -> None:
        server_side.append(peer)
        await peer.gone()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with ws_server(handler) as server:
            before = loop.time()
            link, recorder = await opened(engine, server.url())
            assert before - SLACK <= link.heard_at <= loop.time() + SLACK
            for data in (frame(peers.TEXT, b"a"), frame(peers.PONG), frame(peers.PING)):
                await asyncio.sleep(4 * SLACK)
                before = loop.time()
                assert link.heard_at < before - SLACK
                count = len(recorder.log)
                server_side[0].write(data)
                await recorder.until(partial(longer_than, recorder, count))
                assert before - SLACK <= link.heard_at <= loop.time() + SLACK
            link.abort()

    run(main())


needs_kernel = pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="this kernel does not tell")


@needs_kernel
def test_a_part_of_a_frame_counts_as_heard(engine: Engine, run: Run) -> None:
    server_side: list[Peer] = []

    async def handler(peer: Peer) -> None:
        server_side.append(peer)
        await peer.gone()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            await asyncio.sleep(4 * SLACK)
            before = loop.time()
            assert link.heard_at < before - SLACK
            server_side[0].write(frame(peers.TEXT, b"abc")[:2])
            await eventually(lambda: link.heard_at >= before - SLACK)
            assert recorder.log == []
            link.abort()

    run(main())


@needs_kernel
@pytest.mark.parametrize("paused", [False, True], ids=["blocked", "paused"])
def test_heard_at_knows_of_bytes_that_nobody_has_read(engine: Engine, run: Run, paused: bool) -> None:
    server_side: list[Peer] = []
    written: list[float] = []

    async def handler(peer: Peer) -> None:
        server_side.append(peer)
        await peer.gone()

    def write(descriptor: int) -> None:
        written.append(time.monotonic())
        os.write(descriptor, frame(peers.TEXT, b"a"))
        written.append(time.monotonic())

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            if paused:
                link.pause_reading()
            # From a thread, as this loop is blocked; by the descriptor, as no writer is thread-safe.
            descriptor = server_side[0].writer.get_extra_info("socket").fileno()
            writer = threading.Timer(4 * SLACK, write, (descriptor,))
            writer.start()
            writer.join()
            time.sleep(4 * SLACK)  # noqa: ASYNC251  # the loop must be blocked
            assert written[0] - SLACK <= link.heard_at <= written[1] + SLACK
            assert recorder.log == []
            link.resume_reading()
            await recorder.until(lambda: recorder.messages)
            link.abort()

    run(main())


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_tls_with_a_private_authority_works(
    engine: Engine, run: Run, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with serve_echo(ssl=server_tls) as server:
            link, recorder = await opened(engine, f"wss://127.0.0.1:{port_of(server)}/", ssl=client_tls)
            data = os.urandom(500_000)
            link.send("text")
            link.send(data)
            await recorder.until(lambda: len(recorder.messages) == 2)
            assert recorder.messages == ["text", data]
            assert abs(link.heard_at - loop.time()) < 0.2
            link.ping()
            await recorder.until(lambda: recorder.pongs)
            link.close(1000, "done")
            assert await recorder.closure() == Closure(1000, "done")

    run(main())


def test_tls_that_does_not_verify_is_a_verification_error(
    engine: Engine, run: Run, server_tls: ssl.SSLContext
) -> None:
    async def main() -> None:
        async with serve_echo(ssl=server_tls) as server:
            for context in (None, ssl.create_default_context()):
                error = await failure(engine, f"wss://127.0.0.1:{port_of(server)}/", ssl=context)
                assert isinstance(error, ssl.SSLCertVerificationError)

    run(main())


def test_a_certificate_for_another_name_is_a_verification_error(
    engine: Engine, run: Run, authority: trustme.CA, client_tls: ssl.SSLContext
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("other.example").configure_cert(context)

    async def main() -> None:
        async with serve_echo(ssl=context) as server:
            error = await failure(engine, f"wss://127.0.0.1:{port_of(server)}/", ssl=client_tls)
            assert isinstance(error, ssl.SSLCertVerificationError)

    run(main())


def test_a_server_without_tls_is_an_ssl_error(engine: Engine, run: Run, client_tls: ssl.SSLContext) -> None:
    async def handler(peer: Peer) -> None:
        peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.gone()

    async def main() -> None:
        async with raw_server(handler) as server:
            error = await failure(engine, server.url(scheme="wss"), ssl=client_tls)
            assert isinstance(error, ssl.SSLError)
            assert not isinstance(error, ssl.SSLCertVerificationError)

    run(main())


def test_an_abort_and_a_close_under_tls_do_not_wait_for_the_peer(
    engine: Engine, run: Run, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_frame()
        peer.write(close_frame(1000))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler, tls=server_tls) as server:
            link, recorder = await opened(engine, server.url(scheme="wss"), ssl=client_tls)
            link.ping()
            assert await recorder.closure() == Closure(1000, "")
            link, _ = await opened(engine, server.url(scheme="wss"), ssl=client_tls)
            link.abort()

    run(main())


# Proxies

PROXIES = {
    "http": peers.http_proxy,
    "https": peers.http_proxy,
    "socks4": peers.socks4_proxy,
    "socks5": peers.socks5_proxy,
}
CANNOT = {
    ("aiohttp", "ws", "http"),
    ("aiohttp", "ws", "https"),
    ("aiohttp", "ws", "socks4"),
    ("aiohttp", "wss", "socks4"),
    ("aiohttp", "ws", "socks5"),
    ("aiohttp", "wss", "socks5"),
    ("websockets", "ws", "https"),
    ("websockets", "wss", "https"),
}
"""Which engine cannot reach what through which proxy, as docs/engines.md says."""


@pytest.mark.parametrize("kind", PROXIES)
@pytest.mark.parametrize("credentials", [None, "user:pass word"], ids=["open", "with password"])
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_links_go_through_proxies(
    engine: Engine,
    run: Run,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    kind: str,
    credentials: str | None,
    scheme: str,
) -> None:
    async def main() -> None:
        async with (
            serve_echo(ssl=server_tls if scheme == "wss" else None) as server,
            raw_server(PROXIES[kind](credentials), server_tls if kind == "https" else None) as proxy,
        ):
            prefix = credentials.replace(" ", "%20") + "@" if credentials else ""
            url = f"{scheme}://127.0.0.1:{port_of(server)}/"
            through: dict[str, Any] = {"proxy": f"{kind}://{prefix}127.0.0.1:{proxy.port}", "ssl": client_tls}
            if (engine.name, scheme, kind) in CANNOT:
                error = await failure(engine, url, **through)
                assert isinstance(error, ProxyFailed)
                assert "cannot use a proxy" in str(error) or "can use a proxy for" in str(error)
                assert proxy.connections == 0
                return
            link, recorder = await opened(engine, url, **through)
            link.send("through")
            await recorder.until(lambda: recorder.messages)
            assert recorder.messages == ["through"]
            assert proxy.connections == 1
            link.close(1000, "")
            await recorder.closure()

    run(main())


def test_a_socks5_proxy_resolves_the_name(engine: Engine, run: Run) -> None:
    if (engine.name, "ws", "socks5") in CANNOT:
        pytest.skip("this engine cannot use such a proxy")

    async def main() -> None:
        async with ws_server(quiet) as server, raw_server(peers.socks5_proxy()) as proxy:
            url = f"ws://known-to-the-proxy.invalid:{server.port}/"
            link, _ = await opened(engine, url, proxy=f"socks5://127.0.0.1:{proxy.port}")
            link.abort()

    run(main())


def texts(error: BaseException) -> str:
    """Everything that a person may come to see of an exception."""
    seen: list[str] = []
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is not None:
            seen += [str(current), repr(current), *traceback.format_exception_only(current)]
            pending += [current.__cause__, current.__context__]
    return "\n".join(seen)


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_a_proxy_that_wants_another_password_is_a_proxy_failure(engine: Engine, run: Run, kind: str) -> None:
    async def main() -> None:
        async with raw_server(PROXIES[kind]("user:right")) as proxy:
            for credentials in ("", "user:hush-hush@"):
                url = f"{kind}://{credentials}127.0.0.1:{proxy.port}"
                error = await failure(engine, "wss://127.0.0.1:9/", proxy=url)
                assert isinstance(error, ProxyFailed)
                assert "hush-hush" not in texts(error)

    run(main())


async def leave(peer: Peer) -> None:
    """Take the request and close."""
    await peer.reader.read(1)


async def babble(peer: Peer) -> None:
    """Answer what is not the protocol of any proxy."""
    peer.write(b"what do you want?\r\n\r\n")
    await peer.gone()


PROXY_FAILURES: dict[str, tuple[str, peers.Handler | None]] = {
    "http, down": ("http", None),
    "http, closes": ("http", leave),
    "http, babbles": ("http", babble),
    "socks5, down": ("socks5", None),
    "socks5, closes": ("socks5", leave),
    "socks5, babbles": ("socks5", babble),
    "socks5, refuses": ("socks5", peers.refusing_socks5_proxy),
}


@pytest.mark.parametrize(("kind", "handler"), PROXY_FAILURES.values(), ids=PROXY_FAILURES.keys())
def test_a_proxy_that_fails_is_a_proxy_failure(
    engine: Engine, run: Run, kind: str, handler: peers.Handler | None
) -> None:
    async def main() -> None:
        async with raw_server(handler or leave) as proxy:
            url = f"{kind}://127.0.0.1:{proxy.port}"
            if handler is not None:
                assert isinstance(await failure(engine, "wss://127.0.0.1:9/", proxy=url), ProxyFailed)
        if handler is None:
            assert isinstance(await failure(engine, "wss://127.0.0.1:9/", proxy=url), ProxyFailed)

    run(main())


# Secrets


async def secretive_failures(engine: Engine, server: RawServer) -> None:
    error = await failure(
        engine,
        server.url("/path?token=hush-query"),
        headers=[("Authorization", "Bearer hush-header"), ("Cookie", "hush-cookie")],
    )
    assert "hush" not in texts(error)
    assert "hush" not in repr(error)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 401 Unauthorized\r\nSet-Cookie: hush\r\nContent-Length: 4\r\n\r\nhush",
        b"HTTP/1.1 520 hush\r\nSet-Cookie: hush\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /hush?hush\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: hush\r\nConnection: hush\r\nSet-Cookie: hush\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nSet-Cookie hush\r\n\r\n",
        b"hush hush hush\r\n\r\n",
        b"",
    ],
    ids=["401", "520", "302", "upgrade", "header", "garbage", "end"],
)
def test_failures_and_logs_carry_no_secrets(
    engine: Engine, run: Run, caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    caplog.set_level(0, logger="picows")
    for name in (
        "picows",
        "websockets",
        "websockets.client",
        "aiohttp",
        "aiohttp.client",
        "websocket_heartbeat",
    ):
        caplog.set_level(logging.DEBUG, logger=name)

    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.write(answer)
        if answer:
            await peer.gone()

    async def main() -> None:
        async with raw_server(handler) as server:
            await secretive_failures(engine, server)

    run(main())
    assert "hush" not in caplog.text


def test_an_open_link_logs_and_shows_no_secrets(
    engine: Engine, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (
        "picows",
        "websockets",
        "websockets.client",
        "aiohttp",
        "aiohttp.client",
        "websocket_heartbeat",
    ):
        caplog.set_level(logging.DEBUG, logger=name)

    async def handler(peer: Peer) -> None:
        peer.write(frame(3))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler, "Set-Cookie: hush") as server:
            request = OpenRequest(
                server.url("/?token=hush"), max_size=MAX_SIZE, headers=[("Authorization", "hush")], proxy=None
            )
            assert "hush" not in repr(request)
            recorder = Recorder()
            await engine.open(request, recorder)
            await recorder.closure()
            assert "hush" not in repr(recorder.link)
            assert "hush" not in repr(recorder.closures)

    run(main())
    assert "hush" not in caplog.text
