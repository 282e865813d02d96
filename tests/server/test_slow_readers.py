"""A back end drops who does not read what is sent, and nobody who reads it slowly."""

import asyncio
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import websockets
from tests.server.raw import PING, Closes, client, frame, reluctant
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import connect
from websocket_heartbeat.server import Peer, flow, serve
from websocket_heartbeat.server.flow import Progress

MEBIBYTE = 2**20
PIECE = bytes(MEBIBYTE // 4)


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge who takes nothing, or too little, sooner than in real life."""
    for name, seconds in (("STALLED", 1.0), ("SHORTEST", 0.5), ("LAGGING", 1.0), ("LOOK", 0.05)):
        monkeypatch.setattr(flow, name, seconds)
    monkeypatch.setattr("websocket_heartbeat.server.handler.LOOK", 0.05)


# Readers that stay


def _burst(peer: Peer) -> None:
    for _ in range(64):
        peer.send(PIECE)


def _one_large_message(peer: Peer) -> None:
    peer.send(PIECE * 64)


BURSTS = pytest.mark.parametrize("burst", [_burst, _one_large_message])


@BURSTS
@pytest.mark.usefixtures("kernel")
def test_much_more_than_the_write_limit_reaches_who_reads(run: Run, burst: Callable[[Peer], None]) -> None:
    async def main() -> None:
        closes = Closes()
        async with (
            serve(on_open=burst, on_close=closes, write_limit=MEBIBYTE) as server,
            websockets.connect(server.url(), max_size=None) as ws,
            connect(server.url(), max_size=16 * MEBIBYTE) as connection,
        ):
            async with asyncio.timeout(PATIENCE):
                for each in (ws, connection):
                    received = 0
                    while received < 16 * MEBIBYTE:
                        received += len(await each.recv())
            assert (closes.seen, connection.stats.links) == ([], 1)

    run(main())


@BURSTS
@pytest.mark.usefixtures("kernel", "hurry")
def test_who_reads_slowly_but_reads_may_take_longer_than_a_peer_may_stall(
    run: Run, burst: Callable[[Peer], None]
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        closes = Closes()
        async with (
            serve(on_open=burst, on_close=closes, write_limit=MEBIBYTE) as server,
            reluctant(server, room=500_000) as sock,
        ):
            begun = loop.time()
            received = 0
            while received < 16 * MEBIBYTE:
                received += len(await loop.sock_recv(sock, 100_000))
                await asyncio.sleep(0.02)
            assert loop.time() - begun > 2
            assert closes.seen == []

    run(main())


@pytest.mark.usefixtures("hurry")
def test_a_feed_may_be_faster_than_its_reader_for_a_while_again_and_again(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        async with (
            serve(on_close=closes, write_limit=MEBIBYTE) as server,
            websockets.connect(server.url(), max_size=None) as ws,
        ):
            (peer,) = server.connections
            for _ in range(4):
                _burst(peer)
                for _ in range(64):
                    await ws.recv()
                    await asyncio.sleep(0.01)
            assert closes.seen == []

    run(main())


# Readers that go


@pytest.mark.usefixtures("kernel", "hurry")
@pytest.mark.parametrize("idle_timeout", [60, None])
def test_who_does_not_read_is_dropped_and_memory_is_bounded_meanwhile(
    run: Run, caplog: pytest.LogCaptureFixture, idle_timeout: float | None
) -> None:
    async def main() -> None:
        closes = Closes()
        most = 0
        async with (
            serve(on_close=closes, write_limit=MEBIBYTE, idle_timeout=idle_timeout) as server,
            reluctant(server),
        ):
            (peer,) = server.connections
            while server.connections:
                peer.send(PIECE)
                most = max(most, peer.buffered)
                await asyncio.sleep(0.02)
            await until(lambda: closes.seen)
        ((number, code, reason),) = closes.seen
        assert (number, code) == (1, None)
        assert reason.startswith("did not read: of ")
        assert reason.endswith(" bytes that wait, more than write_limit=1048576, it took none for 1.0 s")
        assert MEBIBYTE < most < 50 * MEBIBYTE

    with caplog.at_level(logging.INFO, "websocket_heartbeat.server"):
        run(main())
    assert "<Peer 1 '/'> was dropped: did not read" in caplog.text


@pytest.mark.usefixtures("kernel", "hurry")
def test_who_has_long_not_read_is_dropped_as_soon_as_the_write_limit_is_passed(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        limit = 8 * MEBIBYTE
        async with serve(on_close=closes, write_limit=limit) as server, reluctant(server):
            (peer,) = server.connections
            while peer.buffered < MEBIBYTE:
                peer.send(PIECE)
            await asyncio.sleep(1.5)
            assert closes.seen == []
            while server.connections:
                peer.send(PIECE)
                await asyncio.sleep(0.01)
                assert peer.buffered < 2 * limit
            await until(lambda: closes.seen)
        assert closes.seen[0][2].startswith("did not read: ")

    run(main())


@pytest.mark.usefixtures("hurry")
def test_who_always_reads_less_than_is_sent_is_dropped_in_the_end(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        closes = Closes()
        async with serve(on_close=closes, write_limit=MEBIBYTE) as server, reluctant(server) as sock:
            (peer,) = server.connections
            try:
                while server.connections:
                    peer.send(PIECE)
                    await loop.sock_recv(sock, 20_000)
                    await asyncio.sleep(0.01)
            except ConnectionResetError:
                pass
            await until(lambda: closes.seen)
        assert closes.seen[0][2].startswith("reads too slowly: of ")

    run(main())


def test_pings_of_a_peer_that_does_not_read_fill_no_memory(run: Run) -> None:
    async def main() -> None:
        async with serve() as server, client(server) as raw:
            raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
            (peer,) = server.connections
            pings = frame(PING, bytes(125)) * 100
            while peer.buffered < 64 * 1024:  # above which pings are not answered
                raw.writer.write(pings)
                await raw.writer.drain()
            for _ in range(200):
                raw.writer.write(pings)
                await raw.writer.drain()
            assert peer.buffered < 200_000

    run(main())


# The rules, without a socket and a clock


def _judged(waits: Callable[[int], int]) -> tuple[int, str]:
    """Return after how many seconds, or 1000, a peer is dropped for whom so much waits in each; and why."""
    link: Any = SimpleNamespace(
        buffered=waits(0), position=0, evidence=lambda: SimpleNamespace(taken=-link.buffered)
    )
    progress = Progress(link, 0)
    for second in range(1, 1000):
        link.buffered = waits(second)
        problem = progress.problem(link, second, write_limit=MEBIBYTE)
        if problem is not None:
            return second, problem
    return 1000, ""


def test_the_more_waits_for_who_takes_nothing_the_sooner_he_is_dropped() -> None:
    def after(mebibytes: int) -> tuple[int, str]:
        seconds, reason = _judged(lambda _: mebibytes * MEBIBYTE)
        return seconds, reason.partition(":")[0]

    assert after(1) == (1000, "")
    assert after(2) == (10, "did not read")
    assert after(16) == (10, "did not read")
    assert after(32) == (5, "did not read")
    assert after(1000) == (1, "did not read")


def test_a_buffer_that_only_ever_shrinks_is_one_that_is_read() -> None:
    assert _judged(lambda second: 4_000_000_000 - second) == (1000, "")


def test_a_buffer_that_has_not_become_smaller_for_a_minute_is_one_that_grows() -> None:
    # It shrinks and grows by turns: who reads it takes something, and less than is sent.
    def sawtooth(second: int) -> int:
        return 5 * MEBIBYTE + second % 3 * 1000

    seconds, reason = _judged(sawtooth)
    assert 60 <= seconds <= 63
    assert reason == (
        f"reads too slowly: of {sawtooth(seconds)} bytes that wait, more than write_limit=1048576, "
        "there were not fewer for 60 s"
    )
