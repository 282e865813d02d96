"""Finds a program of the system, or installs Debian's package of it where that may be done."""

import fcntl
import functools
import os
import shutil
import subprocess

import pytest


@functools.cache
def program(package: str, names: tuple[str, ...] = ()) -> str:
    """Return the path of a program, installed if need be; else skip the test, but fail it in CI.

    names: those that it may have, the best first; default: that of the package.
    """
    reason = f"there is no {package}, and only root on Debian may install it"
    # pytest-xdist runs several of us.
    with open(__file__) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = _found(names or (package,))
        if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
            install = f"apt-get update -qq && apt-get install -y -qq --no-install-recommends {package}"
            quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            command = ["sh", "-c", install]
            done = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=280)
            found = _found(names or (package,))
            reason = f"there is no {package}, and apt-get cannot install it: {done.stderr[-500:]}"
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def _found(names: tuple[str, ...]) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)
