"""Says what was probably meant by a word that is not known."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question to put behind an error, or "" if no known word resembles this one."""
    words = list(known)
    close = [each for each in words if each.startswith(word)] or get_close_matches(word, words, n=1)
    return f"; did you mean {close[0]}?" if close else ""
