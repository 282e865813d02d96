"""Whether the code of a page's translation is that of the page, so that running one of them is enough.

Comments and blanks may differ, and so may the words of a string or of what is printed, where they are in
Chinese: what is in braces, which an f-string evaluates, may not.
"""

import re
from itertools import zip_longest
from pathlib import Path

from tests.docs.pages import Block, blocks

_PARTS = re.compile(
    r"""(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`)|(?P<comment>(?:#|//).*)|(?P<code>\S)"""
)
_FIELD = re.compile(r"\{[^{}]*\}")


def has_code_of(translation: Path, page: Path) -> bool:
    """Say whether each block of a translation has the code of the page's."""
    return all(
        ours is not None and theirs is not None and _is_same(ours, theirs)
        for ours, theirs in zip_longest(blocks(translation), blocks(page))
    )


def _is_same(ours: Block, theirs: Block) -> bool:
    if (ours.language, ours.title) != (theirs.language, theirs.title):
        return False
    split = str.splitlines if ours.language in {"text", "console"} else _parts
    pairs = list(zip_longest(split(ours.text), split(theirs.text)))
    return all(a is not None and b is not None and _says_same(a, b) for a, b in pairs)


def _parts(text: str) -> list[str]:
    return [found[0] for found in _PARTS.finditer(text) if found.lastgroup != "comment"]


def _says_same(ours: str, theirs: str) -> bool:
    return ours == theirs or (
        not ours.isascii() and len(theirs) > 1 and _FIELD.findall(ours) == _FIELD.findall(theirs)
    )
