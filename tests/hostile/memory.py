"""Tells how much memory a stretch of a test took at its peak, as Python and as the kernel see it."""

import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class Peak:
    """Measures a `with` block.

    python: bytes that Python's allocator held at the peak. process: bytes by which the resident set was
    larger at its peak than at the start, None where the system does not tell; it sees what C libraries hold,
    zlib among them, and is coarse.
    """

    def __init__(self) -> None:
        self._tracemalloc = pytest.importorskip("tracemalloc", reason="of CPython", exc_type=ImportError)
        self.python = 0
        self.process: int | None = None

    def __enter__(self) -> Self:
        self._resident = _reset_high_water()
        self._tracemalloc.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.python = self._tracemalloc.get_traced_memory()[1]
        self._tracemalloc.stop()
        if self._resident is not None:
            self.process = _status("VmHWM") - self._resident


def _status(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def _reset_high_water() -> int | None:
    """Have the kernel forget the peak so far; return what is resident now."""
    if sys.platform != "linux":
        return None
    try:
        _CLEAR.write_text("5")
    except OSError:  # a container may forbid it
        return None
    return _status("VmRSS")
