"""Sessions of a server that has closed while their hub lives on; or that the end of the program overtakes."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.server.sessions.test_sessions import running, session, told
from tests.watch import Run, until

from websocket_heartbeat.server import Hub, serve
from websocket_heartbeat.server.sessions.store import Found


@pytest.mark.parametrize("durability", ["through", "handover", "memory"])
def test_what_a_client_has_not_acknowledged_is_told_when_its_session_expires(
    run_asyncio: Run, tmp_path: Path, durability: str
) -> None:
    async def main() -> None:
        ends: list[Any] = []
        hub = Hub(
            sessions=f"sqlite:///{tmp_path / 's.db'}",
            durability=durability,
            session_ttl=1,
            on_session_end=lambda id, *end: ends.append(end),
            on_message=lambda *_: None,
        )
        async with serve(hub=hub) as server, session(server.url()) as connection:
            await connection.send("used")
            await connection.flush()
            (peer,) = hub.peers
            await server.send_away(over=60)
            peer.send("never arrives")
            await server.close()
            await until(lambda: ends != [])
            assert ends == [("expired", ("never arrives",))]
        await hub.close()

    run_asyncio(main())


@pytest.mark.parametrize("durability", ["through", "handover"])
def test_the_end_of_one_that_must_make_room_for_another_of_its_principal_is_told(
    run_asyncio: Run, tmp_path: Path, durability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("websocket_heartbeat.server.sessions.limits.PER_PRINCIPAL", 1)

    async def main() -> None:
        ends: list[Any] = []
        hub = Hub(
            sessions=f"sqlite:///{tmp_path / 's.db'}",
            durability=durability,
            authenticate=lambda request: "ann",
            on_session_end=lambda id, *end: ends.append(end),
            on_message=lambda *_: None,
        )
        async with serve(hub=hub) as server, session(server.url()) as connection, running(hub) as other:
            await connection.send("used")
            await connection.flush()
            (peer,) = hub.peers
            await server.send_away(over=60)
            await until(lambda: connection.state == "waiting")
            peer.send("never arrives")
            await server.close()
            async with session(other.url()) as another:
                events = told(another)
                await until(lambda: events != [])
                assert ends == [("expired", ("never arrives",))]

    run_asyncio(main())


ENDS = """
import asyncio, sys
from websocket_heartbeat import connect
from websocket_heartbeat.server import Hub, serve

async def run(hub, ready):
    async with hub, serve(hub=hub) as server:
        ready.set_result(server)
        await asyncio.Event().wait()

async def main():
    hub = Hub(sessions=sys.argv[1], on_message=lambda *_: None)
    ready = asyncio.get_running_loop().create_future()
    main.running = asyncio.create_task(run(hub, ready))
    main.connection = connect((await ready).url(), session="require", close_timeout=0)
    main.connection.start()
    await main.connection.send("used")
    await main.connection.flush()
    (peer,) = hub.peers
    print(peer.session, flush=True)

    def send_and_exit():
        peer.send("sent at the end")
        sys.exit()

    asyncio.get_running_loop().call_soon(send_and_exit)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_what_was_sent_in_the_turn_in_which_the_program_ends_is_stored(run_asyncio: Run, shared: str) -> None:
    program = [sys.executable, "-c", ENDS, shared]
    id = subprocess.run(program, capture_output=True, text=True, timeout=50, check=True).stdout.strip()

    async def main() -> None:
        async with Hub(sessions=shared) as hub:
            found = await hub._book.store.claim(id, None, None, 0, "looks")  # type: ignore[union-attr]
        assert isinstance(found, Found)
        assert found.log == ("sent at the end",)

    run_asyncio(main())


def test_what_could_not_be_stored_before_the_hub_closes_is_told(
    run_asyncio: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(*arguments: Any, **options: Any) -> None:
        raise OSError("the store is away")

    async def main() -> None:
        hub = Hub(sessions=f"sqlite:///{tmp_path / 's.db'}", on_message=lambda *_: None, close_timeout=1)
        async with serve(hub=hub) as server, session(server.url(), close_timeout=0) as connection:
            await connection.send("used")
            await connection.flush()
            store = hub._book.store  # type: ignore[union-attr]
            monkeypatch.setattr(store, "write", away)
            hub.peers[0].send("hunter2")
            await hub.close()

    run_asyncio(main())
    assert "1 message sent here and not known to be stored: the hub is closed" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_store_that_is_away_when_the_hub_closes_is_not_waited_for_by_each_session(
    run_asyncio: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("websocket_heartbeat.server.sessions.book._AT_ONCE", 1)
    asked: list[Any] = []

    async def away(found: Any) -> None:
        asked.append(found)
        raise OSError("the store is away")

    async def main() -> None:
        ends: list[Any] = []
        hub = Hub(
            sessions=f"sqlite:///{tmp_path / 's.db'}",
            durability="handover",
            on_open=lambda peer: peer.send("unacknowledged"),
            on_session_end=lambda id, *end: ends.append(end),
        )
        async with serve(hub=hub) as server:
            options: Any = {"close_timeout": 0, "on_message": lambda message: asyncio.sleep(60)}
            async with session(server.url(), **options), session(server.url(), **options):
                await until(lambda: len(hub.peers) == 2)
                monkeypatch.setattr(hub._book.store, "give", away)  # type: ignore[union-attr]
                await hub.close()
        assert len(asked) == 1
        assert ends == [("lost", ("unacknowledged",))] * 2

    run_asyncio(main())
