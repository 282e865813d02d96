"""mypy --strict understands the public API as users write it, and refuses wrong uses."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import websocket_heartbeat

pytestmark = pytest.mark.skipif(sys.implementation.name != "cpython", reason="mypy 2 is for CPython alone")

SAMPLE = Path(__file__).with_name("typing_sample.py")


def checked(source: Path, cache: Path) -> str:
    """Return what mypy has to say about a file, checked as users would check theirs."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        f"--cache-dir={cache}",
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


@pytest.mark.xdist_group("mypy")
def test_right_uses_pass_and_wrong_ones_are_refused(cache: Path) -> None:
    # A wrong use that passed would leave its "type: ignore" unused, of which --strict complains.
    assert checked(SAMPLE, cache).startswith("Success")


@pytest.mark.xdist_group("mypy")
def test_without_its_marks_every_wrong_use_is_an_error(cache: Path, tmp_path: Path) -> None:
    marked = SAMPLE.read_text()
    bare = tmp_path / "bare.py"
    bare.write_text(re.sub(r"  # type: ignore.*", "", marked))
    errors = {line.split(":")[1] for line in checked(bare, cache).splitlines() if ": error:" in line}
    wanted = {str(n) for n, line in enumerate(marked.splitlines(), 1) if "# type: ignore" in line}
    assert errors == wanted


def test_the_package_says_that_it_is_typed() -> None:
    assert Path(websocket_heartbeat.__file__).with_name("py.typed").exists()


def test_every_public_name_exists_and_is_listed_once() -> None:
    names = websocket_heartbeat.__all__
    assert len(set(names)) == len(names)
    assert all(hasattr(websocket_heartbeat, name) for name in names)
