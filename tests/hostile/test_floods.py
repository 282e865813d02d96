"""Floods of valid frames: they fill no memory, stop no message, and do not keep close() waiting."""

import asyncio
import socket
import time

import pytest
from tests.client.servers import alongside, well_behaved
from tests.engines import peers
from tests.engines.peers import BINARY, CONTINUATION, PING, PONG, TEXT, Handler, Peer, frame
from tests.hostile.memory import Peak
from tests.hostile.servers import (
    ENGINES,
    HEARTBEAT,
    MIB,
    SLACK,
    Report,
    connection_to,
    faulty_once,
    forever,
)
from tests.watch import PATIENCE, Run, until


def flooded(*flood: bytes, reads: bool) -> Handler:
    """A server that sends the flood without end, and reads and echoes meanwhile or never reads."""

    async def pour(peer: Peer) -> None:
        await forever(peer, b"".join(flood))

    async def handler(peer: Peer) -> None:
        # Else the kernel takes for the server what the client should not have written.
        peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.write(peer.response())
        await (alongside(peer, pour, well_behaved) if reads else pour(peer))

    return handler


FLOODS = {
    "pings": [frame(PING, b"p" * 100)] * 1000,
    "pongs": [frame(PONG, b"p" * 100)] * 1000,
    "empty fragments": [
        frame(BINARY, fin=False),
        *[frame(CONTINUATION, fin=False)] * 1000,
        frame(CONTINUATION),
    ],
    "empty messages": [frame(TEXT)] * 1000,
}

FLOODED = 3 * MIB
"""What may be held in a flood; the kernel may take as much off the client's hands."""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_from_a_server_that_never_reads_fills_no_memory_and_close_takes_its_time(
    what: str, engine: str, run_asyncio: Run
) -> None:
    async def main() -> None:
        async with faulty_once(flooded(*FLOODS[what], reads=False)) as server:
            connection = connection_to(server, engine=engine, close_timeout=0.3)
            report = Report().of(connection)
            connection.on_message = lambda message: None
            with Peak() as peak:
                async with connection:
                    await connection.wait_open(PATIENCE)
                    # Answers to all these pings would not fit into what is allowed.
                    enough = 2 * FLOODED if what == "pings" else 20_000
                    enough += connection.stats.bytes_received
                    await until(lambda: connection.stats.bytes_received > enough)
                    await asyncio.sleep(HEARTBEAT.interval + HEARTBEAT.timeout)
                    assert report.closes == []  # a peer that sends is alive
                    since = time.monotonic()
                assert time.monotonic() - since <= 0.3 + 1 + SLACK
            assert peak.python < FLOODED
            assert report.errors == []

    run_asyncio(main())


@pytest.mark.parametrize("engine", ENGINES)
def test_messages_pass_through_a_flood_of_pings_and_each_is_answered(engine: str, run_asyncio: Run) -> None:
    pings = 5000

    async def main() -> None:
        pongs: list[bytes] = []

        async def pour(peer: Peer) -> None:
            for number in range(pings):
                peer.write(frame(PING, b"%d" % number))
                await peer.writer.drain()
            await peer.writer.drain()

        async def read(peer: Peer) -> None:
            while True:
                got = await peer.read_frame()
                if got.opcode == PONG:
                    pongs.append(got.payload)
                elif got.opcode == TEXT:
                    peer.write(frame(TEXT, got.payload))
                elif got.opcode == peers.CLOSE:
                    peer.write(frame(peers.CLOSE, got.payload))
                    return

        async def handler(peer: Peer) -> None:
            peer.write(peer.response())
            reader = asyncio.create_task(read(peer))
            try:
                await pour(peer)
                await reader
            finally:
                reader.cancel()

        async with faulty_once(handler) as server, connection_to(server, engine=engine) as connection:
            await connection.wait_open(PATIENCE)
            await connection.send("through")
            assert await asyncio.wait_for(connection.recv(), PATIENCE) == "through"
            await until(lambda: b"%d" % (pings - 1) in pongs[-1:])
            # Some may be skipped (RFC 6455, section 5.5.3), but only while our write buffer is full.
            assert len(pongs) > pings / 2
            assert connection.stats.links == 1

    run_asyncio(main())
