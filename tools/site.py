"""What mkdocs must know of this repository: links out of docs/, pages that are files elsewhere, the search.

A page whose front matter has `source: FILE` is that file of the repository, with its links set right. A link
that leads out of docs/ leads to such a page, if one is made of its file, or else to the repository.

Each language has an index of its own for the search, so that who reads Chinese finds a page in English only
where there is no other.
"""

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority

_ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"^(?P<fence>```+)[^\n]*\n.*?^(?P=fence)", re.M | re.S)
_SOURCE = re.compile(r"\A---\n(?:.*\n)*?source: *(\S+)\n(?:.*\n)*?---\n")
_BASE = re.compile(r'(<script id="__config"[^>]*>\{[^<]*?"base": ")[^"]*')
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


def on_post_page(output: str, page: Any, config: Any, **_: object) -> str:
    """Called by mkdocs with the HTML of each page."""
    if not page.file.url.startswith("zh/"):
        return output
    # mkdocs-material needs the base for nothing but the index, and for the pages that are named there.
    base = posixpath.relpath("zh", posixpath.dirname(page.file.url))
    return _BASE.sub(lambda match: match[1] + base, output)


@event_priority(-101)  # the plugin i18n has -100
def on_post_build(config: Any, **_: object) -> None:
    """Called by mkdocs at the end, when the index of all languages is written."""
    path = Path(config.site_dir) / "search" / "search_index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    both = {"": [entry for entry in index["docs"] if not entry["location"].startswith("zh/")]}
    both["zh"] = [
        {**entry, "location": entry["location"].removeprefix("zh/")}
        for entry in index["docs"]
        if entry["location"].startswith("zh/")
    ]
    translated = {page_of(entry) for entry in both["zh"]}
    both["zh"] += [entry for entry in both[""] if page_of(entry) not in translated]
    for language, docs in both.items():
        file = Path(config.site_dir) / language / "search" / "search_index.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({**index, "docs": docs}, ensure_ascii=False), encoding="utf-8")


def page_of(entry: dict[str, str]) -> str:
    """Return the page of an entry of the index, whose location may have an anchor."""
    return entry["location"].partition("#")[0]
