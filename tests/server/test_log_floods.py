"""No flood of strangers fills a log at WARNING or above, that of asyncio included."""

import asyncio
import logging
from collections import Counter

import pytest
import trustme
from tests.certificates import tls_of_server, tls_pair
from tests.server.raw import PING, TEXT, client, connect
from tests.watch import Run, turns, until

from websocket_heartbeat.server import Peer, Refusal, Request, serve
from websocket_heartbeat.server.throttle import LINES, PERIOD, Throttle
from websocket_heartbeat.testing import SimulatedClock

FLOOD = 1000
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n%b\r\n"
)


def levels(caplog: pytest.LogCaptureFixture) -> Counter[int]:
    """Return how many records there are of each level."""
    return Counter(record.levelno for record in caplog.records)


def raises(request: Request) -> None:
    raise ValueError


async def raises_later(request: Request) -> None:
    raise ValueError


@pytest.mark.parametrize("hook", [lambda _: Refusal(401), raises, raises_later, lambda _: 401, None])
def test_a_thousand_refused_handshakes_write_a_few_lines(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture, hook: object
) -> None:
    async def main() -> None:
        async with serve(on_handshake=hook) as server:  # type: ignore[arg-type]
            for _ in range(FLOOD):
                async with connect(server) as raw:
                    raw.writer.write(HANDSHAKE % (b"Origin: null\r\n" if hook is None else b""))
                    assert (await raw.reader.read(12))[9:] in (b"401", b"403", b"500")

    with caplog.at_level(logging.DEBUG, "websocket_heartbeat"):
        run_asyncio(main())
    written = {level: count for level, count in levels(caplog).items() if level > logging.DEBUG}
    assert sum(written.values()) <= LINES
    if written:  # and nothing of it is lost
        assert levels(caplog)[logging.DEBUG] == FLOOD - LINES
        assert "for some time more of these are logged at DEBUG" in caplog.text


@pytest.mark.parametrize("is_coroutine", [False, True])
def test_a_thousand_messages_that_a_hook_fails_at_write_a_few_lines(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture, is_coroutine: bool
) -> None:
    taken = 0

    def on_message(peer: Peer, message: object) -> None:
        nonlocal taken
        taken += 1
        raise ValueError

    async def on_message_later(peer: Peer, message: object) -> None:
        on_message(peer, message)

    async def main() -> None:
        hook = on_message_later if is_coroutine else on_message
        async with serve(hook) as server, client(server) as raw:
            for _ in range(FLOOD):
                raw.frame(TEXT, b"x")
            await until(lambda: taken == FLOOD)

    run_asyncio(main())
    assert levels(caplog) == {logging.ERROR: LINES}


def test_a_kind_of_line_is_written_again_after_a_while_and_says_how_many_there_were(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        throttle = Throttle(logging.getLogger("websocket_heartbeat.server"))
        for _ in range(3):
            for number in range(LINES + 5):
                throttle.warning("a stranger said %d", number)
            throttle.error("another kind")
            await asyncio.sleep(PERIOD)
        throttle.warning("a stranger said %d", 0)

    SimulatedClock().run(main())
    lines = [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG]
    assert len(lines) == 3 * (LINES + 1) + 1
    assert lines[0] == "a stranger said 0"
    assert lines[LINES + 1] == "a stranger said 0 (5 more before it)"
    assert lines[-1] == "a stranger said 0 (5 more before it)"
    assert lines.count("another kind") == 3


@pytest.mark.parametrize("is_tls", [False, True])
def test_pings_of_a_client_that_has_reset_its_connection_are_answered_into_no_log(
    run: Run, caplog: pytest.LogCaptureFixture, is_tls: bool
) -> None:
    tls, trusting = tls_pair()

    async def main() -> None:
        async with (
            serve(ssl=tls if is_tls else None) as server,
            client(server, tls=trusting if is_tls else None) as raw,
        ):
            await turns()
            for _ in range(FLOOD):
                raw.frame(PING, b"x" * 100)
            raw.reset()
            await until(lambda: not server.connections)

    run(main())
    assert levels(caplog) == {}


def test_a_thousand_broken_handshakes_of_tls_are_told_to_nobody(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    tls = tls_of_server(trustme.CA())

    async def main() -> None:
        async with serve(ssl=tls) as server:
            for number in range(FLOOD):
                async with connect(server) as raw:
                    raw.writer.write(
                        (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\x16\x03")[number % 3]
                    )
                    if number % 3 == 0:
                        await raw.end()
                    elif number % 3 == 1:
                        raw.reset()

    with caplog.at_level(logging.INFO):
        run_asyncio(main())
    assert levels(caplog) == {}
