"""Writes the lines of a script, with the comments and docstrings of the Python."""

import ast
import io
import re
import tokenize
from typing import Final

_FOR_TOOLS: Final = re.compile(r"# *(?:noqa|type: ignore|mypy|ruff)\b[^#]*")


class Writer:
    """The lines of a script, and where in it the translation of one module stands.

    depth: how far the next line is indented.
    """

    def __init__(self, lines: list[str], source: str) -> None:
        self.lines = lines
        self.depth = 0
        self._source = source.split("\n")
        self._comments = _comments(source)

    def write(self, text: str) -> None:
        """Write a line, or several; an empty one is not indented."""
        for line in text.split("\n"):
            self.lines.append(f"{'    ' * self.depth}{line}".rstrip())

    def leave_line(self) -> None:
        """Write an empty line; but not a second one, nor between a docstring and what it is about."""
        if not (self.lines and (self.lines[-1] == "" or self.lines[-1].endswith("*/"))):
            self.write("")

    def explain(self, text: str | None) -> None:
        """Write a docstring as the comment that editors show."""
        lines = (text or "").replace("*/", "* /").strip().splitlines()
        block = ("/**", *(f" * {line}".rstrip() for line in lines), " */")
        for line in block if lines[1:] else (f"/** {line} */" for line in lines):
            self.write(line)

    def begin(self, node: ast.stmt) -> None:
        """Write what stands above a statement, or within a simple one: comments and empty lines."""
        is_compound = hasattr(node, "body")
        last = node.lineno if is_compound else (node.end_lineno or node.lineno)
        comments = sorted(line for line in self._comments if line <= last)
        first = min([node.lineno, *comments])
        for line in range(max(first - 1, 1), last + 1):
            if line in comments:
                self.write(f"// {self._comments.pop(line)}")
            elif line < node.lineno and not self._source[line - 1].strip():
                self.leave_line()


def _comments(source: str) -> dict[int, str]:
    """The comments for people, by line; of those behind code, what is not for tools."""
    found: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            text = _FOR_TOOLS.sub("", token.string).strip("# ")
            if text:
                # U+2028 ends a line in JavaScript, but not in Python.
                found[token.start[0]] = " ".join(text.splitlines())
    return found
