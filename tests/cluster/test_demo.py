"""`make cluster-demo`, small: it ends with a clean ledger; and the ledger finds each kind of fault."""

import subprocess
import sys
from pathlib import Path

import pytest
from examples.cluster.ledger import Ledger, read

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(170)
def test_nothing_is_lost_or_doubled_while_workers_and_the_store_are_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.cluster", "--seconds", "1", "--clients", "6", "--pause", "0.2"]
    done = subprocess.run(
        [*command, "--seed", "3", "--folder", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=160,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert done.stdout.count("(SIGKILL)") == 2
    assert "0 lost, 0 doubled, 0 unexplained." in done.stdout
    ledger = read(tmp_path)
    assert ledger.sent == ledger.handled == ledger.answered > 30
    assert ledger.resumed >= 4
    assert ledger.resets == 0
    checked = subprocess.run(
        [sys.executable, "-m", "examples.cluster.ledger", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0
    assert checked.stdout.strip() in done.stdout
    assert "Traceback" not in (tmp_path / "workers.log").read_text()


def histories(folder: Path, *, got: str, handled: dict[str, str], killed: str = "", told: str = "") -> Ledger:
    """Write what one client that has sent 1, 2 and 3, and its workers, have seen; return its ledger.

    got: numbers. handled: by the life, in the order of time. told: numbers that a reset has reported.
    """
    lines = [f"{number} ann sent {number}" for number in (1, 2, 3)]
    lines += [f"9 ann got {number} {number}" for number in got.split()]
    if told:
        lines.append(f"9 ann reset unknown {told}")
    (folder / "clients.txt").write_text("\n".join(lines) + "\n")
    time = 0
    for life, numbers in handled.items():
        facts = []
        for number in numbers.split():
            time += 1
            facts.append(f"{time} {life} handled ann {number} {number}")
        (folder / f"worker-1-life-{life}.txt").write_text("".join(f"{fact}\n" for fact in facts))
    (folder / "kills.txt").write_text("".join(f"9 {life}\n" for life in killed.split()))
    return read(folder)


def test_what_is_promised_is_no_fault(tmp_path: Path) -> None:
    ledger = histories(tmp_path, got="1 2 3", handled={"1": "1 2", "2": "2 3"}, killed="1")
    assert ledger.is_clean
    assert (ledger.handled, ledger.answered, ledger.again) == (3, 3, [("ann", 2)])


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("lost", {"got": "1 2 3", "handled": {"1": "1 3"}}),
        ("lost", {"got": "1 2", "handled": {"1": "1 2 3"}}),
        ("doubled", {"got": "1 2 3", "handled": {"1": "1 2", "2": "2 3"}}),
        ("doubled", {"got": "1 2 3", "handled": {"1": "1 2 2 3"}, "killed": "1"}),
        ("doubled", {"got": "1 2 2 3", "handled": {"1": "1 2 3"}}),
        ("unexplained", {"got": "1 2 3", "handled": {"1": "1 3 2"}}),
        ("unexplained", {"got": "1 2 3 4", "handled": {"1": "1 2 3"}}),
    ],
)
def test_a_fault_is_found(tmp_path: Path, fault: str, seen: dict[str, object]) -> None:
    ledger = histories(tmp_path, **seen)  # type: ignore[arg-type]
    assert getattr(ledger, fault)
    assert not ledger.is_clean


def test_what_a_reset_has_reported_is_not_lost(tmp_path: Path) -> None:
    ledger = histories(tmp_path, got="1 2", handled={"1": "1 2"}, told="3")
    assert ledger.is_clean
    assert (ledger.resets, ledger.uncertain) == (1, 1)
