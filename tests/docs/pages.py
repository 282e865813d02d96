"""The pages of the documentation, and the fenced blocks in them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

PAGES = sorted(DOCS.rglob("*.md"))
ENGLISH = [page for page in PAGES if not page.name.endswith(".zh.md")]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<head>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S)


class Block(NamedTuple):
    """A fenced block: its language, the name of the file that it is, or "", its text, and its first line."""

    language: str
    title: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for fence in _FENCE.finditer(text):
        language, _, rest = fence["head"].partition(" ")
        title = re.search(r'title="([^"]+)"', rest)
        lines = [line.removeprefix(fence["indent"]) for line in fence["text"].splitlines(keepends=True)]
        line = text.count("\n", 0, fence.start()) + 1
        yield Block(language, title[1] if title else "", "".join(lines), line)
