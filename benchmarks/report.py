"""What a benchmark leaves behind: a table to read, a small JSON file, and the facts of the machine."""

import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"

_PACKAGES = (
    "websocket-heartbeat",
    "picows",
    "aiofastnet",
    "websockets",
    "aiohttp",
    "uvloop",
    "uvicorn",
    "python-socketio",
    "channels",
)


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows beneath their heads."""
    cells = [list(heads), *([_shown(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    print(f"\n{title}")
    for row in cells:
        first, *others = zip(row, widths, strict=True)
        print("  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]))
    sys.stdout.flush()


def _shown(cell: object) -> str:
    if isinstance(cell, float):
        if cell != cell or cell in (float("inf"), float("-inf")):
            return "never"
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}" if abs(cell) < 100 else f"{cell:.0f}"
    return "-" if cell is None else f"{cell:,}" if isinstance(cell, int) else str(cell)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median of the rounds, and the least and the most."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "rounds": len(values),
    }


def keep(name: str, results: Mapping[str, Any]) -> None:
    """Write the results where they are looked for."""
    RESULTS.mkdir(exist_ok=True)
    lines = [f'"machine": {json.dumps(machine())}']
    for key, value in _rounded(results).items():
        if isinstance(value, list):
            value = "[\n" + ",\n".join(json.dumps(item) for item in value) + "\n]"
            lines.append(f'"{key}": {value}')
        else:
            lines.append(f'"{key}": {json.dumps(value)}')
    (RESULTS / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def machine() -> dict[str, Any]:
    """Return what ran the benchmark."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "versions": versions,
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return None if value in (float("inf"), float("-inf")) else float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
