"""Every example of docs/testing.md runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(1, len(EXAMPLES) + 1))
def test_the_example_runs(example: str, tmp_path: Path) -> None:
    file = tmp_path / "test_example.py"
    file.write_text(example, encoding="utf-8")
    # Where it defines a test, pytest runs it with the fixtures; where not, it is a script.
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if "\ndef test_" in example else []
    ran = subprocess.run(
        [sys.executable, "-W", "error", *command, str(file)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 5
