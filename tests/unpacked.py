"""Packages that tests fetch once and unpack into folders of build/, without installing them."""

import fcntl
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 240
"""Seconds that one command may take on a slow machine."""

_refused: dict[Path, str] = {}
"""Why what a folder is for is not to be had here; it is not tried twice."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder: pytest-xdist runs several of us."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def keep(folder: Path, parts: Sequence[str], fetch: Callable[[Path], None]) -> str | None:
    """Have parts of a folder, fetched into the one that `fetch` is given if they are not there.

    Return why they cannot be had, or None.
    """
    with alone(folder):
        if folder not in _refused and not all((folder / part).exists() for part in parts):
            made = folder / "fetched"
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            try:
                fetch(made)
            except (subprocess.SubprocessError, OSError) as error:
                why = " ".join(str(getattr(error, "stderr", None) or error).split())
                _refused[folder] = why[-300:]
            else:
                for part in parts:
                    shutil.rmtree(folder / part, ignore_errors=True)
                    (made / part).rename(folder / part)
            shutil.rmtree(made)
    return _refused.get(folder)


def run(folder: Path, *command: str) -> None:
    """Run a command in a folder; raises CalledProcessError and TimeoutExpired."""
    subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=PATIENCE)


class Apt:
    """apt-get with lists of its own in a folder: those of the system may be missing, and are root's.

    sources: where packages come from, by the names of the files in which apt has such lists.
    """

    def __init__(self, folder: Path, sources: Mapping[str, str]) -> None:
        self._folder = folder
        for part in ("lists/partial", "cache/archives/partial", "sources"):
            (folder / part).mkdir(parents=True)
        for name, text in sources.items():
            (folder / "sources" / name).write_text(text)
        own = {
            "Dir::State::Lists": folder / "lists",
            "Dir::Cache": folder / "cache",
            "Dir::Etc::SourceList": "/dev/null",
            "Dir::Etc::SourceParts": folder / "sources",
            "APT::Sandbox::User": "",
            "Acquire::http::Timeout": 20,
        }
        self._options = [word for key, value in own.items() for word in ("-o", f"{key}={value}")]
        self._run("update")

    def unpack(self, *packages: str) -> None:
        """Unpack packages into `unpacked`."""
        self._run("download", *packages)
        for archive in self._folder.glob("*.deb"):
            run(self._folder, "dpkg-deb", "-x", str(archive), "unpacked")

    def source(self, package: str) -> Path:
        """Return the archive of the source of a package."""
        self._run("source", "--download-only", package)
        (archive,) = self._folder.glob(f"{package}_*.orig.tar.*")
        return archive

    def _run(self, *command: str) -> None:
        run(self._folder, "apt-get", *self._options, *command)
