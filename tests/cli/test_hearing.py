"""Pings and pongs by hand: their payload reaches the server, and the answer to a ping is measured."""

import asyncio

from tests.cli.program import PATIENCE
from tests.cli.test_terminal import run
from tests.engines.peers import Peer, frame, raw_server

from websocket_heartbeat import connect
from websocket_heartbeat.cli.connect.hearing import HearingEngine

PING, PONG = 9, 10


def test_pings_and_pongs_carry_what_they_are_given_and_the_answer_is_measured_once() -> None:
    frames: list[tuple[int, bytes]] = []
    answers: asyncio.Queue[float] = asyncio.Queue()

    async def serve(peer: Peer) -> None:
        await peer.read_request()
        peer.write(peer.response())
        peer.write(frame(PONG))  # which answers no ping
        for _ in range(3):
            read = await peer.read_frame()
            frames.append((read.opcode, read.payload))
            if read.opcode == PING:
                peer.write(frame(PONG, read.payload) + frame(PONG, read.payload))
        await well_closed(peer)

    async def main() -> None:
        engine = HearingEngine(answers.put_nowait)
        assert not engine.ping(b"")
        async with raw_server(serve) as server, connect(server.url(), engine=engine) as connection:
            await connection.wait_open()
            for payload in (b"", b"are you there?"):
                assert engine.ping(payload)
                assert await asyncio.wait_for(answers.get(), PATIENCE) >= 0
            assert engine.pong(b"here")
        assert frames == [(PING, b""), (PING, b"are you there?"), (PONG, b"here")]
        assert answers.empty()
        assert not engine.pong(b"")

    run(main())


async def well_closed(peer: Peer) -> None:
    """Answer the close frame."""
    await peer.read_frame()
    peer.write(frame(8))
    await peer.gone()
