"""What a process leaves to the next one, as a text: docs/session.md, chapter 13."""

from typing import Any, Final

from websocket_heartbeat.core.session import Window
from websocket_heartbeat.miniprogram.language import copied, elements_of, is_bytes, is_text, record, to_base64
from websocket_heartbeat.miniprogram.session.controls import Pair, pair_of, pair_to
from websocket_heartbeat.miniprogram.session.frames import (
    from_json,
    is_count,
    size_of,
    to_json,
    unpacked,
)

VERSION: Final = 1
LARGEST: Final = 262144
"""Bytes of a snapshot at most: what a host has stored when it stops the program is little."""


class Snapshot:
    """The client's half of a session, without what it has received and not handled: that comes again.

    key, link: as in core/resume.py. acked, done, theirs: as in core/session.py.
    outbox: the messages after `acked`. queue: those that the user has sent and that have no number yet.
    """

    def __init__(self, key: str, link: int, acked: int, done: int, theirs: Window) -> None:
        self.key = key
        self.link = link
        self.acked = acked
        self.done = done
        self.theirs = theirs
        self.outbox: list[Any] = []
        self.queue: list[Any] = []


def encode_snapshot(snapshot: Snapshot) -> str:
    """The text of a snapshot; "" if it would be too large, or holds a Blob, which cannot be read at once."""
    outbox = _packed(snapshot.outbox)
    queue = _packed(snapshot.queue)
    if outbox is None or queue is None:
        return ""
    members = record(None)
    members["snapshot"] = VERSION
    members["key"] = snapshot.key
    members["link"] = snapshot.link
    members["at"] = pair_to(snapshot.acked, snapshot.done)
    members["window"] = pair_to(snapshot.theirs.messages, snapshot.theirs.size)
    members["outbox"] = outbox
    members["queue"] = queue
    text = to_json(members)
    return text if size_of(text) <= LARGEST else ""


def decode_snapshot(text: Any) -> Snapshot | None:
    """The snapshot that a text is; None if it is none, or one of another version."""
    members: dict[str, Any] | None = from_json(text) if is_text(text) else None
    if members is None or not is_count(members["snapshot"]):
        return None
    version: int = members["snapshot"]
    at: Pair | None = pair_of(members["at"])
    window: Pair | None = pair_of(members["window"])
    outbox = _unpacked(members["outbox"])
    queue = _unpacked(members["queue"])
    is_whole = is_text(members["key"]) and is_count(members["link"]) and version == VERSION
    if not is_whole or at is None or window is None or outbox is None or queue is None:
        return None
    key: str = members["key"]
    link: int = members["link"]
    snapshot = Snapshot(key, link, at.first, at.second, Window(window.first, window.second))
    snapshot.outbox = outbox
    snapshot.queue = queue
    return snapshot if key != "" else None


def _packed(messages: list[Any]) -> list[Any] | None:
    """Messages as texts: which kind each is, and itself, bytes as base64; None if one cannot be read now."""
    packed: list[Any] = []
    rest = elements_of(messages)
    while rest is not None and len(rest) > 0:
        data: Any = rest.pop(0)
        if is_text(data):
            text: str = data
            packed.append("t" + text)
        elif is_bytes(data):
            packed.append("b" + to_base64(copied(data)))
        else:
            return None
    return packed


def _unpacked(values: Any) -> list[Any] | None:
    """The messages that are packed in an array; None if it is something else."""
    messages: list[Any] = []
    rest = elements_of(values)
    while rest is not None and len(rest) > 0:
        data = unpacked(rest.pop(0))
        if data is None:
            return None
        messages.append(data)
    return None if rest is None else messages
