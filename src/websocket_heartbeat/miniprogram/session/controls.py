"""The JSON objects of a session's handshake, as a client says and hears them: docs/session.md, 4.2."""

from typing import Any, Final

from websocket_heartbeat.core.resume import (
    END,
    GREETING_CONTROL,
    HELLO,
    RESUME,
    RESUMED,
    WELCOME,
    Control,
)
from websocket_heartbeat.core.session import Window
from websocket_heartbeat.miniprogram.language import elements_of, is_text, record
from websocket_heartbeat.miniprogram.session.frames import from_json, is_count, to_json

LARGEST_CONTROL: Final = 4096
"""Characters of such an object at most."""


class Pair:
    """Two whole numbers."""

    def __init__(self, first: int, second: int) -> None:
        self.first = first
        self.second = second


def encode(control: Control) -> str:
    """The text of what a client says."""
    members = record(None)
    if control.kind == HELLO:
        members["hello"] = 1
    elif control.kind == RESUME:
        members["resume"] = control.key
        members["link"] = control.link
        members["in"] = pair_to(control.done, control.got)
        members["out"] = pair_to(control.acked, control.sent)
    else:
        members["end"] = control.why
    if control.kind != END:
        members["window"] = pair_to(control.window.messages, control.window.size)
        members["max"] = control.max
        members["binary"] = control.binary
    return to_json(members)


def decode(text: str) -> Control | None:
    """The object that a server says; None if the text is none."""
    members: dict[str, Any] | None = from_json(text) if len(text) <= LARGEST_CONTROL else None
    if members is None:
        return None
    if members["session"] is not None:
        return _greeting(members)
    if members["welcome"] is not None:
        return _welcome(members)
    return _end(members)


def _greeting(members: dict[str, Any]) -> Control | None:
    window = pair_of(members["window"])
    if window is None or not is_count(members["max"]):
        return None
    control = Control(GREETING_CONTROL)
    control.window = Window(window.first, window.second)
    largest: int = members["max"]
    control.max = largest
    control.protocol = _text(members["protocol"])
    return control


def _welcome(members: dict[str, Any]) -> Control | None:
    control = Control(WELCOME)
    control.answer = _text(members["welcome"])
    control.key = _text(members["key"])
    control.why = _text(members["why"])
    if control.answer == RESUMED:
        received = pair_of(members["in"])
        if received is None:
            return None
        control.done = received.first
        control.got = received.second
    elif is_count(members["done"]):
        done: int = members["done"]
        control.done = done
    return control


def _end(members: dict[str, Any]) -> Control | None:
    if not is_text(members["end"]):
        return None
    control = Control(END)
    control.why = _text(members["end"])
    return control


def _text(value: Any) -> str:
    """The text that a member is; empty where it is none."""
    text: str = value if is_text(value) else ""
    return text


def pair_to(first: float, second: float) -> list[Any]:
    """An array of two numbers."""
    pair: list[Any] = []
    pair.append(first)
    pair.append(second)
    return pair


def pair_of(value: Any) -> Pair | None:
    """The two numbers of an array; None if it is something else."""
    numbers = elements_of(value)
    if numbers is None or len(numbers) != 2:
        return None
    first: Any = numbers.pop(0)
    second: Any = numbers.pop(0)
    return Pair(first, second) if is_count(first) and is_count(second) else None
