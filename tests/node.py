"""Runs JavaScript in Node."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tools.npm import find_node


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
