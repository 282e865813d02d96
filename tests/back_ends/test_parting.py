"""How foreign back ends part with our client: for a while, until a moment of its own, and for good."""

import contextlib
from collections.abc import Callable

import pytest
from tests.back_ends.conftest import NAMES, BackEnd, Server
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import (
    Backoff,
    CloseEvent,
    Connection,
    ConnectionFailed,
    ReconnectEvent,
    connect,
)
from websocket_heartbeat.testing import FaultProxy

SOON = Backoff(0.05, 0.2)


class Log:
    """What the hooks of a connection were told."""

    def __init__(self, connection: Connection) -> None:
        self.closes: list[CloseEvent] = []
        self.retries: list[ReconnectEvent] = []
        connection.on_close = self.closes.append
        connection.on_reconnect = self.retries.append


async def opened(connection: Connection, server: Server) -> None:
    """Wait until both sides know of the link."""
    await connection.wait_open(PATIENCE)
    await until(lambda: server.told("open"))


def test_a_code_and_a_reason_that_end_the_connection_by_final_close_codes(
    server: Server, run_asyncio: Run
) -> None:
    async def main() -> None:
        async with FaultProxy("127.0.0.1", server.port) as proxy:
            connection = connect(proxy.url("/feed"), final_close_codes={4401})
            log = Log(connection)
            async with connection:
                await opened(connection, server)
                server.order("close", 4401, "log in first")
                with pytest.raises(ConnectionFailed, match="4401"):
                    await connection.recv()
            assert (log.closes[0].code, log.retries) == (4401, [])
            assert "log in first" in log.closes[0].reason

    run_asyncio(main())


def test_the_same_code_without_final_close_codes_is_a_retry(server: Server, run_asyncio: Run) -> None:
    async def main() -> None:
        async with connect(f"ws://127.0.0.1:{server.port}/feed", backoff=SOON) as connection:
            log = Log(connection)
            await opened(connection, server)
            server.order("close", 4401, "log in first")
            await until(lambda: connection.stats.links == 2)
            assert log.closes[0].code == 4401

    run_asyncio(main())


@pytest.mark.parametrize("by", ["the code", "the message"])
def test_a_dismissal_is_for_good(server: Server, run_asyncio: Run, by: str) -> None:
    async def main() -> None:
        async with FaultProxy("127.0.0.1", server.port) as proxy:
            url = proxy.url("/feed")
            connection = (
                connect(url)
                if by == "the code"
                else connect(url, final_close_codes=(), dismissal="dismissed")
            )
            async with connection:
                log = Log(connection)
                await opened(connection, server)
                server.order("dismiss", "logged in elsewhere")
                if by == "the code":
                    assert await connection.recv() == "dismissed"
                with pytest.raises(ConnectionFailed, match="logged in elsewhere"):
                    await connection.recv()
            assert (log.closes[0].code, log.retries) == (4500, [])

    run_asyncio(main())


def test_the_hints_of_a_send_away_are_waited_for(server: Server, run_asyncio: Run) -> None:
    async def main() -> None:
        async with FaultProxy("127.0.0.1", server.port) as proxy, contextlib.AsyncExitStack() as stack:
            connections = [
                await stack.enter_async_context(connect(proxy.url("/feed"), backoff=SOON)) for _ in range(3)
            ]
            logs = [Log(connection) for connection in connections]
            for connection in connections:
                await connection.wait_open(PATIENCE)
            await until(lambda: len(server.told("open")) == 3)
            server.order("away", 300)
            await until(lambda: all(log.retries for log in logs))
            assert {log.closes[0].code for log in logs} == {1012}
            hints = [float(log.closes[0].reason.split("retry-after=")[1]) for log in logs]
            assert sorted(hints) == [100, 200, 300]
            assert all(log.retries[0].delay >= hint for log, hint in zip(logs, hints, strict=True))

    run_asyncio(main())


def test_a_close_without_a_code_is_a_retry(server: Server, run_asyncio: Run) -> None:
    async def main() -> None:
        async with connect(f"ws://127.0.0.1:{server.port}/feed", backoff=SOON) as connection:
            log = Log(connection)
            await opened(connection, server)
            server.order("close")
            await until(lambda: connection.stats.links == 2)
            # Node's ws sends an empty close frame; Tomcat and Spring send 1000.
            assert log.closes[0].code in (None, 1000)

    run_asyncio(main())


@pytest.mark.parametrize("name", NAMES)
def test_sigterm_sends_clients_away_before_the_server_ends(
    start: Callable[[str], BackEnd], run_asyncio: Run, name: str
) -> None:
    async def main() -> None:
        with start(name)() as server:
            connection = connect(f"ws://127.0.0.1:{server.port}/feed", backoff=SOON)
            log = Log(connection)
            paths = ["/feed"] if name == "node-ws" else ["/feed", "/plain"]
            async with connection, connect(f"ws://127.0.0.1:{server.port}{paths[-1]}", backoff=SOON) as other:
                others = Log(other)
                await connection.wait_open(PATIENCE)
                await other.wait_open(PATIENCE)
                await until(lambda: len(server.told("open")) == 2)
                server.terminate()
                await until(lambda: log.retries and others.retries and server.has_ended)
                assert log.closes[0].code == 1012
                assert "retry-after=" in log.closes[0].reason
                assert log.retries[0].delay >= 15
                if name != "node-ws":  # what the container does where nobody sends away
                    assert others.closes[0].code == 1001
                    assert others.retries[0].delay < 1

    run_asyncio(main())
