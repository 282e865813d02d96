"""A link whose write buffer is full says so, ends as fast as any other, and grows no further."""

import asyncio
import ssl
import time

import pytest
from tests.engines import peers
from tests.engines.blocking import BlockingServer
from tests.engines.peers import Peer, close_frame, frame, ws_server
from tests.engines.recorder import NOW, opened
from tests.watch import PATIENCE, Run, turns, until

from websocket_heartbeat.engines.base import WRITE_LIMIT, Engine, Link


async def fill(link: Link) -> int:
    """Send until the link is full; the number of messages it took."""
    for number in range(1, 10_000):
        link.send(b"x" * 65536)
        await asyncio.sleep(0)
        if link.full:
            return number
    raise AssertionError("never full")


def test_an_abort_behind_a_full_write_buffer_is_immediate(engine: Engine, run: Run) -> None:
    stuck = asyncio.Event()
    dropped = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await stuck.wait()
        start = time.monotonic()
        await peer.gone()
        assert time.monotonic() - start < NOW
        dropped.set()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            await fill(link)
            link.close(1000, "")
            link.abort()
            stuck.set()
            async with asyncio.timeout(PATIENCE):
                await dropped.wait()
            assert recorder.log == []

    run(main())


def test_a_full_link_says_so_and_says_when_it_is_not_any_more(engine: Engine, run: Run) -> None:
    read_on = asyncio.Event()
    received = 0

    async def handler(peer: Peer) -> None:
        nonlocal received
        await read_on.wait()
        while True:
            received += len((await peer.read_frame()).payload)

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            assert (link.full, link.buffered) == (False, 0)
            start = time.monotonic()
            number = await fill(link)
            link.send("y" * 100)
            assert time.monotonic() - start < PATIENCE
            assert link.buffered > WRITE_LIMIT
            assert recorder.writables == 0
            read_on.set()
            await recorder.until(lambda: recorder.writables)
            assert not link.full
            await until(lambda: received == number * 65536 + 100)
            assert link.buffered == 0
            assert recorder.writables == 1
            link.abort()

    run(main())


@pytest.mark.parametrize(
    "data", [close_frame(1001, "go"), frame(3), frame(peers.TEXT, rsv=4)], ids=["close", "opcode", "rsv"]
)
def test_a_link_ends_at_once_even_when_its_write_buffer_is_full(
    engine: Engine, run: Run, data: bytes
) -> None:
    stuck = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await stuck.wait()
        peer.write(data)
        # Nothing is read: what we still have to say cannot leave.
        await asyncio.sleep(PATIENCE)

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            await fill(link)
            stuck.set()
            start = time.monotonic()
            closure = await recorder.closure()
            assert time.monotonic() - start < NOW
            assert (closure.uncertain_bytes or 0) > WRITE_LIMIT
            for _ in range(20):
                await asyncio.sleep(0)
            assert link.buffered == 0

    run(main())


def test_pings_of_a_server_that_does_not_read_do_not_fill_our_memory(engine: Engine, run: Run) -> None:
    stuck = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await stuck.wait()
        pings = frame(peers.PING, b"x" * 125) * 1000
        for _ in range(30):
            peer.write(pings)
            await peer.writer.drain()
        peer.write(frame(peers.TEXT, b"end"))
        await asyncio.sleep(PATIENCE)

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            await fill(link)
            before = link.buffered
            stuck.set()
            await recorder.until(lambda: recorder.messages)
            assert link.buffered - before < 4 * WRITE_LIMIT
            link.abort()

    run(main())


@pytest.mark.parametrize("then", ["abort", "send to nobody"])
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_link_ends_once_when_it_ends_as_it_is_not_full_any_more(
    engine: Engine,
    run: Run,
    scheme: str,
    then: str,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
) -> None:
    async def main() -> None:
        with BlockingServer(lambda client: None, server_tls if scheme == "wss" else None) as server:
            link, recorder = await opened(engine, f"{scheme}://127.0.0.1:{server.port}/", ssl=client_tls)
            writables = 0

            def end() -> None:
                nonlocal writables
                writables += 1
                if then == "abort":
                    link.abort()
                else:
                    server.reset()
                    for _ in range(10):
                        link.send(b"x" * 65536)

            recorder.writable = end  # type: ignore[method-assign]
            size = await fill(link) * 65536
            await until(lambda: server.is_done)
            client = server.client
            assert client is not None
            client.settimeout(0)
            async with asyncio.timeout(PATIENCE):
                while size > 0 and not writables:
                    try:
                        size -= len(client.recv(1 << 20))
                    except (BlockingIOError, ssl.SSLWantReadError):
                        await asyncio.sleep(0)
            await until(lambda: writables)
            if then == "send to nobody":
                closure = await recorder.closure()
                assert isinstance(closure.error, ConnectionError)
            await turns()
            assert writables == 1
            assert len(recorder.closures) == (1 if then == "send to nobody" else 0)

    run(main())
