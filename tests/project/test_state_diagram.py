"""The diagram of states in the docs is what the machine's own table says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "state_diagram.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_diagram_in_the_docs_is_up_to_date() -> None:
    done = tool("--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_diagram_that_differs_is_named_with_the_command_that_renews_it(tmp_path: Path) -> None:
    copy = tmp_path / "copy.md"
    copy.write_text((ROOT / "docs" / "state-diagram.md").read_text(encoding="utf-8") + "\n", encoding="utf-8")
    done = tool("--check", str(copy))
    assert done.returncode == 1
    assert done.stderr == "copy.md differs from core/machine.py: python tools/state_diagram.py\n"
    assert tool("--check", str(tmp_path / "missing.md")).returncode == 1


def test_the_command_renews_the_diagram(tmp_path: Path) -> None:
    copy = tmp_path / "copy.md"
    copy.write_text("old", encoding="utf-8")
    assert tool(str(copy)).returncode == 0
    assert copy.read_text(encoding="utf-8") == (ROOT / "docs" / "state-diagram.md").read_text(
        encoding="utf-8"
    )


def test_every_transition_is_in_the_diagram_and_in_the_table() -> None:
    text = (ROOT / "docs" / "state-diagram.md").read_text(encoding="utf-8")
    assert "    [*] --> idle\n" in text
    assert "    closed --> [*]\n    failed --> [*]\n" in text
    rows = [line.strip("| ").split(" | ")[:3] for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 30
    for state, event, after in rows:
        arrows = [line for line in text.splitlines() if line.startswith(f"    {state} --> {after} : ")]
        assert len(arrows) == 1
        assert event in arrows[0].partition(" : ")[2].split(", ")
