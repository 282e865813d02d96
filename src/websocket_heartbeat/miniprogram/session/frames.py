"""Frames, numbers and JSON objects of a session, for CPython; for JavaScript see handwritten/frames.js."""

import asyncio
import binascii
import json
from collections.abc import Callable
from typing import Any

from websocket_heartbeat.miniprogram.language import Record, from_base64, read, to_base64


def framed(character: str, data: Any) -> Any:
    """A message with its character before it: text, or an ArrayBuffer; a Blob, where the message is one."""
    return character + data if isinstance(data, str) else character.encode() + bytes(data)


def framed_as_text(character: str, data: Any) -> str:
    """A binary message with its character, for a link that has no binary frames."""
    return "%" + character + to_base64(data)


def unframed(text: str) -> Any:
    """The frame that a text stands for, without the % before it; empty if it stands for none."""
    try:
        return text[:1].encode("ascii") + bytes(from_base64(text[1:]))
    except (UnicodeEncodeError, binascii.Error):
        return b""


def first_of(data: Any) -> str:
    """The first character of a frame, or the character that its first byte stands for; "" if it is empty."""
    return data[:1] if isinstance(data, str) else bytes(data[:1]).decode("latin-1")


def rest_of(data: Any) -> Any:
    """A frame without its first character, or its first byte."""
    return data[1:]


def size_of(data: Any) -> float:
    """The bytes of a message as it is sent; of a text, those of its UTF-8."""
    return len(data.encode(errors="replace")) if isinstance(data, str) else len(data)


def length_of(data: Any) -> float:
    """The characters of a text, which are never more than its bytes; the bytes of anything else."""
    return len(data)


def take_bytes(native: Any) -> None:
    """Have a socket of a page give bytes as an ArrayBuffer: a Blob cannot be read at once."""
    if isinstance(read(native, "binaryType"), str):
        native.binaryType = "arraybuffer"


def selected(native: Any, event: Any) -> str | None:
    """The subprotocol that a server has selected: "" for none, nothing where the host does not say.

    native: the host's socket. event: that of its opening, with the headers of the answer on some hosts.
    """
    if isinstance(read(native, "protocol"), str):
        return str(native.protocol)
    headers = {name.lower(): value for name, value in (read(event, "header") or {}).items()}
    none = "" if "sec-websocket-accept" in headers else None
    value = headers.get("sec-websocket-protocol", none)
    return None if value is None else str(value)


def text_of(number: float) -> str:
    """The digits of a whole number."""
    return str(int(number))


def whole_number(text: str) -> int | None:
    """The whole number that a text is; nothing if it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else None


def is_count(value: Any) -> bool:
    """Whether a value is a whole number from 0 to below 2^53."""
    return type(value) is int and 0 <= value < 2**53


def to_json(members: dict[str, Any]) -> str:
    """The text of an object."""
    return json.dumps(members, separators=(",", ":"))


def from_json(text: str) -> Any:
    """The object that a text stands for; nothing if it is none."""
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return Record(members) if isinstance(members, dict) else None


def unpacked(value: Any) -> Any:
    """The message that a text of a snapshot stands for; nothing if it stands for none."""
    if isinstance(value, str) and value[:1] == "t":
        return value[1:]
    try:
        return from_base64(value[1:]) if isinstance(value, str) and value[:1] == "b" else None
    except binascii.Error:
        return None


def place_of(number: int) -> int:
    """The place of a message among the characters that stand for numbers."""
    return number % 64


def promise(take: Callable[[Callable[[], None], Callable[[str], None]], None]) -> Any:
    """A promise; `take` gets what keeps it, and what breaks it with the text of an error."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def keep() -> None:
        if not future.done():
            future.set_result(None)

    def fail(text: str) -> None:
        if not future.done():
            future.set_exception(ConnectionError(text))

    take(keep, fail)
    return future
