"""What a program without logging sees of an outage, what the log has, and what ends a connection for good."""

import asyncio
import logging
import re
import ssl
import subprocess
import sys

import pytest
from tests.client.conftest import World
from tests.watch import Run, until

from websocket_heartbeat import ConnectionFailed, HandshakeRejected, RedirectRefused
from websocket_heartbeat.engines.base import OpenRequest

REFUSALS = [
    HandshakeRejected(403, []),
    HandshakeRejected(404, []),
    HandshakeRejected(401, []),
    ssl.SSLCertVerificationError("certificate has expired"),
    RedirectRefused("from wss to ws"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: f"{type(error).__name__} {error}"[:40])
def test_a_refusal_that_is_final_at_first_is_retried_once_a_link_was_open(
    refusal: Exception, world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        refused: list[float] = []

        async def refuse(request: OpenRequest) -> None:
            refused.append(asyncio.get_running_loop().time())
            raise refusal

        async with world.connect() as connection:
            peer = await world.opened(connection, 1)
            await asyncio.sleep(100)
            world.engine.answer = refuse
            peer.reset()
            await asyncio.sleep(3600)
            assert not connection.closed
            assert 10 < len(refused) < 200, "with growing delays"
            warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
            assert len(warnings) == 2, "the loss, and the refusal"
            world.engine.answer = None
            await connection.wait_open(120)

        world.engine.answer = refuse
        async with world.connect() as connection:
            with pytest.raises(ConnectionFailed):
                await connection.wait_open(10)

    play(main())


def test_an_outage_is_one_warning_and_its_end_one_line_with_its_numbers(
    world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="websocket_heartbeat")

    async def main() -> None:
        async def refuse(request: OpenRequest) -> None:
            raise ConnectionRefusedError("refused")

        async with world.connect() as connection:
            peer = await world.opened(connection, 1)
            await asyncio.sleep(60)
            caplog.clear()
            world.engine.answer = refuse
            peer.reset()
            await asyncio.sleep(60)
            assert len(caplog.records) == 1
            assert caplog.records[0].levelno == logging.WARNING
            world.engine.answer = None
            for message in ("one", "two"):
                await connection.send(message)
            await connection.wait_open(60)
            assert len(caplog.records) == 2
            assert caplog.records[1].levelno == logging.INFO
            words = r"link \d+ is open, after [\d.]+ s and \d+ retries; queued messages to send: 2$"
            assert re.search(words, caplog.records[1].getMessage())
            caplog.clear()
        assert caplog.records == []

    play(main())


async def refuse(request: OpenRequest) -> None:
    raise ConnectionRefusedError(111, "refused")


def test_the_first_failure_is_a_warning_and_wait_open_says_why(
    world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        world.engine.answer = refuse
        async with world.connect() as connection:
            with pytest.raises(
                TimeoutError, match="no link is ready after 20 s; the latest failure: connection refused"
            ):
                await connection.wait_open(20)
            assert len(caplog.records) == 1
            assert caplog.records[0].levelno == logging.WARNING
            await until(lambda: len(world.engine.requests) > 6)

    play(main())


def test_without_retries_nothing_says_that_there_will_be_one(
    world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        world.engine.answer = refuse
        async with world.connect(max_retries=0) as connection:
            await until(lambda: connection.state == "failed")

    play(main())
    assert "cannot connect: connection refused" in caplog.text
    assert "trying again" not in caplog.text


def test_a_program_that_sets_up_no_logging_is_told_on_standard_error() -> None:
    program = (
        "import asyncio\n"
        "from websocket_heartbeat import connect\n"
        "async def main():\n"
        "    async with connect('ws://127.0.0.1:1/') as connection:\n"
        "        await asyncio.sleep(2)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.count("\n") == 1
    assert done.stderr == "ws://127.0.0.1:1/: cannot connect: connection refused; trying again\n"
