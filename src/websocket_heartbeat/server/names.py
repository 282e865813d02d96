"""What rooms and principals are called among processes, which exchange JSON: any hashable value names one."""

from collections.abc import Hashable, Iterable
from typing import Any


def text_of(name: Hashable) -> str:
    """Return the text that tells a name from all others, in every process where its repr is the same."""
    return f"{type(name).__qualname__} {name!r}"


def sent_as(name: Hashable) -> Any:
    """Return what `named` finds the name by, as JSON carries it."""
    return name if type(name) in (str, int) else [text_of(name)]


def named(sent: Any, names: Iterable[Hashable]) -> Hashable | None:
    """Return the name that another process has sent; None: there is none such among those here."""
    if not isinstance(sent, list):
        found: Hashable = sent
        return found
    return next((name for name in names if text_of(name) == sent[0]), None)
