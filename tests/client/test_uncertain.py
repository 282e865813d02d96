"""CloseEvent.uncertain_bytes: what was sent and the peer's kernel had not acknowledged, to the byte."""

import array
import asyncio
import ctypes
import fcntl
import logging
import socket
import ssl
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.certificates import tls_pair
from tests.client.servers import well_behaved
from tests.engines.peers import Peer, close_frame, frame, raw_server, ws_server
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Backoff, CloseEvent, Connection, Heartbeat, OpenEvent, connect
from websocket_heartbeat.engines.base import WRITE_LIMIT
from websocket_heartbeat.system import kernel

if sys.platform != "linux":
    pytest.skip("only Linux tells", allow_module_level=True)

ENGINES = pytest.mark.parametrize("engine", ["websockets", "aiohttp"])
LATE = Backoff(60, 60)
PING = 6
"""Bytes of a ping."""


def cut(peer: Peer) -> None:
    """Have the peer's kernel drop whatever comes, and acknowledge nothing; what it sends goes out."""
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # BPF: return 0
    program = struct.pack("HL", 1, ctypes.addressof(drop_all))
    peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, 26, program)  # SO_ATTACH_FILTER


def waiting(peer: Peer) -> int:
    """Return how many bytes the peer's kernel holds for it."""
    count = array.array("i", [0])
    fcntl.ioctl(peer.writer.get_extra_info("socket").fileno(), termios.FIONREAD, count)
    return count[0]


def framed(size: int) -> int:
    """Return the bytes of a frame from a client."""
    return size + 6 + (0 if size < 126 else 2 if size < 65536 else 8)


class Server:
    """Accepts a handshake and reads nothing more: the test plays it, with `peer`."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.url = ""

    @property
    def peer(self) -> Peer:
        return self.peers[-1]

    async def handle(self, peer: Peer) -> None:
        await peer.read_request()
        sock = peer.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        peer.write(peer.response())
        self.peers.append(peer)
        await asyncio.Event().wait()


@asynccontextmanager
async def served(context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server()
    async with raw_server(server.handle, context) as raw:
        server.url = raw.url(scheme="wss" if context else "ws")
        yield server


def recorded(connection: Connection) -> list[CloseEvent]:
    closes: list[CloseEvent] = []
    connection.on_close = closes.append
    return closes


@ENGINES
def test_messages_in_flight_when_the_path_is_cut_are_counted(engine: str, run: Run) -> None:
    async def main() -> None:
        async with served() as server:
            connection = connect(server.url, engine=engine, heartbeat=Heartbeat(0.2, 0.2), backoff=LATE)
            closes = recorded(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                before = connection.stats.bytes_sent
                await connection.send("arrives")
                await until(lambda: connection.stats.bytes_sent == before + framed(7))
                cut(server.peer)
                for number in range(5):
                    await connection.send(f"message {number}")
                await until(lambda: closes)
                assert closes[0].uncertain_bytes == 5 * framed(9) + PING

    run(main())


@ENGINES
def test_what_the_peer_has_acknowledged_is_certain_to_have_left(engine: str, run: Run) -> None:
    async def main() -> None:
        async with served() as server:
            connection = connect(server.url, engine=engine, backoff=LATE)
            closes = recorded(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                before = connection.stats.bytes_sent
                for _ in range(5):
                    await connection.send("acknowledged")
                await until(lambda: connection.stats.bytes_sent == before + 5 * framed(12))
                server.peer.reset()
                await until(lambda: closes)
                assert closes[0].uncertain_bytes == 0

    run(main())


@ENGINES
@pytest.mark.parametrize("size", [WRITE_LIMIT // 2, 20_000_000])
def test_what_lay_in_buffers_when_the_peer_reset_the_link_is_counted_to_the_byte(
    engine: str, size: int, run: Run
) -> None:
    async def main() -> None:
        async with served() as server:
            connection = connect(server.url, engine=engine, backoff=LATE, max_size=size)
            closes = recorded(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                if size <= WRITE_LIMIT:
                    cut(server.peer)
                await connection.send(bytes(size))
                await asyncio.sleep(0.3)  # until the windows are full
                taken = 0 if size <= WRITE_LIMIT else waiting(server.peer)
                server.peer.reset()
                await until(lambda: closes)
                assert closes[0].uncertain_bytes == framed(size) - taken

    run(main())


@ENGINES
def test_a_close_frame_that_crosses_messages_leaves_them_uncertain(engine: str, run: Run) -> None:
    async def main() -> None:
        async with served() as server:
            connection = connect(server.url, engine=engine, backoff=LATE)
            closes = recorded(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                cut(server.peer)
                for _ in range(5):
                    await connection.send("x" * 1000)
                server.peer.write(close_frame(1001))
                await until(lambda: closes)
                assert closes[0].code == 1001
                assert closes[0].uncertain_bytes == 5 * framed(1000)

    run(main())


@ENGINES
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_after_a_closing_handshake_nothing_is_uncertain(
    scheme: str, engine: str, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    server_tls, client_tls = tls_pair()

    async def main() -> None:
        async with ws_server(well_behaved, tls=server_tls if scheme == "wss" else None) as server:
            connection = connect(server.url(scheme=scheme), engine=engine, ssl=client_tls)
            closes = recorded(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                for _ in range(10):
                    await connection.send(bytes(100_000))
                    assert len(await connection.recv()) == 100_000
                await connection.send(bytes(1_000_000))
            assert closes == [CloseEvent(1, "we closed the connection", 1000, 0)]
            assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    run(main())


@ENGINES
def test_what_our_own_close_could_not_bring_over_is_counted_without_the_close_frame_and_warned_of(
    engine: str, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with served() as server:
            for count in (5, 0):
                caplog.clear()
                connection = connect(server.url, engine=engine, close_timeout=0.3)
                closes = recorded(connection)
                async with connection:
                    await connection.wait_open(PATIENCE)
                    cut(server.peer)
                    for _ in range(count):
                        await connection.send("lost")
                assert closes == [CloseEvent(1, "close timeout", None, count * framed(4))]
                warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
                assert len(warnings) == (1 if count else 0)
                assert all(f" {count * framed(4)} bytes" in warning for warning in warnings)

    run(main())


@ENGINES
def test_a_pong_behind_our_close_frame_is_nothing_that_was_sent(
    engine: str, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with served() as server:
            connection = connect(server.url, engine=engine)
            closes = recorded(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                closing = asyncio.create_task(connection.close())
                await until(lambda: waiting(server.peer) == framed(2))
                cut(server.peer)
                # What we answer to the ping is not acknowledged before the link ends.
                server.peer.write(frame(9, b"x" * 100) + close_frame(1000))
                await closing
                assert closes == [CloseEvent(1, "we closed the connection", 1000, 0)]

    run(main())
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_a_large_message_that_a_slow_peer_had_no_time_to_take_is_warned_of(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with served() as server:
            connection = connect(server.url, close_timeout=0.5, max_size=20_000_000)
            closes = recorded(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                await connection.send(bytes(20_000_000))
                await until(lambda: waiting(server.peer))
            uncertain = closes[0].uncertain_bytes
            assert uncertain is not None
            assert 10_000_000 < uncertain <= framed(20_000_000)
            assert f" {uncertain} bytes" in caplog.text

    run(main())


def test_a_message_given_to_a_link_that_breaks_at_that_moment_is_counted(run: Run) -> None:
    async def main() -> None:
        async with served() as server:
            connection = connect(server.url, backoff=LATE)
            closes = recorded(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                connection.native.abort()
                await connection.send("x" * 1000)  # before the loop has told of the end
                await until(lambda: closes)
                assert closes[0].uncertain_bytes == 1000

    run(main())


@pytest.mark.parametrize("how", ["fail_link", "reconnect_now", "cancelled close"])
def test_a_link_that_the_program_gives_up_tells_too(how: str, run: Run) -> None:
    async def main() -> None:
        async with served() as server:
            connection = connect(server.url, backoff=LATE)
            closes = recorded(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                cut(server.peer)
                await connection.send("in flight")
                if how == "cancelled close":
                    closing = asyncio.create_task(connection.close())
                    await asyncio.sleep(0)
                    closing.cancel()
                elif how == "fail_link":
                    connection.fail_link()
                else:
                    connection.reconnect_now()
                await until(lambda: closes)
                assert closes[0].uncertain_bytes == framed(9)

    run(main())


def test_what_is_sent_within_a_hook_and_ends_with_the_same_read_is_counted(run: Run) -> None:
    async def main() -> None:
        async with served() as server:
            connection = connect(server.url, backoff=LATE)
            closes = recorded(connection)

            @connection.on_message
            def answer(message: str | bytes) -> None:
                connection.send_nowait("x" * 100)

            async with connection:
                await connection.wait_open(PATIENCE)
                cut(server.peer)
                server.peer.write(b"\x81\x01a\x81\x01b" + close_frame(1000))
                await until(lambda: closes)
                assert closes[0].uncertain_bytes == 2 * framed(100)

    run(main())


@pytest.mark.parametrize("how", ["reset", "close frame"])
def test_through_tls_the_encrypted_bytes_are_counted(how: str, run: Run) -> None:
    sent = 20_000_000
    server_tls, client_tls = tls_pair()

    async def main() -> None:
        async with served(server_tls) as server:
            connection = connect(server.url, ssl=client_tls, backoff=LATE, max_size=sent)
            closes = recorded(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                await connection.send("acknowledged")
                await until(lambda: waiting(server.peer))
                await connection.send(bytes(sent))
                await asyncio.sleep(0.3)
                taken = waiting(server.peer)
                if how == "reset":
                    server.peer.reset()
                else:
                    server.peer.write(close_frame(1000))
                await until(lambda: closes)
                uncertain = closes[0].uncertain_bytes
                assert uncertain is not None
                # asyncio's own TLS, on the server's side, may have taken some from the kernel.
                encrypted = framed(12) + framed(sent) + (sent / 16384 + 3) * 22
                assert encrypted - taken - 1_000_000 < uncertain <= encrypted - taken

    run(main())


@pytest.mark.parametrize("how", ["reset", "close frame"])
def test_with_a_tls_that_does_not_tell_a_reset_leaves_it_unknown(how: str, run: Run) -> None:
    server_tls, client_tls = tls_pair()

    async def main() -> None:
        async with served(server_tls) as server:
            connection = connect(server.url, engine="aiohttp", ssl=client_tls, backoff=LATE)
            closes = recorded(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                cut(server.peer)
                await connection.send("x" * 1000)
                if how == "reset":
                    server.peer.reset()
                else:
                    server.peer.write(close_frame(1000))
                await until(lambda: closes)
                uncertain = closes[0].uncertain_bytes
                assert uncertain is None if how == "reset" else 1000 < (uncertain or 0) < 1100

    run(main())


def test_where_the_kernel_does_not_tell_it_is_unknown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "TELLS", False)

    async def main() -> None:
        async with served() as server:
            connection = connect(server.url, backoff=LATE)
            closes = recorded(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                await connection.send("x")
                server.peer.reset()
                await until(lambda: closes)
                assert closes[0].uncertain_bytes is None

    run(main())


def test_a_link_that_was_renewed_tells_what_was_in_flight_when_it_was_left(run: Run) -> None:
    async def main() -> None:
        async with served() as server:
            connection = connect(server.url, backoff=LATE)
            closes = recorded(connection)
            opened: list[OpenEvent] = []
            connection.on_open = opened.append
            async with connection:
                await connection.wait_open(PATIENCE)
                cut(server.peer)
                await connection.send("in flight")
                await asyncio.wait_for(connection.renew(), PATIENCE)
                assert len(opened) == 2
                assert [(event.link, event.uncertain_bytes) for event in closes] == [(1, framed(9))]
                server.peer.write(close_frame(1000))
                await until(lambda: len(closes) == 2)
                assert closes[1].uncertain_bytes == 0

    run(main())
