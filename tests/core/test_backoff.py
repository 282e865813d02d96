"""The wait before a retry keeps a herd spread, grows, and respects what the server asks for."""

from itertools import pairwise

import pytest

from websocket_heartbeat.core import backoff
from websocket_heartbeat.core.backoff import LONGEST_HINT
from websocket_heartbeat.core.settings import Settings


def settings(initial: float = 1.0, maximum: float = 60.0, hold: int = 0) -> Settings:
    return Settings(15.0, 10.0, False, None, initial, maximum, hold, 30.0, 10.0, 5.0, None, None)


def delay(
    numbers: Settings,
    attempt: int,
    phase: float,
    hint: float,
    window_factor: float = 1.0,
    is_new_phase: bool = False,
) -> float:
    return backoff.delay(numbers, attempt, phase, hint, window_factor, is_new_phase)


def widths(numbers: Settings, attempts: int) -> list[float]:
    """The window of each attempt: how far the last client of a herd is behind the first."""
    ends = [0.0]
    starts = [0.0]
    for attempt in range(1, attempts + 1):
        starts.append(starts[-1] + delay(numbers, attempt, 0.0, 0.0))
        ends.append(ends[-1] + delay(numbers, attempt, 1.0, 0.0))
    return [end - start for start, end in zip(starts[1:], ends[1:], strict=True)]


def test_the_first_retry_is_spread_over_the_first_window() -> None:
    assert delay(settings(initial=2.0), 1, 0.0, 0.0) == 0.0
    assert delay(settings(initial=2.0), 1, 0.25, 0.0) == 0.5
    assert delay(settings(initial=2.0), 1, 0.75, 0.0) == 1.5


def test_windows_grow_by_half_up_to_eight_times_the_first() -> None:
    assert widths(settings(), 7) == pytest.approx([1, 1.5, 2.25, 3.375, 5.0625, 7.59375, 8])


def test_from_eight_times_the_first_on_windows_grow_by_half_a_percent() -> None:
    grown = widths(settings(), 40)
    assert grown[6] == pytest.approx(8.0)
    for before, after in pairwise(grown[6:]):
        assert after == pytest.approx(before * 1.005)


def test_where_growth_slows_down_depends_on_the_first_window() -> None:
    assert widths(settings(initial=2.0), 8)[5:] == pytest.approx([15.1875, 16, 16 * 1.005])


def test_no_window_exceeds_the_maximum() -> None:
    assert widths(settings(maximum=3.0), 6) == pytest.approx([1, 1.5, 2.25, 3, 3, 3])
    assert max(widths(settings(maximum=9.0), 100)) == pytest.approx(9.0)


def test_a_maximum_below_eight_times_the_first_window_is_the_last_window() -> None:
    assert widths(settings(initial=2.0, maximum=2.0), 4) == pytest.approx([2, 2, 2, 2])


def test_the_first_window_is_held_for_the_number_of_retries_of_hold() -> None:
    assert widths(settings(hold=2), 5) == pytest.approx([1, 1, 1, 1.5, 2.25])


def test_a_client_keeps_its_place_in_every_window() -> None:
    numbers = settings()
    at = [0.0, 0.0, 0.0]
    for attempt in range(1, 30):
        at = [when + delay(numbers, attempt, phase, 0.0) for when, phase in zip(at, (0, 0.3, 1), strict=True)]
        place = (at[1] - at[0]) / (at[2] - at[0])
        assert place == pytest.approx(0.3)


def test_windows_do_not_overlap() -> None:
    numbers = settings()
    assert sum(delay(numbers, attempt, 1.0, 0.0) for attempt in range(1, 11)) == pytest.approx(
        sum(delay(numbers, attempt, 0.0, 0.0) for attempt in range(1, 12))
    )


def test_the_windows_are_as_wide_as_the_documentation_says() -> None:
    grown = widths(settings(initial=1.0, maximum=60.0), 500)

    def width_at(seconds: float) -> float:
        begun = 0.0
        for width in grown:
            begun += width
            if begun > seconds:
                return width
        raise AssertionError(seconds)

    assert width_at(21) == pytest.approx(8.0)
    assert width_at(300) == pytest.approx(9.4, abs=0.05)
    assert width_at(3 * 3600) == pytest.approx(60.0)


def test_a_hint_of_the_server_is_a_lower_bound_and_the_herd_stays_spread() -> None:
    assert delay(settings(), 1, 0.0, 30.0) == 30.0
    assert delay(settings(), 1, 0.5, 30.0) == 30.5
    assert delay(settings(), 3, 0.5, 30.0) == pytest.approx(30.0 + 0.5 * 2.25)


def test_a_hint_below_a_second_counts_too() -> None:
    assert delay(settings(), 1, 0.5, 0.25) == 0.75


def test_no_hint_is_zero_or_less() -> None:
    assert delay(settings(), 1, 0.5, 0.0) == 0.5
    assert delay(settings(), 1, 0.5, -5.0) == 0.5


def test_a_hint_above_an_hour_is_taken_as_an_hour() -> None:
    assert LONGEST_HINT == 3600.0
    assert delay(settings(), 1, 0.5, 3600.0) == 3600.5
    assert delay(settings(), 1, 0.5, 1e9) == 3600.5


def test_a_very_long_outage_costs_no_more_than_a_long_one() -> None:
    # Once the window has reached its maximum nothing is computed any more: this returns at once.
    assert delay(settings(), 10**15, 0.5, 0.0) == 60.0


def test_for_an_overloaded_server_all_windows_are_wider_up_to_the_maximum() -> None:
    assert delay(settings(), 1, 0.5, 0.0, 4.0) == 2.0
    assert delay(settings(), 2, 0.5, 0.0, 4.0) == 0.5 * 4 + 0.5 * 6
    assert delay(settings(maximum=5.0), 2, 0.5, 0.0, 4.0) == 0.5 * 4 + 0.5 * 5
    assert delay(settings(maximum=3.0), 3, 0.5, 0.0, 4.0) == 3.0
    assert delay(settings(), 2, 0.5, 30.0, 4.0) == 30 + 0.5 * 6


def test_a_new_place_is_one_in_a_window_that_begins_now() -> None:
    assert delay(settings(), 2, 0.0, 0.0, 1.0, True) == 0.0
    assert delay(settings(), 2, 0.5, 0.0, 4.0, True) == 3.0
    assert delay(settings(), 2, 0.5, 30.0, 4.0, True) == 33.0


def test_however_long_a_server_is_overloaded_windows_do_not_exceed_the_maximum() -> None:
    assert delay(settings(), 2000, 0.5, 0.0, 1e308 * 10) == 60.0
