"""Servers that speak wrong RFC 6455 on purpose: the connection says so, stays small, finds a better one."""

import asyncio
import socket
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.client.servers import alongside, well_behaved
from tests.engines import peers
from tests.engines.peers import BINARY, CONTINUATION, PING, PONG, TEXT, Handler, Peer, close_frame, frame
from tests.hostile.memory import Peak
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import (
    Backoff,
    CloseEvent,
    Connection,
    HandshakeError,
    HandshakeRejected,
    Heartbeat,
    MessageTooBig,
    ProtocolViolation,
    connect,
)

MIB = 2**20
MAX_SIZE = 64 * 1024
SMALL = 8 * MIB
"""What the client and the server of a test may hold together; the attacks offer gigabytes or never end."""

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\n"
HEARTBEAT = Heartbeat(0.3, 0.3)
OPEN_TIMEOUT = 1.5
SLACK = 6.0
"""Seconds that a loaded machine may add."""

ENGINES = ["websockets", "aiohttp"]


@dataclass
class Story:
    """What the user of a connection was told."""

    opens: int = 0
    closes: list[CloseEvent] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def of(self, connection: Connection) -> "Story":
        @connection.on_open
        def opened(event: Any) -> None:
            self.opens += 1

        connection.on_close = self.closes.append
        connection.on_error = self.errors.append
        connection.on_reconnect = lambda event: self.reasons.append(event.reason)
        return self


@asynccontextmanager
async def evil_once(evil: Handler, good: Handler = well_behaved) -> AsyncIterator[peers.RawServer]:
    """Run a server whose first connection meets `evil`, all of it, and each later one `good`."""
    met: list[Peer] = []

    async def handler(peer: Peer) -> None:
        await peer.read_request()
        met.append(peer)
        if len(met) == 1:
            await evil(peer)
        else:
            peer.write(peer.response())
            await good(peer)

    async with peers.raw_server(handler) as server:
        yield server


def connection_to(server: peers.RawServer, **options: Any) -> Connection:
    defaults: dict[str, Any] = {
        "engine": "websockets",
        "heartbeat": HEARTBEAT,
        "backoff": Backoff(0.05, 1, 30),
        "open_timeout": OPEN_TIMEOUT,
        "close_timeout": 1,
        "max_size": MAX_SIZE,
    }
    return connect(server.url(), **(defaults | options))


async def survive(evil: Handler, within: float, **options: Any) -> Story:
    """Meet an evil server, then get an echo through a good one; return what was told; check memory."""
    async with evil_once(evil) as server:
        connection = connection_to(server, **options)
        story = Story().of(connection)
        with Peak() as peak:
            begun = time.monotonic()
            async with connection:
                await until(lambda: story.reasons)
                assert time.monotonic() - begun <= within + SLACK
                await connection.send("still here")
                async with asyncio.timeout(PATIENCE):
                    while await connection.recv() != "still here":
                        pass
        assert peak.python < SMALL
        if peak.process is not None:
            assert peak.process < 3 * SMALL
        return story


async def forever(peer: Peer, *data: bytes) -> None:
    """Write as fast as the client takes it, until it goes; never read."""
    while True:
        for part in data:
            peer.write(part)
        await peer.writer.drain()
        await asyncio.sleep(0)


# The handshake


async def bad_accept_key(peer: Peer) -> None:
    peer.write(peer.response().replace(b"Sec-WebSocket-Accept: ", b"Sec-WebSocket-Accept: A"))
    await peer.gone()


async def endless_headers(peer: Peer) -> None:
    peer.write(SWITCHING)
    await forever(peer, b"X-More: " + b"x" * 4000 + b"\r\n")


async def one_endless_line(peer: Peer) -> None:
    await forever(peer, b"x" * 4000)


async def unasked_compression(peer: Peer) -> None:
    peer.write(peer.response("Sec-WebSocket-Extensions: permessage-deflate"))
    await forever(peer, frame(TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00", rsv=4))


async def unasked_subprotocol(peer: Peer) -> None:
    peer.write(peer.response("Sec-WebSocket-Protocol: mine"))
    await peer.gone()


async def endless_body(peer: Peer) -> None:
    peer.write(b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n")
    await forever(peer, b"1000\r\n" + b"x" * 4096 + b"\r\n")


async def another_protocol(peer: Peer) -> None:
    peer.write(b"220 mail.example.com ESMTP\r\n\r\n")
    await peer.gone()


HANDSHAKES: dict[str, tuple[Handler, type[Exception], str]] = {
    "bad accept key": (bad_accept_key, HandshakeError, "accept"),
    "endless headers": (endless_headers, HandshakeError, "not a valid"),
    "one endless line": (one_endless_line, HandshakeError, "not a valid"),
    "unasked compression": (unasked_compression, HandshakeError, "extension"),
    "unasked subprotocol": (unasked_subprotocol, HandshakeError, "subprotocol"),
    "a rejection without end": (endless_body, HandshakeRejected, "503"),
    "another protocol": (another_protocol, HandshakeError, "not a valid"),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("what", HANDSHAKES)
def test_a_wrong_handshake_is_told_as_such_and_tried_again(what: str, engine: str, run_asyncio: Run) -> None:
    async def main() -> None:
        evil, kind, words = HANDSHAKES[what]
        story = await survive(evil, OPEN_TIMEOUT, engine=engine)
        assert type(story.errors[0]) is kind
        assert words in str(story.errors[0]).lower()
        assert len(story.errors) == 1
        assert (story.opens, len(story.reasons)) == (1, 1)

    run_asyncio(main())


@pytest.mark.parametrize("engine", ENGINES)
def test_headers_of_one_byte_a_second_are_given_up_after_the_open_timeout(
    engine: str, run_asyncio: Run
) -> None:
    async def one_byte_a_second(peer: Peer) -> None:
        for byte in peer.response():
            peer.write(bytes([byte]))
            await asyncio.sleep(1)

    async def main() -> None:
        story = await survive(one_byte_a_second, OPEN_TIMEOUT, engine=engine)
        assert isinstance(story.errors[0], TimeoutError)
        assert story.reasons[0] == "open timeout"

    run_asyncio(main())


# Frames


def sends(*data: bytes) -> Handler:
    """A server that writes this and then keeps the connection open, reading all."""

    async def handler(peer: Peer) -> None:
        peer.write(b"".join(data))
        await peer.gone()

    return handler


def accepts_then(then: Callable[[Peer], Awaitable[None]]) -> Handler:
    async def handler(peer: Peer) -> None:
        peer.write(peer.response())
        await then(peer)

    return handler


def greets_then(then: Callable[[Peer], Awaitable[None]]) -> Handler:
    async def handler(peer: Peer) -> None:
        peer.write(peer.response())
        for _ in range(2):
            await asyncio.sleep(0.03)  # so that each comes in a read of its own
            peer.write(frame(TEXT, b"welcome"))
        await asyncio.sleep(0.03)
        await then(peer)

    return handler


def size(first: int, length: int) -> bytes:
    """The head of a frame that announces a length of any size."""
    return bytes([first, 127]) + length.to_bytes(8)


FRAMES: dict[str, tuple[Handler, int, str]] = {
    "a masked frame": (sends(frame(TEXT, b"a", masked=True)), 1002, ""),
    "a reserved bit": (sends(frame(TEXT, b"a", rsv=2)), 1002, ""),
    "another reserved bit": (sends(frame(TEXT, b"a", rsv=1)), 1002, ""),
    "a reserved bit of a ping": (sends(frame(PING, b"a", rsv=1)), 1002, ""),
    "a reserved opcode": (sends(frame(3, b"a")), 1002, ""),
    "a reserved control opcode": (sends(frame(11, b"a")), 1002, ""),
    "compression without negotiation": (sends(frame(TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00", rsv=4)), 1002, ""),
    "a length whose first bit is set": (sends(size(0x82, 2**64 - 1)), 1002, ""),
    "a length of 2**63 - 1": (sends(size(0x82, 2**63 - 1)), 1009, "above max_size=65536"),
    "a length of 2**32": (sends(size(0x82, 2**32), bytes(1000)), 1009, "above max_size"),
    "a length above max_size by one": (sends(size(0x82, MAX_SIZE + 1)), 1009, "above max_size"),
    "a fragmented ping": (sends(frame(PING, b"a", fin=False), frame(CONTINUATION)), 1002, ""),
    "a fragmented close": (sends(b"\x08\x02\x03\xe8"), 1002, ""),
    "a ping of 126 bytes": (sends(frame(PING, bytes(126))), 1002, ""),
    "text that is not UTF-8": (sends(frame(TEXT, b"\xff")), 1007, "UTF-8"),
    "a close with a code that there is not": (sends(close_frame(1005)), 1002, ""),
    "a close reason that is not UTF-8": (sends(frame(peers.CLOSE, b"\x03\xe8\xff")), 1007, ""),
    "a message in fragments without end": (
        lambda peer: forever(peer, frame(BINARY, fin=False), *[frame(0, bytes(9000), fin=False)] * 50),
        1009,
        "above max_size",
    ),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("first", [accepts_then, greets_then])
@pytest.mark.parametrize("what", FRAMES)
def test_wrong_frames_end_the_link_with_their_reason_and_the_next_one_works(
    what: str, first: Callable[[Handler], Handler], engine: str, run_asyncio: Run
) -> None:
    if (what, engine) == ("a masked frame", "aiohttp"):
        pytest.skip("aiohttp takes masked frames")

    async def main() -> None:
        evil, _, words = FRAMES[what]
        story = await survive(first(evil), 0.5, engine=engine, heartbeat=Heartbeat(PATIENCE, PATIENCE))
        assert len(story.closes) == 2  # the second is our own close
        assert words in story.closes[0].reason
        assert story.closes[0].reason == story.reasons[0]
        assert story.closes[0].code is None  # the server gave none
        assert story.errors == []  # the reason is enough: nothing else went wrong
        assert story.opens == 2

    run_asyncio(main())


@pytest.mark.parametrize("what", FRAMES)
def test_the_last_error_of_a_connection_that_wrong_frames_have_ended_names_the_code(
    what: str, run_asyncio: Run
) -> None:
    async def main() -> None:
        evil, code, _ = FRAMES[what]
        server_once = evil_once(accepts_then(evil))
        async with server_once as server, connection_to(server, max_attempts=0) as connection:
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(Exception, match="gave up after 0 retries") as caught:
                    await connection.wait_closed()
            cause = caught.value.__cause__
            assert isinstance(cause, MessageTooBig if code == 1009 else ProtocolViolation)
            assert cause.code == code

    run_asyncio(main())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "rest", [size(0x82, MAX_SIZE)[:5], size(0x82, MAX_SIZE) + b"half"], ids=["head", "body"]
)
def test_a_frame_that_stops_in_the_middle_is_given_up_by_the_heartbeat(
    rest: bytes, engine: str, run_asyncio: Run
) -> None:
    async def main() -> None:
        story = await survive(
            accepts_then(sends(rest)), HEARTBEAT.interval + HEARTBEAT.timeout, engine=engine
        )
        assert story.closes[0].reason.startswith("heartbeat timeout")

    run_asyncio(main())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_close_frame_ends_the_link_though_the_server_goes_on_talking(engine: str, run_asyncio: Run) -> None:
    async def main() -> None:
        evil = accepts_then(
            lambda peer: forever(peer, close_frame(4321, "enough"), frame(TEXT, b"more") * 100)
        )
        story = await survive(evil, 0.5, engine=engine)
        assert (story.closes[0].code, story.closes[0].reason[-6:]) == (4321, "enough")

    run_asyncio(main())


# Floods: nothing in them is wrong, but for their number


def flooded(*flood: bytes, reads: bool) -> Handler:
    """A server that sends the flood without end, and reads and echoes meanwhile or never reads."""

    async def pour(peer: Peer) -> None:
        await forever(peer, b"".join(flood))

    async def handler(peer: Peer) -> None:
        # Else the kernel takes for the server what the client should not have written.
        peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.write(peer.response())
        await (alongside(peer, pour, well_behaved) if reads else pour(peer))

    return handler


FLOODS = {
    "pings": [frame(PING, b"p" * 100)] * 1000,
    "pongs": [frame(PONG, b"p" * 100)] * 1000,
    "empty fragments": [
        frame(BINARY, fin=False),
        *[frame(CONTINUATION, fin=False)] * 1000,
        frame(CONTINUATION),
    ],
    "empty messages": [frame(TEXT)] * 1000,
}

FLOODED = 3 * MIB
"""What may be held in a flood; the kernel may take as much off the client's hands."""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_from_a_server_that_never_reads_fills_no_memory_and_close_takes_its_time(
    what: str, engine: str, run_asyncio: Run
) -> None:
    async def main() -> None:
        async with evil_once(flooded(*FLOODS[what], reads=False)) as server:
            connection = connection_to(server, engine=engine, close_timeout=0.3)
            story = Story().of(connection)
            connection.on_message = lambda message: None
            with Peak() as peak:
                async with connection:
                    await connection.wait_open(PATIENCE)
                    # Answers to all these pings would not fit into what is allowed.
                    enough = 2 * FLOODED if what == "pings" else 20_000
                    enough += connection.stats.bytes_received
                    await until(lambda: connection.stats.bytes_received > enough)
                    await asyncio.sleep(HEARTBEAT.interval + HEARTBEAT.timeout)
                    assert story.closes == []  # a peer that sends is alive
                    since = time.monotonic()
                assert time.monotonic() - since <= 0.3 + 1 + SLACK
            assert peak.python < FLOODED
            assert story.errors == []

    run_asyncio(main())


@pytest.mark.parametrize("engine", ENGINES)
def test_messages_pass_through_a_flood_of_pings_and_each_is_answered(engine: str, run_asyncio: Run) -> None:
    pings = 5000

    async def main() -> None:
        pongs: list[bytes] = []

        async def pour(peer: Peer) -> None:
            for number in range(pings):
                peer.write(frame(PING, b"%d" % number))
                await peer.writer.drain()
            await peer.writer.drain()

        async def read(peer: Peer) -> None:
            while True:
                got = await peer.read_frame()
                if got.opcode == PONG:
                    pongs.append(got.payload)
                elif got.opcode == TEXT:
                    peer.write(frame(TEXT, got.payload))
                elif got.opcode == peers.CLOSE:
                    peer.write(frame(peers.CLOSE, got.payload))
                    return

        async def handler(peer: Peer) -> None:
            peer.write(peer.response())
            reader = asyncio.create_task(read(peer))
            try:
                await pour(peer)
                await reader
            finally:
                reader.cancel()

        async with evil_once(handler) as server, connection_to(server, engine=engine) as connection:
            await connection.wait_open(PATIENCE)
            await connection.send("through")
            assert await asyncio.wait_for(connection.recv(), PATIENCE) == "through"
            await until(lambda: b"%d" % (pings - 1) in pongs[-1:])
            # Some may be skipped (RFC 6455, section 5.5.3), but only while our write buffer is full.
            assert len(pongs) > pings / 2
            assert connection.stats.links == 1

    run_asyncio(main())


# Compression, which the engine over websockets offers when asked to


def bomb(megabytes: int) -> bytes:
    """Compress that many MiB of zeros into one message, without ever holding them."""
    compressor = zlib.compressobj(9, wbits=-15)
    packed = b"".join(compressor.compress(bytes(MIB)) for _ in range(megabytes))
    return (packed + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


@pytest.mark.parametrize("fragments", [1, 50])
def test_a_compression_bomb_is_refused_before_it_is_unpacked(fragments: int, run_asyncio: Run) -> None:
    packed = bomb(200)
    step = -(-len(packed) // fragments)
    parts = [packed[at : at + step] for at in range(0, len(packed), step)]
    frames = [
        frame(CONTINUATION if number else BINARY, part, fin=number == len(parts) - 1, rsv=0 if number else 4)
        for number, part in enumerate(parts)
    ]

    async def evil(peer: Peer) -> None:
        peer.write(peer.response("Sec-WebSocket-Extensions: permessage-deflate") + b"".join(frames))
        await peer.gone()

    async def main() -> None:
        assert len(packed) < 400_000
        story = await survive(evil, 0.5, compression=True, max_size=MIB)
        assert "above max_size" in story.closes[0].reason

    run_asyncio(main())


def test_what_cannot_be_unpacked_ends_the_link(run_asyncio: Run) -> None:
    async def evil(peer: Peer) -> None:
        peer.write(peer.response("Sec-WebSocket-Extensions: permessage-deflate"))
        peer.write(frame(TEXT, b"\xff\xff\xff\xff", rsv=4))
        await peer.gone()

    async def main() -> None:
        story = await survive(evil, 0.5, compression=True)
        assert len(story.closes) == 2

    run_asyncio(main())
