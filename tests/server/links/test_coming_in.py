"""Over every framework, the hub decides who comes in before the handshake is answered."""

import asyncio
import logging
import ssl
from typing import Any

import pytest
import trustme
import websockets
from tests.certificates import tls_of_client, tls_of_server, tls_pair
from tests.server.links.back_ends import BackEnd, echo, stay
from tests.server.raw import TEXT, client
from tests.server.raw import connect as connect_bare
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import connect
from websocket_heartbeat.errors import ConnectionFailed, HandshakeRejected
from websocket_heartbeat.server import Hub, Peer, Refusal, Request


def test_who_is_not_let_in_gets_the_status_headers_and_body_of_the_refusal(
    run: Run, back_end: BackEnd
) -> None:
    async def authenticate(request: Request) -> Refusal:
        await asyncio.sleep(0)
        return Refusal(503, [("Retry-After", "7"), ("X-Shard", "3")], b"full")

    async def main() -> None:
        async with back_end(Hub(authenticate=authenticate)) as place:
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(place.url())
            response = refused.value.response
            assert (response.status_code, response.reason_phrase) == (503, "Service Unavailable")
            assert (response.headers["Retry-After"], response.headers["X-Shard"]) == ("7", "3")
            assert response.body == b"full"

    run(main())


@pytest.mark.parametrize("status", [204, 299, 401, 404, 500])
def test_a_refusal_may_have_any_status(run_asyncio: Run, back_end: BackEnd, status: int) -> None:
    async def main() -> None:
        hub = Hub(authenticate=lambda request: Refusal(status))
        async with back_end(hub) as place, client(place) as raw:
            assert raw.status == status
            assert await raw.reader.read(1) == b""

    run_asyncio(main())


def test_our_client_takes_a_refusal_as_final(run_asyncio: Run, back_end: BackEnd) -> None:
    async def main() -> None:
        hub = Hub(authenticate=lambda request: Refusal(401))
        async with back_end(hub) as place:
            with pytest.raises(ConnectionFailed) as failed:
                async with connect(place.url()) as connection:
                    await connection.recv()
            assert isinstance(failed.value.__cause__, HandshakeRejected)

    run_asyncio(main())


def test_authenticate_sees_the_request_and_names_the_principal(run: Run, back_end: BackEnd) -> None:
    requests: list[Request] = []

    def authenticate(request: Request) -> str | None:
        requests.append(request)
        return request.header("x-user")

    async def main() -> None:
        hub = Hub(authenticate=authenticate)
        async with (
            back_end(hub) as place,
            client(place, "/a%20path?token=secret%26x", "X-User: ada\r\n") as raw,
        ):
            await until(lambda: hub.peers)
            [peer] = hub.user("ada")
            own = raw.writer.get_extra_info("sockname")
            assert peer.remote_address == (own[0], own[1])
            hub.user("ada").send("hello")
            assert await raw.read() == (TEXT, b"hello")
        [request] = requests
        assert (request.path, request.query) == ("/a%20path", "token=secret%26x")

    run(main())


def test_an_origin_that_is_not_allowed_is_refused(run_asyncio: Run, back_end: BackEnd) -> None:
    async def main() -> None:
        hub = Hub(origins=["https://example.com"])
        async with back_end(hub) as place:
            async with client(place, headers="Origin: https://evil.example\r\n") as stranger:
                assert stranger.status == 403
            async with client(place, headers="Origin: https://example.com\r\n") as raw:
                assert raw.status == 101

    run_asyncio(main())


def test_a_place_is_free_again_when_its_client_or_its_handshake_has_ended(
    run_asyncio: Run, back_end: BackEnd
) -> None:
    async def main() -> None:
        hub = Hub(max_peers=1)
        async with back_end(hub) as place:
            async with client(place), client(place) as second:
                assert second.status == 503
                assert b"retry-after" in second.head.lower()
            await until(lambda: not hub.peers)
            async with connect_bare(place) as plain:
                plain.writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
                assert (await plain.reader.readuntil(b"\r\n"))[:10] in (b"HTTP/1.1 4",)
                async with client(place) as third:
                    assert third.status == 101
            await until(lambda: not hub.peers)
            async with client(place) as fourth:
                assert fourth.status == 101

    run_asyncio(main())


def test_a_client_that_leaves_in_the_middle_of_its_handshake_leaves_nothing_behind(
    run: Run, back_end: BackEnd, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        asked = asyncio.Event()
        answer = asyncio.Event()

        async def authenticate(request: Request) -> None:
            asked.set()
            await answer.wait()

        hub = Hub(authenticate=authenticate, max_peers=1)
        async with back_end(hub) as place:
            for leave in ("leave", "reset"):
                asked.clear()
                answer.clear()
                leaving = asyncio.create_task(_leave(place, asked, leave))
                await leaving
                await asyncio.sleep(0.1)
                answer.set()
                await asyncio.sleep(0.1)
                assert not hub.peers
            async with client(place) as raw:
                assert raw.status == 101

    with caplog.at_level(logging.WARNING):
        run(main())
    assert [record.getMessage() for record in caplog.records] == []


async def _leave(place: Any, asked: asyncio.Event, how: str) -> None:
    _, writer = await asyncio.open_connection(place.host, place.port)
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    writer.write(
        f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n".encode()
    )
    await asyncio.wait_for(asked.wait(), PATIENCE)
    if how == "reset":
        writer.transport.abort()
    else:
        writer.close()
    await writer.wait_closed()


def test_an_authenticate_that_takes_too_long_refuses(run_asyncio: Run, back_end: BackEnd) -> None:
    async def authenticate(request: Request) -> None:
        await asyncio.sleep(3600)

    async def main() -> None:
        hub = Hub(authenticate=authenticate, open_timeout=0.2)
        async with back_end(hub) as place, client(place) as raw:
            assert raw.status == 503

    run_asyncio(main())


@pytest.mark.parametrize(("how", "status"), [("goes on", 503), ("cancels itself", 500)])
def test_an_authenticate_that_is_odd_about_cancellation_refuses_too(
    run: Run, back_end: BackEnd, how: str, status: int
) -> None:
    async def main() -> None:
        let_go = asyncio.Event()

        async def authenticate(request: Request) -> None:
            if how == "cancels itself":
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            while not let_go.is_set():
                try:
                    await let_go.wait()
                except asyncio.CancelledError:
                    if how == "cancels itself":
                        raise

        hub = Hub(authenticate=authenticate, open_timeout=0.1)
        async with back_end(hub) as place, client(place) as raw:
            assert raw.status == status
            assert hub.stats.refused["authenticate"] == 1
            let_go.set()

    run(main())


def test_over_tls_it_is_the_same(run: Run, back_end: BackEnd) -> None:
    authority = trustme.CA()
    serving = tls_of_server(authority)
    serving.verify_mode = ssl.CERT_OPTIONAL
    authority.configure_trust(serving)
    trusting = tls_of_client(authority)
    authority.issue_cert("ada@example.com").configure_cert(trusting)

    async def main() -> None:
        certificates: list[Any] = []

        async def remember(peer: Peer) -> None:
            certificates.append(peer.certificate)
            await echo(peer)

        hub = Hub(idle_timeout=0.4)
        async with (
            back_end(hub, remember, tls=serving) as place,
            websockets.connect(place.url(scheme="wss"), ssl=trusting, ping_interval=None) as ws,
        ):
            await ws.send("x" * 2**20)
            assert await ws.recv() == "x" * 2**20
            await asyncio.sleep(0.8)
            assert len(hub.peers) == 1
            assert certificates[0]["subjectAltName"] == (("email", "ada@example.com"),)

    run(main())


def test_a_silent_peer_over_tls_is_reset(run: Run, back_end: BackEnd) -> None:
    serving, trusting = tls_pair()
    trusting.check_hostname = False

    async def main() -> None:
        hub = Hub(idle_timeout=0.4)
        async with back_end(hub, stay, tls=serving) as place, client(place, tls=trusting) as raw:
            assert await raw.end() in ("reset", "end of file")
            await until(lambda: not hub.peers)

    run(main())
