"""What a close reason asks us to wait."""

import pytest

from websocket_heartbeat.core.hint import hint_of


@pytest.mark.parametrize(
    ("reason", "seconds"),
    [
        ("retry-after=30", 30),
        ("Retry-After: 2.5", 2.5),
        ("going away, RETRY-AFTER 007 please", 7),
        ("retry-after, that is retry-after = 1.25s", 1.25),
        ("retry-after=5.", 5),
        ("retry-after=1e3", 1),
        ("retry-after=0.001", 0.001),
        ("retry-after=0", 0),
        ("retry-after=3, not retry-after=5", 3),
        ("retry-after what? retry-after=3, not retry-after=5", 3),
    ],
)
def test_the_seconds_of_a_hint_are_read_wherever_it_stands(reason: str, seconds: float) -> None:
    assert hint_of(reason) == seconds


@pytest.mark.parametrize(
    "reason",
    [
        "",
        "retry",
        "retry-after",
        "retry-after=",
        "retry-after5",
        "retry-after=-5",
        "retry-after=.5",
        "after=5",
    ],
)
def test_a_reason_without_a_number_asks_for_nothing(reason: str) -> None:
    assert hint_of(reason) == 0
