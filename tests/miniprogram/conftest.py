"""What the tests of the mini programs share: Node, npm packages, and the built files."""

import fcntl
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.miniprogram.real_hosts import HOSTS, bundle
from tools.es5.bundle import write
from tools.npm import INSTALLING, find_node, run_npm

from websocket_heartbeat.cli.js import Format, Target, library

SCRIPTS = Path(__file__).parent / "node"
PACKAGES = Path(__file__).parents[2] / "js"

Npm = Callable[..., str]

FILES: dict[str, tuple[Format, Target]] = {
    "miniprogram.js": ("cjs", "miniprogram"),
    "browser.js": ("cjs", "browser"),
    "script.js": ("iife", "miniprogram"),
    "page.js": ("iife", "browser"),
    "module.mjs": ("esm", "miniprogram"),
    "page.mjs": ("esm", "browser"),
    "session.js": ("cjs", "session"),
    "session-page.js": ("iife", "session"),
    "session.mjs": ("esm", "session"),
}


@pytest.fixture(scope="session", autouse=True)
def fresh() -> None:
    """The scripts that the tests see are what the sources make of them now."""
    write()


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node."""
    return find_node()


@pytest.fixture(scope="session")
def npm() -> Npm:
    """Runs npm with its arguments in a directory, and returns what it prints."""
    return run_npm


@pytest.fixture(scope="session")
def packages(npm: Npm) -> Path:
    """js/node_modules with all development packages, installed the first time."""
    return installed(npm, PACKAGES)


def installed(npm: Npm, directory: Path) -> Path:
    """Return the directory's node_modules with what its package.json wants, installed the first time."""
    modules = directory / "node_modules"
    wanted = json.loads((directory / "package.json").read_text())["devDependencies"]
    marker = modules / ".installed"
    # pytest-xdist runs several of us.
    with open(directory / "package.json") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not marker.exists() or json.loads(marker.read_text()) != wanted:
            # Peers would be hundreds of packages that build tools want, and none that we use.
            options = "--no-package-lock --ignore-scripts --no-audit --no-fund --legacy-peer-deps"
            npm("install", *options.split(), cwd=directory)
            marker.write_text(json.dumps(wanted))
    return modules


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give time to tests that may be the first to want packages."""
    for item in items:
        if {"npm", "packages", "consumers", "real_hosts"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.timeout(INSTALLING))


@pytest.fixture(scope="session")
def real_hosts(node: str, npm: Npm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the bundles of real hosts; see real_hosts.py."""
    directory: Path = tmp_path_factory.mktemp("hosts")
    bundle(node, installed(npm, HOSTS), directory)
    return directory


@pytest.fixture(scope="session", params=["plain", "minified"])
def built(fresh: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files of every format and target."""
    directory: Path = tmp_path_factory.mktemp(request.param)
    for name, (form, target) in FILES.items():
        code = library(form, target, minify=request.param == "minified")
        (directory / name).write_text(code, encoding="utf-8")
    return directory


@pytest.fixture(scope="session")
def run(node: str) -> Callable[..., Any]:
    """Run a script of this directory in Node with one JSON argument; return the JSON that it prints."""

    def run(script: str, argument: object) -> Any:
        command = [node, str(SCRIPTS / script), json.dumps(argument)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=50)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return json.loads(done.stdout)

    return run
