"""The 31 faults of the two originals: the built files have none of them, and the originals still do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FAULTS = [f"B{number}" for number in range(1, 26)] + [f"J{number}" for number in range(1, 7)]

NOT_FAULTS_OF_THE_ORIGINALS = {
    # That its package names no types and no module entry is a fault of its package.json, seen below.
    "B25",
    # This is what websocket-heartbeat-js does well.
    "J6",
}


@pytest.fixture(scope="module")
def ours(run: Callable[..., Any], built: Path) -> Any:
    return run(
        "faults.js",
        {
            "miniprogram": str(built / "miniprogram.js"),
            "browser": str(built / "browser.js"),
            "script": str(built / "script.js"),
            "module": str(built / "module.mjs"),
        },
    )


@pytest.fixture(scope="module")
def theirs(run: Callable[..., Any], packages: Path) -> Any:
    return run(
        "faults.js",
        {
            "miniprogram": str(packages / "websocket-heartbeat-miniprogram/lib/index.js"),
            "browser": str(packages / "websocket-heartbeat-js/lib/index.js"),
            "script": str(packages / "websocket-heartbeat-miniprogram/dist/index.js"),
            "module": str(packages / "websocket-heartbeat-miniprogram/lib/index.js"),
        },
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_the_built_file_does_not_have_the_fault(fault: str, ours: Any) -> None:
    assert ours[fault] is None, ours[fault]


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - NOT_FAULTS_OF_THE_ORIGINALS))
def test_the_same_check_finds_the_fault_in_the_original(fault: str, theirs: Any) -> None:
    assert theirs[fault] is not None


def test_the_original_names_neither_types_nor_a_module(packages: Path) -> None:
    manifest = (packages / "websocket-heartbeat-miniprogram/package.json").read_text()
    assert '"types"' not in manifest
    assert '"module"' not in manifest
