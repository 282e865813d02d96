"""How long a server asks us to wait before we come back, in the reason of its close frame."""

from typing import Final

WORD: Final = "retry-after"
SEPARATORS: Final = "=: "
DIGITS: Final = "0123456789"


def hint_of(reason: str) -> float:
    """Return the seconds of `retry-after=SECONDS` in a close reason, 0 if it has none.

    It may stand anywhere in the reason, in any case, with `:` or spaces in place of `=`. This is our own
    convention: a close frame has no headers.
    """
    rest = reason.lower()
    at = rest.find(WORD)
    while at >= 0:
        rest = rest[at + len(WORD) :]
        separators = _count_leading(rest, SEPARATORS)
        number = rest[separators:]
        if separators > 0 and _count_leading(number, DIGITS) > 0:
            return _leading_number(number)
        at = rest.find(WORD)
    return 0.0


def _leading_number(text: str) -> float:
    """The number that `text` begins with: digits, and perhaps a point and more digits."""
    whole = _count_leading(text, DIGITS)
    places = _count_leading(text[whole + 1 :], DIGITS) if text[whole : whole + 1] == "." else 0
    number = _followed_by(_followed_by(0.0, text[:whole]), text[whole + 1 : whole + 1 + places])
    while places > 0:
        number = number / 10
        places = places - 1
    return number


def _followed_by(before: float, digits: str) -> float:
    """The number that is written as `before`, followed by `digits`."""
    number = before
    at = 0
    while at < len(digits):
        number = number * 10 + DIGITS.find(digits[at : at + 1])
        at = at + 1
    return number


def _count_leading(text: str, characters: str) -> int:
    """How many characters at the beginning of `text` are among `characters`."""
    count = 0
    while count < len(text) and characters.find(text[count : count + 1]) >= 0:
        count = count + 1
    return count
