"""mypy --strict sees a `Peer` and no Any in what users write with the hub, whichever frameworks they have.

`make lint` checks the samples with all frameworks installed; here none is. A wrong use that passed would
leave its "type: ignore" unused, of which --strict complains.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import websocket_heartbeat

pytestmark = pytest.mark.skipif(sys.implementation.name != "cpython", reason="mypy 2 is for CPython alone")

SAMPLES = Path(__file__).parent / "samples"
SOURCE = Path(websocket_heartbeat.__file__).parents[1]


def test_nobody_needs_a_framework_for_the_types_of_another(tmp_path: Path) -> None:
    # mypy finds no package but ours, not even websockets.
    command = [sys.executable, "-m", "mypy", "--strict", "--no-site-packages", "--follow-imports=silent"]
    done = subprocess.run(
        [*command, "--config-file=", f"--cache-dir={tmp_path}", SAMPLES / "no_framework.py"],
        env={**os.environ, "MYPYPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.stdout.partition(":")[0], done.stderr) == ("Success", "")
