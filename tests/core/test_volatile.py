"""How many volatile messages may wait: docs/session.md, chapter 5."""

from hypothesis import given, settings
from hypothesis import strategies as st

from websocket_heartbeat.core.session import Window
from websocket_heartbeat.core.volatile import VOLATILE, Waiting

SAME = settings(derandomize=True, deadline=None)
"""The same examples in each run, as that of a mutant is judged by them."""


def test_a_volatile_message_has_a_sign_in_place_of_a_number() -> None:
    assert VOLATILE == "~"


def test_nothing_waits_at_first() -> None:
    waiting = Waiting(Window(3, 10))
    assert (waiting.messages, waiting.size) == (0, 0)


def test_as_many_wait_as_the_window_has_room_for() -> None:
    waiting = Waiting(Window(3, 100))
    assert [waiting.add(1) for _ in range(5)] == [True, True, True, False, False]
    assert (waiting.messages, waiting.size) == (3, 3)
    waiting.remove(1)
    assert (waiting.messages, waiting.size) == (2, 2)
    assert waiting.add(1)
    assert not waiting.add(1)


def test_as_much_waits_as_the_window_has_room_for() -> None:
    waiting = Waiting(Window(100, 10))
    assert [waiting.add(size) for size in (4, 7, 6, 1, 0)] == [True, False, True, False, True]
    assert (waiting.messages, waiting.size) == (3, 10)
    waiting.remove(4)
    assert (waiting.messages, waiting.size) == (2, 6)
    assert not waiting.add(5)
    assert waiting.add(4)


@SAME
@given(st.integers(0, 2), st.integers(0, 10), st.integers(0, 1000))
def test_one_may_always_wait(messages: int, window: int, size: int) -> None:
    waiting = Waiting(Window(messages, window))
    for _ in range(2):
        assert waiting.add(size)
        waiting.remove(size)
