"""What a link holds: little when idle, no more after whatever came, and nothing of its handshake."""

import asyncio
import gc
import sys
from collections.abc import Iterator
from types import BuiltinMethodType, FunctionType, MethodType, ModuleType
from typing import Any

import pytest
from tests.engines import peers
from tests.engines.peers import Peer, frame, ws_server
from tests.engines.recorder import Recorder, opened
from tests.watch import Run

from websocket_heartbeat.engines.base import Link
from websocket_heartbeat.engines.websockets import WebsocketsEngine

MAX_SIZE = 1 << 20

_OTHERS = (
    asyncio.AbstractEventLoop,
    asyncio.BaseTransport,
    BuiltinMethodType,
    FunctionType,
    memoryview,  # of the buffer that all share
    MethodType,
    ModuleType,
    Recorder,
    type,
)


def held_by(link: Link) -> Iterator[Any]:
    """Yield what a link holds, itself included, but for its loop, its transport and who listens to it."""
    seen: set[int] = set()
    pending: list[Any] = [link]
    while pending:
        thing = pending.pop()
        if id(thing) in seen or isinstance(thing, _OTHERS) or "socket" in type(thing).__name__.lower():
            continue
        if type(thing).__module__.startswith("uvloop"):
            continue
        seen.add(id(thing))
        yield thing
        pending.extend(gc.get_referents(thing))


def weight(link: Link) -> int:
    """Return the bytes that a link holds."""
    return sum(sys.getsizeof(thing) for thing in held_by(link))


def fragments(count: int, size: int) -> bytes:
    middle = frame(peers.CONTINUATION, bytes(size), fin=False) * count
    return frame(peers.BINARY, b"", fin=False) + middle + frame(peers.CONTINUATION)


LOADS: dict[str, bytes] = {
    "a message of the largest size": frame(peers.BINARY, bytes(MAX_SIZE)),
    "many large messages": frame(peers.TEXT, b"x" * 100_000) * 20,
    "large fragments": fragments(10, 100_000),
    "tiny fragments": fragments(5000, 1),
    "tiny messages": frame(peers.TEXT, b"x") * 100_000,
    "pings": frame(peers.PING, b"x" * 125) * 5000,
}


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS.keys())
def test_a_link_holds_after_a_load_what_it_held_before(run: Run, load: bytes) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_frame()
        peer.write(frame(peers.TEXT, b"first"))
        await peer.read_frame()
        peer.write(load + frame(peers.TEXT, b"last"))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(WebsocketsEngine(), server.url(), max_size=MAX_SIZE)
            link.deliver = lambda message: recorder.deliver(message) if message in ("first", "last") else None
            link.ping()
            await recorder.until(lambda: "batch" in recorder.log)
            before = weight(link)
            assert before < 2000
            link.ping()
            await recorder.until(lambda: "last" in recorder.log and recorder.log[-1] == "batch")
            assert weight(link) == before
            link.abort()

    run(main())


def test_the_header_of_a_long_frame_makes_a_link_hold_little(run: Run) -> None:
    async def handler(peer: Peer) -> None:
        peer.write(frame(peers.TEXT, b"first") + frame(peers.BINARY, bytes(MAX_SIZE))[:100])
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(WebsocketsEngine(), server.url(), max_size=MAX_SIZE)
            await recorder.until(lambda: recorder.batches)
            assert weight(link) < MAX_SIZE / 10
            link.abort()

    run(main())


def test_an_open_link_holds_nothing_of_its_handshake(run: Run) -> None:
    async def handler(peer: Peer) -> None:
        peer.write(frame(peers.TEXT, b"first"))
        await peer.gone()

    async def main() -> None:
        # Thousands of idle links would keep a kilobyte each, and each its token.
        async with ws_server(handler, "Set-Cookie: hush", "X-Other: hush") as server:
            link, recorder = await opened(
                WebsocketsEngine(), server.url("/?token=hush"), headers=[("Authorization", "Bearer hush")]
            )
            await recorder.until(lambda: recorder.batches)
            assert ("Set-Cookie", "hush") in recorder.headers
            texts = [thing for thing in held_by(link) if isinstance(thing, str | bytes)]
            assert [text for text in texts if "hush" in str(text)] == []
            link.abort()

    run(main())
