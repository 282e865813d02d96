"""What only the websockets engine can: permessage-deflate."""

import zlib

import pytest
from tests.engines import peers
from tests.engines.peers import Peer, frame, ws_server
from tests.engines.recorder import Recorder
from tests.watch import Run, until

from websocket_heartbeat.engines.base import OpenRequest
from websocket_heartbeat.engines.websockets import WebsocketsEngine
from websocket_heartbeat.errors import HandshakeError, MessageTooBig

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover"


def deflated(data: bytes) -> bytes:
    """Compress one message: RFC 7692, section 7.2.1."""
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


def test_compression_is_offered_and_used_when_asked_for(run: Run) -> None:
    seen: list[bytes] = []

    async def handler(peer: Peer) -> None:
        assert "permessage-deflate" in peer.header("sec-websocket-extensions")
        received = await peer.read_frame()
        assert received.rsv == 4
        seen.append(zlib.decompressobj(wbits=-15).decompress(received.payload + b"\x00\x00\xff\xff"))
        peer.write(frame(peers.TEXT, deflated(b"answer " * 1000), rsv=4) + frame(peers.TEXT, b"plain"))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler, DEFLATE) as server:
            recorder = Recorder()
            await WebsocketsEngine().open(
                OpenRequest(server.url(), max_size=10_000, compression=True), recorder
            )
            assert recorder.link is not None
            recorder.link.send("question " * 1000)
            await recorder.until(lambda: len(recorder.messages) == 2)
            assert recorder.messages == ["answer " * 1000, "plain"]
            assert seen == [b"question " * 1000]
            recorder.link.abort()

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
            recorder = Recorder()
            await WebsocketsEngine().open(
                OpenRequest(server.url(), max_size=10_000, compression=True), recorder
            )
            assert recorder.link is not None
            recorder.link.send("text")
            await until(lambda: seen == [b"text"])
            recorder.link.abort()

    run(main())


def test_a_compression_bomb_ends_the_link_before_it_is_unpacked(run: Run) -> None:
    async def handler(peer: Peer) -> None:
        peer.write(frame(peers.BINARY, deflated(bytes(100_000_000)), rsv=4))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler, DEFLATE) as server:
            recorder = Recorder()
            await WebsocketsEngine().open(
                OpenRequest(server.url(), max_size=1 << 20, compression=True), recorder
            )
            assert isinstance((await recorder.closure()).error, MessageTooBig)
            assert recorder.messages == []

    run(main())


def test_compression_with_parameters_that_were_not_offered_is_an_error(run: Run) -> None:
    async def handler(peer: Peer) -> None:
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler, "Sec-WebSocket-Extensions: permessage-deflate; secret=1") as server:
            engine = WebsocketsEngine()
            with pytest.raises(HandshakeError, match="extension"):
                await engine.open(OpenRequest(server.url(), max_size=1 << 20, compression=True), Recorder())

    run(main())
