"""Which translations are of a page that has changed since: `python tools/translations.py`.

Beside PAGE.md there may be PAGE.zh.md. Its front matter has, as `translates`, the digest of the English page
that it is a translation of. This names the translations whose page has changed, and the pages that must have
one and have none. When a translation is up to date again, `python tools/translations.py --done FILE...` notes
so.
"""

import argparse
import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

REQUIRED = (
    "README.md",
    "js/README.md",
    "docs/index.md",
    "docs/quickstart/python.md",
    "docs/quickstart/mini-programs.md",
    "docs/quickstart/back-end.md",
    "docs/troubleshooting.md",
    "docs/migration/websocket-heartbeat-js.md",
    "docs/migration/websocket-heartbeat-miniprogram.md",
)
"""Pages that must have a translation."""

_NOTE = re.compile(r"^(?:translates: |<!-- translates: )([0-9a-f]*)", re.M)


def translation_of(page: Path) -> Path:
    """Return where the translation of a page is."""
    return page.with_suffix(".zh.md")


def digest(page: Path) -> str:
    """Return what a translation of the page, as it is now, has in its front matter."""
    return sha256(page.read_bytes()).hexdigest()[:16]


def stale(root: Path = ROOT) -> Iterator[str]:
    """Say of each translation that is not of its page as it is now, or is missing."""
    pages = {root / page for page in REQUIRED} | {
        file.with_name(file.name.removesuffix(".zh.md") + ".md")
        for folder in ("", "js/", "docs/**/", "examples/*/")
        for file in root.glob(f"{folder}*.zh.md")
    }
    for page in sorted(pages):
        file = translation_of(page)
        name = file.relative_to(root)
        if not page.exists():
            yield f"{name} translates {page.name}, which there is not"
        elif not file.exists():
            yield f"{name} is missing"
        elif (noted := _NOTE.search(file.read_text(encoding="utf-8"))) is None:
            yield f"{name} does not say what it translates"
        elif noted[1] != digest(page):
            yield f"{page.relative_to(root)} has changed since {name} was translated"


def done(file: Path) -> None:
    """Note that a translation is of its page as it is now."""
    page = file.with_name(file.name.removesuffix(".zh.md") + ".md")
    text = file.read_text(encoding="utf-8")
    note = _NOTE.search(text)
    if note is None:
        raise SystemExit(f"{file} has no line `translates:` in its front matter")
    file.write_text(text[: note.start(1)] + digest(page) + text[note.end(1) :], encoding="utf-8")


def main() -> None:
    """Tell what is stale, or note what is done."""
    parser = argparse.ArgumentParser(description="Which translations are out of date?")
    parser.add_argument("--done", nargs="+", type=Path, metavar="FILE", help="these are up to date")
    arguments = parser.parse_args()
    if arguments.done:
        for file in arguments.done:
            done(file)
        return
    found = list(stale())
    if found:
        raise SystemExit("\n".join(found))


if __name__ == "__main__":
    main()
