"""No error, log or repr of an engine carries what only the server is to see."""

import logging

import pytest
from tests.engines.peers import Peer, RawServer, frame, raw_server, ws_server
from tests.engines.recorder import MAX_SIZE, Recorder, failure, texts
from tests.watch import Run

from websocket_heartbeat.engines.base import Engine, OpenRequest


def hear_all(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("websockets", "websockets.client", "aiohttp", "aiohttp.client", "websocket_heartbeat"):
        caplog.set_level(logging.DEBUG, logger=name)


async def secretive_failures(engine: Engine, server: RawServer) -> None:
    error = await failure(
        engine,
        server.url("/path?token=hush-query"),
        headers=[("Authorization", "Bearer hush-header"), ("Cookie", "hush-cookie")],
    )
    assert "hush" not in texts(error)
    assert "hush" not in repr(error)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 401 Unauthorized\r\nSet-Cookie: hush\r\nContent-Length: 4\r\n\r\nhush",
        b"HTTP/1.1 520 hush\r\nSet-Cookie: hush\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /hush?hush\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: hush\r\nConnection: hush\r\nSet-Cookie: hush\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nSet-Cookie hush\r\n\r\n",
        b"hush hush hush\r\n\r\n",
        b"",
    ],
    ids=["401", "520", "302", "upgrade", "header", "garbage", "end"],
)
def test_failures_and_logs_carry_no_secrets(
    engine: Engine, run: Run, caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    hear_all(caplog)

    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.write(answer)
        if answer:
            await peer.gone()

    async def main() -> None:
        async with raw_server(handler) as server:
            await secretive_failures(engine, server)

    run(main())
    assert "hush" not in caplog.text


def test_an_open_link_logs_and_shows_no_secrets(
    engine: Engine, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    hear_all(caplog)

    async def handler(peer: Peer) -> None:
        peer.write(frame(3))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler, "Set-Cookie: hush") as server:
            request = OpenRequest(
                server.url("/?token=hush"), max_size=MAX_SIZE, headers=[("Authorization", "hush")], proxy=None
            )
            assert "hush" not in repr(request)
            recorder = Recorder()
            await engine.open(request, recorder)
            await recorder.closure()
            assert "hush" not in repr(recorder.link)
            assert "hush" not in repr(recorder.closures)

    run(main())
    assert "hush" not in caplog.text
