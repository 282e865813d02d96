"""Client and back end with one dialect: no application sees a heartbeat, and no healthy pair parts."""

import asyncio
import itertools
import json
import logging

import pytest
from tests.server.raw import BINARY, PING, PONG, TEXT, client
from tests.watch import Run, until

from websocket_heartbeat import Dialect, Heartbeat, Message, connect
from websocket_heartbeat.server import Peer, serve

INTERVAL = 0.15
IDLE_TIMEOUT = 0.8

_numbers = itertools.count(1)


def _answer(message: Message) -> str | None:
    return f'{{"op": "pong", "id": {json.loads(message)["id"]}}}' if '"ping"' in str(message)[:20] else None


DIALECTS = {
    "texts": Dialect("ping", "pong"),
    "echo": Dialect("heartbeat", "heartbeat"),
    "one way": Dialect("\n"),
    "bytes": Dialect(b"\x01", b"\x02"),
    "json": Dialect(
        lambda: f'{{"op": "ping", "id": {next(_numbers)}}}',
        lambda message: isinstance(message, str) and '"pong"' in message[:20],
        _answer,
    ),
}


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("feed", ["of the server", "of the client", "of both", "of nobody"])
def test_no_healthy_pair_parts_and_no_application_sees_a_heartbeat(
    name: str, feed: str, run_asyncio: Run
) -> None:
    dialect = DIALECTS[name]
    got: list[Message] = []
    got_by_server: list[Message] = []
    ends: list[object] = []

    async def main() -> None:
        async with (
            serve(
                lambda _, message: got_by_server.append(message),
                on_close=lambda *end: ends.append(end[1:]),
                heartbeat=dialect,
                idle_timeout=IDLE_TIMEOUT,
            ) as server,
            connect(server.url(), heartbeat=Heartbeat(INTERVAL, 0.6, message=dialect)) as connection,
        ):
            connection.on_message = got.append
            await connection.wait_open()
            loop = asyncio.get_running_loop()
            end = loop.time() + 3 * IDLE_TIMEOUT
            while loop.time() < end:
                await asyncio.sleep(0.02)
                if feed in ("of the server", "of both"):
                    server.connections[0].send("tick")
                if feed in ("of the client", "of both"):
                    await connection.send("tock")
            assert connection.stats.links == 1
            # Of a client that talks all the time, heartbeats are wanted only where the server is silent.
            if feed != "of both":
                assert connection.stats.pings >= 3
                assert connection.latency is not None
            assert ends == []
            assert set(got) <= {"tick"}
            assert set(got_by_server) <= {"tock"}

    run_asyncio(main())


def test_a_client_is_answered_while_a_hook_of_the_server_is_busy(run: Run) -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def slow(peer: Peer, message: Message) -> None:
            await release.wait()
            peer.send(message)

        dialect = DIALECTS["texts"]
        async with (
            serve(slow, heartbeat=dialect) as server,
            connect(server.url(), heartbeat=Heartbeat(0.1, 2, message=dialect)) as connection,
        ):
            await connection.send("work")
            await connection.send("more work")
            await until(lambda: connection.stats.pings >= 3 and connection.latency is not None)
            release.set()
            assert [await connection.recv() for _ in range(2)] == ["work", "more work"]
            assert connection.stats.links == 1

    run(main())


@pytest.mark.parametrize("engine", ["websockets", "aiohttp"])
def test_a_server_that_sends_heartbeats_of_its_own_is_answered_while_a_hook_of_the_client_works(
    engine: str, run_asyncio: Run
) -> None:
    async def main() -> None:
        release = asyncio.Event()
        seen: list[Message] = []

        async def slow(message: Message) -> None:
            await release.wait()

        dialect = DIALECTS["texts"]
        # To this server a pong is a message like any other.
        async with (
            serve(lambda _, message: seen.append(message), heartbeat=None) as server,
            connect(server.url(), heartbeat=Heartbeat(30, 5, message=dialect), engine=engine) as connection,
        ):
            connection.on_message = slow
            await connection.wait_open()
            peer = server.connections[0]
            for _ in range(5):
                peer.send("work")
                peer.send("ping")
                await until(lambda: seen)
                assert seen.pop() == "pong"
            release.set()

    run_asyncio(main())


def test_a_bare_client_is_answered_and_what_is_not_of_the_dialect_is_delivered(run: Run) -> None:
    async def main() -> None:
        seen: list[Message] = []
        async with (
            serve(lambda _, message: seen.append(message), heartbeat=DIALECTS["texts"]) as server,
            client(server) as raw,
        ):
            raw.frame(TEXT, b"ping")
            assert await raw.read() == (TEXT, b"pong")
            for opcode, payload in ((TEXT, b"pong"), (TEXT, b"heartbeat"), (BINARY, b"ping")):
                raw.frame(opcode, payload)
            raw.frame(PING)
            assert await raw.read() == (PONG, b"")
            assert seen == ["heartbeat", b"ping"]

    run(main())


def test_a_silent_client_is_pinged_by_the_protocol_and_kept(run: Run) -> None:
    async def main() -> None:
        async with serve(heartbeat=DIALECTS["texts"], idle_timeout=0.4) as server, client(server) as raw:
            for _ in range(3):
                assert await raw.read() == (PING, b"")
                raw.frame(PONG)

    run(main())


def test_a_function_that_raises_is_logged_and_the_message_is_delivered(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        caplog.clear()
        seen: list[Message] = []
        # An answer to what is no JSON raises.
        dialect = Dialect("ping", "pong", lambda message: json.loads(message)["ping"])
        async with (
            serve(lambda _, message: seen.append(message), heartbeat=dialect) as server,
            client(server) as raw,
        ):
            raw.frame(TEXT, b"secret payload")
            raw.frame(TEXT, b'{"ping": "1"}')
            assert await raw.read() == (TEXT, b"1")
            assert seen == ["secret payload"]
        lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        assert len(lines) == 1
        assert "Dialect.reply for <Peer 1 '/'> raised JSONDecodeError at " in lines[0]
        assert "secret" not in caplog.text

    run(main())


def test_a_dialect_that_does_not_say_how_to_answer_is_refused() -> None:
    for dialect in (
        Dialect(lambda: "ping"),
        Dialect(lambda: "ping", "pong"),
        Dialect("ping", lambda message: True),
    ):
        with pytest.raises(ValueError, match="heartbeat must say how clients are answered"):
            serve(heartbeat=dialect)
    with pytest.raises(TypeError, match="heartbeat must be a str, a Dialect or None, not bytes"):
        serve(heartbeat=b"ping")  # type: ignore[arg-type]
