"""The checker of the cluster chaos: what is handled again without a cause that is written down is a fault."""

import pytest
from tests.chaos.cluster.seen import CUT_OFF, FORCED, KILLED, Seen
from tests.chaos.history import History, Verdict, check

SECOND = 10**9


def judged(seen: Seen) -> tuple[list[str], Verdict]:
    return seen.again(), check(History(range(1, 4), [*seen.begun, 3], kills=seen.whys))


@pytest.fixture
def seen() -> Seen:
    """Life 1 has the session, and has begun message 2."""
    seen = Seen(0)
    seen.opened(1)
    seen.take(1, 1, 1, 0, {})
    seen.take(2, 2, 1, SECOND, {})
    return seen


def test_a_message_that_is_handled_again_without_a_cause_is_a_fault(seen: Seen) -> None:
    seen.opened(2)
    seen.take(2, 2, 2, 9 * SECOND, {})
    again, verdict = judged(seen)
    assert (again, verdict.doubled) == ([], [2])


def test_a_message_that_goes_on_elsewhere_after_its_second_is_cut_off(seen: Seen) -> None:
    seen.interrupted(2, 1, 2 * SECOND)
    seen.opened(2)
    seen.take(2, 2, 2, 3 * SECOND, {})
    again, verdict = judged(seen)
    assert (again, verdict.doubled, verdict.again) == ([CUT_OFF], [], [2])


@pytest.mark.parametrize(
    ("number", "life", "at"), [(2, 1, 1.5 * SECOND), (1, 1, 2 * SECOND), (2, 3, 2 * SECOND)]
)
def test_no_hook_is_cut_off_before_its_second_nor_another_message_nor_in_another_life(
    seen: Seen, number: int, life: int, at: int
) -> None:
    seen.interrupted(number, life, int(at))
    seen.opened(2)
    seen.take(2, 2, 2, 3 * SECOND, {})
    assert judged(seen)[1].doubled == [2]


def test_who_was_cut_off_once_may_not_be_doubled_later(seen: Seen) -> None:
    seen.interrupted(2, 1, 2 * SECOND)
    seen.opened(2)
    seen.take(2, 2, 2, 3 * SECOND, {})
    seen.opened(1)
    seen.take(2, 2, 1001, 4 * SECOND, {})
    assert judged(seen)[1].doubled == [2]


def test_a_message_of_a_session_that_was_claimed_by_force_may_be_handled_again_on_either_side(
    seen: Seen,
) -> None:
    seen.forced(2)
    seen.opened(2)
    seen.take(2, 2, 2, 2 * SECOND, {})
    seen.take(2, 2, 1001, 3 * SECOND, {})  # which does not know yet that it has lost the session
    again, verdict = judged(seen)
    assert (again, verdict.doubled) == ([FORCED, FORCED], [])


def test_force_excuses_nobody_who_has_the_session_again(seen: Seen) -> None:
    seen.forced(2)
    seen.opened(2)
    seen.opened(1)
    seen.opened(2)
    seen.take(2, 2, 2, 2 * SECOND, {})
    assert judged(seen)[1].doubled == [2]


@pytest.mark.parametrize(("at", "doubled"), [(2 * SECOND, []), (4 * SECOND, [2])])
def test_a_kill_excuses_what_is_handled_again_after_it(seen: Seen, at: int, doubled: list[int]) -> None:
    seen.opened(2)
    seen.take(2, 2, 2, 3 * SECOND, {1: at})
    again, verdict = judged(seen)
    assert (again, verdict.doubled) == ([] if doubled else [KILLED], doubled)
