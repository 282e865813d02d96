"""Builds what is published: the source archive, the wheel and the npm package, of what git tracks.

`python -m tools.release` builds twice, wants the same bytes, and writes them to dist/. They depend on the
files, on the date of the last commit and on the programs that build, not on where, when and by whom.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from tools.npm import run_npm

ROOT = Path(__file__).parents[1]


def tracked() -> list[str]:
    """Return the paths of the files of this version, which git tracks."""
    return [name for name in _git("ls-files", "-z").split("\0") if name and (ROOT / name).exists()]


def build(out: Path) -> None:
    """Write the source archive, the wheel that is made of it, and the npm package into a folder."""
    # npm packs the permissions of files as they are.
    umask = os.umask(0o022)
    try:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder)
            _copy(source)
            date = {"SOURCE_DATE_EPOCH": _git("log", "-1", "--format=%ct").strip()}
            _python("-m", "build", "--outdir", str(out.resolve()), cwd=source, more=date)
            _python("-m", "tools.build_js", cwd=source, more={"PYTHONPATH": str(source / "src")})
            for readme in (source / "js").glob("README*.md"):
                readme.write_text(_with_absolute_links(readme.read_text(encoding="utf-8")), encoding="utf-8")
            # Not its prepack, which is `make js`.
            run_npm("pack", "--ignore-scripts", "--pack-destination", str(out.resolve()), cwd=source / "js")
    finally:
        os.umask(umask)


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file by its name."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def _copy(source: Path) -> None:
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)


def _with_absolute_links(readme: str) -> str:
    """Return a README of js/ as the npm index shows it, where there is nothing beside it."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        places = tomllib.load(file)["project"]["urls"]
    return readme.replace("](../", f"]({places['Source']}/blob/main/")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _python(*arguments: str, cwd: Path, more: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stdout}")


def main() -> None:
    changed = _git("status", "--porcelain")
    if changed:
        raise SystemExit(f"Commit first; a release is what is committed:\n{changed}")
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        build(Path(first))
        build(Path(second))
        found = digests(Path(first))
        if found != digests(Path(second)):
            raise SystemExit(f"Two builds differ:\n{found}\n{digests(Path(second))}")
        dist = ROOT / "dist"
        shutil.rmtree(dist, ignore_errors=True)
        dist.mkdir()  # not with the permissions of a temporary folder
        for file in Path(first).iterdir():
            shutil.copy(file, dist)
    for name, digest in found.items():
        print(digest, f"dist/{name}", sep="  ")


if __name__ == "__main__":
    main()
