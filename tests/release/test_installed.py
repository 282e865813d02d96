"""The package as a user has it, installed without extras in an environment of its own."""

import json
from pathlib import Path

import pytest
from tests.release.conftest import environment, run

from websocket_heartbeat import __version__

IMPORTS = """
import importlib, json, pkgutil, websocket_heartbeat
failed = {}
names = [each.name for each in pkgutil.walk_packages(websocket_heartbeat.__path__, "websocket_heartbeat.")]
for name in names:
    if not name.endswith("__main__"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            failed[name] = str(error)
print(json.dumps([len(names), failed]))
"""

PUBLIC = """
import importlib
for name in ("", ".engines", ".server", ".sync", ".testing", ".testing.phone"):
    module = importlib.import_module(f"websocket_heartbeat{name}")
    print(name, [public for public in module.__all__ if not hasattr(module, public)])
"""

ROUND_TRIP = """
import asyncio
from websocket_heartbeat import connect
from websocket_heartbeat.server import Hub, serve

async def main():
    def answer(peer, message):
        peer.send(message.upper())

    async with serve(port=0, hub=Hub(on_message=answer)) as server:
        async with connect(f"ws://127.0.0.1:{server.port}/") as connection:
            await connection.send("hello")
            print(await connection.recv())

asyncio.run(main())
"""

NEEDS = {
    "aiohttp": """
from websocket_heartbeat import connect
connect("ws://127.0.0.1:9/", engine="aiohttp")
""",
    "channels": "import websocket_heartbeat.channels",
    "otel": "import websocket_heartbeat.otel",
    "postgresql": """
from websocket_heartbeat.server import Hub
Hub(sessions="postgresql://127.0.0.1/db")
""",
    "socks": """
import asyncio
from websocket_heartbeat import connect

async def main():
    async with connect("ws://127.0.0.1:9/", proxy="socks5://127.0.0.1:9", max_retries=0) as connection:
        await connection.wait_open()

asyncio.run(main())
""",
    "valkey": """
from websocket_heartbeat.server import Hub
Hub(sessions="valkey://127.0.0.1")
""",
}
"""A program that wants each extra."""


def test_the_command_tells_its_version(user: Path) -> None:
    assert run(user, "websocket-heartbeat", "--version").strip() == __version__


def test_every_public_name_can_be_imported(user: Path) -> None:
    lines = run(user, "python", "-W", "error", "-c", PUBLIC).splitlines()
    assert len(lines) == 6
    assert [line for line in lines if not line.endswith(" []")] == []


def test_every_module_is_imported_but_those_of_extras(user: Path) -> None:
    count, failed = json.loads(run(user, "python", "-W", "error", "-c", IMPORTS))
    assert count > 150
    of_postgresql = {name for name in failed if ".sessions.postgresql." in name}
    assert of_postgresql
    assert set(failed) - of_postgresql == {
        f"websocket_heartbeat.{name}"
        for name in (
            *("channels", "cli.connect.terminal", "cli.demo.screen", "engines.aiohttp", "otel"),
            *("server.links.aiohttp", "server.sessions.valkey", "testing.plugin"),
        )
    }


def test_a_client_and_a_server_understand_each_other(user: Path) -> None:
    assert run(user, "python", "-W", "error", "-c", ROUND_TRIP) == "HELLO\n"


@pytest.mark.parametrize("extra", NEEDS)
def test_who_needs_an_extra_is_told_how_to_install_it(extra: str, user: Path) -> None:
    last = run(user, "python", "-c", NEEDS[extra], status=1).splitlines()[-1]
    assert f"pip install 'websocket-heartbeat[{extra}]'" in last


def test_the_command_tells_how_to_install_what_its_demonstration_needs(user: Path) -> None:
    said = run(user, "websocket-heartbeat", "demo", status=2)
    assert said.count("\n") == 1
    assert "pip install 'websocket-heartbeat[cli]'" in said


def test_the_source_archive_is_installed_where_there_is_no_node(
    sdist: Path, user: Path, tmp_path: Path
) -> None:
    where = "import websocket_heartbeat.miniprogram as m; print(m.__path__[0])"
    programs = environment(sdist, tmp_path)
    mine, theirs = (
        Path(run(each, "python", "-c", where).strip()) / "javascript" for each in (programs, user)
    )
    assert [file.name for file in sorted(mine.glob("*.js"))] == [
        *("browser.js", "browser.min.js", "miniprogram.js"),
        *("miniprogram.min.js", "session.js", "session.min.js"),
    ]
    for file in theirs.iterdir():
        if file.is_file():
            assert (mine / file.name).read_bytes() == file.read_bytes()
