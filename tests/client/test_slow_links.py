"""A link that is merely slow is not given up: bytes that still leave are no silence. The reason is true."""

import asyncio
import socket

import pytest
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Backoff, CloseEvent, Heartbeat, connect
from websocket_heartbeat.server import Peer, serve
from websocket_heartbeat.system.kernel import TELLS
from websocket_heartbeat.testing import FaultProxy


@pytest.mark.skipif(not TELLS, reason="only Linux tells what was acknowledged")
def test_an_upload_that_takes_many_heartbeats_is_kept(run_asyncio: Run) -> None:
    got: asyncio.Queue[int] = asyncio.Queue()

    async def main() -> None:
        async with (
            serve(lambda peer, message: got.put_nowait(len(message)), max_size=2**22) as server,
            FaultProxy("127.0.0.1", server.port) as line,
            connect(line.url(), heartbeat=Heartbeat(0.3, 1.2), max_size=2**22) as connection,
        ):
            await connection.wait_open(PATIENCE)
            for (
                sock
            ) in line.sockets:  # what a proxy has room for is acknowledged at once, and slow to be answered
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            line.throttle(800_000)
            await connection.send(bytes(4_000_000))
            async with asyncio.timeout(PATIENCE):
                assert await got.get() == 4_000_000
            assert connection.stats.links == 1, connection.stats.reasons

    run_asyncio(main())


@pytest.mark.skipif(not TELLS, reason="only Linux tells what was acknowledged")
def test_a_line_that_takes_nothing_any_more_is_given_up_and_the_reason_says_who_does_not_read(
    run_asyncio: Run,
) -> None:
    closes: list[CloseEvent] = []

    async def main() -> None:
        async with serve(max_size=2**23) as server, FaultProxy("127.0.0.1", server.port) as line:
            connection = connect(
                line.url(),
                heartbeat=Heartbeat(0.3, 0.5),
                backoff=Backoff(10, 10),
                max_size=2**23,
                close_timeout=0.1,
            )
            connection.on_close = closes.append
            async with connection:
                await connection.wait_open(PATIENCE)
                line.throttle(400_000)
                await connection.send(bytes(8_000_000))
                await asyncio.sleep(1)
                assert not closes
                line.freeze("to_server")
                await until(lambda: closes)
                assert "it does not read" in closes[0].reason

    run_asyncio(main())


def test_latency_is_measured_on_a_busy_link_too(run_asyncio: Run) -> None:
    async def push(peer: Peer) -> None:
        while True:
            peer.send("tick")
            await asyncio.sleep(0.01)

    async def main() -> None:
        async with (
            serve(on_open=push) as server,
            connect(server.url(), heartbeat=Heartbeat(0.2, 5)) as connection,
        ):
            connection.on_message = lambda message: None
            await until(lambda: connection.latency is not None)
            assert connection.stats.pings >= 1

    run_asyncio(main())
