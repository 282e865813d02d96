"""What strangers say to a server with sessions harms no session but their own."""

import asyncio
import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import websockets
from tests.server.sessions.test_sessions import HELLO, handshake, running
from tests.watch import Run, until

from websocket_heartbeat.controls import SUBPROTOCOL
from websocket_heartbeat.server import Hub, Server

RESUME = '{"resume":"%s","link":%d,"in":[%d,%d],"out":[%d,%d]}'


def key_of(welcome: str | bytes) -> str:
    key: str = json.loads(welcome)["key"]
    return key


async def begin(server: Server) -> tuple[Any, str]:
    async with asyncio.timeout(10):
        ws, welcome = await handshake(server, HELLO)
    return ws, key_of(welcome)


@pytest.mark.parametrize("key", ["\\ud800.x", "x.\\udfff", ".", "", "a.b", "\\u0000.\\u0000", "x" * 3000])
def test_a_key_that_was_never_given_out_resumes_nothing(run_asyncio: Run, place: str, key: str) -> None:
    async def main() -> None:
        async with running(Hub(sessions=place)) as server:
            async with asyncio.timeout(4):
                _, said = await handshake(server, RESUME % (key, 1, 0, 0, 0, 0))
            assert str(said) == "4490" or json.loads(said)["why"] == "unknown"
            await begin(server)  # the store still answers

    run_asyncio(main())


def test_a_reason_that_is_no_text_breaks_nothing(
    run_asyncio: Run, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        hub = Hub(sessions=place)
        async with running(hub) as server:
            for reason in ("\\ud800", "\\u0000", "\\u001b[31mred\\n", "x" * 4000):
                ws, _ = await begin(server)
                await ws.send(f'{{"end":"{reason}"}}')
                with suppress(websockets.ConnectionClosed):
                    async for _ in ws:
                        pass
            await begin(server)
        assert "\x1b" not in caplog.text

    run_asyncio(main())


def test_what_comes_on_a_link_after_a_newer_one_is_not_taken(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        up: list[object] = []
        hub = Hub(sessions=place, on_message=lambda peer, message: up.append(message))
        async with running(hub) as server:
            old, key = await begin(server)
            await old.send("B1")
            await until(lambda: up == ["1"])
            old.transport.pause_reading()  # it does not know yet that it was replaced
            new, said = await handshake(server, RESUME % (key, 1, 0, 0, 0, 2))
            assert json.loads(said)["in"] == [1, 1]
            await old.send("C2")
            await asyncio.sleep(0.1)
            assert up == ["1"]
            await new.send("C2")
            await new.send("?2")
            async with asyncio.timeout(5):
                while not str(await new.recv()).startswith("=2"):
                    pass
            assert up == ["1", "2"]
            old.transport.resume_reading()

    run_asyncio(main())


def test_what_comes_on_a_link_that_broke_the_protocol_is_not_taken(run_asyncio: Run) -> None:
    async def main() -> None:
        up: list[object] = []
        hub = Hub(sessions="memory", on_message=lambda peer, message: up.append(message))
        async with running(hub) as server:
            ws, _ = await begin(server)
            ws.transport.pause_reading()
            await ws.send("=99")
            await ws.send("B1")
            await asyncio.sleep(0.1)
            ws.transport.resume_reading()
            with pytest.raises(websockets.ConnectionClosed):
                await ws.recv()
            assert up == []

    run_asyncio(main())


def test_a_link_that_was_told_to_go_and_does_not_is_dropped(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory", close_timeout=0.2)
        async with running(hub) as server:
            ends = []
            for first in ("!", HELLO):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(
                    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                    b"Sec-WebSocket-Protocol: " + SUBPROTOCOL.encode() + b"\r\n\r\n"
                )
                writer.write(frame(first))
                if first == HELLO:
                    writer.write(frame("=99"))
                try:
                    async with asyncio.timeout(8):
                        while await reader.read(65536):
                            pass
                    ends.append(first)
                except ConnectionResetError:
                    ends.append(first)
                writer.close()
            assert ends == ["!", HELLO]

    run_asyncio(main())


def frame(text: str) -> bytes:
    """Return a masked text frame whose mask is zero."""
    data = text.encode()
    size = len(data)
    head = bytes([0x81, 0x80 | size]) if size < 126 else bytes([0x81, 0xFE]) + size.to_bytes(2, "big")
    return head + bytes(4) + data


def test_a_principal_is_told_from_another_that_reads_the_same(run_asyncio: Run, place: str) -> None:
    class Who:
        def __init__(self, id: int) -> None:
            self.id = id

        def __str__(self) -> str:
            return "Ann"

        def __repr__(self) -> str:
            return f"Who({self.id})"

    async def main() -> None:
        hub = Hub(sessions=place, authenticate=lambda request: Who(int(request.query)))
        async with running(hub) as server:

            async def open(query: str, text: str) -> dict[str, Any]:
                ws = await websockets.connect(
                    server.url(f"/?{query}"), subprotocols=[websockets.Subprotocol(SUBPROTOCOL)]
                )
                await ws.recv()
                await ws.send(text)
                said: dict[str, Any] = json.loads(await ws.recv())
                return said

            key = (await open("1", HELLO))["key"]
            assert (await open("2", RESUME % (key, 1, 0, 0, 0, 0)))["why"] == "unknown"
            assert (await open("1", RESUME % (key, 2, 0, 0, 0, 0)))["welcome"] == "resumed"

    run_asyncio(main())


def test_a_mismatch_leaves_no_session_behind(run_asyncio: Run, tmp_path: Path) -> None:
    async def main() -> None:
        ends: list[object] = []
        hub = Hub(sessions=f"sqlite:///{tmp_path / 's.db'}", on_session_end=lambda *end: ends.append(end[1]))
        async with running(hub) as server:
            _, key = await begin(server)
            for link in (1, 2):
                _, said = await handshake(server, RESUME % (key, link, 5, 5, 0, 0))
                assert json.loads(said)["why"] == "mismatch"
            assert ends == ["mismatch"]

    run_asyncio(main())


def test_strangers_who_ask_while_the_store_is_away_get_no_session_and_leave_one_task_at_most(
    run_asyncio: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*arguments: Any, **options: Any) -> None:
        raise OSError("the store is away")

    async def main() -> None:
        place = f"sqlite:///{tmp_path / 's.db'}"
        async with running(Hub(sessions=place)) as server:
            ws, welcome = await handshake(server, HELLO)
            id, _, _ = str(welcome).split('"')[7].partition(".")
        await ws.close()
        hub = Hub(sessions=place)  # where the session would go on
        async with hub, running(hub) as server:
            store = hub._book.store  # type: ignore[union-attr]
            claim = store.claim
            asked: list[Any] = []

            async def noted(*arguments: Any, **options: Any) -> Any:
                asked.append(arguments)
                return await claim(*arguments, **options)

            monkeypatch.setattr(store, "claim", away)
            for number in range(20):
                ws, _ = await handshake(server, RESUME % (f"{number:012}.WRONG", 1, 0, 0, 0, 0))
                await ws.close()
            ws, _ = await handshake(server, RESUME % (f"{id}.WRONG", 1, 0, 0, 0, 0))
            await ws.close()
            assert sum("_look_after" in repr(task) for task in asyncio.all_tasks()) == 1
            monkeypatch.setattr(store, "claim", noted)
            await until(lambda: len(asked) == 21)
            await until(lambda: not any("_look_after" in repr(task) for task in asyncio.all_tasks()))
            assert hub._book.count().away == 0  # type: ignore[union-attr]
            assert all(arguments[1] is not None for arguments in asked)  # none without a secret

    run_asyncio(main())
