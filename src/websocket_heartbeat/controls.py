"""The JSON objects and numbers by which the halves of a session talk about it: docs/session.md, 3 and 4.

Members that are not known are ignored; one that is missing or wrong makes the object nothing.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from websocket_heartbeat.core.resume import END, GREETING_CONTROL, HELLO, RESUME, RESUMED, WELCOME, Control
from websocket_heartbeat.core.session import CHARACTERS, Window

SUBPROTOCOL = "websocket-heartbeat.v1"
"""What a client offers that speaks of sessions, and a server selects."""

MAX_SIZE = 4096
"""Characters of such an object at most."""

NUMBERED = frozenset(CHARACTERS)
"""The first characters of numbered messages."""

_VERSION = 1
_MOST = 2**53


def encode(control: Control) -> str:
    """Return the text of a control."""
    kind = control.kind
    members: dict[str, Any]
    if kind == GREETING_CONTROL:
        members = {"session": _VERSION, "window": _pair(control.window), "max": control.max}
        members |= {"ttl": control.ttl, "protocol": control.protocol}
    elif kind == HELLO:
        members = {"hello": _VERSION, "window": _pair(control.window), "max": control.max}
        members |= {"binary": control.binary}
    elif kind == RESUME:
        members = {"resume": control.key, "link": control.link}
        members |= {"in": [control.done, control.got], "out": [control.acked, control.sent]}
        if control.max:
            members |= {"window": _pair(control.window), "max": control.max}
        if not control.binary:
            members["binary"] = False
    elif kind == WELCOME:
        members = {"welcome": control.answer}
        if control.answer == RESUMED:
            members["in"] = [control.done, control.got]
        elif control.key:
            members["key"] = control.key
        if control.why:
            members["why"] = control.why
        if control.answer != RESUMED and control.done:
            members["done"] = control.done
    else:
        members = {"end": control.why}
    return json.dumps(members, separators=(",", ":"))


def decode(text: str) -> Control | None:
    """Return the control of a text, None if it is none."""
    if len(text) > MAX_SIZE:
        return None
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict):
        return None
    kinds = [kind for kind in (GREETING_CONTROL, HELLO, RESUME, WELCOME, END) if kind in members]
    if len(kinds) != 1:
        return None
    control = Control(kinds[0])
    try:
        _fill(control, members)
    except (KeyError, TypeError, ValueError):
        return None
    return control


def marked_as_text(mark: str, message: str | bytes) -> str:
    """Return a message with a character before it, for a link that has no binary frames: chapter 15."""
    return mark + message if isinstance(message, str) else f"%{mark}{base64.b64encode(message).decode()}"


def unframed(text: str) -> bytes | None:
    """Return the binary frame that a text frame stands for, without the % before it; None: it is none."""
    try:
        return text[:1].encode("ascii") + base64.b64decode(text[1:], validate=True)
    except (ValueError, binascii.Error):
        return None


def number_of(text: str) -> int | None:
    """Return the number of an acknowledgement or a probe, without what goes before and behind; None: none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else None


def _fill(control: Control, members: dict[str, Any]) -> None:
    if control.kind in (GREETING_CONTROL, HELLO):
        control.window = Window(*_numbers(members["window"]))
        control.max = _number(members["max"])
        control.protocol = _text(members.get("protocol", ""))
        control.ttl = _number(members.get("ttl", 0))
        control.binary = members.get("binary") is not False
    elif control.kind == RESUME:
        control.key = _text(members["resume"])
        control.link = _number(members["link"])
        control.done, control.got = _numbers(members["in"])
        control.acked, control.sent = _numbers(members["out"])
        control.window = Window(*_numbers(members.get("window", (0, 0))))
        control.max = _number(members.get("max", 0))
        control.binary = members.get("binary") is not False
    elif control.kind == WELCOME:
        control.answer = _text(members["welcome"])
        control.key = _text(members.get("key", ""))
        control.why = _text(members.get("why", ""))
        control.done, control.got = _numbers(members.get("in", (members.get("done", 0), 0)))
    else:
        control.why = _text(members["end"])


def _pair(window: Window) -> list[float]:
    return [window.messages, window.size]


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < _MOST:
        raise ValueError
    return value


def _numbers(values: Sequence[object]) -> tuple[int, int]:
    first, second = values
    return _number(first), _number(second)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # a lone surrogate is no text: logs, files and databases refuse it
    return value
