"""What RFC 6455 asks of a server."""

import asyncio

import pytest
from tests.server.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Closes, client
from tests.watch import Run, until

from websocket_heartbeat.server import serve


def test_a_message_in_fragments_is_assembled_and_a_ping_between_them_answered(run: Run) -> None:
    async def main() -> None:
        async with serve() as server, client(server) as raw:
            raw.frame(TEXT, b"gr", fin=False)
            raw.frame(PING, b"between")
            raw.frame(CONTINUATION, "ü".encode()[:1], fin=False)
            raw.frame(CONTINUATION, "ü".encode()[1:] + b"n")
            assert await raw.read() == (PONG, b"between")
            assert await raw.read() == (TEXT, "grün".encode())
            raw.frame(TEXT, b"heart", fin=False)
            raw.frame(CONTINUATION, b"beat")
            assert await raw.read() == (TEXT, b"heartbeat")

    run(main())


Frames = list[tuple[int, bytes, bool]]


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param([(BINARY, bytes(1001), True)], 1009, id="a frame above max_size"),
        pytest.param(
            [(BINARY, bytes(600), False), (CONTINUATION, bytes(401), True)],
            1009,
            id="fragments above max_size",
        ),
        pytest.param([(TEXT, b"\xff", True)], 1007, id="text that is not UTF-8"),
        pytest.param([(TEXT, b"\xc3", False), (CONTINUATION, b"x", True)], 1007, id="broken in fragments"),
        pytest.param([(CONTINUATION, b"x", True)], 1002, id="a fragment of nothing"),
        pytest.param([(TEXT, b"x", False), (TEXT, b"y", True)], 1002, id="a message within another"),
        pytest.param([(3, b"", True)], 1002, id="an unknown opcode"),
        pytest.param([(PING, b"", False)], 1002, id="a ping in fragments"),
        pytest.param([(PING, bytes(126), True)], 1002, id="a long ping"),
        pytest.param([(CLOSE, b"\x03", True)], 1002, id="half a close code"),
        pytest.param([(CLOSE, (1005).to_bytes(2), True)], 1002, id="a close code that may not be sent"),
        pytest.param([(0x40 | TEXT, b"x", True)], 1002, id="a reserved bit"),
    ],
)
def test_a_peer_that_breaks_the_rules_is_closed_with_the_right_code(
    run: Run, frames: Frames, code: int
) -> None:
    async def main() -> None:
        closes = Closes()
        async with serve(on_close=closes, max_size=1000) as server, client(server) as raw:
            for opcode, payload, fin in frames:
                raw.frame(opcode, payload, fin=fin)
            assert await raw.close_code() == code
            await raw.end()
            await until(lambda: closes.seen)
            async with client(server) as other:
                other.frame(TEXT, bytes(1000))
                assert await other.read() == (TEXT, bytes(1000))
        number, told, reason = closes.seen[0]
        assert (number, told) == (1, None)
        assert reason != ""

    run(main())


def test_an_unmasked_frame_is_refused(run: Run) -> None:
    async def main() -> None:
        async with serve() as server, client(server) as raw:
            raw.frame(TEXT, b"x", masked=False)
            assert await raw.close_code() == 1002

    run(main())


def test_a_close_frame_is_answered_with_its_code_and_the_server_ends_the_connection_first(run: Run) -> None:
    async def main() -> None:
        async with serve() as server, client(server) as raw:
            raw.frame(CLOSE, (4321).to_bytes(2) + b"bye")
            assert await raw.read() == (CLOSE, (4321).to_bytes(2))
            assert await asyncio.wait_for(raw.reader.read(), 20) == b""

    run(main())
