"""The messages of the chaos load: kind and size of each follow from its number, so that each can be checked.

What a client sends is numbered from 1 on. Of each such message follows how many answers the back end sends;
the number of an answer has the life of the back end's process, that of the message, and its place among them.
"""

from collections.abc import Iterator

from websocket_heartbeat.events import Message

WAYS = ("coroutine", "function", "loop")
"""How the back end takes messages: by a coroutine function, a plain one, a loop over the peer. Of client n it
is the n-th, and so on in turn."""

MANGLED = 0
"""The number of what nobody has sent."""

MAX_SIZE = 2**21
"""The largest message that a client takes, in bytes."""

_FILLING = "0123456789abcdef" * 2**16 + "é漢😀 " * 2**16
_WIDE = 2**20
"""Where the filling has characters of more than one byte."""


def answer_number(life: int, number: int, place: int) -> int:
    """Return the number of an answer."""
    return life << 40 | number << 8 | place


def answers_to(client: int, number: int) -> int:
    """Return how many answers a message gets: mostly one, sometimes none or a burst."""
    chance = _chance(client, number, 1)
    if chance < 40:
        return 0
    if chance < 850:
        return 1
    return 2 + chance % 3 if chance < 995 else 5 + chance % 30


def sent(client: int, number: int) -> Message:
    """Return the message of a client."""
    chance = _chance(client, number, 2)
    if _is_empty(client, number):
        return "" if chance % 2 else b""
    size = chance % 160 if chance < 980 else chance * 12
    if chance % 997 == 0 and number % 29 == 0:
        size = 300_000  # more than the window
    return _message(number, size, chance)


def answer(client: int, number: int, place: int, life: int) -> Message:
    """Return an answer."""
    chance = _chance(client, number * 256 + place, 3)
    if place % 2 == 1 and chance % 5 == 0:  # the one before it tells which it is
        return "" if chance % 2 else b""
    size = chance % 120 if chance < 980 else chance * 9
    if place > 4 and chance % 41 == 0 and client % len(WAYS) != WAYS.index("function"):
        size = 1_200_000  # more than the window, where the back end waits for room
    return _message(answer_number(life, number, place), size, chance)


def answers(client: int, number: int, life: int) -> Iterator[Message]:
    """Yield the answers to a message."""
    for place in range(answers_to(client, number)):
        yield answer(client, number, place, life)


def identify_sent(client: int, message: Message, expected: int) -> int:
    """Return the number of a client's message; an empty one is the one expected, if that is empty."""
    number = expected if len(message) == 0 else _number_in(message)
    return number if number > 0 and sent(client, number) == message else MANGLED


def identify_answer(client: int, message: Message, before: int) -> int:
    """Return the number of an answer; an empty one is the next after `before`, if that is empty."""
    whole = before + 1 if len(message) == 0 else _number_in(message)
    life, number, place = whole >> 40, whole >> 8 & 2**32 - 1, whole & 255
    if whole <= 0 or place >= answers_to(client, number):
        return MANGLED
    return whole if answer(client, number, place, life) == message else MANGLED


def _is_empty(client: int, number: int) -> bool:
    return _chance(client, number, 4) < 20


def _chance(client: int, number: int, use: int) -> int:
    """Return what looks like a random number below 1000."""
    mixed = (number * 0x9E3779B1 + client * 0x85EBCA6B + use * 0xC2B2AE35) & 0xFFFFFFFF
    mixed = ((mixed ^ mixed >> 15) * 0x2C1B3C6D) & 0xFFFFFFFF
    return ((mixed ^ mixed >> 12) * 0x297A2D39 >> 7 & 0xFFFFFF) % 1000


def _message(number: int, size: int, chance: int) -> Message:
    begin = _WIDE - size // 2 if chance % 3 == 0 else number % 1000
    text = f"{number}:{_FILLING[begin : begin + size]}"
    return text.encode() if chance % 4 == 0 else text


def _number_in(message: Message) -> int:
    head = message[:20]
    digits, colon, _ = (head if isinstance(head, str) else head.decode("utf-8", "replace")).partition(":")
    return int(digits) if colon and digits.isascii() and digits.isdigit() else MANGLED
