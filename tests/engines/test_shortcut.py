"""The shortcut in front of picows: wherever the network cuts the stream, the same comes out of it."""

import os
import random
from typing import Any

import pytest
from tests.engines import peers
from tests.engines.conftest import Run
from tests.engines.peers import Peer, close_frame, frame, ws_server
from tests.engines.recorder import Recorder, warmed_up

from websocket_heartbeat.engines.base import OpenRequest
from websocket_heartbeat.engines.picows import PicowsEngine

BINARY = os.urandom(300)
FRAMES: list[tuple[bytes, list[object]]] = [
    (frame(peers.TEXT, b"short"), ["short"]),
    (frame(peers.TEXT, b""), [""]),
    (frame(peers.TEXT, b"x" * 125), ["x" * 125]),
    (frame(peers.TEXT, b"x" * 126), ["x" * 126]),
    (frame(peers.TEXT, b"y" * 70_000), ["y" * 70_000]),
    (frame(peers.BINARY, b"\x81\x81"), [b"\x81\x81"]),
    (frame(peers.BINARY, BINARY), [BINARY]),
    (frame(peers.PONG, b"z"), ["pong"]),
    (frame(peers.PING, b""), []),
    (
        frame(peers.TEXT, b"a", fin=False) + frame(peers.PONG) + frame(peers.CONTINUATION, b"b"),
        ["pong", "ab"],
    ),
    (frame(peers.BINARY, b"", fin=False) + frame(peers.CONTINUATION, BINARY), [BINARY]),
]


def stream(chance: random.Random) -> tuple[bytes, list[object]]:
    """Return a stream of frames in any order that ends with a close, and what must come of it."""
    picked = chance.choices(FRAMES, k=12)
    data = b"".join(part for part, _ in picked) + close_frame(4000, "end")
    return data, [entry for _, entries in picked for entry in entries]


def pieces(chance: random.Random, data: bytes) -> list[bytes]:
    """Cut the data into pieces, many of them tiny."""
    cuts, position = [], 0
    while position < len(data):
        size = chance.choice((1, 2, 3, 5, 40, 130, 2000, 60_000))
        cuts.append(data[position : position + size])
        position += size
    return cuts


def feed(recorder: Recorder, parts: list[bytes]) -> None:
    """Do what the transport would, with the cuts that the test chose and not those of the kernel."""
    link: Any = recorder.link
    protocol = link.native.underlying_transport.get_protocol()
    for part in parts:
        protocol.get_buffer(-1)[: len(part)] = part
        protocol.buffer_updated(len(part))


@pytest.mark.parametrize("seed", range(40))
def test_cuts_change_nothing(run: Run, seed: int) -> None:
    chance = random.Random(seed)
    data, expected = stream(chance)
    # The beginning comes in the segment of the answer, which picows reads alone.
    cut = chance.randrange(300)
    first, rest = data[:cut], pieces(chance, data[cut:])

    async def main() -> None:
        async with ws_server(peers.hang, first=first) as server:
            recorder = Recorder()
            await PicowsEngine().open(OpenRequest(server.url(), max_size=1 << 20), recorder)
            feed(recorder, rest)
            closure = await recorder.closure()
            assert (closure.code, closure.reason) == (4000, "end")
            assert [entry for entry in recorder.log[:-1] if entry != "batch"] == expected

    run(main())


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536])
@pytest.mark.parametrize("limit", [10, 125, 126, 65_536])
@pytest.mark.parametrize("kind", [peers.TEXT, peers.BINARY], ids=["text", "binary"])
def test_the_limit_holds_at_every_size_of_header(run: Run, size: int, limit: int, kind: int) -> None:
    async def handler(peer: Peer) -> None:
        await peers.warm_up(peer)
        peer.write(frame(kind, b"x" * size))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            recorder = Recorder()
            await PicowsEngine().open(OpenRequest(server.url(), max_size=limit), recorder)
            assert recorder.link is not None
            await warmed_up(recorder.link, recorder)
            if size <= limit:
                await recorder.until(lambda: len(recorder.messages) == 2)
                assert recorder.messages[1] == ("x" * size if kind == peers.TEXT else b"x" * size)
                recorder.link.abort()
            else:
                await recorder.closure()
                assert recorder.messages == ["first"]

    run(main())


@pytest.mark.parametrize("header", [b"\x81\x7e\x00\x05", b"\x81\x7f" + bytes(7) + b"\x05"])
def test_a_length_longer_than_need_be_is_refused(run: Run, header: bytes) -> None:
    async def handler(peer: Peer) -> None:
        await peers.warm_up(peer)
        peer.write(frame(peers.TEXT, b"before") + header + b"hello")
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            recorder = Recorder()
            await PicowsEngine().open(OpenRequest(server.url(), max_size=1000), recorder)
            assert recorder.link is not None
            await warmed_up(recorder.link, recorder)
            closure = await recorder.closure()
            assert getattr(closure.error, "code", None) == 1002
            assert recorder.messages == ["first", "before"]

    run(main())


@pytest.mark.parametrize("kind", [peers.TEXT, peers.BINARY], ids=["text", "binary"])
@pytest.mark.parametrize("size", [3, 1000])
@pytest.mark.parametrize("together", [True, False], ids=["one read", "two reads"])
def test_a_plain_message_within_fragments_is_refused(run: Run, kind: int, size: int, together: bool) -> None:
    async def main() -> None:
        async with ws_server(_warm) as server:
            recorder = Recorder()
            await PicowsEngine().open(OpenRequest(server.url(), max_size=1 << 20), recorder)
            assert recorder.link is not None
            await warmed_up(recorder.link, recorder)
            parts = [frame(peers.TEXT, b"a", fin=False), frame(kind, b"b" * size)]
            feed(recorder, [b"".join(parts)] if together else parts)
            closure = await recorder.closure()
            assert getattr(closure.error, "code", None) == 1002
            assert recorder.messages == ["first"]

    run(main())


async def _warm(peer: Peer) -> None:
    await peers.warm_up(peer)
    await peer.gone()


def test_the_first_read_may_end_far_into_a_large_frame(run: Run) -> None:
    # Read in the wrong place, these bytes look like the header of a frame of 32 KiB.
    payload = b"~" * 200_000
    large = frame(peers.BINARY, payload)
    data = frame(peers.TEXT, b"one") + large + frame(peers.TEXT, b"two")

    async def main() -> None:
        # Longer than the buffer of picows, which therefore takes it in several pieces.
        async with ws_server(peers.hang) as server:
            recorder = Recorder()
            await PicowsEngine().open(OpenRequest(server.url(), max_size=1 << 20), recorder)
            feed(recorder, [data[:50_000], data[50_000:100_000], data[100_000:150_000], data[150_000:]])
            assert recorder.messages == ["one", payload, "two"]
            assert recorder.link is not None
            recorder.link.abort()

    run(main())
