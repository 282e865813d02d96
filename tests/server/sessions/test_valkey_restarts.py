"""Sessions of hubs whose server of Valkey forgets all: those that a process has are written again."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.server.sessions.test_sessions import running, session, told
from tests.server.sessions.valkey import Valkey
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat.server import Hub


@pytest.mark.timeout(60)
@pytest.mark.parametrize("moves", [False, True], ids=["same process", "another process"])
def test_a_client_goes_on_though_the_server_has_forgotten_its_session(
    run_asyncio: Run, own_valkey: Valkey, moves: bool
) -> None:
    up: list[str] = []

    def answer(peer: Any, message: Any) -> None:
        up.append(message)
        peer.send(f"answer {message}")

    async def main() -> None:
        hubs = [Hub(sessions=own_valkey.url, on_message=answer) for _ in range(2)]
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
                await asyncio.to_thread(own_valkey.restart)
                if moves:
                    urls.reverse()
                count = len(events)
                connection.reconnect_now()
                await until(lambda count=count: len(events) > count)  # type: ignore[misc]
            assert {event.kind for event in events} == {"new", "resumed"}
            assert up == [str(number) for number in range(4)]

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_a_session_that_no_process_has_is_reset_and_the_client_is_told(
    run_asyncio: Run, own_valkey: Valkey
) -> None:
    async def main() -> None:
        hub = Hub(sessions=own_valkey.url, on_message=lambda *_: None)
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(running(hub))
            urls = [server.url()]
            connection = session(lambda: urls[0])
            events = told(connection)
            await stack.enter_async_context(connection)
            await connection.send("x")
            await connection.flush()
            other = await stack.enter_async_context(running(Hub(sessions=own_valkey.url)))
            await hub.close()
            await asyncio.to_thread(own_valkey.restart)
            urls[:] = [other.url()]
            await until(lambda: events[-1].kind == "reset")
            assert events[-1].why in ("unknown", "forgotten")

    run_asyncio(main())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("durability", ["through", "handover"])
@pytest.mark.parametrize("moment", ["given", "claimed"])
def test_a_session_that_moves_while_the_server_forgets_all_goes_on(
    run_asyncio: Run, own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch, durability: str, moment: str
) -> None:
    """One process has given it up, and the other one has not claimed it, or has no link for it yet."""

    async def main() -> None:
        hubs = [
            Hub(
                sessions=own_valkey.url,
                durability=durability,
                on_message=lambda peer, message: peer.send(message),
            )
            for _ in range(2)
        ]
        async with AsyncExitStack() as stack:
            servers = [await stack.enter_async_context(running(hub)) for hub in hubs]
            urls = [server.url() for server in servers]
            connection = session(lambda: urls[0])
            events = told(connection)
            await stack.enter_async_context(connection)
            await connection.send("before")
            async with asyncio.timeout(PATIENCE):
                assert await connection.recv() == "before"
            await connection.flush()
            (peer,) = hubs[0].peers
            peer.send("unacknowledged")
            there = hubs[1]._book
            assert there is not None
            await there.ready()
            name = "_ask" if moment == "given" else "_tell_taken"
            call = getattr(there._handover, name)

            async def forgets(*arguments: Any) -> Any:
                monkeypatch.setattr(there._handover, name, call)
                answer = await call(*arguments)
                await asyncio.to_thread(own_valkey.restart)
                for hub in hubs:
                    assert hub._book is not None
                    await until_repaired(hub._book.store)
                return answer

            monkeypatch.setattr(there._handover, name, forgets)
            urls.reverse()
            connection.reconnect_now()
            await until(lambda: len(events) > 1)
            await connection.send("after")
            async with asyncio.timeout(PATIENCE):
                assert [await connection.recv() for _ in range(2)] == ["unacknowledged", "after"]
            assert {event.kind for event in events} == {"new", "resumed"}
            assert [len(hub.peers) for hub in hubs] == [0, 1]

    run_asyncio(main())


async def until_repaired(store: Any) -> None:
    """Return when a process has looked whether the server has forgotten writes, and has repaired them."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await store.due(0, 1)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                return
