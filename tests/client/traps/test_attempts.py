"""The traps of other clients, over real sockets: attempts end in time and give nothing secret away."""

import asyncio
import socket
import ssl
import time
from typing import Any

import pytest
import trustme
from tests.certificates import tls_of_client, tls_of_server, tls_pair
from tests.client.conftest import World
from tests.client.servers import well_behaved
from tests.client.traps.log import SLACK, SOON, Log
from tests.engines.peers import TEXT, Peer, close_frame, frame, hang, raw_server, ws_server
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Backoff, ConnectionFailed, HandshakeRejected, RedirectRefused, connect
from websocket_heartbeat.engines.memory import MemoryPeer
from websocket_heartbeat.testing import SimulatedClock


def test_trap_1_a_server_that_accepts_and_closes_at_once_is_not_hammered(run_asyncio: Run) -> None:
    async def reject_key(peer: Peer) -> None:
        peer.write(close_frame(1008, "bad key"))
        await peer.gone()

    async def main() -> None:
        async with ws_server(reject_key) as server:
            async with connect(server.url(), backoff=Backoff(0.2, 10, 30)) as connection:
                log = Log(connection)
                await asyncio.sleep(2)
            # One after another at 0.2 s would be 10; the clients that hammer made hundreds.
            assert 2 <= server.connections <= 12
            assert [event.retry for event in log.retries] == list(range(1, len(log.retries) + 1))
            assert all(event.code == 1008 for event in log.closes[:-1])

    run_asyncio(main())


def test_trap_1_over_a_simulated_hour_the_attempts_become_rare(
    world: World, play: Run, simulated_clock: SimulatedClock
) -> None:
    async def main() -> None:
        times: list[float] = []

        def reject(peer: MemoryPeer) -> None:
            times.append(simulated_clock.now())
            peer.close(1008)

        world.engine.on_peer = reject
        async with world.connect(backoff=Backoff(1, 60, 30)):
            await asyncio.sleep(3600)
        assert len(times) < 400
        assert len([at for at in times if at < 10]) < 10

    play(main())


def test_trap_12_a_certificate_that_does_not_verify_is_final_and_a_429_is_not(run_asyncio: Run) -> None:
    async def busy_once(peer: Peer) -> None:
        await peer.read_request()
        if server_calls:
            peer.write(peer.response())
            await well_behaved(peer)
        else:
            server_calls.append(1)
            peer.write(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n")

    server_calls: list[int] = []

    async def main() -> None:
        async with (
            ws_server(well_behaved, tls=tls_of_server(trustme.CA())) as server,
            connect(server.url(scheme="wss"), ssl=tls_of_client(trustme.CA())) as connection,
        ):
            with pytest.raises(ConnectionFailed) as caught:
                await asyncio.wait_for(connection.wait_closed(), PATIENCE)
            assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
            assert connection.stats.attempts == 1
        async with raw_server(busy_once) as server, connect(server.url(), backoff=SOON) as connection:
            await connection.wait_open(PATIENCE)
            assert connection.stats.attempts == 2

    run_asyncio(main())


@pytest.mark.parametrize("code", [1000, 1001, None])
def test_trap_13_a_server_that_closes_politely_is_connected_to_again(code: int | None, run: Run) -> None:
    async def main() -> None:
        polite: list[int] = []

        async def close_twice(peer: Peer) -> None:
            if len(polite) < 2:
                polite.append(1)
                peer.write(close_frame(code))
                await peer.gone()
            else:
                peer.write(frame(TEXT, b"third time lucky"))
                await well_behaved(peer)

        async with ws_server(close_twice) as server:
            connection = connect(server.url(), backoff=SOON)
            log = Log(connection)
            async with connection:
                async for message in connection:
                    assert message == "third time lucky"
                    break
                assert [event.code for event in log.closes] == [code, code]

    run(main())


async def drip(peer: Peer) -> None:
    """Answer the handshake one byte at a time, each soon enough for a timeout that begins anew."""
    await peer.read_request()
    for byte in b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"y" * 1000:
        peer.write(bytes([byte]))
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("where", ["handshake", "slow handshake", "tls", "http proxy", "socks proxy", "dns"])
def test_trap_16_whatever_hangs_while_opening_one_open_timeout_covers_it(
    where: str, run_asyncio: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with raw_server(drip if where == "slow handshake" else hang) as server:
            url, proxy = server.url(), None
            if where == "tls":
                url = server.url(scheme="wss")
            elif where.endswith("proxy"):
                scheme = "http" if where == "http proxy" else "socks5"
                url, proxy = "ws://127.0.0.1:9/", f"{scheme}://127.0.0.1:{server.port}"
            elif where == "dns":
                url = f"ws://service.invalid:{server.port}/"
                monkeypatch.setattr(loop, "getaddrinfo", lambda *a, **k: asyncio.Event().wait())
            connection = connect(url, proxy=proxy, open_timeout=0.5, backoff=SOON)
            log = Log(connection)
            async with connection:
                since = time.monotonic()
                await until(lambda: log.errors)
                assert 0.4 <= time.monotonic() - since <= 0.5 + SLACK
                assert isinstance(log.errors[0], TimeoutError)
                await until(lambda: connection.stats.attempts >= 2)
                assert log.retries[0].reason == "open timeout"

    run_asyncio(main())


def test_trap_16_a_name_that_does_not_resolve_for_a_while_is_asked_for_again(
    run_asyncio: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        real = loop.getaddrinfo
        asked: list[Any] = []

        async def getaddrinfo(host: Any, port: Any, **options: Any) -> Any:
            asked.append(host)
            if len(asked) <= 2:
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            return await real("127.0.0.1", port, **options)

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        async with ws_server(well_behaved) as server:
            connection = connect(f"ws://service.invalid:{server.port}/", backoff=SOON)
            log = Log(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
            assert asked == ["service.invalid"] * 3
            assert [type(error) for error in log.errors] == [socket.gaierror] * 2

    run_asyncio(main())


async def _answer(peer: Peer, *lines: str) -> None:
    await peer.read_request()
    peer.write(("\r\n".join([*lines, "Content-Length: 0", "", ""])).encode())
    await peer.gone()


def test_trap_20_credentials_do_not_follow_a_redirect_to_another_origin(run_asyncio: Run) -> None:
    async def main() -> None:
        seen: list[list[tuple[str, str]]] = []

        async def other(peer: Peer) -> None:
            await peer.read_request()
            seen.append(peer.headers)
            peer.write(peer.response())
            await well_behaved(peer)

        async def redirecting(peer: Peer) -> None:
            await _answer(peer, "HTTP/1.1 302 Found", f"Location: {target.url('/elsewhere')}")

        async with raw_server(other) as target, raw_server(redirecting) as server:
            url = f"ws://user:password@127.0.0.1:{server.port}/"
            async with connect(url, additional_headers={"Cookie": "s=1", "X-Key": "k"}) as connection:
                await connection.wait_open(PATIENCE)
        names = [name for name, _ in seen[0]]
        assert not {"authorization", "cookie", "x-key"} & set(names)

    run_asyncio(main())


def test_trap_20_a_redirect_that_gives_up_encryption_is_refused(run_asyncio: Run) -> None:
    async def main() -> None:
        server_tls, client_tls = tls_pair()
        async with ws_server(well_behaved) as plain:

            async def redirecting(peer: Peer) -> None:
                await _answer(peer, "HTTP/1.1 308 Permanent Redirect", f"Location: {plain.url()}")

            async with (
                raw_server(redirecting, server_tls) as server,
                connect(server.url(scheme="wss"), ssl=client_tls) as connection,
            ):
                with pytest.raises(ConnectionFailed, match="give up encryption") as caught:
                    await asyncio.wait_for(connection.wait_closed(), PATIENCE)
                assert isinstance(caught.value.__cause__, RedirectRefused)
            assert plain.connections == 0

    run_asyncio(main())


def test_trap_21_a_rejection_keeps_status_headers_and_the_beginning_of_the_body(run_asyncio: Run) -> None:
    async def main() -> None:
        async def forbid(peer: Peer) -> None:
            await peer.read_request()
            body = b'{"error": "plan expired"}'
            peer.write(
                b"HTTP/1.1 403 Forbidden\r\nX-Request-Id: 77\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            await peer.gone()

        async with raw_server(forbid) as server, connect(server.url()) as connection:
            with pytest.raises(ConnectionFailed, match="403") as caught:
                await asyncio.wait_for(anext(connection), PATIENCE)
            cause = caught.value.__cause__
            assert isinstance(cause, HandshakeRejected)
            assert cause.status == 403
            assert cause.header("x-request-id") == "77"
            assert cause.body == b'{"error": "plan expired"}'

    run_asyncio(main())
