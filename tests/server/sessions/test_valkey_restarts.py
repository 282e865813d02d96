"""Sessions of hubs whose server of Valkey forgets all: those that a process has are written again."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.server.sessions.test_sessions import running, session, told
from tests.server.sessions.valkey import Valkey
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat.server import Hub


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path)
    server.start()
    yield server
    server.kill()


def restart(server: Valkey) -> None:
    server.kill()
    server.start()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("moves", [False, True], ids=["same process", "another process"])
def test_a_client_goes_on_though_the_server_has_forgotten_its_session(
    run_asyncio: Run, own: Valkey, moves: bool
) -> None:
    up: list[str] = []

    def answer(peer: Any, message: Any) -> None:
        up.append(message)
        peer.send(f"answer {message}")

    async def main() -> None:
        hubs = [Hub(sessions=own.url, on_message=answer) for _ in range(2)]
        async with AsyncExitStack() as stack:
            servers = [await stack.enter_async_context(running(hub)) for hub in hubs]
            urls = [server.url() for server in servers]
            connection = session(lambda: urls[0])
            events = told(connection)
            await stack.enter_async_context(connection)
            for number in range(4):
                await connection.send(str(number))
                async with asyncio.timeout(PATIENCE):
                    assert await connection.recv() == f"answer {number}"
                await asyncio.to_thread(restart, own)
                if moves:
                    urls.reverse()
                count = len(events)
                connection.reconnect_now()
                await until(lambda count=count: len(events) > count)  # type: ignore[misc]
            assert {event.kind for event in events} == {"new", "resumed"}
            assert up == [str(number) for number in range(4)]

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_a_session_that_no_process_has_is_reset_and_the_client_is_told(run_asyncio: Run, own: Valkey) -> None:
    async def main() -> None:
        hub = Hub(sessions=own.url, on_message=lambda *_: None)
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(running(hub))
            urls = [server.url()]
            connection = session(lambda: urls[0])
            events = told(connection)
            await stack.enter_async_context(connection)
            await connection.send("x")
            await connection.flush()
            other = await stack.enter_async_context(running(Hub(sessions=own.url)))
            await hub.close()
            await asyncio.to_thread(restart, own)
            urls[:] = [other.url()]
            await until(lambda: events[-1].kind == "reset")
            assert events[-1].why in ("unknown", "forgotten")

    run_asyncio(main())
