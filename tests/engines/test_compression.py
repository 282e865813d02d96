"""permessage-deflate (RFC 7692): with websockets at the other end, declined, and as an attack."""

import asyncio
import os
import zlib
from typing import Any

import pytest
import websockets
import websockets.asyncio.client
from tests.engines import peers
from tests.engines.peers import Peer, frame, port_of, serve_echo, ws_server
from tests.engines.recorder import Recorder, opened
from tests.hostile.memory import Peak
from tests.server.raw import client
from tests.server.raw import frame as client_frame
from tests.watch import PATIENCE, Run, turns, until
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)

from websocket_heartbeat import connect
from websocket_heartbeat.engines.base import OpenRequest
from websocket_heartbeat.engines.websockets import WebsocketsEngine
from websocket_heartbeat.errors import HandshakeError, MessageTooBig
from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Peer as WebPeer
from websocket_heartbeat.server import serve

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
MESSAGES: list[Message] = [
    "again and " * 1000,
    b"again and " * 1000,
    "",
    b"",
    "gr\u00fc\u00dfe \U0001f600",
    os.urandom(300_000),
    "x",
]
PARAMETERS: dict[str, dict[str, Any]] = {
    "as websockets has it": {},
    "no context is kept": {"server_no_context_takeover": True, "client_no_context_takeover": True},
    "the least windows": {"server_max_window_bits": 9, "client_max_window_bits": 9},
}


def deflated(data: bytes) -> bytes:
    """Compress one message: RFC 7692, section 7.2.1."""
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS.keys())
def test_our_client_and_a_server_of_websockets_compress_both_ways(
    run: Run, parameters: dict[str, Any]
) -> None:
    async def main() -> None:
        factory = ServerPerMessageDeflateFactory(**parameters)
        async with serve_echo(extensions=[factory]) as server:
            url = f"ws://127.0.0.1:{port_of(server)}/"
            link, recorder = await opened(WebsocketsEngine(), url, compression=True)
            for message in MESSAGES:
                link.send(message)
            await recorder.until(lambda: len(recorder.messages) == len(MESSAGES))
            assert recorder.messages == MESSAGES
            (connection,) = server.connections
            assert [extension.name for extension in connection.protocol.extensions] == ["permessage-deflate"]
            link.close(1000, "")
            await recorder.closure()

    run(main())


@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS.keys())
def test_our_server_and_a_client_of_websockets_compress_both_ways(
    run: Run, parameters: dict[str, Any]
) -> None:
    async def main() -> None:
        factory = ClientPerMessageDeflateFactory(**parameters)
        async with (
            serve(compression=True) as server,
            websockets.asyncio.client.connect(
                server.url(), proxy=None, compression=None, extensions=[factory]
            ) as connection,
        ):
            assert [extension.name for extension in connection.protocol.extensions] == ["permessage-deflate"]
            for message in MESSAGES:
                await connection.send(message)
                assert await connection.recv() == message
            await connection.send(["in frag", "ments"])
            assert await connection.recv() == "in fragments"

    run(main())


def test_our_client_and_our_server_compress_when_both_are_told_to(run: Run) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(PATIENCE),
            serve(compression=True) as server,
            connect(server.url(), proxy=None, compression=True) as connection,
        ):
            for message in MESSAGES:
                await connection.send(message)
                assert await connection.recv() == message

    run(main())


@pytest.mark.parametrize("offer", [f"{DEFLATE}; client_max_window_bits\r\n", ""], ids=["offer", "none"])
@pytest.mark.parametrize("compression", [False, True])
def test_our_server_agrees_on_compression_only_when_told_to_and_asked(
    run: Run, compression: bool, offer: str
) -> None:
    async def main() -> None:
        async with serve(compression=compression) as server, client(server, headers=offer) as raw:
            assert raw.status == 101
            assert (b"permessage-deflate" in raw.head) is (compression and bool(offer))

    run(main())


def test_compressed_and_plain_messages_come_mixed(run: Run) -> None:
    async def handler(peer: Peer) -> None:
        assert "permessage-deflate" in peer.header("sec-websocket-extensions")
        received = await peer.read_frame()
        assert received.rsv == 4
        data = zlib.decompressobj(wbits=-15).decompress(received.payload + b"\x00\x00\xff\xff")
        assert data == b"question " * 1000
        packed = deflated(b"in fragments")
        peer.write(frame(peers.TEXT, deflated(b"answer " * 1000), rsv=4) + frame(peers.TEXT, b"plain"))
        peer.write(frame(peers.TEXT, packed[:3], rsv=4, fin=False) + frame(peers.PING, b"p"))
        peer.write(frame(peers.CONTINUATION, packed[3:]) + frame(peers.BINARY, b"plain"))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler, f"{DEFLATE}; server_no_context_takeover") as server:
            link, recorder = await opened(WebsocketsEngine(), server.url(), compression=True)
            link.send("question " * 1000)
            await recorder.until(lambda: len(recorder.messages) == 4)
            assert recorder.messages == ["answer " * 1000, "plain", "in fragments", b"plain"]
            link.abort()

    run(main())


def test_a_server_need_not_accept_compression(run: Run) -> None:
    seen: list[bytes] = []

    async def handler(peer: Peer) -> None:
        received = await peer.read_frame()
        assert received.rsv == 0
        seen.append(received.payload)
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, _ = await opened(WebsocketsEngine(), server.url(), compression=True)
            link.send("text")
            await until(lambda: seen == [b"text"])
            link.abort()

    run(main())


def test_compression_with_parameters_that_were_not_offered_is_an_error(run: Run) -> None:
    async def handler(peer: Peer) -> None:
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler, f"{DEFLATE}; secret=1") as server:
            request = OpenRequest(server.url(), max_size=1 << 20, compression=True)
            with pytest.raises(HandshakeError, match="extension"):
                await WebsocketsEngine().open(request, Recorder())

    run(main())


LIMIT = 1 << 20
BOMB = deflated(bytes(100_000_000))
FULL = deflated(bytes(LIMIT))
BOMBS: dict[str, list[tuple[int, bytes, int, bool]]] = {
    "at once": [(peers.BINARY, BOMB, 4, True)],
    "in fragments": [(peers.BINARY, BOMB[:900], 4, False), (peers.CONTINUATION, BOMB[900:], 0, True)],
    "behind plain messages": [(peers.TEXT, b"x", 0, True), (peers.BINARY, BOMB, 4, True)],
    "one byte too many": [(peers.BINARY, deflated(bytes(LIMIT + 1)), 4, True)],
    "when there is no room left": [
        # A stream that is cut where exactly the limit has come out of it.
        (peers.BINARY, FULL[:-1], 4, False),
        (peers.CONTINUATION, FULL[-1:] + b"\x00\x00\xff\xff" + BOMB, 0, True),
    ],
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_what_grows_above_max_size_ends_the_link_of_a_client(
    run: Run, bomb: list[tuple[int, bytes, int, bool]]
) -> None:
    async def handler(peer: Peer) -> None:
        for opcode, payload, rsv, fin in bomb:
            peer.write(frame(opcode, payload, rsv=rsv, fin=fin))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler, f"{DEFLATE}; server_no_context_takeover") as server:
            with Peak() as peak:
                _, recorder = await opened(WebsocketsEngine(), server.url(), max_size=LIMIT, compression=True)
                assert isinstance((await recorder.closure()).error, MessageTooBig)
            assert recorder.messages in ([], ["x"])
            assert peak.python < 8 * LIMIT

    run(main())


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_what_grows_above_max_size_ends_the_link_of_a_server(
    run: Run, bomb: list[tuple[int, bytes, int, bool]]
) -> None:
    async def main() -> None:
        received: list[Message] = []
        async with (
            serve(lambda peer, message: received.append(message), max_size=LIMIT, compression=True) as server,
            client(server, headers=f"{DEFLATE}; client_no_context_takeover\r\n") as raw,
        ):
            for opcode, payload, rsv, fin in bomb:
                raw.writer.write(client_frame(opcode | rsv << 4, payload, fin=fin))
            assert await raw.close_code() == 1009
            assert received in ([], ["x"])

    run(main())


def test_a_message_that_grows_to_exactly_max_size_is_taken(run: Run) -> None:
    async def handler(peer: Peer) -> None:
        for data in (bytes(1000), os.urandom(900) + bytes(100), bytes(1000)):
            peer.write(frame(peers.BINARY, deflated(data), rsv=4))
        packed = deflated(bytes(1000))
        peer.write(
            frame(peers.BINARY, packed, rsv=4, fin=False) + frame(peers.CONTINUATION, b"\x00\x00\xff\xff\x00")
        )
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler, f"{DEFLATE}; server_no_context_takeover") as server:
            link, recorder = await opened(WebsocketsEngine(), server.url(), max_size=1000, compression=True)
            await recorder.until(lambda: len(recorder.messages) == 4)
            assert [len(message) for message in recorder.messages] == [1000] * 4
            link.abort()

    run(main())


def test_a_message_of_exactly_max_size_that_gets_longer_by_compression_is_taken(run: Run) -> None:
    async def main() -> None:
        received: list[Message] = []
        message = os.urandom(100_000)
        async with (
            serve(
                lambda peer, message: received.append(message), max_size=100_000, compression=True
            ) as server,
            client(server, headers=f"{DEFLATE}\r\n") as raw,
        ):
            packed = deflated(message)
            assert len(packed) > 100_000
            raw.writer.write(client_frame(peers.BINARY | 4 << 4, packed))
            await until(lambda: received == [message])
            # Not compressed, and one byte too long.
            raw.frame(peers.BINARY, message + b"x")
            assert await raw.close_code() == 1009

    run(main())


def test_messages_that_end_with_a_last_block_are_all_taken(run: Run) -> None:
    """RFC 7692, section 7.2.3.4: zlib returns nothing behind such a block, and keeps whatever comes."""

    async def main() -> None:
        received: list[Message] = []
        hello = bytes.fromhex("f348cdc9c9070000")  # the example there
        final = zlib.compressobj(wbits=-15)
        packed = final.compress(b"again") + final.flush(zlib.Z_FINISH)
        async with (
            serve(lambda peer, message: received.append(message), compression=True) as server,
            client(server, headers=f"{DEFLATE}\r\n") as raw,
        ):
            raw.writer.write(client_frame(peers.TEXT | 4 << 4, hello) * 2)
            raw.writer.write(client_frame(peers.TEXT | 4 << 4, packed[:3], fin=False))
            raw.writer.write(client_frame(peers.CONTINUATION, packed[3:]))
            raw.writer.write(client_frame(peers.TEXT | 4 << 4, deflated(b"as usual")))
            await until(lambda: len(received) == 4)
            assert received == ["Hello", "Hello", "again", "as usual"]

    run(main())


SMALL_BOMBS = [bytes([number]) * LIMIT for number in range(20)]
ONE_READ = b"".join(client_frame(peers.BINARY | 4 << 4, deflated(bomb)) for bomb in SMALL_BOMBS)


def test_bombs_that_come_in_one_read_are_taken_one_in_each_turn_of_the_loop(run: Run) -> None:
    async def main() -> None:
        turn = 0
        taken_in: list[int] = []

        async def count() -> None:
            nonlocal turn
            while len(taken_in) < len(SMALL_BOMBS):
                turn += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        headers = f"{DEFLATE}; client_no_context_takeover\r\n"
        async with (
            serve(lambda *_: taken_in.append(turn), max_size=LIMIT, compression=True) as server,
            client(server, headers=headers, tail=ONE_READ),
        ):
            await asyncio.wait_for(counting, PATIENCE)
            assert len(set(taken_in)) == len(SMALL_BOMBS)

    run(main())


def test_bombs_that_come_in_one_read_wait_compressed_while_a_hook_is_busy(run: Run) -> None:
    async def main() -> None:
        received: list[Message] = []
        release = asyncio.Event()

        async def on_message(peer: WebPeer, message: Message) -> None:
            await release.wait()
            received.append(message)

        headers = f"{DEFLATE}; client_no_context_takeover\r\n"
        async with (
            serve(on_message, max_size=LIMIT, compression=True) as server,
            client(server, headers=headers, tail=ONE_READ),
        ):
            await until(lambda: server.connections)
            (peer,) = server.connections
            await until(lambda: peer.paused)
            await turns()
            assert peer.waiting < 4
            release.set()
            await until(lambda: len(received) == len(SMALL_BOMBS))
            assert received == SMALL_BOMBS

    run(main())
