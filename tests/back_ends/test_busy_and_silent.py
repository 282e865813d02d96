"""Foreign back ends that work for longer than a heartbeat, and clients that are silent or do not read."""

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncIterator, Callable

from tests.back_ends.conftest import Server, calm
from tests.cli.probe.running import probed
from tests.watch import Run, until

from websocket_heartbeat import Backoff, CloseEvent, Heartbeat, connect
from websocket_heartbeat.system.kernel import TELLS

SOON = Backoff(0.05, 0.2)
QUICK = Heartbeat(0.3, 0.5)


def test_heartbeats_are_answered_while_a_handler_works(container: Server, run_asyncio: Run) -> None:
    async def works(message: str | None) -> None:
        # Their timeout is for a busy machine; the work takes longer.
        heartbeat = Heartbeat(0.3, 3, message=message)
        async with connect(f"ws://127.0.0.1:{container.port}/feed", heartbeat=heartbeat) as connection:
            answers: list[object] = []
            connection.on_message = answers.append
            await connection.send("block 4000")
            await until(lambda: "block 4000" in answers)
            assert connection.stats.links == 1
            assert connection.stats.pings >= 5

    async def main() -> None:
        await asyncio.gather(works(None), works("heartbeat"))

    run_asyncio(main())


def test_a_server_that_answers_nothing_while_it_works_is_given_up_with_a_reason_that_says_so(
    server: Server, run_asyncio: Run
) -> None:
    async def main() -> None:
        path = "/feed" if server.name == "node-ws" else "/plain"
        closes: list[CloseEvent] = []
        async with connect(
            f"ws://127.0.0.1:{server.port}{path}", heartbeat=QUICK, backoff=SOON
        ) as connection:
            connection.on_close = closes.append
            await connection.send("block 3000")
            await until(lambda: closes)
            assert closes[0].reason.startswith("heartbeat timeout")
            if TELLS:
                assert "is silent; one that answers no ping while it works needs" in closes[0].reason
        # What the reason asks for.
        patient = Heartbeat(0.3, 20)
        async with connect(f"ws://127.0.0.1:{server.port}{path}", heartbeat=patient) as connection:
            await connection.send("block 2000")
            assert await connection.recv() == "block 2000"
            assert connection.stats.links == 1

    run_asyncio(main())


def test_probe_notes_which_server_answers_no_ping_while_it_works(container: Server, run_asyncio: Run) -> None:
    async def main() -> None:
        url = f"ws://127.0.0.1:{container.port}"
        plain = await probed(f"{url}/plain", "--heartbeat", "block 1000", "--pings", "2")
        assert any("answers none while it works" in note for note in plain.notes)
        kept = await probed(f"{url}/feed", "--heartbeat", "block 1000", "--pings", "2")
        assert kept.ok
        assert kept.notes == []

    run_asyncio(main())


@contextlib.asynccontextmanager
async def raw(server: Server, path: str) -> AsyncIterator[asyncio.StreamReader]:
    """Open a link on which nothing is answered, and nothing is read but what the test reads."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**12)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    try:
        assert b" 101 " in (await reader.readuntil(b"\r\n\r\n")).splitlines()[0]
        yield reader
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def test_a_silent_client_is_dropped_and_one_that_answers_pings_is_not(
    server: Server, run_asyncio: Run
) -> None:
    async def main() -> None:
        quiet = Heartbeat(interval=60, timeout=10)  # answers the server's pings, and sends nothing
        async with (
            connect(f"ws://127.0.0.1:{server.port}/feed", heartbeat=quiet) as connection,
            raw(server, "/feed"),
        ):
            await until(lambda: len(server.told("open")) == 2)
            await until(lambda: server.told("closed"))  # after IDLE_TIMEOUT
            for _ in range(5):
                await asyncio.sleep(0.3)
                assert len(server.told("closed")) == 1
            assert connection.stats.links == 1

    run_asyncio(main())


def test_a_client_that_does_not_read_is_dropped_and_others_are_served(
    server: Server, run_asyncio: Run
) -> None:
    async def main() -> None:
        async with raw(server, "/feed"):
            await until(lambda: server.told("open"))
            server.order("flood", 1000)  # 64 MiB
            async with connect(f"ws://127.0.0.1:{server.port}/feed") as connection:
                for text in ("hello", "hello again"):
                    await connection.send(text)
                    while await connection.recv() != text:  # the flood may go on when it comes
                        pass
                    await until(lambda: server.told("closed"))

    run_asyncio(main())


def test_spring_itself_ends_clients_that_read_slowly_with_a_code_that_others_take_for_final(
    servers: Callable[[str], Server], run_asyncio: Run
) -> None:
    spring = calm(servers("spring"))

    async def main() -> None:
        closes: list[CloseEvent] = []
        # Hence the advice of docs/back-ends.md.
        final = (range(3500, 4000), range(4501, 5000))
        url = f"ws://127.0.0.1:{spring.port}/plain"
        async with connect(url, final_close_codes=final, backoff=SOON) as connection:
            connection.on_close = closes.append
            connection.on_message = lambda message: None
            await connection.send("flood 2000")
            await until(lambda: connection.stats.links == 2)
            assert closes[0].code == 4500

    run_asyncio(main())
