"""Sessions in a file whose process is killed, whose disk is full, which another one locks, or shares."""

import asyncio
import logging
import os
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.server.sessions.processes import Node
from tests.server.sessions.test_sessions import running, session, told
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat.server import Hub, serve
from websocket_heartbeat.server.sessions.sqlite import SqliteStore

SERVER = """
import asyncio, os, sys
from websocket_heartbeat.server import Hub, serve
from websocket_heartbeat.errors import PeerGone

ledger = os.open(sys.argv[2], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
counts = {}

def answer(peer, message):
    os.write(ledger, f"{peer.number} {message}\\n".encode())
    peer.send("answer " + message)

async def answer_and_wait(peer, message):
    answer(peer, message)
    await peer.drain()

async def main():
    answer = globals()[sys.argv[5]]
    hub = Hub(sessions="sqlite:///" + sys.argv[1], on_message=answer, session_ttl=float(sys.argv[4]))
    async with serve(hub=hub, port=int(sys.argv[3])) as server:
        print(server.port, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def start(path: Path, ledger: Path, port: int, ttl: float = 60, hook: str = "answer_and_wait") -> Node:
    return Node("-c", SERVER, str(path), str(ledger), str(port), str(ttl), hook)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("hook", ["answer", "answer_and_wait"])
def test_a_server_that_is_killed_again_and_again_loses_nothing(
    run_asyncio: Run, tmp_path: Path, hook: str
) -> None:
    """What it handled just before may be handled again, once a life: its number tells.

    What a hook that never waits has answered is written with the note that the message is handled.
    """
    path, ledger = tmp_path / "s.db", tmp_path / "ledger"

    async def main() -> None:
        node = await asyncio.to_thread(start, path, ledger, 0, 60, hook)
        answers: list[str | bytes] = []
        sent = 0
        lives = 5
        try:
            async with session(node.url()) as connection:
                events = told(connection)
                await until(lambda: len(events) == 1)

                async def take() -> None:
                    async for message in connection:
                        answers.append(message)

                async def send() -> None:
                    nonlocal sent
                    while True:
                        await connection.send(str(sent + 1))
                        sent += 1

                taking = asyncio.create_task(take())
                sending = asyncio.create_task(send())
                for _ in range(lives - 1):
                    before = len(answers)
                    await until(lambda before=before: len(answers) > before + 50)  # type: ignore[misc]
                    await asyncio.to_thread(node.kill)
                    node = await asyncio.to_thread(start, path, ledger, node.port, 60, hook)
                before = len(answers)
                await until(lambda: len(answers) > before + 50)
                sending.cancel()
                with suppress(asyncio.CancelledError):
                    await sending
                async with asyncio.timeout(PATIENCE):
                    await connection.flush()
                sent = connection._host._session.half.sent  # type: ignore[union-attr]
                await until(lambda: answers[-1:] == [f"answer {sent}"])
                taking.cancel()
                assert {event.kind for event in events} == {"new", "resumed"}
        finally:
            await asyncio.to_thread(node.kill)
        lines = [tuple(map(int, line.split())) for line in ledger.read_text().splitlines()]
        assert all(number == message for number, message in lines)
        numbers = [number for number, _ in lines]
        assert sorted(set(numbers)) == list(range(1, sent + 1))
        assert len(numbers) - sent <= lives - 1
        once = list(dict.fromkeys(answers))
        assert once == [f"answer {number}" for number in range(1, sent + 1)]
        assert len(answers) - len(once) <= (0 if hook == "answer" else lives - 1)

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_sessions_of_a_process_that_was_killed_expire(run_asyncio: Run, tmp_path: Path) -> None:
    path, ledger = tmp_path / "s.db", tmp_path / "ledger"

    async def main() -> None:
        node = await asyncio.to_thread(start, path, ledger, 0, 0.5)
        connection = session(node.url())
        events = told(connection)
        await connection.__aenter__()
        await connection.send("x")
        await connection.recv()
        await asyncio.to_thread(node.kill)
        ends: list[Any] = []
        hub = Hub(
            sessions=f"sqlite:///{path}", session_ttl=0.5, on_session_end=lambda *end: ends.append(end[1])
        )
        async with running(hub):
            await until(lambda: ends == ["expired"])
        await connection.close()
        assert [event.kind for event in events] == ["new"]

    run_asyncio(main())
    assert not list(tmp_path.glob("*.socket"))


@pytest.mark.timeout(60)
def test_a_session_that_has_gone_to_another_process_and_back_is_whole(
    run_asyncio: Run, tmp_path: Path
) -> None:
    async def main() -> None:
        up: list[object] = []

        def answer(peer: Any, message: object) -> None:
            up.append(message)
            peer.send(f"answer {message}")

        place = f"sqlite:///{tmp_path / 's.db'}"
        hubs = [Hub(sessions=place, on_message=answer) for _ in range(2)]
        async with running(hubs[0]) as one, running(hubs[1]) as two:
            port = one.port
            connection = session(lambda: f"ws://127.0.0.1:{port}/")
            events = told(connection)
            async with connection:
                for number in range(20):
                    await connection.send(str(number))
                    async with asyncio.timeout(PATIENCE):
                        assert await connection.recv() == f"answer {number}"
                    port = two.port if number % 2 == 0 else one.port
                    count = len(events)
                    connection.reconnect_now()
                    await until(lambda count=count: len(events) > count)  # type: ignore[misc]
                assert up == [str(number) for number in range(20)]
                assert {event.kind for event in events} == {"new", "resumed"}

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_what_cannot_be_written_for_a_while_is_written_later(
    run_asyncio: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("websocket_heartbeat.server.sessions.sqlite._BUSY", 0.05)
    path = tmp_path / "s.db"

    async def main() -> None:
        hub = Hub(
            sessions=f"sqlite:///{path}", session_ttl=5, on_message=lambda peer, message: peer.send(message)
        )
        async with running(hub) as server, session(server.url()) as connection:
            await connection.send("before")
            assert await connection.recv() == "before"
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("begin immediate")
            for number in range(10):
                await connection.send(str(number))
            await until(lambda: "cannot be written" in caplog.text and "cannot be ended" in caplog.text)
            other.execute("rollback")
            other.close()
            async with asyncio.timeout(PATIENCE):
                assert [await connection.recv() for _ in range(10)] == [str(n) for n in range(10)]
                await connection.flush()
        assert "exception was never retrieved" not in caplog.text

    caplog.set_level(logging.INFO)
    run_asyncio(main())


@pytest.mark.timeout(60)
def test_a_file_that_cannot_be_opened_is_tried_again_for_the_next_client(
    run_asyncio: Run, tmp_path: Path
) -> None:
    async def main() -> None:
        folder = tmp_path / "later"
        hub = Hub(
            sessions=f"sqlite:///{folder / 's.db'}", on_message=lambda peer, message: peer.send(message)
        )
        async with running(hub) as server, session(server.url()) as connection:
            await until(lambda: connection.stats.attempts >= 3)
            await asyncio.to_thread(os.mkdir, folder)
            await connection.send("x")
            async with asyncio.timeout(PATIENCE):
                assert await connection.recv() == "x"

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_a_long_path_will_do(run_asyncio: Run, tmp_path: Path) -> None:
    async def main() -> None:
        folder = tmp_path / ("x" * 100) / ("y" * 100)
        await asyncio.to_thread(os.makedirs, folder)
        hub = Hub(
            sessions=f"sqlite:///{folder / 's.db'}", on_message=lambda peer, message: peer.send(message)
        )
        async with serve(hub=hub) as server, session(server.url()) as connection:
            await connection.send("x")
            async with asyncio.timeout(10):
                assert await connection.recv() == "x"
            await hub.close()

    run_asyncio(main())


def test_a_path_that_no_file_can_have_is_refused_when_the_hub_is_made() -> None:
    with pytest.raises(ValueError, match=r"a path cannot have a NUL in it: 'sqlite:///a\\x00b'"):
        Hub(sessions="sqlite:///a\0b")


@pytest.mark.filterwarnings("error")
def test_a_loop_that_is_closed_while_the_file_is_written_leaves_no_traceback(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "s.db"))
    begun, may_end = threading.Event(), threading.Event()

    def write_slowly(database: sqlite3.Connection) -> None:
        begun.set()
        may_end.wait(PATIENCE)

    async def main() -> None:
        await store.open("a", lambda data: None, lambda: ())
        writing = asyncio.create_task(store._call(write_slowly))
        await asyncio.to_thread(begun.wait, PATIENCE)
        writing.cancel()
        assert store._socket is not None
        asyncio.get_running_loop().remove_reader(store._socket)
        store._socket.close()

    asyncio.run(main())
    thread = store._thread
    assert thread is not None
    may_end.set()
    store._calls.put(None)
    thread.join(PATIENCE)
    assert not thread.is_alive()
