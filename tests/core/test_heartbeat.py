"""A quiet link is pinged, and one that stays silent is abandoned after one grace period."""

import pytest
from tests.core.life import EVERY, opened, probing


def test_an_idle_link_is_pinged_and_given_the_timeout() -> None:
    life = opened()
    assert life.wake() == ["1 ping", "1 state probing"]
    assert life.left == 10


def test_traffic_puts_off_the_ping_without_a_new_deadline_for_each_message() -> None:
    life = opened()
    life.now += 6
    assert life.hear() == []
    assert life.left == 9
    assert life.wake() == []
    assert (life.machine.state, life.left) == ("open", 6)
    assert life.wake() == ["1 ping", "1 state probing"]


def test_a_ping_is_due_at_the_very_end_of_the_interval() -> None:
    life = opened()
    life.now += 14.999
    assert life.tell("woke") == []
    life.now += 0.001
    assert life.tell("woke") == ["1 ping", "1 state probing"]


def test_an_answer_ends_the_probe_and_the_interval_begins_again() -> None:
    life = probing()
    life.now += 1
    assert life.hear() == ["1 state open"]
    assert life.left == 15
    assert life.wake() == ["1 ping", "1 state probing"]


def test_what_arrived_before_the_ping_does_not_end_the_probe() -> None:
    life = probing()
    life.now += 1
    assert life.hear(ago=2) == []
    assert (life.machine.state, life.left) == ("probing", 9)


def test_a_silent_link_is_abandoned_at_once_when_its_time_is_over() -> None:
    life = opened()
    opened_at = life.now
    life.wake()
    assert life.wake() == []
    assert life.left == 0.001
    assert life.wake() == [
        "1 abandon",
        "1 closed: heartbeat timeout",
        "1 retry 1 in 0.5: heartbeat timeout",
        "1 state waiting",
    ]
    assert life.now - opened_at == pytest.approx(15 + 10 + 0.001)


def test_a_late_host_gets_as_much_time_to_read_before_the_verdict() -> None:
    life = probing()
    assert life.wake(late=4) == []
    assert (life.machine.state, life.left) == ("probing", 4)
    assert life.hear() == ["1 state open"]


def test_grace_is_at_most_the_timeout() -> None:
    life = probing()
    life.wake(late=3600)
    assert life.left == 10


def test_grace_is_granted_once_for_each_ping() -> None:
    life = probing()
    life.wake(late=4)
    life.hear()
    life.wake()
    assert life.wake(late=2) == []
    assert life.left == 2
    assert "1 abandon" in life.wake(late=2)


def test_after_an_answer_during_grace_the_next_ping_has_its_own_grace() -> None:
    life = probing()
    life.wake()
    life.hear()
    life.wake()
    life.wake()
    assert life.machine.state == "probing"


def test_a_sleep_leads_to_a_probe_and_not_to_a_verdict() -> None:
    life = opened()
    assert life.wake(late=8 * 3600) == ["1 ping", "1 state probing"]
    assert life.left == 10


def test_a_wake_that_comes_early_changes_nothing() -> None:
    for make in EVERY.values():
        life = make()
        before = (life.machine.state, life.machine.deadline)
        assert life.tell("woke") == []
        assert (life.machine.state, life.machine.deadline) == before
