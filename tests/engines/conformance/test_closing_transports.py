"""What is written to a connection that is lost but not told of yet leaves no line in any log (F7)."""

import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

import pytest
from tests.engines import peers
from tests.engines.blocking import BlockingServer
from tests.engines.peers import frame
from tests.engines.recorder import opened
from tests.watch import Run, turns, until

from websocket_heartbeat.engines.base import WRITE_LIMIT, Engine, Link
from websocket_heartbeat.events import Message

MANY = 2_000


def send(link: Link) -> None:
    link.send("into the void")


def ping(link: Link) -> None:
    link.ping()


def send_much(link: Link) -> None:
    link.send(bytes(10_000))


def close(link: Link) -> None:
    link.close(1000, "")


@pytest.mark.parametrize("call", [send, ping, send_much, close])
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_calls_on_a_connection_that_was_reset_are_not_logged(
    engine: Engine,
    run: Run,
    scheme: str,
    call: Callable[[Link], None],
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        with BlockingServer(lambda client: None, server_tls if scheme == "wss" else None) as server:
            link, recorder = await opened(engine, f"{scheme}://127.0.0.1:{server.port}/", ssl=client_tls)
            await until(lambda: server.is_done)
            server.reset()
            for _ in range(MANY):  # the first of them finds out, and the loop has no turn to tell
                call(link)
            await recorder.closure()
            for _ in range(MANY):
                call(link)

    caplog.set_level(logging.DEBUG)
    run(main())
    assert lines(caplog) == []


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_pongs_for_a_server_that_is_gone_are_not_logged(
    engine: Engine,
    run: Run,
    scheme: str,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pings = frame(peers.TEXT, b"first") + frame(peers.PING, b"x" * 120) * 200

    def ping_when_asked(client: socket.socket) -> None:
        client.recv(65536)
        with suppress(OSError):  # it may be reset before all were taken
            client.sendall(pings)

    async def main() -> None:
        with BlockingServer(ping_when_asked, server_tls if scheme == "wss" else None) as server:
            link, recorder = await opened(engine, f"{scheme}://127.0.0.1:{server.port}/", ssl=client_tls)

            def deliver(message: Message) -> None:
                recorder.deliver(message)
                server.reset()
                link.send(bytes(2 * WRITE_LIMIT))  # so that each pong finds a connection that is gone

            link.deliver = deliver
            link.ping()
            await recorder.closure()
            assert recorder.messages
            await turns()

    caplog.set_level(logging.DEBUG)
    run(main())
    assert lines(caplog) == []


@pytest.mark.parametrize("end", ["abort", "close frame"])
def test_calls_on_a_link_that_has_ended_are_not_logged(
    engine: Engine, run: Run, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        farewell = peers.close_frame(1000) if end == "close frame" else b""
        with BlockingServer(lambda client: client.sendall(farewell)) as server:
            link, recorder = await opened(engine, f"ws://127.0.0.1:{server.port}/")
            if end == "abort":
                link.abort()
            else:
                await recorder.closure()
            for _ in range(MANY // 10):
                link.send("text")
                link.ping()
            await turns()
            link.ping()

    caplog.set_level(logging.DEBUG)
    run(main())
    assert lines(caplog) == []


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if not is_about_the_loop(record)]


def is_about_the_loop(record: logging.LogRecord) -> bool:
    """Whether it is the line that asyncio writes at DEBUG when a loop is made."""
    return record.name == "asyncio" and record.levelno == logging.DEBUG
