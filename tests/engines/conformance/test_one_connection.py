"""An attempt makes exactly one TCP connection, however it ends; what a server sees of it is counted."""

import asyncio
import ssl

import pytest
from tests.engines import peers
from tests.engines.peers import Peer, RawServer, raw_server, ws_server
from tests.engines.recorder import MAX_SIZE, Recorder, failure, opened
from tests.watch import Run, until

from websocket_heartbeat.engines.base import Engine, OpenRequest


def answers(data: bytes, *, reset: bool = False) -> peers.Handler:
    """A server that reads the request and answers with that, and then leaves or resets."""

    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.write(data)
        await peer.writer.drain()
        if reset:
            peer.reset()

    return handler


async def leaves_at_once(peer: Peer) -> None:
    """Close before anything was read."""


async def resets_at_once(peer: Peer) -> None:
    peer.reset()


ENDS: dict[str, peers.Handler] = {
    "closed before the request": leaves_at_once,
    "reset before the request": resets_at_once,
    "closed after the request": answers(b""),
    "reset after the request": answers(b"", reset=True),
    "closed in the answer": answers(b"HTTP/1.1 101 Swi"),
    "reset in the answer": answers(b"HTTP/1.1 101 Swi", reset=True),
    "reset behind the head": answers(b"HTTP/1.1 503 Busy\r\nContent-Length: 9\r\n\r\n", reset=True),
    "refused": answers(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"),
    "refused, to be kept alive": answers(
        b"HTTP/1.1 503 Busy\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
    ),
    "asked for a password": answers(
        b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="a", nonce="b"\r\nContent-Length: 0\r\n\r\n'
    ),
    "misdirected": answers(b"HTTP/1.1 421 Misdirected\r\nContent-Length: 0\r\n\r\n"),
    "timed out by the server": answers(b"HTTP/1.1 408 Timeout\r\nConnection: close\r\n\r\n"),
    "redirected": answers(b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"),
    "no HTTP": answers(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "not upgraded": answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
    "a wrong key": answers(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    ),
}


async def count_settles(server: RawServer, expected: int) -> None:
    """Wait for the connections, and give a further one some time to come."""
    await until(lambda: server.connections >= expected)
    await asyncio.sleep(0.1)
    assert server.connections == expected


@pytest.mark.parametrize("end", ENDS)
def test_an_attempt_that_fails_makes_one_connection(engine: Engine, run: Run, end: str) -> None:
    async def main() -> None:
        async with raw_server(ENDS[end]) as server:
            for number in (1, 2):
                await failure(engine, server.url())
                await count_settles(server, number)

    run(main())


def test_an_attempt_that_opens_makes_one_connection(engine: Engine, run: Run) -> None:
    async def main() -> None:
        async with ws_server(peers.quiet) as server:
            link, _ = await opened(engine, server.url())
            await count_settles(server, 1)
            link.abort()

    run(main())


@pytest.mark.parametrize("stage", ["handshake", "tls"])
def test_an_attempt_that_is_given_up_makes_one_connection(
    engine: Engine, run: Run, stage: str, client_tls: ssl.SSLContext
) -> None:
    async def main() -> None:
        async with raw_server(peers.hang) as server:
            request = OpenRequest(
                server.url(scheme="wss" if stage == "tls" else "ws"), max_size=MAX_SIZE, ssl=client_tls
            )
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await engine.open(request, Recorder())
            await count_settles(server, 1)

    run(main())


def test_an_attempt_whose_tls_fails_makes_one_connection(engine: Engine, run: Run) -> None:
    async def speaks_no_tls(peer: Peer) -> None:
        peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.gone()

    async def main() -> None:
        async with raw_server(speaks_no_tls) as server:
            assert isinstance(await failure(engine, server.url(scheme="wss")), ssl.SSLError)
            await count_settles(server, 1)

    run(main())


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 502 No\r\n\r\n", b"babble\r\n\r\n"])
def test_a_proxy_that_fails_is_asked_over_one_connection(engine: Engine, run: Run, answer: bytes) -> None:
    async def main() -> None:
        async with raw_server(answers(answer)) as proxy:
            await failure(engine, "wss://127.0.0.1:9/", proxy=f"http://127.0.0.1:{proxy.port}")
            await count_settles(proxy, 1)

    run(main())
