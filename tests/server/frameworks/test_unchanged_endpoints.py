"""The middleware alone keeps the agreement for endpoints that do not know of it."""

import asyncio
from typing import Any

import pytest
from tests.server.frameworks.applications import REASON, Stage, playing
from tests.server.raw import CLOSE, PING, PONG, TEXT, client
from tests.watch import Run, until

from websocket_heartbeat.server import Hub


def test_heartbeats_are_answered_while_an_endpoint_is_busy_and_30_messages_wait(
    run: Run, framework: str
) -> None:
    async def main() -> None:
        stage = Stage(Hub())
        async with playing(framework, stage) as place, client(place, "/echo") as raw:
            raw.frame(TEXT, b"wait")
            for number in range(30):
                raw.frame(TEXT, b"%d" % number)
            raw.frame(PING, b"ping")
            assert await raw.read() == (PONG, b"ping")
            raw.frame(TEXT, b"heartbeat")
            assert await raw.read() == (TEXT, b"heartbeat")
            stage.go.set()
            assert [await raw.read() for _ in range(31)] == [
                (TEXT, b"echo wait"),
                *((TEXT, b"echo %d" % number) for number in range(30)),
            ]

    run(main())


def test_an_endpoint_learns_how_its_client_has_left_as_without_the_hub(
    run_asyncio: Run, framework: str
) -> None:
    async def main() -> None:
        seen = []
        for hub in (Hub(), _Absent()):
            stage = Stage(hub)
            async with playing(framework, stage) as place, client(place, "/echo") as raw:
                raw.frame(TEXT, b"hello")
                assert await raw.read() == (TEXT, b"echo hello")
                raw.frame(CLOSE, (4001).to_bytes(2) + b"bye")
                assert (await raw.read())[0] == CLOSE
                await until(lambda seen=stage.seen: seen)  # type: ignore[misc]
            seen.append(stage.seen)
        assert seen[0] == seen[1]
        assert len(seen[0]) == 1

    run_asyncio(main())


class _Absent(Hub):
    """A hub whose middleware does nothing."""

    def asgi(self, app: Any) -> Any:
        return app


def test_an_endpoint_that_only_sends_learns_that_its_client_is_gone(run_asyncio: Run, framework: str) -> None:
    async def main() -> None:
        stage = Stage(Hub())
        async with playing(framework, stage) as place:
            async with client(place, "/ticks") as raw:
                assert await raw.read() == (TEXT, b"tick")
                raw.reset()
            await until(lambda: stage.seen)
            await until(lambda: not stage.hub.peers)

    run_asyncio(main())


def test_an_endpoint_that_ends_by_the_end_of_its_client_is_no_error(
    run_asyncio: Run, framework: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        stage = Stage(Hub())
        async with playing(framework, stage) as place:
            # Quart logs what an endpoint raises that sends before Quart has cancelled it, as without the hub.
            paths = ["/echo", "/peer", "/late"] + ([] if framework == "quart" else ["/ticks"])
            for path in paths:
                async with client(place, path, "Sec-WebSocket-Protocol: chat\r\n") as raw:
                    raw.frame(CLOSE, (1000).to_bytes(2))
                    await raw.close_code()
            await until(lambda: not stage.hub.peers and len(stage.seen) >= len(paths))
        assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]

    run_asyncio(main())


_CODES_OF_EXCEPTIONS = {"litestar": 4500, "quart": 1000}
"""Frameworks that handle exceptions by themselves, and the code that they close with."""


@pytest.mark.parametrize("path", ["/fail", "/peer_fails"])
def test_a_client_whose_endpoint_raises_is_closed_with_1011(
    run_asyncio: Run, framework: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        stage = Stage(Hub())
        async with playing(framework, stage) as place:
            async with client(place, path) as raw:
                code = await raw.close_code()
                assert code == _CODES_OF_EXCEPTIONS.get(framework, 1011)
                raw.frame(CLOSE, code.to_bytes(2))
                assert await raw.end() == "end of file"
            await until(lambda: not stage.hub.peers)
        assert framework in _CODES_OF_EXCEPTIONS or "Exception in ASGI application" in caplog.text

    run_asyncio(main())


def test_a_reason_that_is_too_long_for_a_close_frame_is_cut(run_asyncio: Run, framework: str) -> None:
    async def main() -> None:
        stage = Stage(Hub())
        async with playing(framework, stage) as place, client(place, "/close") as raw:
            opcode, payload = await raw.read()
            assert opcode == CLOSE
            assert int.from_bytes(payload[:2]) == 4001
            assert REASON.startswith(payload[2:].decode())
            assert len(payload) >= 122

    run_asyncio(main())


def test_an_endpoint_refuses_before_it_accepts_as_without_the_hub(run_asyncio: Run, framework: str) -> None:
    async def main() -> None:
        heads = []
        for hub in (Hub(), _Absent()):
            async with (
                playing(framework, Stage(hub)) as place,
                client(place, "/refuse") as raw,
            ):
                heads.append(raw.status)
                await raw.end()
            assert not hub.peers
        assert heads[0] == heads[1]
        assert heads[0] in (401, 403)

    run_asyncio(main())


def test_an_endpoint_chooses_the_subprotocol(run_asyncio: Run, framework: str) -> None:
    async def main() -> None:
        stage = Stage(Hub())
        async with (
            playing(framework, stage) as place,
            client(place, "/echo", "Sec-WebSocket-Protocol: chat\r\n") as raw,
        ):
            assert b"sec-websocket-protocol: chat" in raw.head.lower()
            await until(lambda: stage.hub.peers)
            assert stage.hub.peers[0].subprotocol == "chat"

    run_asyncio(main())


def test_http_and_lifespan_are_left_alone(run_asyncio: Run, framework: str) -> None:
    async def main() -> None:
        stage = Stage(Hub())
        async with playing(framework, stage) as place:
            reader, writer = await asyncio.open_connection(place.host, place.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert b"a page" in await reader.read()
            writer.close()
            await writer.wait_closed()
        assert framework == "channels" or stage.lifespan == ["begin", "end"]  # Channels has none

    run_asyncio(main())
