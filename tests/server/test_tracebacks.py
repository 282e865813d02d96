"""The text of what a hook of the server raises is logged by the user's choice alone, and escaped."""

import logging
import subprocess
import sys

import pytest
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import connect
from websocket_heartbeat.server import Peer, serve


@pytest.mark.parametrize("is_chosen", [False, True])
def test_text_and_traceback_are_logged_by_choice_alone(
    is_chosen: bool, run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="websocket_heartbeat.server")
    if is_chosen:
        caplog.set_level(logging.DEBUG, logger="websocket_heartbeat.tracebacks")

    def careless(peer: Peer, message: object) -> None:
        raise ValueError(f"cannot read {message}")

    async def main() -> None:
        async with serve(careless) as server, connect(server.url()) as connection:
            await connection.wait_open(PATIENCE)
            await connection.send("hunter2\x1b[2J\nERROR forged")
            await until(lambda: "raised ValueError at" in caplog.text)

    run_asyncio(main())
    told = [record.getMessage() for record in caplog.records if "hunter2" in record.getMessage()]
    assert bool(told) is is_chosen
    if is_chosen:
        first, *rest = told[0].split("\n")
        assert first.endswith(r"raised ValueError: cannot read hunter2\x1b[2J\nERROR forged")
        assert "in careless" in rest[-2]


def test_the_choice_may_come_before_the_import() -> None:
    code = """
        import logging
        logging.getLogger("websocket_heartbeat.tracebacks").setLevel(logging.DEBUG)
        import websocket_heartbeat.server
        print(logging.getLogger("websocket_heartbeat.tracebacks").getEffectiveLevel())
        """
    lines = "\n".join(line.strip() for line in code.splitlines())
    assert subprocess.check_output([sys.executable, "-c", lines], text=True, timeout=50) == "10\n"
