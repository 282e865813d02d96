"""What docs/server.md shows of aiohttp and of websockets runs, and sends its clients away at SIGTERM."""

import asyncio
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import websockets
from tests.watch import PATIENCE, Run

PAGE = Path(__file__).parents[3] / "docs" / "server.md"


@pytest.mark.parametrize("name", ["aiohttp", "websockets"])
def test_the_program_of_the_page_runs(run_asyncio: Run, tmp_path: Path, name: str) -> None:
    section = PAGE.read_text().partition(f"\n## With {name}\n")[2].partition("\n## ")[0]
    [program] = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
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
                ws = await _connected(f"ws://127.0.0.1:{port}/prices")
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
            line for line in errors.decode().splitlines() if '"GET /prices HTTP/1.1" 101' not in line
        ] == []
        assert process.returncode == 0

    run_asyncio(main())


async def _connected(url: str) -> websockets.ClientConnection:
    while True:
        try:
            return await websockets.connect(url, ping_interval=None)
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
