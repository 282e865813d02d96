"""`Peer.drain` lets a program send at the pace of who reads."""

import asyncio

import aiohttp
import pytest
import websockets
from tests.server.raw import CLOSE, TEXT, Closes, client, reluctant
from tests.watch import PATIENCE, Run, turns, until

from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Peer, serve

PIECE = bytes(2**18)


def test_a_sender_that_drains_keeps_little_in_memory_and_all_of_it_arrives(run: Run) -> None:
    async def main() -> None:
        most = 0

        async def feed(peer: Peer) -> None:
            nonlocal most
            for _ in range(100):
                peer.send(PIECE)
                most = max(most, peer.buffered)
                await peer.drain()
                assert peer.buffered <= 64 * 1024

        async with (
            serve(on_open=feed, write_limit=len(PIECE)) as server,
            websockets.connect(server.url()) as ws,
            aiohttp.ClientSession() as session,
            session.ws_connect(server.url()) as of_aiohttp,
        ):
            async with asyncio.timeout(PATIENCE):
                for _ in range(100):
                    assert await ws.recv() == PIECE
                for _ in range(100):
                    assert await of_aiohttp.receive_bytes() == PIECE
        assert most <= len(PIECE) + 64 * 1024 + 10

    run(main())


def test_others_have_their_turn_though_nothing_waits(run: Run) -> None:
    async def main() -> None:
        async with serve() as server, client(server):
            (peer,) = server.connections
            turn = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(turn.set_result, None)
            await peer.drain()
            assert turn.done()

    run(main())


def test_all_who_wait_go_on_and_one_who_is_cancelled_harms_no_other(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with serve() as server, reluctant(server) as sock:
            (peer,) = server.connections
            while peer.buffered < 100_000:
                peer.send(PIECE)
            waiting = [asyncio.create_task(peer.drain()) for _ in range(3)]
            await turns()
            waiting[0].cancel()
            await turns()
            assert [task.done() for task in waiting] == [True, False, False]
            while not all(task.done() for task in waiting):
                await loop.sock_recv(sock, 100_000)
            assert waiting[0].cancelled()
            await asyncio.gather(*waiting[1:])

    run(main())


def test_it_raises_where_the_peer_is_gone(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        async with serve(on_close=closes) as server:
            async with reluctant(server):
                (peer,) = server.connections
                while peer.buffered < 100_000:
                    peer.send(PIECE)
                draining = asyncio.create_task(peer.drain())
                await turns()
            with pytest.raises(ConnectionResetError, match="the peer is gone"):
                await draining
            with pytest.raises(ConnectionResetError, match="the peer is gone"):
                await peer.drain()

    run(main())


def test_of_a_peer_that_was_asked_to_go_it_waits_for_the_end(run: Run) -> None:
    """A loop that sends and drains ends so, and does not turn for nothing meanwhile."""

    async def main() -> None:
        async with serve() as server, client(server) as raw:
            (peer,) = server.connections
            peer.close(4000)
            draining = asyncio.create_task(peer.drain())
            assert await raw.close_code() == 4000
            assert not draining.done()
            raw.frame(CLOSE, (4000).to_bytes(2))
            with pytest.raises(ConnectionResetError, match="the peer is gone"):
                await draining

    run(main())


def test_a_hook_that_drains_is_cancelled_when_its_peer_goes_and_nothing_is_logged(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        closes = Closes()
        cancelled: list[Message] = []

        async def feed(peer: Peer, message: Message) -> None:
            try:
                while True:
                    peer.send(PIECE)
                    await peer.drain()
            except asyncio.CancelledError:
                cancelled.append(message)
                raise

        async with serve(feed, on_close=closes, close_timeout=0.3) as server:
            async with websockets.connect(server.url()) as ws:
                await ws.send("begin")
                await ws.recv()
            await until(lambda: closes.seen)
            assert cancelled == ["begin"]
            async with client(server) as raw:
                raw.frame(TEXT, b"begin")
                await raw.read()
                await server.send_away(0)
            assert cancelled == ["begin", "begin"]

    run(main())
    assert "raised" not in caplog.text
