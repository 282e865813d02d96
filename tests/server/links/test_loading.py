"""A framework is loaded by those alone who use it."""

import subprocess
import sys
from pathlib import Path


def _run(program: str, *paths: Path) -> str:
    environment = {"PYTHONPATH": ":".join(map(str, paths))}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    return result.stdout + result.stderr


def test_the_back_end_loads_neither_aiohttp_nor_the_server_of_websockets() -> None:
    program = """
import sys
from websocket_heartbeat.server import Hub
hub = Hub()
hub.websockets()
print([name for name in sys.modules if name.startswith(("aiohttp", "websockets.asyncio", "starlette"))])
"""
    assert _run(program) == "[]\n"


def test_without_aiohttp_the_error_names_the_command_that_installs_it(tmp_path: Path) -> None:
    program = """
from websocket_heartbeat.server import Hub
try:
    Hub().aiohttp(None)
except ImportError as error:
    print(error)
"""
    (tmp_path / "aiohttp.py").write_text("raise ImportError('as if it were not there')")
    command = "pip install 'websocket-heartbeat[aiohttp]'"
    assert _run(program, tmp_path) == f"Hub.aiohttp needs aiohttp: {command}\n"
    (tmp_path / "aiohttp.py").unlink()
    (tmp_path / "aiohttp").mkdir()
    (tmp_path / "aiohttp" / "__init__.py").write_text("__version__ = '3.13.2'\nfrom . import web")
    (tmp_path / "aiohttp" / "web.py").write_text("")
    assert _run(program, tmp_path) == f"Hub.aiohttp needs aiohttp 3.14.1 or newer: {command}\n"
