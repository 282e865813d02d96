"""The text of a snapshot: what it holds is found again, and what is none is never taken for one."""

import json
from typing import Any

import pytest

from websocket_heartbeat.core.session import Window
from websocket_heartbeat.miniprogram.session.snapshot import Snapshot, decode_snapshot, encode_snapshot


def snapshot() -> Snapshot:
    made = Snapshot("ID.SECRET", 7, 40, 17, Window(256, 262144))
    made.outbox = ["text é", b"\x00\xff", ""]
    made.queue = [b"", "waits"]
    return made


def test_what_a_snapshot_holds_is_found_again() -> None:
    found = decode_snapshot(encode_snapshot(snapshot()))
    assert found is not None
    assert vars(found.theirs) == {"messages": 256, "size": 262144}
    assert {**vars(found), "theirs": None} == {**vars(snapshot()), "theirs": None}


def test_a_snapshot_of_more_than_256_kib_is_none() -> None:
    large = snapshot()
    room = 256 * 1024 - len(encode_snapshot(large).encode())
    large.queue.append("x" * (room - 4))  # two quotes, a comma, and what tells a text
    assert len(encode_snapshot(large).encode()) == 256 * 1024
    large.queue.append("")
    assert encode_snapshot(large) == ""


def test_a_snapshot_with_what_cannot_be_written_is_none() -> None:
    blob = snapshot()
    blob.outbox.append(object())
    assert encode_snapshot(blob) == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"snapshot": 2},
        {"snapshot": None},
        {"snapshot": True},
        {"key": ""},
        {"key": 5},
        {"link": "1"},
        {"link": -1},
        {"at": [0]},
        {"at": [0, 1.5]},
        {"window": [1, -1]},
        {"window": None},
        {"outbox": {}},
        {"outbox": [5]},
        {"outbox": ["bA"]},
        {"queue": ["xyz"]},
        {"queue": None},
    ],
)
def test_a_text_with_a_member_that_is_wrong_is_no_snapshot(wrong: dict[str, Any]) -> None:
    good = json.loads(encode_snapshot(snapshot()))
    assert decode_snapshot(json.dumps(good)) is not None
    assert decode_snapshot(json.dumps({**good, **wrong})) is None


@pytest.mark.parametrize("text", [None, "", 5, b"{}", "{", "[]", "null", "\ud83d", "[" * 100_000])
def test_what_is_no_text_of_an_object_is_no_snapshot(text: Any) -> None:
    assert decode_snapshot(text) is None
