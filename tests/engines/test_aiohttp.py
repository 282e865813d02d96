"""What only the aiohttp engine can: links in a session of the user's."""

import asyncio

import aiohttp
import pytest
from tests.engines.peers import Peer, raw_server, ws_server
from tests.engines.recorder import Recorder
from tests.watch import Run

from websocket_heartbeat.engines.aiohttp import AiohttpEngine
from websocket_heartbeat.engines.base import Closure, Link, OpenRequest
from websocket_heartbeat.errors import HandshakeRejected


async def opened(engine: AiohttpEngine, url: str) -> tuple[Link, Recorder]:
    recorder = Recorder()
    await engine.open(OpenRequest(url, max_size=1000), recorder)
    assert recorder.link is not None
    return recorder.link, recorder


def test_a_session_lends_its_cookies_and_headers_and_stays_open(run: Run) -> None:
    seen: list[tuple[str, str]] = []

    async def handler(peer: Peer) -> None:
        seen.append((peer.header("cookie"), peer.header("x-app")))
        await peer.gone()

    async def main() -> None:
        jar = aiohttp.CookieJar(unsafe=True)  # which is what it calls cookies of addresses
        async with (
            ws_server(handler, "Set-Cookie: ticket=7") as server,
            aiohttp.ClientSession(headers={"X-App": "ours"}, cookie_jar=jar) as session,
        ):
            engine = AiohttpEngine(session=session)
            for _ in range(2):
                link, _ = await opened(engine, server.url())
                link.abort()
            assert seen == [("", "ours"), ("ticket=7", "ours")]
            assert not session.closed

    run(main())


@pytest.mark.parametrize("end", ["abort", "close", "reset", "rejected"])
def test_a_link_that_ends_gives_its_place_in_the_session_back(run: Run, end: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        if end == "rejected":
            peer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\n")
            await peer.gone()
            return
        peer.write(peer.response())
        await peer.read_frame()
        if end == "close":
            peer.write(b"\x88\x00")
            await peer.gone()
        elif end == "reset":
            peer.reset()

    async def main() -> None:
        async with (
            raw_server(handler) as server,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session,
        ):
            engine = AiohttpEngine(session=session)
            async with asyncio.timeout(10):
                for _ in range(3):
                    if end == "rejected":
                        with pytest.raises(HandshakeRejected):
                            await opened(engine, server.url())
                        continue
                    link, recorder = await opened(engine, server.url())
                    if end == "abort":
                        link.abort()
                        continue
                    link.ping()
                    closure = await recorder.closure()
                    assert (closure == Closure()) is (end == "close")

    run(main())


def test_a_session_that_raises_for_statuses_changes_nothing(run: Run) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await peer.gone()

    async def main() -> None:
        async with raw_server(handler) as server, aiohttp.ClientSession(raise_for_status=True) as session:
            with pytest.raises(HandshakeRejected):
                await opened(AiohttpEngine(session=session), server.url())

    run(main())
