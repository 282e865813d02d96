"""What mkdocstrings must know of our docstrings: names that one explains, line by line, are a list."""

import re
from collections.abc import Iterator
from typing import Any

import griffe

_NAMES = re.compile(r"([A-Za-z]\w*(?:, [A-Za-z]\w*)*): ")


def listed(text: str) -> str:
    """Return a docstring with its arguments, fields, options and errors as lists of Markdown."""
    return "\n".join(_lines(text))


def _lines(text: str) -> Iterator[str]:
    is_raises = in_list = False
    for line in text.splitlines():
        if line.rstrip() == "Raises:":
            is_raises = True
            yield from ("**Raises:**", "")
            continue
        if is_raises:
            if line and not line.startswith(" "):
                is_raises = False
            elif re.match(r" {4}\S", line):  # each line there is an item, but for those that go on
                line = _item(line.strip())
            yield line
            continue
        if re.match(r"[a-z]", line) and _NAMES.match(line):
            if not in_list:
                yield ""
            in_list = True
            yield _item(line)
            continue
        in_list = in_list and line.startswith(" ")
        yield line


def _item(line: str) -> str:
    names = _NAMES.match(line)
    if names is None:
        return f"- {line}"
    return "- " + ", ".join(f"`{name}`" for name in names[1].split(", ")) + ": " + line[names.end() :]


class NamesAsList(griffe.Extension):
    """Hands docstrings on as `listed` makes them."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe with each object that it has read."""
        if obj.docstring is not None:
            obj.docstring.value = listed(obj.docstring.value)
