"""What the docs show of aiohttp and of websockets runs, and sends its clients away at SIGTERM."""

import asyncio
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import websockets
from tests.docs.pages import DOCS, blocks
from tests.watch import PATIENCE, Run


@pytest.mark.parametrize(
    ("page", "path"), [("how-to/aiohttp.md", "chat"), ("server/websockets.md", "prices")]
)
def test_the_program_of_the_page_runs(run_asyncio: Run, tmp_path: Path, page: str, path: str) -> None:
    program = next(block.text for block in blocks(DOCS / page) if block.language == "python")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    script = tmp_path / "main.py"
    script.write_text(re.sub(r"port=\d+", f"port={port}", program))

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, script, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            async with asyncio.timeout(PATIENCE):
                ws = await _connected(f"ws://127.0.0.1:{port}/{path}")
                await ws.send("heartbeat")
                assert await ws.recv() == "heartbeat"
                await ws.send("3.50")
                assert await ws.recv() == "3.50"
                process.send_signal(signal.SIGTERM)
                await ws.wait_closed()
                assert (ws.close_code, ws.close_reason) == (1012, "restarting; retry-after=15")
                _, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        # aiohttp's access log is all there may be.
        assert [
            line for line in errors.decode().splitlines() if f'"GET /{path} HTTP/1.1" 101' not in line
        ] == []
        assert process.returncode == 0

    run_asyncio(main())


async def _connected(url: str) -> websockets.ClientConnection:
    while True:
        try:
            return await websockets.connect(url, ping_interval=None)
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
