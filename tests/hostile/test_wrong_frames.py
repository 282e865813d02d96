"""Frames that break RFC 6455: they end the link with their reason, and the next link works."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.engines import peers
from tests.engines.peers import BINARY, CONTINUATION, PING, TEXT, Handler, Peer, close_frame, frame
from tests.hostile.servers import (
    ENGINES,
    HEARTBEAT,
    MAX_SIZE,
    connection_to,
    faulty_once,
    forever,
    recover,
)
from tests.watch import PATIENCE, Run

from websocket_heartbeat import (
    Heartbeat,
    MessageTooBig,
    ProtocolViolation,
)


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
        faulty, _, words = FRAMES[what]
        report = await recover(first(faulty), 0.5, engine=engine, heartbeat=Heartbeat(PATIENCE, PATIENCE))
        assert len(report.closes) == 2  # the second is our own close
        assert words in report.closes[0].reason
        assert report.closes[0].reason == report.reasons[0]
        assert report.closes[0].code is None  # the server gave none
        assert report.errors == []  # the reason is enough: nothing else went wrong
        assert report.opens == 2

    run_asyncio(main())


@pytest.mark.parametrize("what", FRAMES)
def test_the_last_error_of_a_connection_that_wrong_frames_have_ended_names_the_code(
    what: str, run_asyncio: Run
) -> None:
    async def main() -> None:
        faulty, code, _ = FRAMES[what]
        server_once = faulty_once(accepts_then(faulty))
        async with server_once as server, connection_to(server, max_retries=0) as connection:
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
        report = await recover(
            accepts_then(sends(rest)), HEARTBEAT.interval + HEARTBEAT.timeout, engine=engine
        )
        assert report.closes[0].reason.startswith("heartbeat timeout")

    run_asyncio(main())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_close_frame_ends_the_link_though_the_server_goes_on_talking(engine: str, run_asyncio: Run) -> None:
    async def main() -> None:
        faulty = accepts_then(
            lambda peer: forever(peer, close_frame(4321, "enough"), frame(TEXT, b"more") * 100)
        )
        report = await recover(faulty, 0.5, engine=engine)
        assert (report.closes[0].code, report.closes[0].reason[-6:]) == (4321, "enough")

    run_asyncio(main())
