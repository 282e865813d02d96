"""A test that hangs fails when its time is over, so that CI ends and names it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

HANGS = """
import asyncio

import pytest
from tests.conftest import LOOPS
from tests.watch import Watch


@pytest.mark.parametrize("loop", LOOPS)
def test_that_waits(loop):
    Watch().run(asyncio.Event().wait(), LOOPS[loop])


def test_that_takes_no_cancellation():
    async def main():
        while True:
            try:
                await asyncio.Event().wait()
            except BaseException:
                pass

    asyncio.run(main())
"""


def test_it_fails_on_each_event_loop_and_also_if_it_goes_on(tmp_path: Path) -> None:
    hangs = tmp_path / "test_hangs.py"
    hangs.write_text(HANGS)
    settings = (f"--config-file={ROOT / 'pyproject.toml'}", f"--rootdir={ROOT}", "-pno:cacheprovider")
    limits = ("--timeout=1", "--override-ini=faulthandler_timeout=5")
    command = [sys.executable, "-m", "pytest", "-n1", *settings, *limits, str(hangs)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert "3 failed" in done.stdout, done.stdout
    assert "crashed while running" in done.stdout
