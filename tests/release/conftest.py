"""The packages as they are published, and environments in which a user has installed them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tools.release import build

INSTALLING = 300
"""Seconds that builds and pip may take on a slow machine."""


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive, the wheel and the npm package."""
    folder: Path = tmp_path_factory.mktemp("published")
    build(folder)
    return folder


@pytest.fixture(scope="session")
def sdist(published: Path) -> Path:
    (file,) = published.glob("*.tar.gz")
    return file


@pytest.fixture(scope="session")
def wheel(published: Path) -> Path:
    (file,) = published.glob("*.whl")
    return file


@pytest.fixture(scope="session")
def user(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the wheel and what it depends on, without extras."""
    return environment(wheel, tmp_path_factory.mktemp("user"))


def environment(package: Path, folder: Path) -> Path:
    """Install a package as a user does, who has no programs but Python's; return where its programs are."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    programs = folder / "venv" / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python")]
    _done(programs, [*pip, "install", "--quiet", str(package)], 0)
    return programs


def run(programs: Path, program: str, *arguments: str, status: int = 0) -> str:
    """Run a program of an environment, in a clean folder; return what it prints and says."""
    return _done(programs, [str(programs / program), *arguments], status)


def _done(programs: Path, command: list[str], status: int) -> str:
    variables = {
        name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}
    }
    folder = programs.parents[1] / "folder"
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        command,
        cwd=folder,
        env={**variables, "PATH": str(programs)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALLING,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give time to tests that build and install."""
    for item in items:
        if "published" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(2 * INSTALLING))
