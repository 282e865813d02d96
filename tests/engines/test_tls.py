"""TLS between a transport and a protocol: what passes, what waits, and how it ends."""

import asyncio
import gc
import os
import ssl
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trustme
from tests.certificates import tls_of_client, tls_of_server
from tests.engines import peers
from tests.engines.peers import Peer
from tests.watch import PATIENCE, Run, turns, until

from websocket_heartbeat.engines.base import OpenRequest
from websocket_heartbeat.engines.dial import dial
from websocket_heartbeat.engines.tls import TlsTransport

BULK = bytes(range(256)) * 4000
"""A megabyte, in many records."""


def secure_request(port: int, context: ssl.SSLContext) -> OpenRequest:
    return OpenRequest(f"wss://127.0.0.1:{port}/", max_size=1, ssl=context)


class Plain(asyncio.Protocol):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.data = b""
        self.log: list[object] = []
        self.pause_at = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        if 0 <= self.pause_at < len(self.data):
            self.transport.pause_reading()

    def eof_received(self) -> None:
        self.log.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.log.append(exc)

    def pause_writing(self) -> None:
        self.log.append("full")

    def resume_writing(self) -> None:
        self.log.append("not full")


class Buffered(asyncio.BufferedProtocol, Plain):
    """Keeps what comes, of which it takes a thousand bytes at a time."""

    def __init__(self) -> None:
        Plain.__init__(self)
        self.buffer = bytearray(1000)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self.buffer[:nbytes]))

    eof_received = Plain.eof_received


def has_more_than(protocol: Plain, count: int) -> bool:
    return len(protocol.data) > count


PROTOCOLS = pytest.mark.parametrize("make", [Plain, Buffered])
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(
    protocol: Plain, context: ssl.SSLContext | None = None, version: ssl.TLSVersion | None = None
) -> AsyncIterator[Streams]:
    """Connect the protocol through TLS to a server of asyncio; yield the server's end."""
    authority = trustme.CA()
    server_context = tls_of_server(authority)
    if version is not None:
        server_context.maximum_version = version
    if context is None:
        context = tls_of_client(authority)
    else:
        authority.configure_trust(context)
    accepted: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(
        lambda reader, writer: accepted.set_result((reader, writer)), "127.0.0.1", 0, ssl=server_context
    )
    try:
        async with asyncio.timeout(PATIENCE):
            await dial(protocol, secure_request(server.sockets[0].getsockname()[1], context))
            reader, writer = await accepted
        yield reader, writer
    finally:
        server.close()
        writer.transport.abort()
        protocol.transport.abort()


@PROTOCOLS
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_bytes_pass_both_ways(run: Run, make: Callable[[], Plain], version: ssl.TLSVersion) -> None:
    async def main() -> None:
        protocol = make()
        async with connected(protocol, version=version) as (reader, writer), asyncio.timeout(PATIENCE):
            assert protocol.transport.get_extra_info("ssl_object").version() == version.name.replace("_", ".")
            for data in (b"x", BULK, b"y" * 16384):
                writer.write(data)
                protocol.transport.write(data)
                assert await reader.readexactly(len(data)) == data
            await until(lambda: protocol.data == b"x" + BULK + b"y" * 16384)

    run(main())


def test_the_facts_of_tls_are_told_as_by_the_transports_of_asyncio(run: Run) -> None:
    async def main() -> None:
        protocol = Plain()
        async with connected(protocol) as (_, writer):
            facts = protocol.transport.get_extra_info
            assert facts("ssl_object") is not None
            assert facts("sslcontext").verify_mode is ssl.CERT_REQUIRED
            assert ("IP Address", "127.0.0.1") in facts("peercert")["subjectAltName"]
            assert facts("cipher") == writer.get_extra_info("cipher")
            assert facts("compression") is None
            assert facts("peername") == writer.get_extra_info("sockname")
            assert facts("unknown", "default") == "default"

    run(main())


@PROTOCOLS
def test_what_has_come_before_a_pause_waits_and_comes_after_it(run: Run, make: Callable[[], Plain]) -> None:
    async def main() -> None:
        protocol = make()
        async with connected(protocol) as (_, writer):
            protocol.pause_at = 10
            writer.write(BULK)
            await until(lambda: protocol.data)
            for _ in range(10):
                held = len(protocol.data)
                await asyncio.sleep(0.01)
                assert len(protocol.data) == held < len(BULK)
                protocol.transport.resume_reading()
                await until(partial(has_more_than, protocol, held))
            protocol.pause_at = -1
            protocol.transport.resume_reading()
            await until(lambda: protocol.data == BULK)

    run(main())


@PROTOCOLS
def test_the_peer_s_close_notify_ends_the_connection(run: Run, make: Callable[[], Plain]) -> None:
    async def main() -> None:
        protocol = make()
        async with connected(protocol) as (_, writer):
            writer.write(b"last")
            writer.close()
            await until(lambda: protocol.log)
            assert protocol.data == b"last"
            assert protocol.log == [None]

    run(main())


def test_our_close_notify_ends_the_connection_of_the_peer_behind_what_was_written(run: Run) -> None:
    async def main() -> None:
        protocol = Plain()
        async with connected(protocol) as (reader, writer), asyncio.timeout(PATIENCE):
            writer.write(b"x")
            await until(lambda: protocol.data)  # what stays unread makes a close a reset
            protocol.transport.write(BULK[:50_000])  # uvloop drops what its streams do not take at once
            protocol.transport.close()
            assert protocol.transport.is_closing()
            protocol.transport.close()
            assert await reader.read() == BULK[:50_000]
            await until(lambda: None in protocol.log)

    run(main())


def test_what_comes_behind_our_close_notify_does_not_take_away_what_was_written_before_it(run: Run) -> None:
    class Answering(Buffered):
        """Answers the first bytes and leaves."""

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.write(b"answer")
            self.transport.close()

    async def main() -> None:
        protocol = Answering()
        async with connected(protocol) as (reader, writer), asyncio.timeout(PATIENCE):
            writer.write(BULK[:5000])
            writer.write(b"no longer wanted")
            assert await reader.read() == b"answer"
            await until(lambda: protocol.log == [None])
            assert protocol.data == BULK[:1000]

    run(main())


def test_what_is_written_behind_our_close_notify_is_dropped(run: Run) -> None:
    async def main() -> None:
        protocol = Plain()
        async with connected(protocol) as (reader, _), asyncio.timeout(PATIENCE):
            protocol.transport.write(b"last")
            protocol.transport.close()
            protocol.transport.write(b"no longer wanted")
            assert await reader.read() == b"last"
            await until(lambda: protocol.log == [None])

    run(main())


def test_a_peer_whose_record_is_cut_off_is_gone_without_an_error(run: Run) -> None:
    async def main() -> None:
        protocol = Plain()
        async with connected(protocol) as (_, writer):
            writer.write(b"whole")
            await until(lambda: protocol.data)
            # The header of a record of 100 bytes, and ten of them.
            os.write(writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x64" + bytes(10))
            writer.transport.abort()
            await until(lambda: protocol.log)
            assert protocol.data == b"whole"
            assert protocol.log == [None]

    run(main())


def test_many_small_records_come_in_few_calls(run: Run) -> None:
    async def main() -> None:
        protocol = Calls()
        async with connected(protocol) as (_, writer):
            for at in range(1000):
                writer.write(BULK[at : at + 1])
            await until(lambda: protocol.data == BULK[:1000])
            assert protocol.calls < 100

    run(main())


class Calls(Buffered):
    """Counts the calls that data comes in."""

    calls = 0

    def buffer_updated(self, nbytes: int) -> None:
        super().buffer_updated(nbytes)
        self.calls += 1


def test_nothing_is_lost_of_a_read_in_which_a_program_was_ended() -> None:
    class Ending(Plain):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if len(self.data) == len(data):
                raise SystemExit

    async def burst(writer: asyncio.StreamWriter) -> None:
        for at in range(0, 30_000, 10_000):  # three records, which one read brings
            writer.write(BULK[at : at + 10_000])
        await asyncio.sleep(PATIENCE)

    async def go_on(writer: asyncio.StreamWriter) -> None:
        writer.write(b"more")
        await until(lambda: protocol.data == BULK[:30_000] + b"more")

    protocol = Ending()
    connection = connected(protocol)
    with asyncio.Runner() as runner:
        _, writer = runner.run(connection.__aenter__())
        with pytest.raises(SystemExit):
            runner.run(burst(writer))
        runner.run(go_on(writer))
        runner.run(connection.__aexit__(None, None, None))


def test_an_ended_connection_is_no_work_for_the_garbage_collector(run: Run) -> None:
    async def come_and_go() -> weakref.ref[Plain]:
        protocol = Plain()
        async with connected(protocol) as (_, writer):
            protocol.transport.abort()
            await until(lambda: protocol.log)
            writer.transport.abort()
            await turns()
        return weakref.ref(protocol)

    async def main() -> None:
        protocol = await come_and_go()
        assert protocol() is None

    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()


def test_bytes_that_are_no_tls_end_the_connection_with_the_error(run: Run) -> None:
    async def main() -> None:
        protocol = Plain()
        async with connected(protocol) as (reader, writer), asyncio.timeout(PATIENCE):
            os.write(writer.get_extra_info("socket").fileno(), b"what is this?" * 10)
            await until(lambda: protocol.log)
            assert len(protocol.log) == 1
            assert isinstance(protocol.log[0], ssl.SSLError)
            with pytest.raises(ssl.SSLError, match=r"(?i)alert"):  # the peer is told
                await reader.read()

    run(main())


def test_a_peer_that_does_not_read_fills_the_transport_and_empties_it_later(run: Run) -> None:
    async def main() -> None:
        protocol = Plain()
        async with connected(protocol) as (reader, _), asyncio.timeout(PATIENCE):
            protocol.transport.set_write_buffer_limits(high=65536)
            count = 0
            while protocol.log != ["full"]:
                protocol.transport.write(BULK)
                count += 1
                await asyncio.sleep(0)
            assert protocol.transport.get_write_buffer_size() > 65536
            assert await reader.readexactly(count * len(BULK)) == BULK * count
            await until(lambda: protocol.log == ["full", "not full"])
            assert protocol.transport.get_write_buffer_size() == 0

    run(main())


async def leave(peer: Peer) -> None:
    """Take the beginning of what the client says, and close."""
    await peer.reader.read(10000)


class Renegotiating:
    """An SSLObject that twice takes nothing before it has read: as TLS 1.2 does while it negotiates anew."""

    def __init__(self, real: ssl.SSLObject) -> None:
        self._real = real
        self.refusals = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def write(self, data: Any) -> int:
        if self.refusals:
            self.refusals -= 1
            raise ssl.SSLWantReadError
        return self._real.write(data)


def test_what_is_written_within_a_renegotiation_goes_out_after_it_in_order(run: Run) -> None:
    made: list[Renegotiating] = []

    class Context(ssl.SSLContext):
        def wrap_bio(self, *arguments: Any, **options: Any) -> Any:
            made.append(Renegotiating(super().wrap_bio(*arguments, **options)))
            return made[-1]

    async def main() -> None:
        protocol = Plain()
        async with connected(protocol, Context(ssl.PROTOCOL_TLS_CLIENT)) as (reader, writer):
            made[0].refusals = 2
            protocol.transport.write(b"one ")
            protocol.transport.write(b"two ")
            assert protocol.transport.get_write_buffer_size() == 8
            writer.write(b"go on")
            async with asyncio.timeout(PATIENCE):
                assert await reader.readexactly(8) == b"one two "
            protocol.transport.write(b"three")
            assert await reader.readexactly(5) == b"three"

    run(main())


@pytest.mark.parametrize(
    ("handler", "patience", "error"),
    [(peers.hang, 0.3, TimeoutError), (leave, PATIENCE, ConnectionResetError)],
    ids=["silent", "gone"],
)
def test_a_handshake_that_is_not_answered_leaves_nothing(
    run: Run, handler: peers.Handler, patience: float, error: type[OSError]
) -> None:
    async def main() -> None:
        async with peers.raw_server(handler) as server:
            with pytest.raises(error):
                async with asyncio.timeout(patience):
                    await dial(asyncio.Protocol(), secure_request(server.port, ssl.create_default_context()))

    run(main())


def test_an_abort_before_there_is_a_transport_does_nothing() -> None:
    async def main() -> None:
        layer = TlsTransport(asyncio.Protocol(), ssl.create_default_context(), server_hostname="x")
        layer.abort()
        assert layer.is_closing()

    asyncio.run(main())
