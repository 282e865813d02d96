"""Type checkers other than ours know the type of every public name: pyright looks, as editors do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.project.public_names import homes

BIN = Path(sys.executable).parent


@pytest.mark.timeout(200)
def test_every_public_name_says_its_type() -> None:
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
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    public = homes()
    assert {"websocket_heartbeat.client.connection.Connection.send", "websocket_heartbeat.sync.connect"} <= {
        symbol["name"] for symbol in symbols
    }
    wrong = [
        f"{symbol['name']}: {diagnostic['message']}"
        for symbol in symbols
        if symbol["name"] in public
        for diagnostic in symbol["diagnostics"]
        # Partially unknown is what leads to a class with some internal attribute that says no type.
        if diagnostic["severity"] == "error" and "is partially unknown" not in diagnostic["message"]
    ]
    assert wrong == []
