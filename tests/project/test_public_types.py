"""Type checkers other than ours know the type of every name: pyright looks, as editors do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


@pytest.mark.timeout(200)
def test_every_name_says_its_type() -> None:
    command = [
        str(BIN / "pyright"),
        "--verifytypes",
        "websocket_heartbeat",
        "--ignoreexternal",
        "--outputjson",
    ]
    # The packages of the Python that comes first are what it sees.
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
    found = json.loads(done.stdout)["typeCompleteness"]
    assert {"websocket_heartbeat.client.connection.Connection.send", "websocket_heartbeat.sync.connect"} <= {
        symbol["name"] for symbol in found["symbols"]
    }
    wrong = [
        f"{symbol['name']}: {diagnostic['message']}"
        for symbol in found["symbols"]
        for diagnostic in symbol["diagnostics"]
        if diagnostic["severity"] == "error"
    ]
    assert wrong == []
    assert found["completenessScore"] == 1
