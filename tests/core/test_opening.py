"""Starting, and opening a link within its time."""

from tests.core.life import EVERY, Life, opened, started

from websocket_heartbeat.core.machine import PING_LINK, Action


def test_a_new_machine_waits_for_its_user() -> None:
    machine = Life().machine
    assert (machine.state, machine.link, machine.retries.attempt, machine.deadline, machine.take()) == (
        "idle",
        0,
        0,
        None,
        [],
    )


def test_starting_opens_the_first_link_and_limits_how_long_that_takes() -> None:
    life = Life()
    assert life.tell("started") == ["1 open", "1 state connecting"]
    assert life.left == 8


def test_starting_twice_is_starting_once() -> None:
    for make in EVERY.values():
        life = make()
        life.tell("started")
        assert life.tell("started") == []


def test_fields_that_an_action_does_not_use_are_empty() -> None:
    assert vars(Action(PING_LINK, 3)) == {
        "kind": "ping_link",
        "link": 3,
        "state": "",
        "attempt": 0,
        "delay": 0.0,
        "cause": "",
        "code": None,
        "out_of_retries": False,
    }


def test_what_was_taken_is_not_given_again() -> None:
    life = Life()
    life.machine.started(0.0)
    assert len(life.machine.take()) == 2
    assert life.machine.take() == []


def test_a_link_that_opens_is_reported_and_pinged_once_idle_for_the_interval() -> None:
    life = started()
    life.now += 2
    assert life.tell("opened", 1) == ["1 state open", "1 opened"]
    assert life.left == 15


def test_a_link_opens_once() -> None:
    life = opened()
    assert life.tell("opened", 1) == []


def test_a_link_that_does_not_open_in_time_is_abandoned_after_one_grace_period() -> None:
    life = started()
    assert life.wake() == []
    assert (life.machine.state, life.left) == ("connecting", 0.001)
    assert life.wake() == ["1 abandon", "1 retry 1 in 0.5: open timeout", "1 state waiting"]
    assert life.left == 0.5


def test_a_host_that_was_stuck_while_connecting_gets_as_long_to_find_the_link_open() -> None:
    life = started()
    life.wake(late=3)
    assert life.left == 3
    life.now += 2.9
    assert life.tell("opened", 1) == ["1 state open", "1 opened"]


def test_grace_while_connecting_is_at_most_the_open_timeout() -> None:
    life = started()
    life.wake(late=3600)
    assert life.left == 8


def test_each_link_gets_its_own_grace() -> None:
    life = started()
    life.wake()
    life.wake()
    life.wake()
    assert life.machine.state == "connecting"
    assert life.wake() == []
    assert life.machine.state == "connecting"
