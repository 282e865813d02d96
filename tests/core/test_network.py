"""Offline and online: retries wait for a network, and a link that may have died with it is pinged."""

import pytest
from tests.core.life import EVERY, opened, waiting


def test_offline_a_retry_waits_for_the_network() -> None:
    life = waiting()
    assert life.tell("went_offline") == []
    assert life.machine.deadline is None
    life.now += 3600
    assert life.tell("came_online") == ["2 open", "2 state connecting"]


def test_a_link_lost_while_offline_waits_for_the_network() -> None:
    life = opened()
    life.tell("went_offline")
    assert life.lose() == ["1 closed: lost", "1 retry 1 in 0.5: lost", "1 state waiting"]
    assert life.machine.deadline is None


def test_going_offline_leaves_an_open_link_alone() -> None:
    life = opened()
    assert life.tell("went_offline") == []
    assert (life.machine.state, life.left) == ("open", 15)


def test_a_link_not_heard_since_offline_is_probed_impatiently_when_the_network_returns() -> None:
    life = opened()
    life.now += 2
    life.hear()
    life.tell("went_offline")
    life.now += 4
    assert life.tell("came_online") == ["1 ping", "1 state probing"]
    assert life.left == 5


def test_a_link_heard_while_offline_needs_no_probe() -> None:
    life = opened()
    life.tell("went_offline")
    life.now += 1
    life.hear()
    life.tell("went_offline")
    assert life.tell("came_online") == []
    assert life.machine.state == "open"


def test_another_network_without_a_gap_leads_to_a_probe() -> None:
    life = opened()
    life.now += 3
    life.hear()
    assert life.tell("came_online") == ["1 ping", "1 state probing"]


def test_another_network_without_a_gap_retries_at_once() -> None:
    assert waiting().tell("came_online") == ["2 open", "2 state connecting"]


def test_the_network_of_long_ago_does_not_matter() -> None:
    life = opened()
    life.tell("went_offline")
    life.now += 1
    life.hear()
    life.tell("came_online")
    life.lose()
    assert life.left == 0.5


@pytest.mark.parametrize("state", ["idle", "connecting", "probing", "closing", "failed"])
def test_a_network_that_returns_matters_only_to_an_open_or_a_waiting_connection(state: str) -> None:
    life = EVERY[state]()
    life.tell("went_offline")
    before = (life.machine.state, life.machine.deadline)
    assert life.tell("came_online") == []
    assert (life.machine.state, life.machine.deadline) == before
