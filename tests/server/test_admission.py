"""A hub lets in as many clients as it can serve, tells the others when to come back, and counts them."""

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Any

import pytest
import websockets
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.server.frameworks.serving import Place, serving
from tests.server.raw import Raw, client, connect, reluctant
from tests.server.test_limits import retry_after
from tests.watch import Run, until

import websocket_heartbeat
from websocket_heartbeat import Backoff, ReconnectEvent
from websocket_heartbeat.server import Hub, HubStats, Refusal, Request, Server, serve

NOBODY_REFUSED = dict.fromkeys(
    (
        "origins",
        "max_peers",
        "max_peers_per_address",
        "max_new_peers_per_second",
        "authenticate",
        "send_away",
    ),
    0,
)


async def answers(server: Server, count: int) -> list[Raw]:
    """Ask for so many WebSockets, one after the other, and leave; return the answers."""
    found = []
    for _ in range(count):
        async with client(server) as raw:
            found.append(raw)
    return found


# Concurrent peers


@pytest.mark.parametrize("limit", ["max_peers", "max_peers_per_address"])
def test_the_places_of_a_hub_are_counted_over_all_its_listeners(run: Run, limit: str) -> None:
    limits: dict[str, Any] = {limit: 2}

    async def main() -> None:
        hub = Hub(**limits)
        async with serve(hub=hub) as one, serve(hub=hub) as other:
            async with client(one) as first, client(other) as second, client(other) as third:
                assert (first.status, second.status) == (101, 101)
                assert third.status == {"max_peers": 503, "max_peers_per_address": 429}[limit]
                await until(lambda: len(hub.peers) == 2)
            await until(lambda: not hub.peers)
            async with client(other) as again:
                assert again.status == 101

    run(main())


def test_an_origin_that_is_not_allowed_takes_no_place(run: Run) -> None:
    async def main() -> None:
        async with (
            serve(max_peers=1) as server,
            client(server),
            client(server, headers="Origin: https://evil.example\r\n") as stranger,
        ):
            assert stranger.status == 403

    run(main())


def test_the_addresses_of_a_unix_socket_are_unknown_and_not_limited(run: Run, tmp_path: Any) -> None:
    async def main() -> None:
        path = str(tmp_path / "socket")
        async with (
            serve(hub=Hub(max_peers_per_address=1), unix_path=path),
            websockets.unix_connect(path),
            websockets.unix_connect(path),
        ):
            pass

    run(main())


async def accepting(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    if scope["path"] == "/accepted":
        await send({"type": "websocket.accept"})
        await receive()
    elif scope["path"] == "/refused":
        await send({"type": "websocket.close"})
    elif scope["path"] == "/raises":
        raise ValueError


def test_a_hub_counts_over_all_its_transports(run: Run) -> None:
    async def main() -> None:
        hub = Hub(max_peers=3)

        async def feed(request: web.Request) -> web.WebSocketResponse:
            async with hub.aiohttp(request) as peer:
                await peer.wait_closed()
            return peer.response

        app = web.Application()
        app.router.add_get("/", feed)
        async with (
            serve(hub=hub) as ours,
            websockets.serve(hub.websockets(), "127.0.0.1", 0, process_request=hub.refuse) as theirs,
            serving(hub.asgi(accepting), lifespan="off") as uvicorn,
            TestServer(app) as aiohttp,
        ):
            urls = [
                ours.url(),
                f"ws://127.0.0.1:{theirs.sockets[0].getsockname()[1]}",
                uvicorn.url("/accepted"),
                f"ws://127.0.0.1:{aiohttp.port}/",
            ]
            for absent in range(4):
                async with AsyncExitStack() as stack:
                    for number, url in enumerate(urls):
                        if number != absent:
                            await stack.enter_async_context(websockets.connect(url, compression=None))
                    with pytest.raises(websockets.InvalidStatus, match="503") as refused:
                        await websockets.connect(urls[absent])
                    assert 5 <= int(refused.value.response.headers["Retry-After"]) <= 15
                await until(lambda: not hub.peers)
            assert hub.stats.admitted == 12
            assert hub.stats.refused["max_peers"] == 4
            await hub.close()

    run(main())


def test_behind_a_proxy_that_uvicorn_believes_addresses_are_those_of_clients(run: Run) -> None:
    async def main() -> None:
        hub = Hub(max_peers_per_address=1)

        def forwarded(place: Place, address: str) -> websockets.connect:
            return websockets.connect(
                place.url("/accepted"), additional_headers={"X-Forwarded-For": address}, compression=None
            )

        async with serving(hub.asgi(accepting), lifespan="off") as place:
            async with forwarded(place, "192.0.2.1"), forwarded(place, "192.0.2.2, 192.0.2.3"):
                with pytest.raises(websockets.InvalidStatus, match="429"):
                    await forwarded(place, "192.0.2.3")
                async with forwarded(place, "no address"):
                    await until(lambda: len(hub.peers) == 3)
                    seen = {peer.remote_address for peer in hub.peers}
                    assert seen == {("192.0.2.1", 0), ("192.0.2.3", 0), ("no address", 0)}
            await until(lambda: not hub.peers)
            await hub.close()

    run(main())


@pytest.mark.parametrize("path", ["/refused", "/raises", "/returns"])
def test_a_place_is_free_again_where_an_endpoint_accepts_nobody(run: Run, path: str) -> None:
    async def main() -> None:
        hub = Hub(max_peers=1)
        async with serving(hub.asgi(accepting), lifespan="off") as place:
            for _ in range(3):
                with pytest.raises(websockets.InvalidStatus):
                    await websockets.connect(place.url(path))
                async with websockets.connect(place.url("/accepted")):
                    pass
                await until(lambda: not hub.peers)
            await hub.close()

    run(main())


# New peers a second


def test_clients_beyond_the_rate_are_told_moments_of_their_own(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        asked: list[Request] = []
        # The rate is so low that nobody more can come in while this test runs.
        hub = Hub(max_new_peers_per_second=0.05, authenticate=asked.append)
        async with serve(hub=hub) as one, serve(hub=hub) as other:
            first, second, third = [*await answers(one, 2), *await answers(other, 1)]
            assert [first.status, second.status, third.status] == [101, 503, 503]
            assert 15 <= retry_after(second) <= 20
            assert 35 <= retry_after(third) <= 40
            assert len(asked) == 1

    run(main())
    record = caplog.records[0]
    assert record.levelno == logging.WARNING
    assert record.getMessage() == "a client was refused with 503: max_new_peers_per_second=0.05 have come"


def test_those_that_find_a_full_hub_come_back_at_the_rate_too(run: Run) -> None:
    async def main() -> None:
        async with serve(hub=Hub(max_peers=1, max_new_peers_per_second=2)) as server, client(server):
            told = [retry_after(raw) for raw in await answers(server, 60)]
            assert min(told) >= 5
            assert max(told) >= 25

    run(main())


def test_our_clients_come_in_when_they_were_told(run: Run) -> None:
    async def main() -> None:
        hub = Hub(max_new_peers_per_second=2)
        retries: list[ReconnectEvent] = []
        async with serve(hub=hub) as server:
            clients = [
                websocket_heartbeat.connect(server.url(), backoff=Backoff(initial=0.01, maximum=0.02))
                for _ in range(5)
            ]
            for each in clients:
                each.on_reconnect(retries.append)
            await asyncio.gather(*clients)
            await asyncio.gather(*(each.wait_open() for each in clients))
            assert hub.stats.refused["max_new_peers_per_second"] >= 3
            assert len(retries) <= 2 * 3 + 2
            assert min(event.delay for event in retries) >= 1
            await asyncio.gather(*(each.close() for each in clients))

    run(main())


def test_the_check_of_a_load_balancer_is_no_new_peer(run: Run) -> None:
    def health(request: Request) -> Refusal | None:
        return Refusal(200, body=b"ok") if request.path == "/health" else None

    async def main() -> None:
        hub = Hub(authenticate=health, max_new_peers_per_second=0.01)
        async with serve(hub=hub) as server:
            for _ in range(3):
                async with connect(server) as raw:
                    raw.writer.write(b"GET /health HTTP/1.0\r\n\r\n")
                    assert (await raw.reader.read()).startswith(b"HTTP/1.1 200 ")
            assert [raw.status for raw in await answers(server, 2)] == [101, 503]
            assert hub.stats.refused == NOBODY_REFUSED | {"max_new_peers_per_second": 1}

    run(main())


# Figures


def test_a_hub_counts_whom_it_has_refused_by_the_option_that_has_done_so(run: Run) -> None:
    async def authenticate(request: Request) -> Refusal | str | None:
        if request.path == "/slow":
            await asyncio.sleep(300)
        if request.path == "/raises":
            raise ValueError
        return Refusal(401) if request.path == "/refused" else None

    async def main() -> None:
        hub = Hub(authenticate=authenticate, max_peers_per_address=1)
        headers = "Origin: https://a.example\r\n"
        async with serve(hub=hub, origins=["https://a.example"], open_timeout=0.1) as server:
            for path in ("/refused", "/raises", "/slow"):
                async with client(server, path, headers):
                    pass
            async with client(server):
                pass
            async with client(server, headers=headers), client(server, headers=headers):
                await until(lambda: hub.peers)
                assert hub.stats.refused == NOBODY_REFUSED | {
                    "authenticate": 3,
                    "origins": 1,
                    "max_peers_per_address": 1,
                }
                assert (hub.stats.peers, hub.stats.admitted) == (1, 1)
            await until(lambda: not hub.peers)
            assert (hub.stats.peers, hub.stats.admitted) == (0, 1)

    run(main())


def test_a_hub_counts_whom_it_has_dropped_by_the_option_that_has_done_so(run: Run) -> None:
    async def main() -> None:
        hub = Hub(idle_timeout=0.2, close_timeout=0.1)
        async with serve(hub=hub) as server:
            async with client(server):
                await until(lambda: hub.stats.dropped["idle_timeout"])
            async with client(server):
                await until(lambda: hub.peers)
                hub.peers[0].close()
                await until(lambda: hub.stats.dropped["close_timeout"])
            async with client(server):
                await until(lambda: hub.peers)
                hub.peers[0].abort()
            async with websockets.connect(server.url()):
                await until(lambda: hub.peers)
            await until(lambda: not hub.peers)
            dropped = {"idle_timeout": 1, "write_limit": 0, "close_timeout": 1, "abort": 1}
            assert hub.stats == HubStats(0, 4, NOBODY_REFUSED, dropped, 0)

    run(main())


def test_a_peer_that_does_not_read_is_dropped_by_the_write_limit(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(write_limit=1000)
        async with serve(hub=hub) as server, reluctant(server):
            await until(lambda: hub.peers)
            hub.peers[0].send(bytes(2**24))  # so far above the limit that it has a second
            await until(lambda: hub.stats.dropped["write_limit"])

    run_asyncio(main())


# Arguments


@pytest.mark.parametrize("option", ["max_peers", "max_peers_per_address"])
def test_the_limits_of_a_hub_are_given_to_the_hub(option: str) -> None:
    one: dict[str, Any] = {option: 1}
    none: dict[str, Any] = {option: 0}
    with pytest.raises(TypeError, match=f"{option} and hub exclude each other: give it to the Hub"):
        serve(hub=Hub(), **one)
    with pytest.raises(ValueError, match=f"{option} must be at least 1, not 0"):
        Hub(**none)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_must_be_above_zero_and_finite(rate: float) -> None:
    with pytest.raises(ValueError, match=r"max_new_peers_per_second must be above 0 and finite, not "):
        Hub(max_new_peers_per_second=rate)
