"""The back ends of other languages that the tests meet, and our JavaScript in Node."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.back_ends import java
from tests.back_ends.program import PROGRAMS, Program
from tests.miniprogram.conftest import Npm, fresh, installed, node, npm
from tools.npm import INSTALLING

from websocket_heartbeat.cli.js import library

__all__ = ["fresh", "node", "npm"]

STARTING = 30.0
"""Seconds that a back end may take to listen."""

BackEnd = Callable[[], contextlib.AbstractContextManager["Server"]]
"""Starts a server of its own."""

NAMES = ["node-ws", "tomcat", "spring"]


class Server(Program):
    """A back end: the example of that name at /feed, and with Java one without the agreement at /plain."""

    name = ""

    @property
    def port(self) -> int:
        """The port on loopback."""
        return int(self.told("port")[0][0])


@pytest.fixture(scope="session")
def start(node: str, npm: Npm, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], BackEnd]:
    """Return what starts the back end of a name."""

    def command(name: str) -> tuple[list[str], dict[str, str]]:
        if name == "node-ws":
            modules = str(installed(npm, PROGRAMS))
            return [node, str(PROGRAMS / "node-ws.js"), "0"], {
                "NODE_PATH": modules,
                "IDLE_TIMEOUT": str(java.IDLE_TIMEOUT),
            }
        return {"tomcat": java.tomcat, "spring": java.spring}[name](), {}

    def back_end(name: str) -> BackEnd:
        line, environment = command(name)

        @contextlib.contextmanager
        def run() -> Iterator[Server]:
            errors = tmp_path_factory.mktemp(name) / "errors"
            with Server(line, {**os.environ, **environment}, errors) as server:
                server.name = name
                patience = time.monotonic() + STARTING
                while not server.told("port"):
                    assert not server.has_ended, server.errors
                    assert time.monotonic() < patience, server.errors
                    time.sleep(0.02)
                yield server

        return run

    return back_end


@pytest.fixture(scope="session")
def servers(start: Callable[[str], BackEnd]) -> Iterator[Callable[[str], Server]]:
    """Return the back end of a name that all tests share, started when the first one wants it."""
    running: dict[str, Server] = {}
    with contextlib.ExitStack() as stack:

        def server(name: str) -> Server:
            if name not in running:
                running[name] = stack.enter_context(start(name)())
            return running[name]

        yield server


@pytest.fixture(params=NAMES)
def server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    """Each back end in turn."""
    return calm(servers(request.param))


@pytest.fixture(params=NAMES[1:])
def container(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    """Each back end in Java in turn, for what it does where it is left alone: at /plain."""
    return calm(servers(request.param))


def calm(server: Server) -> Server:
    """Wait until what an earlier test has opened is closed, and forget that."""
    patience = time.monotonic() + STARTING
    while len(server.told("open")) > len(server.told("closed")):
        assert time.monotonic() < patience, server.events
        time.sleep(0.02)
    server.events[1:] = []  # all but its port
    return server


@pytest.fixture
def page(node: str, fresh: None, tmp_path: Path) -> Callable[..., Program]:
    """Return what runs our minified JavaScript for pages in Node, with options."""

    def run(url: str, **options: Any) -> Program:
        (tmp_path / "library.js").write_text(library("cjs", "browser", minify=True), encoding="utf-8")
        given = json.dumps({"url": url, **options})
        command: list[str | Path] = [node, PROGRAMS / "page.js", tmp_path / "library.js", given]
        return Program(command, os.environ, tmp_path / "errors")

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give time to tests that may be the first to want packages."""
    for item in items:
        if "start" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(INSTALLING + java.PATIENCE))
