"""The examples of the page on dialects, and servers in Node for them."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.miniprogram.conftest import Npm, installed, node, npm
from tools.npm import INSTALLING

from websocket_heartbeat import Connection, Dialect, Heartbeat, connect

__all__ = ["node", "npm"]

_SERVERS = Path(__file__).parent / "servers"
_PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "dialects.md"

HEARTBEAT = 0.2, 2
"""The interval and the timeout by which examples run, in place of their own."""


def _section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?:^## |\Z)", _PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert found is not None
    return found[1]


def examples() -> tuple[str, dict[str, str]]:
    """Return what the protocols that are written out need, and each by the words before it."""
    found = re.findall(
        r"^((?:\S[^\n]*\n)+)\n```python\n(.*?)^```", _section("Protocols, written out"), re.M | re.S
    )
    return found[0][1], dict(found[1:])


def dialect_of_section(title: str) -> Dialect:
    """Return the dialect of a section."""
    code = re.search(r"^```python\n(.*?)^```", _section(title), re.M | re.S)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    dialect = names["dialect"]
    assert isinstance(dialect, Dialect)
    return dialect


@pytest.fixture
def example() -> Callable[[str, str], Connection]:
    """Make the connection of the example whose introduction has a word, to a server of ours."""

    def make(word: str, url: str, **replaced: str) -> Connection:
        needs, all_examples = examples()
        (code,) = [code for words, code in all_examples.items() if word in words]
        names: dict[str, Any] = {}
        exec(needs, names)
        names["connect"] = lambda theirs, **options: connect(url, **options)
        names["Heartbeat"] = lambda message, interval=None: Heartbeat(*HEARTBEAT, message=message)
        for old, new in replaced.items():
            assert old in code
            code = code.replace(old, new)
        exec(code, names)
        connection = names["connection"]
        assert isinstance(connection, Connection)
        return connection

    return make


class Server:
    """A server in Node, at `url`; `told` has the lines that it has printed."""

    def __init__(self, port: int) -> None:
        self.url = f"ws://127.0.0.1:{port}/"
        self.told: list[str] = []


StartServer = Callable[..., contextlib.AbstractAsyncContextManager[Server]]


@pytest.fixture(scope="session")
def start(node: str, npm: Npm) -> StartServer:
    """Start a server of servers/ with its arguments."""
    installed(npm, _SERVERS)

    @contextlib.asynccontextmanager
    async def start(script: str, *arguments: str) -> AsyncIterator[Server]:
        process = await asyncio.create_subprocess_exec(
            node, "--no-deprecation", str(_SERVERS / script), *arguments, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        output = process.stdout
        reading: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(30):
                server = Server(int(await output.readline()))

            async def read() -> None:
                async for line in output:
                    server.told.append(line.decode().strip())

            reading = asyncio.create_task(read())
            yield server
        finally:
            process.kill()
            if reading is not None:
                await reading
            await process.communicate()

    return start


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give time to tests that may be the first to want packages."""
    for item in items:
        if "start" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(INSTALLING))
