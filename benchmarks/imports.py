"""How long importing ours takes, beside its peers, and that it loads nothing optional.

The package loads its names when they are used: `import websocket_heartbeat` alone loads next to nothing, not
even asyncio. So what counts is the import of `connect`; the bare statement has a row of its own.
"""

import os
import resource
import subprocess
import sys
import tempfile
from argparse import Namespace
from statistics import median
from typing import Any

from benchmarks import report

_OPTIONAL = (
    "picows",
    "aiofastnet",
    "websockets",
    "aiohttp",
    "python_socks",
    "uvloop",
    "rich",
    "pytest",
)
_CONTENDERS = {
    "nothing": "pass",
    "asyncio and ssl": "import asyncio, ssl",
    "ours": "from websocket_heartbeat import connect",
    "ours, no name used": "import websocket_heartbeat",
    "picows": "import picows",
    "websockets": "from websockets.asyncio.client import connect",
    "aiohttp": "import aiohttp",
}


def run(options: Namespace) -> None:
    """Import, print and save."""
    seconds: dict[str, list[float]] = {name: [] for name in _CONTENDERS}
    with tempfile.TemporaryDirectory() as compiled:
        # Compiled once, as what is installed is, whatever the environment says.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for number in range(32 if options.long else 9):
            for name, statement in _CONTENDERS.items():
                begun = _cpu_of_children()
                result = subprocess.run(
                    [sys.executable, "-c", statement], check=False, capture_output=True, env=environment
                )
                if result.returncode == 0 and number > 0:
                    seconds[name].append(_cpu_of_children() - begun)
    start = median(seconds["nothing"])
    rows: list[dict[str, Any]] = [
        {"contender": name, "milliseconds": report.spread([1000 * (each - start) for each in values])}
        for name, values in seconds.items()
        if values
    ]
    report.table(
        "Importing: CPU time, without the start of Python itself",
        ["contender", "ms", "least", "most"],
        [
            [row["contender"], *(row["milliseconds"][name] for name in ("median", "min", "max"))]
            for row in rows
        ],
    )
    found = loaded_optional()
    print(f"optional packages loaded by ours: {', '.join(found) or 'none'}")
    report.keep("imports", {"rows": rows, "optional": found})


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def loaded_optional() -> list[str]:
    """Return the optional packages that importing ours has loaded."""
    code = (
        f"import sys; {_CONTENDERS['ours']}; print(*[name for name in {_OPTIONAL!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return result.stdout.split()
