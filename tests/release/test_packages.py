"""What is published: the same bytes wherever it is built, with all that is needed and nothing else."""

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from readme_renderer import markdown
from tools.release import ROOT, digests, tracked

from websocket_heartbeat import __version__
from websocket_heartbeat.cli.js import EXPORTS

PACKAGE = "src/websocket_heartbeat/"
HANDWRITTEN = PACKAGE + "miniprogram/handwritten/"
SCRIPTS = PACKAGE + "miniprogram/javascript/"
BUILT = {f"{SCRIPTS}{target}{suffix}" for target in EXPORTS for suffix in (".js", ".min.js")}


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def test_another_folder_umask_locale_time_zone_and_hash_seed_give_the_same_bytes(
    published: Path, tmp_path: Path
) -> None:
    other = {"LC_ALL": "C", "TZ": "Asia/Shanghai", "PYTHONHASHSEED": "7", "TMPDIR": str(tmp_path)}
    out = tmp_path / "out"
    out.mkdir()
    code = f"import pathlib, tools.release; tools.release.build(pathlib.Path({str(out)!r}))"
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **other}, umask=0o077, check=True)
    assert digests(out) == digests(published)
    assert len(digests(out)) == 3


def test_the_wheel_has_the_files_of_the_package_and_the_built_javascript_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = f"websocket_heartbeat-{__version__}.dist-info/"
    described = {
        info + name for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    }
    package = {name for name in tracked() if name.startswith(PACKAGE) and not name.startswith(HANDWRITTEN)}
    assert names == {name.removeprefix("src/") for name in package | BUILT} | described
    assert {"websocket_heartbeat/py.typed", "websocket_heartbeat/server/sessions/scripts/put.lua"} <= names


def test_the_source_archive_has_what_git_tracks_and_the_built_javascript(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    unpublished = {name for name in tracked() if name.startswith(".ci/")}
    assert names == {*tracked(), *BUILT, "PKG-INFO"} - unpublished


def test_the_npm_package_has_this_version_and_each_entry(published: Path) -> None:
    (file,) = published.glob("*.tgz")
    with tarfile.open(file) as archive:
        names = set(archive.getnames())
        manifest = json.load(archive.extractfile("package/package.json") or pytest.fail("no package.json"))
    assert manifest["version"] == __version__
    assert {"package/LICENSE", "package/README.md", "package/dist/websocket-heartbeat.min.js"} <= names
    assert {f"package/dist/{entry}.js" for entry in EXPORTS} <= names
    assert {name.split("/")[1] for name in names} == {
        *("package.json", "README.md", "README.zh.md", "LICENSE"),
        *("dist", "browser", "session", "miniprogram_dist"),
    }


def test_the_index_takes_the_archives_without_a_warning(sdist: Path, wheel: Path) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_metadata_tells_of_licence_pythons_extras_and_places(metadata: Message) -> None:
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    classifiers = metadata.get_all("Classifier", [])
    assert {"Programming Language :: Python :: 3.11", "Typing :: Typed"} <= set(classifiers)
    needed = [each for each in metadata.get_all("Requires-Dist", []) if "extra ==" not in each]
    assert {re.split(r"\W", each)[0] for each in needed} == {"aiohappyeyeballs", "websockets"}
    extras = {"aiohttp", "channels", "cli", "otel", "postgresql", "socks", "testing", "valkey"}
    assert set(metadata.get_all("Provides-Extra", [])) == extras
    places = [each.partition(", ")[0] for each in metadata.get_all("Project-URL", [])]
    assert sorted(places) == ["Changelog", "Documentation", "Homepage", "Issues", "Source"]


def test_the_readme_names_every_extra(metadata: Message) -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text(), re.M)
    assert sorted(rows) == sorted(metadata.get_all("Provides-Extra", []))


@pytest.mark.parametrize("page", ["README.md", "README.zh.md"])
def test_each_link_of_the_packages_page_leads_somewhere_from_everywhere(page: str) -> None:
    html = markdown.render((ROOT / page).read_text())
    assert html is not None
    links = re.findall(r'(?:href|src)="([^"]*)"', html)
    within = {f"#{anchor}" for anchor in re.findall(r'id="([^"]*)"', html)}
    assert len(links) > 10
    assert [link for link in links if not link.startswith("https://") and link not in within] == []


@pytest.mark.parametrize("page", ["README.md", "README.zh.md"])
def test_the_links_of_the_npm_packages_pages_are_absolute_or_within_them(page: str, published: Path) -> None:
    (file,) = published.glob("*.tgz")
    with tarfile.open(file) as archive:
        text = archive.extractfile(f"package/{page}") or pytest.fail(f"no {page}")
        links = re.findall(r"\]\(([^)]+)\)", text.read().decode())
    assert len(links) > 10
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
