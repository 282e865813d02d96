"""What no server may send ends the link with the code that RFC 6455 gives it."""

import asyncio

import pytest
from tests.engines import peers
from tests.engines.peers import Peer, close_frame, frame, ws_server
from tests.engines.recorder import opened, warmed_up
from tests.watch import Run, until

from websocket_heartbeat.engines.base import Engine
from websocket_heartbeat.errors import ProtocolViolation

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
            await until(lambda: closes)
            assert closes == [closure.error.code]
            for _ in range(20):
                await asyncio.sleep(0)
            assert recorder.messages == ["first", "before"]
            assert len(recorder.closures) == 1

    run(main())


HEADS: dict[str, tuple[bytes, int]] = {
    "reserved bit 1": (b"\xc1\x7f", 1002),
    "reserved bit 2": (b"\xa2\x7f", 1002),
    "reserved bit 3 of a ping": (b"\x99\x7d", 1002),
    "an unknown data frame": (b"\x83\x7f", 1002),
    "an unknown control frame": (b"\x8b\x7d", 1002),
    "a fragmented ping": (b"\x09\x7d", 1002),
    "a ping of 126 bytes": (b"\x89\x7e", 1002),
    "a close frame of 126 bytes": (b"\x88\x7e", 1002),
    "a fragmented close frame": (b"\x08\x7d", 1002),
    "a masked frame": (b"\x82\xff", 1002),
    "a continuation of nothing": (b"\x80\x7d", 1002),
}
"""What is wrong already in the first two bytes of a frame; a length of 127 stands for a longer one."""

WAITS_FOR_ALL = {("aiohttp", "a masked frame"), ("aiohttp", "a continuation of nothing")}


@pytest.mark.parametrize("what", HEADS)
def test_a_violation_that_the_head_of_a_frame_shows_does_not_wait_for_its_payload(
    engine: Engine, run: Run, what: str
) -> None:
    if (engine.name, what) in WAITS_FOR_ALL:
        pytest.skip("this engine lets it pass, or looks at it only when it is whole")
    head, code = HEADS[what]

    async def handler(peer: Peer) -> None:
        await peers.warm_up(peer)
        # Half a megabyte is within max_size; and nothing of it comes.
        peer.write(head + (500_000).to_bytes(8) if head[1] & 127 == 127 else head)
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            await warmed_up(link, recorder)
            closure = await recorder.closure()
            assert isinstance(closure.error, ProtocolViolation)
            assert closure.error.code == code

    run(main())
