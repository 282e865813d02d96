"""Compressed messages that are not what they seem; the websockets engine compresses when asked to."""

import zlib

import pytest
from tests.engines.peers import BINARY, CONTINUATION, TEXT, Peer, frame
from tests.hostile.servers import (
    MIB,
    recover,
)
from tests.watch import Run


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

    async def faulty(peer: Peer) -> None:
        peer.write(peer.response("Sec-WebSocket-Extensions: permessage-deflate") + b"".join(frames))
        await peer.gone()

    async def main() -> None:
        assert len(packed) < 400_000
        report = await recover(faulty, 0.5, compression=True, max_size=MIB)
        assert "above max_size" in report.closes[0].reason

    run_asyncio(main())


def test_what_cannot_be_unpacked_ends_the_link(run_asyncio: Run) -> None:
    async def faulty(peer: Peer) -> None:
        peer.write(peer.response("Sec-WebSocket-Extensions: permessage-deflate"))
        peer.write(frame(TEXT, b"\xff\xff\xff\xff", rsv=4))
        await peer.gone()

    async def main() -> None:
        report = await recover(faulty, 0.5, compression=True)
        assert len(report.closes) == 2

    run_asyncio(main())
