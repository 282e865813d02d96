"""Changes the core in every small way and runs its tests on each: `python tools/mutation.py`.

Needs `pip install --group mutation`. Exit status 1 if a mutant survives that tests/core/SURVIVORS.md does not
explain, or if the file explains one that no longer survives. Takes about fifteen minutes on two cores.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXPLAINED = ROOT / "tests" / "core" / "SURVIVORS.md"
DEAD = ("killed", "caught by type check", "timeout")
"""A core that hangs its tests is found out, too."""


def mutmut(*arguments: str) -> str:
    """Run mutmut from this environment, with its mypy in reach, and return what it prints."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = [sys.executable, "-m", "mutmut", *arguments]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def change(mutant: str) -> str:
    """Say what a mutant changes, in one line: the function, the line, what became of it."""
    name = re.sub(r"__mutmut_\d+$", "", mutant).rpartition(".")[2]
    function = re.sub(r"^x_", "", name).replace("xǁ", "").replace("ǁ", ".")
    lines = mutmut("show", mutant).splitlines()
    old = [line[1:].strip() for line in lines if re.match(r"-(?!--)", line)]
    new = [line[1:].strip() for line in lines if re.match(r"\+(?!\+\+)", line)]
    return f"{function}: `{' '.join(old)}` → `{' '.join(new)}`"


def main() -> int:
    # It would keep the verdicts of the last run, though the tests have changed.
    shutil.rmtree(ROOT / "mutants", ignore_errors=True)
    mutmut("run", "--max-children", str(os.cpu_count() or 1))
    verdicts = re.findall(r"^\s*(\S+): ([a-z ]+)$", mutmut("results", "--all", "true"), re.MULTILINE)
    survivors = [mutant for mutant, verdict in verdicts if verdict not in DEAD]
    alive = {change(mutant) for mutant in survivors}
    explained = set(re.findall(r"^- (.+)$", EXPLAINED.read_text(encoding="utf-8"), re.MULTILINE))
    killed = len(verdicts) - len(survivors)
    print(f"{len(verdicts)} mutants, {killed} killed, {len(alive & explained)} explained")
    for text in sorted(alive - explained):
        print(f"survived: {text}", file=sys.stderr)
    for text in sorted(explained - alive):
        print(f"explained, but killed: {text}", file=sys.stderr)
    return 1 if alive != explained else 0


if __name__ == "__main__":
    sys.exit(main())
