"""Runs the tests of the Python parts on the Pythons of newer Debian releases; by root, on Debian.

`python -m tools.pythons trixie:python3 forky:pypy3 [--keep] [--tests tests/core ...]`. The releases are
installed into a temporary folder; of the machine nothing is changed, but debootstrap installed, and nothing
is left, running or mounted. Where apt gets Debian from, and how pip is set up, is the machine's own.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import nullcontext
from pathlib import Path

from tools.release import tracked

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "build" / "pythons"

MINUTES = 60
"""What one Python may take, its installation included, before it has failed: four times what it needs."""

APART = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
"""In namespaces of its own, of which no process and no mount is left when the command ends, in any way."""

TESTS = ["tests/core", "tests/client", "tests/server", "tests/sync", "tests/system", "tests/testing"]
"""What runs unless told otherwise."""

INSIDE = """\
set -eu
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
python=$2
root=$1
shift 2
exec chroot "$root" sh -euc '
    cd /project
    python=$1
    shift
    command -v "$python" >/dev/null || {
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "$python-venv" >/dev/null
    }
    sh tools/setup.sh "$python" "/venv-$python" --editable ".[testing]" --group pythons
    "/venv-$python/bin/python" -VV
    exec "/venv-$python/bin/python" -m pytest -q -n 2 "$@"
' sh "$python" "$@"
"""


def mirror() -> str:
    """Return where apt on this machine gets Debian itself from."""
    command = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Label: Debian"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    sites = done.stdout.split()
    if not sites:
        raise SystemExit("apt has no list of Debian's packages: apt-get update")
    return sites[0]


def installed(suite: str, roots: Path) -> Path:
    """Return the root of a Debian release, installed the first time."""
    root = roots / suite
    if not (root / ".installed").exists():
        if not shutil.which("debootstrap"):
            subprocess.run(["apt-get", "install", "-y", "-qq", "debootstrap"], check=True)
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        command = [
            *APART,
            "debootstrap",
            "--variant=minbase",
            "--include=ca-certificates",
            suite,
            str(root),
            mirror(),
            # This debootstrap may not know the release by name; all since sid's first are installed alike.
            "sid",
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (root / ".installed").touch()
    return root


def prepare(root: Path) -> None:
    """Put the working tree, names, certificates and settings of pip and apt where the programs look."""
    shutil.rmtree(root / "project", ignore_errors=True)
    for name in tracked():
        (root / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / "project" / name)
    for file in (
        "/etc/hosts",
        "/etc/resolv.conf",
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pip.conf",
    ):
        if Path(file).exists():
            shutil.copy(file, root / file[1:])
    # How to fetch. What to do with packages would name programs of this machine; lists are the release's own.
    dump = ["apt-config", "dump", "Acquire"]
    fetching = subprocess.run(dump, capture_output=True, text=True, check=True).stdout.splitlines()
    settings = [line for line in fetching if not line.startswith("Acquire::IndexTargets")]
    (root / "etc/apt/apt.conf.d/99machine").write_text("\n".join(settings) + "\n")


def tested(root: Path, python: str, arguments: list[str]) -> tuple[bool, str]:
    """Run the tests on one Python; return whether all passed, and what it said at last: how many did."""
    environment = {
        **os.environ,
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "TMPDIR": "/tmp",
        "DEBIAN_FRONTEND": "noninteractive",
    }
    command = [*APART, "sh", "-c", INSIDE, "sh", str(root), python, *arguments]
    last = ""
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        limit = threading.Timer(MINUTES * 60, process.kill)
        limit.start()
        try:
            for line in process.stdout:
                print(line, end="", flush=True)
                last = line.strip() or last
        except BaseException:
            process.kill()
            raise
        finally:
            limit.cancel()
    if process.returncode == -signal.SIGKILL:
        return False, f"ended after {MINUTES} minutes; the last line was: {last}"
    return process.returncode == 0, last


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pythons", nargs="+", metavar="SUITE:PYTHON", help="such as trixie:python3")
    parser.add_argument(
        "--keep", action="store_true", help="keep the releases in build/pythons, for the next time"
    )
    parser.add_argument("--tests", nargs=argparse.REMAINDER, default=TESTS, help="what pytest gets; the last")
    arguments = parser.parse_args()
    # Told to end, it removes what it has made, as when it is interrupted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    results = {}
    with nullcontext(KEPT) if arguments.keep else tempfile.TemporaryDirectory() as roots:
        for name in arguments.pythons:
            suite, _, python = name.partition(":")
            print(f"== {python} of Debian {suite}", flush=True)
            root = installed(suite, Path(roots))
            prepare(root)
            results[name] = tested(root, python, arguments.tests)
    for name, (passed, last) in results.items():
        print(f"{name}: {'passed' if passed else 'FAILED'}: {last}")
    return not all(passed for passed, _ in results.values())


if __name__ == "__main__":
    sys.exit(main())
