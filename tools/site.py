"""What mkdocs must know of this repository: links that lead out of docs/, and pages that are files elsewhere.

A page whose front matter has `source: FILE` is that file of the repository, with its links set right. A link
that leads out of docs/ leads to such a page, if one is made of its file, or else to the repository.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"^(?P<fence>```+)[^\n]*\n.*?^(?P=fence)", re.M | re.S)
_SOURCE = re.compile(r"\A---\n(?:.*\n)*?source: *(\S+)\n(?:.*\n)*?---\n")
_DIAGRAM = re.compile(r"^```mermaid\n.*?^```\n", re.M | re.S)


def sources() -> dict[str, str]:
    """Return which files of the repository are pages: the path of the page by that of the file."""
    found = {}
    for page in sorted((_ROOT / "docs").rglob("*.md")):
        match = _SOURCE.match(page.read_text(encoding="utf-8"))
        if match and not page.name.endswith(".zh.md"):
            found[match[1]] = page.relative_to(_ROOT).as_posix()
    return found


def leading(text: str, file: str, page: str, repository: str) -> str:
    """Return Markdown with each link of a file as it must be on a page; both are paths in the repository."""
    pages = sources()

    def led(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(file), link[1]))
        target = pages.get(target, target)
        anchor = link[2] or ""
        if target.startswith("docs/"):
            return posixpath.relpath(target, posixpath.dirname(page)) + anchor
        kind = "tree" if (_ROOT / target).is_dir() else "blob"
        return f"{repository}/{kind}/main/{target}{anchor}"

    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [_LINK.sub(led, text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, _LINK.sub(led, text[end:])])


def on_page_markdown(markdown: str, page: Any, config: Any, **_: object) -> str:
    """Called by mkdocs with each page."""
    path = f"docs/{page.file.src_uri}"
    file = page.meta.get("source", path)
    if file != path:
        markdown = (_ROOT / file).read_text(encoding="utf-8")
    # mkdocs-material would load the program that draws a diagram from another host.
    markdown = _DIAGRAM.sub("![The states of a connection](figures/state-diagram.svg)\n", markdown)
    return leading(markdown, file, path, config.extra["repository"])
