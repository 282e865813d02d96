"""Tomcat and Spring from Debian's packages, put into a folder of this checkout; nothing is installed.

They are fetched the first time that a test wants them, where this is a Debian with a JDK and not CI.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.back_ends.program import PROGRAMS, ROOT
from tests.unpacked import Apt, alone, keep, run

EXAMPLES = ROOT / "examples" / "back_ends"
FOLDER = ROOT / "build" / "back_ends"

TOMCAT = ["libtomcat10-java"]

SPRING = [
    "libtomcat9-java",
    *(f"libspring-{part}-java" for part in ("core", "beans", "context", "expression", "aop")),
    *("libspring-web-java", "libspring-web-servlet-java", "libspring-messaging-java"),
    *("libcommons-logging-java", "libasm-java"),
    *(f"libjackson2-{part}-java" for part in ("core", "databind", "annotations")),
]
"""With what the compiler must see of what Spring can use."""

SPRING_SOURCE = "libspring-java"
"""Its module for WebSocket is in no binary package."""

PATIENCE = 200
"""Seconds that compiling may take on a slow machine."""

IDLE_TIMEOUT = 6000
"""Milliseconds of silence after which the examples drop a client: far more than a pong takes."""


def tomcat() -> list[str]:
    """Return the command that starts programs/tomcat/Main.java; skip the test where that cannot be."""
    jars = _packages("tomcat", TOMCAT)
    sources = [EXAMPLES / "tomcat" / "Feed.java", PROGRAMS / "tomcat" / "Main.java"]
    return _command(jars, _compiled("tomcat", jars, sources))


def spring() -> list[str]:
    """Return the command that starts programs/spring/Main.java; skip the test where that cannot be."""
    jars = _packages("spring", SPRING, SPRING_SOURCE)
    (module,) = FOLDER.glob("spring/source/*/spring-websocket/src/main/java")
    sources = [
        *sorted((EXAMPLES / "spring").glob("*.java")),
        PROGRAMS / "spring" / "Main.java",
        # The one that is known by its name alone.
        module / "org/springframework/web/socket/server/standard/TomcatRequestUpgradeStrategy.java",
    ]
    # Spring of 2020 does not know the class files of a later Java.
    return _command(jars, _compiled("spring", jars, sources, "--release", "8", "-sourcepath", str(module)))


def _command(jars: Path, classes: Path) -> list[str]:
    quick = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    test = [
        f"-Didle_timeout={IDLE_TIMEOUT}",
        "-Dsend_timeout=2000",
        "-Dorg.apache.tomcat.websocket.DEFAULT_PROCESS_PERIOD=1",
    ]
    return ["java", *quick, *test, "-cp", f"{jars}/*{os.pathsep}{classes}", "Main"]


def _compiled(name: str, jars: Path, sources: Sequence[Path], *options: str) -> Path:
    """Return the folder of the classes of those sources, compiled if they have changed."""
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    classes = FOLDER / name / f"classes-{digest[:16]}"
    with alone(classes.parent):
        if not classes.exists():
            for old in classes.parent.glob("classes-*"):
                shutil.rmtree(old)
            made = classes.with_name("made")
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            command = ["javac", "-nowarn", "-implicit:class", *options, "-cp", f"{jars}/*", "-d", str(made)]
            done = subprocess.run(
                [*command, *map(str, sources)], capture_output=True, text=True, timeout=PATIENCE
            )
            assert done.returncode == 0, done.stderr
            made.rename(classes)
    return classes


def _packages(name: str, packages: Sequence[str], source: str | None = None) -> Path:
    """Return the folder of the jars of Debian's packages, and unpack the source of one beside it."""
    folder = FOLDER / name
    missing = [
        program for program in ("javac", "java", "apt-get", "dpkg-deb") if shutil.which(program) is None
    ]
    if os.environ.get("CI"):
        pytest.skip(f"{name} is not fetched in CI; elsewhere apt-get fetches it")
    if missing:
        needs = ", ".join(missing)
        pytest.skip(f"{name} needs {needs}: Debian, and apt-get install default-jdk-headless")
    parts = ["jars"] if source is None else ["source", "jars"]
    refusal = keep(folder, parts, lambda made: _fetch(made, packages, source))
    if refusal is not None:
        pytest.skip(f"apt-get cannot fetch {' '.join(packages)}: {refusal}")
    return folder / "jars"


def _fetch(folder: Path, packages: Sequence[str], source: str | None) -> None:
    """Put the jars of packages into jars/ of a folder, and what is wanted of the source into source/."""
    apt = Apt(folder, _sources())
    apt.unpack(*packages)
    (folder / "jars").mkdir()
    for jar in folder.glob("unpacked/usr/share/java/*.jar"):
        if not jar.is_symlink() and "i18n" not in jar.name:
            jar.rename(folder / "jars" / jar.name)
    if source is not None:
        (folder / "source").mkdir()
        archive = str(apt.source(source))
        run(folder, "tar", "-xf", archive, "-C", "source", "--wildcards", "*/spring-websocket/src/main/java")


def _sources() -> dict[str, str]:
    """Return the sources of packages that this machine has, with those of their sources."""
    found = {}
    etc = Path("/etc/apt")
    for place in [etc / "sources.list", *etc.glob("sources.list.d/debian*")]:
        if place.exists():
            text = place.read_text()
            if place.suffix == ".sources":
                text = text.replace("Types: deb\n", "Types: deb deb-src\n")
            else:
                text += "".join(
                    f"deb-src {line[4:]}\n" for line in text.splitlines() if line.startswith("deb ")
                )
            found[place.name] = text
    return found
