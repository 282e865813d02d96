"""Attempts that time out or are refused with a hint make the next windows wider."""

from collections.abc import Callable

import pytest
from tests.core.life import Life, started


def draws(*numbers: float) -> Callable[[], float]:
    return iter(numbers).__next__


def time_out(life: Life) -> float:
    """Let the current attempt run into its open timeout; return the wait until the next."""
    life.wake()
    life.wake()
    assert life.left is not None
    return life.left


def refuse(life: Life, hint: float = 0.0) -> float:
    """Let the server refuse the current attempt; return the wait until the next."""
    life.lose(hint=hint)
    assert life.left is not None
    return life.left


def test_each_attempt_that_times_out_multiplies_windows_by_one_and_a_half_and_draws_a_new_place() -> None:
    life = started(random=draws(0.5, 0.25, 0.75))
    assert time_out(life) == 0.5
    life.wake()
    assert time_out(life) == 0.25 * 1.5 * 1.5
    life.wake()
    assert time_out(life) == round(0.75 * 2.25 * 1.5 * 1.5, 6)


def test_so_does_each_attempt_that_the_server_refuses_with_a_hint() -> None:
    life = started(random=draws(0.5, 0.25, 0.75))
    assert refuse(life, hint=2) == 2.5
    life.wake()
    assert refuse(life, hint=2) == round(2 + 0.25 * 1.5 * 1.5, 6)
    life.wake()
    assert refuse(life, hint=0.001) == round(0.001 + 0.75 * 2.25 * 1.5 * 1.5, 6)


def test_a_refusal_without_a_hint_keeps_the_place_in_windows_as_wide_as_they_have_become() -> None:
    life = started(random=draws(0.5, 0.25))
    refuse(life)
    life.wake()
    time_out(life)
    life.wake()
    assert refuse(life) == round(0.75 * 1.5 * 1.5 + 0.25 * 2.25 * 1.5, 6)


def test_advice_on_an_open_link_is_no_sign_of_an_overloaded_server() -> None:
    life = started(random=draws(0.5))
    refuse(life)
    life.wake()
    life.open()
    assert refuse(life, hint=30) == 30 + 0.5 * 1.5


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_link_that_falls_silent_is_no_sign_of_an_overloaded_server(is_cut: bool) -> None:
    life = started(random=draws(0.5))
    refuse(life)
    life.wake()
    life.open()
    life.wake()
    assert life.machine.state == "probing"
    if is_cut:
        life.tell("unacknowledged", life.machine.link, 4, 1.0)
    else:
        life.wake()
        life.wake()
    assert life.machine.state == "waiting"
    assert life.left == 0.5 * 1 + 0.5 * 1.5


def test_an_attempt_that_the_host_lost_is_no_late_one() -> None:
    life = started(random=draws(0.5))
    refuse(life)
    life.wake()
    life.lose()
    assert life.left == 0.5 * 1 + 0.5 * 1.5


def test_the_next_outage_begins_with_the_first_window_again() -> None:
    life = started(random=draws(0.5, 0.5, 0.5))
    for _ in range(2):
        time_out(life)
        life.wake()
    life.open()
    life.now += 30
    assert refuse(life) == 0.5
    life.wake()
    assert refuse(life) == 0.5 * 1 + 0.5 * 1.5
