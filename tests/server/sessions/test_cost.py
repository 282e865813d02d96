"""What a message of a session costs, counted in calls, frames and bytes: time is too noisy to guard it."""

import asyncio
from asyncio.selector_events import _SelectorSocketTransport  # type: ignore[attr-defined]
from typing import Any

import pytest
from tests.server.sessions.test_sessions import HELLO, handshake, running, session
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat.core.session import CHARACTERS
from websocket_heartbeat.server import Hub
from websocket_heartbeat.server.sessions.memory import MemoryStore
from websocket_heartbeat.server.sessions.sqlite import SqliteStore

WINDOW = 256
BURST = WINDOW // 2


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many messages each call has written that a store was asked for."""
    counted: list[int] = []

    def count(store: type[Any]) -> None:
        write = store.write

        async def counts(self: Any, id: str, generation: int, *arguments: Any, **options: Any) -> Any:
            counted.append(len(arguments[1]) if len(arguments) > 1 else 0)
            return await write(self, id, generation, *arguments, **options)

        monkeypatch.setattr(store, "write", counts)

    count(MemoryStore)
    count(SqliteStore)
    return counted


def test_a_burst_of_messages_is_one_write_to_a_file_and_none_to_memory(
    run_asyncio: Run, tmp_path: Any, writes: list[int]
) -> None:
    async def main() -> None:
        for place, wanted in (("memory", []), (f"sqlite:///{tmp_path}/sessions.db", [BURST])):
            hub = Hub(sessions=place)
            async with running(hub) as server, session(server.url()) as connection:
                await connection.wait_open()
                await until(lambda: len(hub.peers) == 1)  # noqa: B023
                writes.clear()
                for number in range(BURST):
                    hub.peers[0].send(str(number))
                assert [await connection.recv() for _ in range(BURST)] == [str(n) for n in range(BURST)]
                assert [count for count in writes if count] == wanted
                if place == "memory":
                    assert writes == []

    run_asyncio(main())


def test_a_hook_that_handles_and_answers_many_messages_writes_nothing_to_memory(
    run_asyncio: Run, writes: list[int]
) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory", on_message=lambda peer, message: peer.send(message))
        async with running(hub) as server, session(server.url()) as connection:
            await connection.wait_open()
            writes.clear()
            for number in range(BURST):
                await connection.send(str(number))
            assert [await connection.recv() for _ in range(BURST)] == [str(n) for n in range(BURST)]
            assert writes == []

    run_asyncio(main())


def test_a_message_has_one_byte_more_on_the_wire(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory")
        async with running(hub) as server:
            ws, _ = await handshake(server, HELLO)
            for message in ("x" * 64, "é" * 64, b"y" * 64):
                hub.peers[0].send(message)
                frame = await ws.recv()
                assert type(frame) is type(message)
                assert frame[1:] == message

    run_asyncio(main())


def test_acknowledgements_come_once_for_16_messages(run_asyncio: Run) -> None:
    async def main() -> None:
        up: list[object] = []
        hub = Hub(sessions="memory", on_message=lambda peer, message: up.append(message))
        async with running(hub) as server:
            ws, _ = await handshake(server, HELLO)
            sent = acknowledged = count = 0
            while sent < 4 * WINDOW:
                for _ in range(8):
                    sent += 1
                    await ws.send(f"{CHARACTERS[sent % 64]}message")
                await until(lambda: len(up) == sent)  # noqa: B023
                while sent % (WINDOW // 4) == 0 and acknowledged < sent:
                    async with asyncio.timeout(PATIENCE):
                        acknowledged = int((await ws.recv()).removeprefix("="))
                    count += 1
            # 64, but for those that are due after a second.
            assert count <= 96

    run_asyncio(main())


def test_messages_of_one_turn_of_the_loop_are_one_write_to_the_socket(
    run_asyncio: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory")
        async with running(hub) as server, session(server.url()) as connection:
            await connection.wait_open()
            await until(lambda: len(hub.peers) == 1)
            written = 0
            write = _SelectorSocketTransport.write

            def counts(self: Any, data: bytes) -> None:
                nonlocal written
                written += data[1] < 128  # a server's frames have no mask
                write(self, data)

            monkeypatch.setattr(_SelectorSocketTransport, "write", counts)
            for number in range(BURST):
                hub.peers[0].send(str(number))
            assert [await connection.recv() for _ in range(BURST)] == [str(n) for n in range(BURST)]
            assert written == 1

    run_asyncio(main())
