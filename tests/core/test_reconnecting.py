"""The user wants a new link at once."""

import pytest
from tests.core.life import EVERY, opened, probing, started, waiting


def test_reconnecting_replaces_an_open_link_at_once() -> None:
    life = opened()
    life.now += 1
    assert life.tell("reconnect_now") == [
        "1 abandon",
        "1 closed: reconnect requested",
        "1 retry 1 in 0: reconnect requested",
        "2 open",
        "2 state connecting",
    ]
    assert life.left == 8


def test_reconnecting_replaces_a_probed_link_at_once() -> None:
    assert probing().tell("reconnect_now")[:2] == ["1 abandon", "1 closed: reconnect requested"]


def test_reconnecting_skips_a_wait_without_a_new_attempt() -> None:
    life = waiting()
    assert life.tell("reconnect_now") == ["2 open", "2 state connecting"]
    assert life.attempt == 1


def test_reconnecting_works_offline_for_the_user_may_know_better() -> None:
    life = waiting()
    life.tell("went_offline")
    assert life.tell("reconnect_now") == ["2 open", "2 state connecting"]
    assert life.left == 8


def test_reconnecting_after_a_stable_link_begins_a_new_count() -> None:
    life = started(max_retries=2)
    life.lose()
    life.wake()
    life.lose()
    life.wake()
    life.open()
    life.now += 3600
    life.tell("reconnect_now")
    assert life.attempt == 1
    assert "4 state waiting" in life.lose(), "two retries are allowed"


def test_reconnecting_again_and_again_is_no_stable_link() -> None:
    life = opened()
    for attempt in range(1, 5):
        life.tell("reconnect_now")
        assert life.attempt == attempt
        life.open()


@pytest.mark.parametrize("state", ["idle", "connecting", "closing", "failed"])
def test_reconnecting_has_no_meaning_elsewhere(state: str) -> None:
    life = EVERY[state]()
    before = (life.machine.state, life.machine.deadline)
    assert life.tell("reconnect_now") == []
    assert (life.machine.state, life.machine.deadline) == before
