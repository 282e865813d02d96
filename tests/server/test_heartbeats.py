"""A back end answers heartbeats, whatever its hooks do."""

import asyncio
import logging

import pytest
from tests.server.raw import BINARY, PING, PONG, TEXT, client, frame
from tests.watch import Run

from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Peer, serve


def test_a_ping_is_answered_by_a_pong_with_its_payload(run: Run) -> None:
    async def main() -> None:
        async with serve() as server, client(server) as raw:
            for payload in (b"", b"abc", bytes(125)):
                raw.frame(PING, payload)
                assert await raw.read() == (PONG, payload)

    run(main())


def test_a_heartbeat_is_answered_with_itself_and_kept_from_the_application(run: Run) -> None:
    async def main() -> None:
        seen: list[Message] = []
        async with serve(lambda _, message: seen.append(message)) as server, client(server) as raw:
            raw.frame(TEXT, b"heartbeat")
            assert await raw.read() == (TEXT, b"heartbeat")
            raw.frame(TEXT, b"heartbeat ")
            raw.frame(BINARY, b"heartbeat")
            raw.frame(PING)
            assert await raw.read() == (PONG, b"")
            assert seen == ["heartbeat ", b"heartbeat"]

    run(main())


@pytest.mark.parametrize(("heartbeat", "answered"), [("ping", True), (None, False)])
def test_the_heartbeat_can_be_chosen_or_switched_off(run: Run, heartbeat: str | None, answered: bool) -> None:
    async def main() -> None:
        seen: list[Message] = []
        async with (
            serve(lambda _, message: seen.append(message), heartbeat=heartbeat) as server,
            client(server) as raw,
        ):
            raw.frame(TEXT, b"ping")
            raw.frame(PING)
            if answered:
                assert await raw.read() == (TEXT, b"ping")
            assert await raw.read() == (PONG, b"")
            assert seen == ([] if answered else ["ping"])

    run(main())


def test_a_heartbeat_in_the_first_packet_is_answered(run: Run) -> None:
    async def main() -> None:
        async with serve() as server, client(server, tail=frame(PING, b"early")) as raw:
            assert await raw.read() == (PONG, b"early")

    run(main())


def test_heartbeats_are_answered_while_a_hook_is_busy(run: Run) -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def slow(peer: Peer, message: Message) -> None:
            await release.wait()
            peer.send(message)

        async with serve(slow) as server, client(server) as raw:
            raw.frame(TEXT, b"work")
            raw.frame(TEXT, b"more work")
            raw.frame(TEXT, b"heartbeat")
            assert await raw.read() == (TEXT, b"heartbeat")
            raw.frame(PING)
            assert await raw.read() == (PONG, b"")
            release.set()
            assert await raw.read() == (TEXT, b"work")
            assert await raw.read() == (TEXT, b"more work")

    run(main())


def test_heartbeats_are_answered_after_a_hook_raised(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    def careless(peer: Peer, message: Message) -> None:
        raise ValueError(f"cannot read {message!r}")

    async def careless_later(peer: Peer, message: Message) -> None:
        await asyncio.sleep(0)
        careless(peer, message)

    async def main() -> None:
        for hook in (careless, careless_later):
            caplog.clear()
            async with serve(hook) as server, client(server) as raw, client(server) as other:
                for _ in range(2):
                    raw.frame(TEXT, b"secret payload")
                    raw.frame(TEXT, b"heartbeat")
                    assert await raw.read() == (TEXT, b"heartbeat")
                other.frame(PING)
                assert await other.read() == (PONG, b"")
            lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
            assert len(lines) == 2
            for line in lines:
                assert "on_message for <Peer 1 '/'> raised ValueError at " in line
                assert f"{__file__}:" in line
                assert "secret" not in line

    run(main())
