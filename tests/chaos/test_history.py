"""The checker of histories finds each kind of fault, and takes for one nothing that is promised to happen."""

import pytest
from tests.chaos.history import History, Verdict, check

ALL = [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("fault", "history", "messages"),
    [
        ("lost", History(ALL, [1, 2, 4, 5]), [3]),
        ("lost", History(ALL, [1, 2, 3]), [4, 5]),
        ("lost", History(ALL, []), ALL),
        ("lost", History(ALL, [1, 2, 5], told=[4]), [3]),
        ("doubled", History(ALL, [1, 2, 3, 3, 4, 5]), [3]),
        ("doubled", History(ALL, [*ALL, 1]), [1]),
        ("doubled", History(ALL, [*ALL, *ALL]), ALL),
        ("out_of_order", History(ALL, [1, 2, 4, 3, 5]), [3]),
        ("out_of_order", History(ALL, [5, 1, 2, 3, 4]), [1, 2, 3, 4]),
        ("unexplained", History(ALL, [1, 2, 7, 3, 4, 5]), [7]),
        ("unexplained", History(ALL, ALL, told=[6]), [6]),
        ("unexplained", History(ALL, [1, 2, 3], told=[4, 5, 5]), [5]),
        ("unexplained", History([*ALL, 5], ALL), [5]),
        # A kill explains the message in progress, once, and no other one.
        ("doubled", History(ALL, [1, 2, 3, 3, 4, 5], kills=[2]), [3]),
        ("doubled", History(ALL, [1, 2, 3, 2, 3, 4, 5], kills=[3]), [2, 3]),
        ("doubled", History(ALL, [1, 2, 3, 3, 3, 4, 5], kills=[3]), [3]),
        # And what the process had not stored: the end of what it had in hand.
        ("lost", History(ALL, [1, 2, 4, 5], in_hand=[range(2, 4)]), [3]),
        ("lost", History(ALL, [1, 5], in_hand=[range(2, 4)]), [2]),
        ("lost", History(ALL, [1, 2, 3], in_hand=[range(3, 4)]), [5]),
    ],
)
def test_a_fault_is_found_and_named(fault: str, history: History, messages: list[int]) -> None:
    verdict = check(history)
    assert getattr(verdict, fault) == messages
    assert not verdict.is_clean


@pytest.mark.parametrize(
    ("history", "harmless"),
    [
        (History([], []), Verdict()),
        (History(ALL, ALL), Verdict()),
        (History(ALL, [1, 2, 4, 5], told=[3]), Verdict()),
        (History(ALL, ALL, told=[5]), Verdict()),  # uncertain: it may have been handled
        (History(ALL, [1, 2, 3, 3, 4, 5], kills=[3]), Verdict(again=[3])),
        (History(ALL, [1, 2, 3, 3, 3, 4, 5], kills=[3, 4]), Verdict(again=[3, 3])),
        (History(ALL, ALL, kills=[0, 3, 5]), Verdict()),
        (History(ALL, [1, 2, 5], in_hand=[range(1, 4)]), Verdict(gone=[3, 4])),
        (History(ALL, [1, 2, 3, 4], in_hand=[range(2, 5)]), Verdict(gone=[5])),
    ],
)
def test_what_is_promised_is_no_fault(history: History, harmless: Verdict) -> None:
    verdict = check(history)
    assert verdict.is_clean
    assert (sorted(verdict.again), sorted(verdict.gone)) == (harmless.again, harmless.gone)


def test_faults_of_several_streams_add_up() -> None:
    whole = check(History(ALL, [1, 2, 3, 4]))
    whole.add(check(History(ALL, [1, 2, 2, 4, 3, 5, 9])))
    assert str(whole) == "1 lost, 1 doubled, 1 out of order, 1 unexplained"
