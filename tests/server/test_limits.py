"""A server lets in as many clients as it is told, and the others are told when to come back."""

import asyncio
import logging
import re
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import websockets
from tests.server.raw import CLOSE, PING, PONG, Raw, client, connect
from tests.server.test_listening import LoopWithoutReaders
from tests.watch import PATIENCE, Run, until

import websocket_heartbeat
from websocket_heartbeat import Backoff
from websocket_heartbeat.server import Peer, Refusal, Request, Server, serve
from websocket_heartbeat.server.places import network


async def status_of(server: Server, target: str = "/") -> int:
    """Ask for a WebSocket and leave; return the status of the answer."""
    async with client(server, target) as raw:
        return raw.status


async def get_in(server: Server) -> None:
    """Come in as soon as there is room, and leave again."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if await status_of(server) == 101:
                return
            await asyncio.sleep(0.002)


def retry_after(raw: Raw) -> int:
    """Return what the answer says of coming back, in seconds."""
    found = re.search(rb"\r\nRetry-After: ([0-9]+)\r\n", raw.head)
    assert found is not None
    return int(found[1])


# max_peers


def test_no_more_than_max_peers_come_in_and_others_are_told_when_to_come_back(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serve(max_peers=2) as server, client(server) as first, client(server) as second:
            assert (first.status, second.status) == (101, 101)
            async with client(server) as third:
                assert third.status == 503
                assert 5 <= retry_after(third) <= 15
            with pytest.raises(websockets.InvalidStatus, match="503"):
                await websockets.connect(server.url())
            assert len(server.connections) == 2
            first.leave()
            await get_in(server)

    run(main())
    record = caplog.records[0]
    assert record.levelno == logging.WARNING
    assert record.getMessage() == "a client was refused with 503: max_peers=2 are here"


def test_our_client_waits_as_long_as_it_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        delays: list[float] = []
        async with (
            serve(max_peers=1) as server,
            client(server) as first,
            websocket_heartbeat.connect(server.url(), backoff=Backoff(initial=0.01, maximum=0.02)) as second,
        ):
            second.on_reconnect(lambda event: delays.append(event.delay))
            await until(lambda: delays)
            assert first.status == 101
            assert delays[0] >= 5

    run(main())


def leave_in_order(raw: Raw, server: Server) -> None:
    raw.frame(CLOSE, (1000).to_bytes(2))


def break_the_protocol(raw: Raw, server: Server) -> None:
    raw.frame(3)


def disconnect(raw: Raw, server: Server) -> None:
    raw.leave()


def reset(raw: Raw, server: Server) -> None:
    raw.reset()


def be_dropped(raw: Raw, server: Server) -> None:
    for peer in server.connections:
        peer.abort()


def be_closed(raw: Raw, server: Server) -> None:
    for peer in server.connections:
        peer.close()
    raw.frame(CLOSE, (1000).to_bytes(2))


@pytest.mark.parametrize(
    "leave", [leave_in_order, break_the_protocol, disconnect, reset, be_dropped, be_closed]
)
def test_a_place_is_free_again_however_its_peer_ends(run: Run, leave: Callable[[Raw, Server], None]) -> None:
    async def main() -> None:
        async with serve(max_peers=1, max_peers_per_address=1) as server:
            for _ in range(5):
                async with client(server) as raw:
                    if raw.status != 101:  # the one before is just leaving
                        continue
                    await until(lambda: server.connections)
                    leave(raw, server)
                    await until(lambda: not server.connections)
                await get_in(server)

    run(main())


@pytest.mark.parametrize("answer", ["refused", "left", "raised", "in time out", "ended at once"])
def test_a_place_is_free_again_where_no_peer_comes_of_it(run: Run, answer: str) -> None:
    async def hook(request: Request) -> Refusal | None:
        if request.path == "/":
            return None
        if answer == "refused":
            return Refusal(401)
        if answer == "raised":
            raise ValueError
        if answer != "ended at once":
            await asyncio.sleep(300)
        return None

    def opened(peer: Peer) -> None:
        if peer.request.path != "/":
            peer.abort()

    async def main() -> None:
        async with serve(on_handshake=hook, on_open=opened, max_peers=1, open_timeout=0.2) as server:
            for _ in range(3):
                if answer == "left":
                    async with connect(server) as raw:
                        raw.writer.write(HANDSHAKE)
                        await asyncio.sleep(0.01)
                else:
                    with_status = {"refused": 401, "raised": 500, "in time out": 503, "ended at once": 101}
                    assert await status_of(server, "/other") == with_status[answer]
                await get_in(server)

    run(main())


HANDSHAKE = (
    b"GET /other HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def test_whom_a_hook_still_decides_about_takes_a_place(run: Run) -> None:
    async def main() -> None:
        asked: list[Request] = []
        go_on = asyncio.Event()

        async def hook(request: Request) -> None:
            asked.append(request)
            await go_on.wait()

        async with serve(on_handshake=hook, max_peers=1) as server, connect(server) as waiting:
            waiting.writer.write(HANDSHAKE)
            await until(lambda: asked)
            assert await status_of(server) == 503
            assert len(asked) == 1
            go_on.set()
            assert (await waiting.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")

    run(main())


def test_a_full_server_still_answers_the_checks_of_load_balancers(run: Run) -> None:
    def health(request: Request) -> Refusal | None:
        return Refusal(200, body=b"ok") if request.path == "/health" else None

    async def main() -> None:
        async with serve(on_handshake=health, max_peers=1) as server, client(server):
            assert await status_of(server) == 503
            async with connect(server) as raw:
                raw.writer.write(b"GET /health HTTP/1.0\r\n\r\n")
                assert (await raw.reader.read()).startswith(b"HTTP/1.1 200 ")

    run(main())


# max_peers_per_address


def test_an_address_has_no_more_than_its_own_places(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with (
            serve(host="0.0.0.0", max_peers_per_address=2) as server,
            client(server) as first,
            client(server),
        ):
            async with client(server) as third:
                assert third.status == 429
                assert 5 <= retry_after(third) <= 15
            async with websockets.connect(server.url(), local_addr=("127.0.0.2", 0)) as other:
                await other.send("hello")
                assert await other.recv() == "hello"
            first.leave()
            await get_in(server)

    run(main())
    assert caplog.records[0].getMessage() == (
        "a client was refused with 429: max_peers_per_address=2 are here from 127.0.0.1"
    )


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),  # one customer has a /64 at least
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
    ],
)
def test_addresses_of_one_customer_are_one(one: str, other: str, are_one: bool) -> None:
    assert (network(one) == network(other)) == are_one


# max_handshakes


@pytest.mark.parametrize("loop", [asyncio.SelectorEventLoop, LoopWithoutReaders])
def test_while_max_handshakes_are_unfinished_the_next_clients_wait(
    loop: type[asyncio.AbstractEventLoop], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serve(max_handshakes=3) as server, AsyncExitStack() as stack:
            silent = [await stack.enter_async_context(connect(server)) for _ in range(3)]
            waiting = [await stack.enter_async_context(connect(server)) for _ in range(5)]
            for raw in waiting:
                raw.writer.write(HANDSHAKE)
            await asyncio.sleep(0.1)
            assert server.connections == ()
            silent[0].leave()  # one place is enough for all of them, one after the other
            for raw in waiting:
                async with asyncio.timeout(PATIENCE):
                    assert (await raw.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
                raw.frame(PING)
                assert await raw.read() == (PONG, b"")

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
    assert "max_handshakes=3 clients are in the middle of their handshake" in caplog.text


def test_silent_clients_keep_others_waiting_for_open_timeout_at_most(run: Run) -> None:
    async def main() -> None:
        async with serve(max_handshakes=2, open_timeout=0.2) as server, connect(server), connect(server):
            assert await status_of(server) == 101

    run(main())


def test_a_server_with_clients_that_wait_closes_in_order(run: Run) -> None:
    async def main() -> None:
        async with serve(max_handshakes=1) as server, connect(server), connect(server) as waiting:
            await asyncio.sleep(0.02)
            await server.close()
            assert await waiting.end() in ("reset", "end of file")

    run(main())


def test_peers_are_no_handshakes(run: Run) -> None:
    async def main() -> None:
        async with serve(max_handshakes=1) as server, client(server), client(server), client(server):
            assert len(server.connections) == 3

    run(main())


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"max_peers": 0}, ValueError, "max_peers must be at least 1, not 0"),
        ({"max_peers": "1"}, TypeError, "max_peers must be a whole number, not '1'"),
        ({"max_peers_per_address": -1}, ValueError, "max_peers_per_address must be at least 1, not -1"),
        ({"max_peers_per_address": 1.5}, TypeError, "max_peers_per_address must be a whole number, not 1.5"),
        ({"max_handshakes": 0}, ValueError, "max_handshakes must be at least 1, not 0"),
        ({"max_handshakes": None}, TypeError, "max_handshakes must be a whole number, not None"),
        (
            {"max_peers_per_address": 1, "unix_path": "x"},
            ValueError,
            "max_peers_per_address and unix_path exclude each other",
        ),
    ],
)
def test_a_wrong_limit_is_refused_where_it_is_written(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    if "unix_path" in arguments and not hasattr(socket, "AF_UNIX"):
        pytest.skip("this system has no Unix sockets")
    with pytest.raises(error, match=text):
        serve(**arguments)
