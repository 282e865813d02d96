"""A back end pings silent peers: whoever answers stays, whatever else it says."""

import asyncio
import threading
import time
from itertools import pairwise

import aiohttp
import pytest
import websockets
from tests.server.raw import PING, PONG, TEXT, Closes, client, reluctant
from tests.watch import PATIENCE, Run, until
from websockets.sync.client import connect as connect_blocking

from websocket_heartbeat.engines.memory import MemoryPeer
from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Peer, Request, serve
from websocket_heartbeat.server.hooks import Hooks
from websocket_heartbeat.server.places import Limits
from websocket_heartbeat.server.policy import Policy
from websocket_heartbeat.server.roster import Commons, Roster


@pytest.mark.usefixtures("kernel")
def test_a_peer_is_pinged_when_half_of_the_time_has_passed_in_silence(run: Run) -> None:
    async def main() -> None:
        async with serve(idle_timeout=0.5) as server, client(server) as raw:
            begun = time.monotonic()
            for _ in range(3):
                assert await raw.read() == (PING, b"")
                assert time.monotonic() - begun > 0.2
                raw.frame(PONG)
                begun = time.monotonic()
            assert len(server.connections) == 1

    run(main())


@pytest.mark.usefixtures("kernel")
def test_a_peer_that_speaks_is_not_pinged(run: Run) -> None:
    async def main() -> None:
        async with serve(idle_timeout=0.8) as server, client(server) as raw:
            for _ in range(20):
                raw.frame(PONG)
                await asyncio.sleep(0.05)
            raw.frame(PING, b"end")
            assert await raw.read() == (PONG, b"end")

    run(main())


@pytest.mark.usefixtures("kernel")
def test_no_second_ping_follows_one_that_is_unanswered(run: Run) -> None:
    async def main() -> None:
        async with serve(idle_timeout=0.4) as server, client(server) as raw:
            assert await raw.read() == (PING, b"")
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await raw.read()

    run(main())


@pytest.mark.usefixtures("kernel")
def test_a_peer_that_says_anything_else_after_a_ping_stays_too(run: Run) -> None:
    async def main() -> None:
        seen: list[Message] = []
        async with (
            serve(lambda _, message: seen.append(message), idle_timeout=0.4) as server,
            client(server) as raw,
        ):
            for _ in range(3):
                assert await raw.read() == (PING, b"")
                raw.frame(TEXT, b"busy")
            await until(lambda: len(seen) == 3)

    run(main())


@pytest.mark.usefixtures("kernel")
def test_clients_of_other_libraries_that_send_nothing_by_themselves_stay(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        async with (
            serve(on_close=closes, idle_timeout=0.4) as server,
            websockets.connect(server.url(), ping_interval=None) as ws,
            aiohttp.ClientSession() as session,
            session.ws_connect(server.url()) as of_aiohttp,
        ):
            receiving = asyncio.create_task(of_aiohttp.receive())
            await asyncio.sleep(1.6)
            assert len(server.connections) == 2
            assert closes.seen == []
            await ws.send("still here")
            assert await ws.recv() == "still here"
            await of_aiohttp.send_str("I as well")
            assert (await receiving).data == "I as well"

    run(main())


@pytest.mark.usefixtures("kernel")
def test_a_peer_that_only_listens_to_a_feed_stays(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        async with (
            serve(on_close=closes, idle_timeout=0.4) as server,
            websockets.connect(server.url(), ping_interval=None) as ws,
        ):
            (peer,) = server.connections
            for tick in range(60):
                peer.send(f"tick {tick}")
                assert await ws.recv() == f"tick {tick}"
                await asyncio.sleep(0.02)
            assert closes.seen == []

    run(main())


@pytest.mark.usefixtures("kernel")
def test_a_server_that_was_blocked_gives_its_peers_the_time_to_answer(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        opened: list[Peer] = []
        left = threading.Event()

        def stay(url: str) -> None:
            with connect_blocking(url, ping_interval=None):
                left.wait()

        async with serve(on_open=opened.append, on_close=closes, idle_timeout=0.4) as server:
            staying = asyncio.create_task(asyncio.to_thread(stay, server.url()))
            await until(lambda: opened)
            for _ in range(3):
                time.sleep(0.5)  # noqa: ASYNC251  # what is tested
                await asyncio.sleep(0.3)
            assert closes.seen == []
            left.set()
            await staying
        assert closes.seen == [(1, 1000, "")]

    run(main())


def test_a_ping_behind_data_that_a_slow_peer_still_takes_is_not_yet_unanswered(run: Run) -> None:
    """Only Linux tells that the peer's kernel takes what ours has taken from us."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        closes = Closes()
        payload = bytes(300_000)
        whole = b"\x82\x7f" + len(payload).to_bytes(8) + payload + b"\x89\0"  # and one ping
        async with serve(on_close=closes, idle_timeout=0.4) as server, reluctant(server) as sock:
            (peer,) = server.connections
            peer.send(payload)
            begun = time.monotonic()
            received = b""
            while len(received) < len(whole):
                received += await loop.sock_recv(sock, 2000)
                await asyncio.sleep(0.01)
            assert received == whole
            assert time.monotonic() - begun > 1
            await asyncio.sleep(0.1)  # the ping came just now, and may wait a moment for its answer
            assert closes.seen == []
            await loop.sock_sendall(sock, b"\x8a\x80\0\0\0\0")
            assert await loop.sock_recv(sock, 100) == b"\x89\0"
            assert len(server.connections) == 1

    run(main())


@pytest.mark.usefixtures("kernel")
def test_a_peer_whose_kernel_takes_a_feed_while_it_answers_nothing_is_dropped(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        async with serve(on_close=closes, idle_timeout=0.4) as server, reluctant(server, room=200_000):
            (peer,) = server.connections
            while server.connections:
                peer.send("tick")
                await asyncio.sleep(0.01)
            await until(lambda: closes.seen)
        assert closes.seen == [(1, None, "silent for 0.4 s")]

    run(main())


def test_a_herd_of_silent_peers_is_pinged_in_several_turns_of_the_loop(run_asyncio: Run) -> None:
    async def main() -> None:
        policy = Policy(
            None, idle_timeout=0.5, open_timeout=10, close_timeout=5, write_limit=2**20, dismissal=None
        )
        roster = Roster(Commons(policy, Limits()))
        roster.enter()
        hooks = Hooks(on_message=print)
        peers = []
        for _ in range(1000):
            events = roster.admit(Request("/"), hooks, None, None)
            peers.append(MemoryPeer(events))
            events.opened(peers[-1].link)
        sent = [0]
        async with asyncio.timeout(PATIENCE):
            while sent[-1] < len(peers):
                await asyncio.sleep(0)
                sent.append(sum(peer.pings for peer in peers))
        assert max(later - sooner for sooner, later in pairwise(sent)) <= 100
        roster.abort()

    run_asyncio(main())
