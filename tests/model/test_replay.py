"""The real halves are where the model is after each step of random schedules, in Python and in JavaScript.

`make model` walks 1,000,000 steps.
"""

import pytest
from tests.model.schedules import WORLDS, play


@pytest.mark.parametrize("number", range(len(WORLDS)), ids=list(WORLDS))
def test_the_real_halves_are_where_the_model_is(number: int) -> None:
    seeds = range(number, 6 * len(WORLDS), len(WORLDS))
    assert play(list(seeds), with_node=False).steps > 300


def test_the_core_is_there_in_javascript_too() -> None:
    played = play(list(range(2 * len(WORLDS))), with_node=True)
    assert played.steps > 3000
    assert played.calls > 3 * played.steps
