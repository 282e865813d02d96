"""Settings accept what the core can decide by, and name what they refuse."""

import math
import re
from typing import Any

import pytest

from websocket_heartbeat.core.close_codes import FinalCodes
from websocket_heartbeat.core.settings import LONGEST, Settings

YEAR = 31536000.0
NAMES = [
    "interval",
    "timeout",
    "both_directions",
    "message_timeout",
    "initial",
    "maximum",
    "hold",
    "stable_after",
    "open_timeout",
    "close_timeout",
    "max_retries",
    "final_codes",
]
GOOD = [15.0, 10.0, False, 60.0, 1.0, 60.0, 3, 30.0, 10.0, 5.0, 7, None]


def settings_with(name: str, value: Any) -> Settings:
    values: dict[str, Any] = dict(zip(NAMES, GOOD, strict=True))
    values[name] = value
    if name == "initial":
        values["maximum"] = max(value, 60.0)
    return Settings(*values.values())


def test_every_number_is_kept_under_its_own_name() -> None:
    numbers: list[Any] = [1.5, 2.5, True, 2.75, 3.5, 4.5, 5, 6.5, 7.5, 8.5, 9, FinalCodes(4000, 4001, None)]
    settings = Settings(*numbers)
    assert [getattr(settings, name) for name in NAMES] == numbers


@pytest.mark.parametrize("value", [False, True])
def test_quiet_may_be_judged_in_one_direction_or_in_both(value: bool) -> None:
    assert settings_with("both_directions", value).both_directions is value


def test_no_watch_over_messages_is_none() -> None:
    assert settings_with("message_timeout", None).message_timeout is None


def test_no_limit_of_attempts_is_none() -> None:
    assert settings_with("max_retries", None).max_retries is None


def test_zero_attempts_are_allowed_and_are_not_no_limit() -> None:
    assert settings_with("max_retries", 0).max_retries == 0


@pytest.mark.parametrize(
    "name", ["interval", "timeout", "message_timeout", "initial", "maximum", "open_timeout"]
)
@pytest.mark.parametrize("value", [0, -1, -0.001, YEAR + 1, math.inf, -math.inf, math.nan])
def test_a_duration_that_must_last_is_above_zero_and_at_most_a_year(name: str, value: float) -> None:
    text = f"{name} must be above 0 and at most 31536000 seconds, not {value}"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        settings_with(name, value)


@pytest.mark.parametrize("name", ["hold", "stable_after", "close_timeout"])
@pytest.mark.parametrize("value", [-1, -0.001, YEAR + 1, math.inf, math.nan])
def test_a_number_that_may_be_zero_is_at_most_a_year(name: str, value: float) -> None:
    text = f"{name} must be from 0 to 31536000"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}.*, not {re.escape(str(value))}$"):
        settings_with(name, value)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("both_directions", "max_retries")])
def test_a_year_is_the_longest_duration(name: str) -> None:
    assert LONGEST == YEAR
    assert getattr(settings_with(name, YEAR), name) == YEAR


@pytest.mark.parametrize("name", ["interval", "timeout", "message_timeout", "initial", "open_timeout"])
def test_a_short_duration_is_no_error(name: str) -> None:
    assert getattr(settings_with(name, 1e-9), name) == 1e-9


@pytest.mark.parametrize("name", ["hold", "stable_after", "close_timeout"])
def test_zero_is_no_error_where_it_has_a_meaning(name: str) -> None:
    assert getattr(settings_with(name, 0), name) == 0


def test_the_longest_window_is_not_shorter_than_the_first() -> None:
    text = "maximum must be at least initial (60.5), not 60.0"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        Settings(15.0, 10.0, False, None, 60.5, 60.0, 3, 30.0, 10.0, 5.0, None, None)


def test_the_longest_window_may_be_the_first() -> None:
    assert Settings(15.0, 10.0, False, None, 60.0, 60.0, 3, 30.0, 10.0, 5.0, None, None).maximum == 60.0


@pytest.mark.parametrize("value", [-1, math.nan])
def test_a_negative_number_of_attempts_is_refused(value: float) -> None:
    text = f"max_retries must be None or at least 0, not {value}"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        settings_with("max_retries", value)
