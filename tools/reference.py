"""What mkdocstrings must know of our docstrings: a line `name: what it means` is one of a list of names."""

import re
from typing import Any

import griffe

_NAMES = re.compile(r"^([a-z]\w*(?:, [a-z]\w*)*): ", re.M)


class NamesAsList(griffe.Extension):
    """Makes a list of the arguments, fields and options that a docstring explains one by one."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe with each object that it has read."""
        if obj.docstring is None:
            return
        lines: list[str] = []
        for line in obj.docstring.value.splitlines():
            # A heading such as "Raises:" has nothing behind it, and its lines are indented.
            named = _NAMES.match(line)
            if named and lines and lines[-1] and not lines[-1].startswith(("- ", "    ")):
                lines.append("")
            if named:
                names = ", ".join(f"`{name}`" for name in named[1].split(", "))
                line = f"- {names}: {line[named.end() :]}"
            lines.append(line)
        obj.docstring.value = "\n".join(lines)
