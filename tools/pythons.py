"""Runs the tests of the Python parts on the Pythons of newer Debian releases; by root, on Debian.

`python -m tools.pythons trixie:python3 forky:pypy3 [--tests tests/core ...]`. Each release is installed once,
into build/pythons/; of the machine nothing is changed, but debootstrap installed, and nothing is left running
or mounted. Where apt gets Debian from, and how pip is set up, is the machine's own.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.release import tracked

ROOT = Path(__file__).parents[1]
ROOTS = ROOT / "build" / "pythons"

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
        apt-get install -y -qq --no-install-recommends "$python-venv"
    }
    sh tools/setup.sh "$python" "/venv-$python" --editable ".[testing]" --group pythons
    "/venv-$python/bin/python" -VV
    exec nice -n 10 "/venv-$python/bin/python" -m pytest -q -n 2 "$@"
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


def installed(suite: str) -> Path:
    """Return the root of a Debian release, installed the first time."""
    root = ROOTS / suite
    if not (root / ".installed").exists():
        if not shutil.which("debootstrap"):
            subprocess.run(["apt-get", "install", "-y", "-qq", "debootstrap"], check=True)
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        command = [
            "debootstrap",
            "--variant=minbase",
            "--include=ca-certificates",
            suite,
            str(root),
            mirror(),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (root / ".installed").touch()
    return root


def prepare(root: Path) -> None:
    """Put the working tree, names, certificates and the settings of pip where the release's programs look."""
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


def tested(suite: str, python: str, arguments: list[str]) -> int:
    """Run the tests on one Python; return pytest's exit status."""
    root = installed(suite)
    prepare(root)
    # In a namespace of its own, of which nothing is left when its first process ends.
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    environment = {
        **os.environ,
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "TMPDIR": "/tmp",
        "DEBIAN_FRONTEND": "noninteractive",
    }
    return subprocess.run(
        [*apart, "sh", "-c", INSIDE, "sh", str(root), python, *arguments], env=environment
    ).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pythons", nargs="+", metavar="SUITE:PYTHON", help="such as trixie:python3")
    parser.add_argument("--tests", nargs=argparse.REMAINDER, default=TESTS, help="what pytest gets; the last")
    arguments = parser.parse_args()
    failed = []
    for name in arguments.pythons:
        suite, _, python = name.partition(":")
        print(f"== {python} of Debian {suite}", flush=True)
        if tested(suite, python, arguments.tests):
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all passed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
