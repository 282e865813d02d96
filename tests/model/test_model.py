"""The model of the session protocol holds, and each rule is needed: the worlds that are small enough.

`make model` searches all of them.
"""

import pytest
from tests.model.rules import RULES
from tests.model.scenarios import MUTATIONS, SCENARIOS, Mutation
from tests.model.search import search

QUICK = 15_000
"""States that are searched for this, at most, in one world."""


@pytest.mark.parametrize("name", [name for name, scenario in SCENARIOS.items() if scenario.states < QUICK])
def test_everything_holds(name: str) -> None:
    scenario = SCENARIOS[name]
    found = search(scenario.bounds, progress=scenario.progress)
    assert found.violation is None, "\n".join(map(str, found.trace))
    assert found.states == scenario.states


@pytest.mark.parametrize(
    "mutation", [one for one in MUTATIONS if one.states < QUICK], ids=lambda one: one.bounds.broken
)
def test_without_a_rule_something_breaks(mutation: Mutation) -> None:
    found = search(mutation.bounds)
    assert found.violation is not None
    assert found.states == mutation.states


def test_each_rule_is_missed_somewhere() -> None:
    broken = {rule for mutation in MUTATIONS for rule in mutation.bounds.broken.split()}
    assert broken == set(RULES)
