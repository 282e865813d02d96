"""What a trap finds out about a client: one cell of the table."""

from dataclasses import dataclass

HANDLED, PARTLY, FAILED, NOT_APPLICABLE, UNPROVOKED = "handled", "partly", "failed", "n/a", "not provoked"
PATIENCE = 12.0
"""Seconds after which something counts as never."""


@dataclass(frozen=True)
class Verdict:
    """One cell: the word, the figure, what there is to add, and a number of which less is better."""

    word: str
    figure: str = ""
    note: str = ""
    number: float | None = None


class NotProvoked(Exception):
    """The trap could not be set for this client; the text says why."""


def by_time(seconds: float | None, handled: float, partly: float) -> Verdict:
    if seconds is None:
        return Verdict(FAILED, f"not within {PATIENCE:.0f} s")
    word = HANDLED if seconds <= handled else PARTLY if seconds <= partly else FAILED
    return Verdict(word, f"{seconds:.1f} s", "", seconds)
