"""One half of a session: docs/session.md, chapters 5 and 6. Two of them over links are in test_session.py."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from websocket_heartbeat.core.session import CHARACTERS, OUT_OF_STEP, VIOLATION, Half, Window

SAME = settings(derandomize=True, deadline=None)
"""The same examples in each run, as that of a mutant is judged by them."""


def sender(messages: float, size: float) -> Half:
    """A half whose peer takes so much."""
    half = Half(Window(1, 1))
    half.theirs = Window(messages, size)
    return half


def received(count: int, size: float = 1, window: Window | None = None) -> Half:
    """A half that has received so many messages and handled none."""
    half = Half(window or Window(1000, 1000))
    for number in range(1, count + 1):
        assert half.take(CHARACTERS[number % 64], size) == 0
    return half


def outbox(half: Half) -> list[int]:
    """The numbers of what is kept."""
    numbers = []
    kept = half.after(0)
    while kept is not None:
        numbers.append(kept.number)
        kept = kept.next
    return numbers


# What we send


def test_nothing_is_known_of_the_peer_before_it_speaks() -> None:
    half = Half(Window(8, 100))
    assert (half.theirs.messages, half.theirs.size) == (0, 0)
    assert (half.ours.messages, half.ours.size) == (8, 100)
    assert (half.sent, half.acked, half.got, half.done, half.recorded, half.told) == (0, 0, 0, 0, 0, 0)
    assert (half.size(), half.is_much_handled) == (0, False)
    assert half.after(0) is None


def test_what_is_accepted_has_the_next_number_and_its_character() -> None:
    half = sender(100, 100)
    assert [half.accept(payload, 2) for payload in ("one", "two")] == ["B", "C"]
    kept = half.after(0)
    assert kept is not None
    assert (kept.number, kept.character, kept.payload, kept.size) == (1, "B", "one", 2)
    kept = kept.next
    assert kept is not None
    assert (kept.number, kept.character, kept.payload, kept.next) == (2, "C", "two", None)


def test_the_window_is_full_when_as_many_messages_are_unacknowledged() -> None:
    half = sender(3, 100)
    for _ in range(3):
        assert half.has_room()
        half.accept("", 1)
    assert not half.has_room()
    half.acknowledged(1)
    assert half.has_room()


def test_the_window_is_full_when_as_much_is_unacknowledged_and_the_last_may_go_beyond_it() -> None:
    half = sender(100, 10)
    half.accept("", 9)
    assert half.has_room()
    half.accept("", 1)
    assert not half.has_room()
    half.acknowledged(1)
    assert half.has_room()
    half.accept("", 1000)
    assert not half.has_room()


@pytest.mark.parametrize("window", [Window(0, 0), Window(0, 100), Window(100, 0)])
def test_one_message_always_has_room(window: Window) -> None:
    half = sender(window.messages, window.size)
    assert half.has_room()
    half.accept("", 1)
    assert not half.has_room()
    half.acknowledged(1)
    assert half.has_room()
    half.accept("", 1)
    assert not half.has_room()


def test_a_window_is_half_full_when_more_than_half_is_taken_in_messages_or_in_size() -> None:
    half = sender(4, 100)
    taken = []
    for _ in range(4):
        taken.append(half.is_half_full())
        half.accept("", 1)
    assert taken == [False, False, False, True]
    half.acknowledged(2)
    assert not half.is_half_full()
    half = sender(100, 10)
    half.accept("", 5)
    assert not half.is_half_full()
    half.accept("", 1)
    assert half.is_half_full()
    half.acknowledged(1)
    assert not half.is_half_full()


def test_an_acknowledgement_is_cumulative_and_an_older_one_changes_nothing() -> None:
    half = sender(100, 100)
    for size in (1, 2, 4, 8):
        half.accept("", size)
    assert half.acknowledged(2)
    assert (half.acked, outbox(half), half.size()) == (2, [3, 4], 12)
    for number in (0, 1, 2):
        assert half.acknowledged(number)
        assert (half.acked, outbox(half), half.size()) == (2, [3, 4], 12)
    assert not half.acknowledged(5)
    assert (half.acked, outbox(half), half.size()) == (2, [3, 4], 12)
    assert half.acknowledged(4)
    assert (half.acked, outbox(half), half.size()) == (4, [], 0)
    half.accept("", 16)
    assert (outbox(half), half.size()) == ([5], 16)


def test_a_link_owes_what_comes_after_what_the_peer_has_received() -> None:
    half = sender(100, 100)
    for _ in range(4):
        half.accept("", 1)
    half.acknowledged(1)
    numbers = [kept.number if kept is not None else None for kept in map(half.after, range(6))]
    assert numbers == [2, 2, 3, 4, None, None]


@SAME
@given(*[st.integers(0, 4)] * 4)
def test_a_peer_fits_that_has_handled_no_less_than_it_said_and_received_no_more_than_was_sent(
    acked: int, done: int, got: int, more: int
) -> None:
    half = sender(100, 100)
    for _ in range(acked + more):
        half.accept("", 1)
    half.acknowledged(acked)
    assert half.fits(done, got) == (acked <= done <= got <= half.sent)


# What we receive


def test_the_size_of_a_half_is_that_of_both_boxes() -> None:
    half = received(0)
    half.accept("", 3)
    half.accept("", 4)
    assert half.size() == 7
    half.take("B", 10)
    half.take("C", 20)
    assert half.size() == 37
    half.handled()
    assert half.size() == 27
    half.handled()
    assert half.size() == 7


def test_a_receiver_takes_twice_its_window_in_messages() -> None:
    half = received(6, window=Window(3, 1000))
    assert half.take(CHARACTERS[7], 1) == VIOLATION
    assert half.got == 6
    half.handled()
    assert half.take(CHARACTERS[7], 1) == 0
    assert half.take(CHARACTERS[8], 1) == VIOLATION


def test_a_receiver_takes_twice_its_window_in_size_and_a_message_more() -> None:
    half = received(2, 10, Window(100, 10))
    assert half.take("D", 1) == 0
    assert half.take("E", 1) == VIOLATION
    half.handled()
    assert half.take("E", 10) == 0
    assert half.take("F", 1) == VIOLATION


@pytest.mark.parametrize("window", [Window(0, 0), Window(0, 100), Window(100, 0)])
def test_a_receiver_always_takes_one_message(window: Window) -> None:
    half = Half(window)
    for character in "BC":
        assert half.take(character, 7) == 0
        assert half.take(CHARACTERS[half.got + 1], 7) == VIOLATION
        half.handled()


def test_a_wrong_character_is_out_of_step_also_when_there_is_no_room() -> None:
    half = received(2, window=Window(1, 100))
    assert half.take("B", 1) == OUT_OF_STEP
    assert half.take("", 1) == OUT_OF_STEP
    assert half.take("D", 1) == VIOLATION


def test_a_half_goes_on_where_one_was_that_is_gone() -> None:
    half = sender(100, 100)
    half.go_on(65, 2, 70, 7)
    assert (half.sent, half.acked) == (65, 65)
    assert (half.got, half.done, half.recorded, half.told) == (70, 70, 70, 70)
    assert half.accept("", 1) == "C"
    assert half.sent == 66
    half = Half(Window(100, 100))
    half.go_on(65, 2, 70, 7)
    assert half.take("G", 1) == OUT_OF_STEP
    assert half.take("H", 1) == 0
    assert half.is_in_step(71)


@SAME
@given(st.integers(0, 200), st.integers(0, 200))
def test_a_probe_finds_any_message_that_is_missing(count: int, sent: int) -> None:
    assert received(count).is_in_step(sent) == (count == sent)


# Acknowledgements


def test_what_is_handled_and_not_recorded_is_not_acknowledged() -> None:
    half = received(20)
    for _ in range(20):
        half.handled()
    assert half.is_much_handled
    assert not half.is_acknowledgement_due(100)
    assert half.acknowledgement_due_at() is None
    assert half.acknowledge() == 0


def test_an_acknowledgement_is_due_a_second_after_the_first_that_was_recorded() -> None:
    half = received(3)
    half.handled()
    half.record(1, 5.0)
    half.handled()
    half.record(2, 5.5)
    assert half.acknowledgement_due_at() == 6.0
    assert not half.is_acknowledgement_due(5.99)
    assert half.is_acknowledgement_due(6.0)
    assert half.acknowledge() == 2
    assert half.told == 2
    assert half.acknowledgement_due_at() is None
    assert not half.is_acknowledgement_due(100)


def test_what_is_recorded_again_changes_nothing() -> None:
    half = received(3)
    half.handled()
    half.handled()
    half.record(2, 1.0)
    half.acknowledge()
    half.record(2, 2.0)
    half.record(1, 2.0)
    assert (half.recorded, half.acknowledgement_due_at()) == (2, None)
    half.handled()
    half.record(3, 10.0)
    assert half.acknowledgement_due_at() == 11.0


@pytest.mark.parametrize(("messages", "due_after"), [(1, 1), (4, 1), (5, 2), (63, 16), (64, 16), (1000, 16)])
def test_an_acknowledgement_is_due_after_a_quarter_of_the_window_but_at_most_16_messages(
    messages: int, due_after: int
) -> None:
    half = Half(Window(messages, 1000))
    for number in range(1, 3 * due_after + 1):
        half.take(CHARACTERS[number % 64], 1)
        half.handled()
        half.record(number, 0.0)
        is_due = number % due_after == 0
        assert half.is_acknowledgement_due(0.0) == is_due
        if is_due:
            assert half.acknowledge() == number


def test_an_acknowledgement_is_due_after_a_quarter_of_the_window_in_size() -> None:
    half = Half(Window(1000, 40))
    due = []
    for number, size in enumerate((9, 1, 9, 0, 1, 10), start=1):
        half.take(CHARACTERS[number], size)
        half.handled()
        half.record(number, 0.0)
        due.append(half.is_acknowledgement_due(0.0))
        if due[-1]:
            half.acknowledge()
    assert due == [False, True, False, False, True, True]


def test_what_the_handshake_has_told_is_not_acknowledged_again() -> None:
    half = received(2)
    half.handled()
    half.record(1, 5.0)
    half.attached(1)
    assert half.told == 1
    assert half.acknowledgement_due_at() is None
    assert not half.is_acknowledgement_due(100)


def test_what_the_handshake_has_not_told_is_acknowledged_when_it_was_due() -> None:
    half = received(2)
    half.handled()
    half.record(1, 5.0)
    half.attached(0)
    assert half.acknowledgement_due_at() == 6.0
    assert half.is_acknowledgement_due(6.0)
