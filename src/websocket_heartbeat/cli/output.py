"""Prints to standard output and standard error, which may be on a full disk, or closed."""

import os
import sys
from contextlib import suppress
from io import TextIOWrapper


class CannotPrint(OSError):
    """Standard output takes nothing; the text says why."""


def have_streams() -> None:
    """Replace the standard streams that were closed before the start, which Python sets to None.

    What standard output cannot encode is escaped, as standard error does by itself.
    """
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", closefd=False)
    if sys.stdout is None:
        # Not writable: what is printed is to fail, as on a full disk, and not to vanish.
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", closefd=False)
    if isinstance(sys.stdout, TextIOWrapper):  # which it is not within the tests of others
        sys.stdout.reconfigure(errors="backslashreplace")


def show(text: object, end: str = "\n") -> None:
    """Print and flush.

    Raises:
        BrokenPipeError: the reader has left, as after `| head`, which is no mistake.
        CannotPrint: it fails for another reason. After either, what is printed goes nowhere.
    """
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        print_nowhere()
        raise
    except OSError as error:
        print_nowhere()
        raise CannotPrint(f"cannot print: {error.strerror}") from None


def tell(text: str) -> None:
    """Print a line on standard error; where nobody reads it any more, the command goes on."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def print_nowhere() -> None:
    """Discard what is printed, and what is left in the buffer, whose flush at the end would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
