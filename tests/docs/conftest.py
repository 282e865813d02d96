"""The site, built once for all tests that read it."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.pages import ROOT


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The site, built anew: links and anchors that lead nowhere are warnings, and a warning is an error."""
    base = tmp_path_factory.getbasetemp()
    # pytest-xdist runs several of us, each with a base of its own beneath one.
    shared = base if worker_id == "master" else base.parent
    built = shared / "site"
    with open(shared / "site.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (built / "sitemap.xml").exists():
            command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(built)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
            assert done.returncode == 0, done.stderr
    return built


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give time to tests that may be the first to want the site."""
    for item in items:
        if "site" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(300))
