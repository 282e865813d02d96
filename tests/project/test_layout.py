"""The promises that the repository makes about itself: which layers import which, and what is not in it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_using_client_and_server_loads_no_optional_dependency() -> None:
    optional = {
        "aiofastnet",
        "aiohttp",
        "hypothesis",
        "matplotlib",
        "opentelemetry",
        "prometheus_client",
        "pytest",
        "python_socks",
        "rich",
        "uvloop",
    }
    use = "import websocket_heartbeat as w, websocket_heartbeat.server as s; w.connect('ws://x'); s.serve()"
    loaded = python(f"import sys; {use}; print(' '.join(sys.modules))").split()
    assert "websockets" in loaded
    assert not optional & set(loaded)


def test_the_layers_of_the_design_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_nothing_committed_names_a_path_of_a_machine_or_a_package_index_or_is_half_merged() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:  # an unpacked source archive
        return
    # In pieces, so that this file does not find itself. The last two are what a merge leaves.
    forbidden = [
        "/wo" + "rk/",
        "/ro" + "ot/",
        "registry.npm" + "js",
        "files.python" + "hosted",
        "pypi" + ".org/simple",
        "<" * 7 + " ",
        ">" * 7 + " ",
    ]
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{name}: {word}" for word in forbidden if word in text]
    assert found == []


def test_every_public_name_is_there_and_importing_the_package_alone_imports_almost_nothing() -> None:
    assert (
        python("import websocket_heartbeat as w; print(all(getattr(w, name) for name in w.__all__))")
        == "True"
    )
    loaded = python("import sys, websocket_heartbeat; print(' '.join(sys.modules))").split()
    assert not {"asyncio", "websocket_heartbeat.client", "websockets"} & set(loaded)
