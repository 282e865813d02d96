"""Reading can be paused, and a link knows when it last heard something, read or not."""

import asyncio
import os
import socket
import threading
import time
from functools import partial

import pytest
from tests.engines import peers
from tests.engines.peers import Peer, frame, ws_server
from tests.engines.recorder import opened
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat.engines.base import Engine, Link
from websocket_heartbeat.events import Message
from websocket_heartbeat.system import kernel


def test_a_paused_link_delivers_nothing_more_until_it_reads_again(engine: Engine, run: Run) -> None:
    total = 3000
    go = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await go.wait()
        for number in range(total):
            peer.write(frame(peers.TEXT, f"{number:04}".encode() * 1000))
            await peer.writer.drain()
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            link.pause_reading()
            link.pause_reading()
            go.set()
            await asyncio.sleep(0.2)
            held = len(recorder.messages)
            await asyncio.sleep(0.2)
            assert len(recorder.messages) == held < total
            link.resume_reading()
            link.resume_reading()
            await recorder.until(lambda: len(recorder.messages) == total)
            assert recorder.messages == [f"{number:04}" * 1000 for number in range(total)]
            link.abort()

    run(main())


def test_a_link_may_be_paused_within_a_delivery(engine: Engine, run: Run) -> None:
    total = 200

    async def handler(peer: Peer) -> None:
        await peer.read_frame()
        peer.write(b"".join(frame(peers.TEXT, b"%03d" % number + b"x" * 5000) for number in range(total)))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())

            def pausing(message: Message) -> None:
                link.pause_reading()
                recorder.deliver(message)

            link.deliver = pausing
            link.ping()
            async with asyncio.timeout(PATIENCE):
                while len(recorder.messages) < total:
                    await asyncio.sleep(0)
                    link.resume_reading()
            assert [message[:3] for message in recorder.messages] == [
                f"{number:03}" for number in range(total)
            ]
            link.abort()

    run(main())


def has_heard(link: Link, since: float) -> bool:
    return link.evidence().heard_at >= since


SLACK = 0.05
"""Seconds by which the kernel's clock may differ: it counts in ticks, and a busy machine reads ours later."""


@pytest.mark.parametrize("knows", [True, False], ids=["kernel", "stamps"])
def test_heard_at_is_when_bytes_last_arrived(
    engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch, knows: bool
) -> None:
    if not knows:
        monkeypatch.setattr(kernel, "TELLS", False)
    server_side: list[Peer] = []

    async def handler(peer: Peer) -> None:
        server_side.append(peer)
        await peer.gone()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with ws_server(handler) as server:
            before = loop.time()
            link, _ = await opened(engine, server.url())
            assert before - SLACK <= link.evidence().heard_at <= loop.time() + SLACK
            for data in (frame(peers.TEXT, b"a"), frame(peers.PONG), frame(peers.PING)):
                await asyncio.sleep(4 * SLACK)
                before = loop.time()
                assert link.evidence().heard_at < before - SLACK
                server_side[0].write(data)
                await until(partial(has_heard, link, before - SLACK))
                assert link.evidence().heard_at <= loop.time() + SLACK
            link.abort()

    run(main())


needs_kernel = pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="this kernel does not tell")


@needs_kernel
def test_a_part_of_a_frame_counts_as_heard(engine: Engine, run: Run) -> None:
    server_side: list[Peer] = []

    async def handler(peer: Peer) -> None:
        server_side.append(peer)
        await peer.gone()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            await asyncio.sleep(4 * SLACK)
            before = loop.time()
            assert link.evidence().heard_at < before - SLACK
            server_side[0].write(frame(peers.TEXT, b"abc")[:2])
            await until(lambda: link.evidence().heard_at >= before - SLACK)
            assert recorder.log == []
            link.abort()

    run(main())


@needs_kernel
@pytest.mark.parametrize("paused", [False, True], ids=["blocked", "paused"])
def test_heard_at_counts_bytes_that_were_not_read_yet(engine: Engine, run: Run, paused: bool) -> None:
    server_side: list[Peer] = []
    written: list[float] = []

    async def handler(peer: Peer) -> None:
        server_side.append(peer)
        await peer.gone()

    def write(descriptor: int) -> None:
        written.append(time.monotonic())
        os.write(descriptor, frame(peers.TEXT, b"a"))
        written.append(time.monotonic())

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            if paused:
                link.pause_reading()
            # From a thread, as this loop is blocked; by the descriptor, as no writer is thread-safe.
            descriptor = server_side[0].writer.get_extra_info("socket").fileno()
            writer = threading.Timer(4 * SLACK, write, (descriptor,))
            writer.start()
            writer.join()
            time.sleep(4 * SLACK)  # noqa: ASYNC251  # the loop must be blocked
            assert written[0] - SLACK <= link.evidence().heard_at <= written[1] + SLACK
            assert recorder.log == []
            link.resume_reading()
            await recorder.until(lambda: recorder.messages)
            link.abort()

    run(main())
