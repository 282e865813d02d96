"""A link is open before the user is done with its login, say: only a ready link ends an outage."""

import pytest
from tests.core.life import EVERY, Life, opened, started, waiting


def log_in(life: Life, seconds: float) -> None:
    """Let the current link open, and be ready so many seconds later."""
    life.tell("opened", life.machine.link)
    life.now += seconds
    assert life.tell("ready", life.machine.link) == []


def test_stable_is_counted_from_ready_and_not_from_open() -> None:
    life = waiting()
    life.wake()
    log_in(life, 3600)
    life.now += 29.999
    assert "2 retry 2 in 1.25: lost" in life.lose()


def test_a_link_ready_for_long_enough_ends_the_outage() -> None:
    life = waiting()
    life.wake()
    log_in(life, 5)
    life.now += 30
    assert "2 retry 1 in 0.5: lost" in life.lose()


def test_a_link_that_never_became_ready_does_not_end_the_outage_however_long_it_was_open() -> None:
    life = waiting()
    life.wake()
    life.tell("opened", 2)
    life.now += 3600
    assert "2 retry 2 in 1.25: lost" in life.lose()


def test_ready_counts_once() -> None:
    life = opened()
    life.now += 20
    life.tell("ready", 1)
    life.now += 10
    life.lose()
    assert life.attempt == 1
    life.wake()
    life.open()
    life.now += 30
    life.tell("ready", 2)
    life.lose()
    assert life.attempt == 1


def test_one_link_that_was_ready_does_not_make_the_next_one_ready() -> None:
    life = opened()
    life.now += 3600
    life.lose()
    life.wake()
    life.tell("opened", 2)
    life.now += 3600
    assert "2 retry 2 in 1.25: lost" in life.lose()


def test_a_link_may_become_ready_while_it_is_pinged() -> None:
    life = waiting(stable_after=5.0)
    life.wake()
    life.tell("opened", 2)
    life.wake()
    assert life.tell("ready", 2) == []
    assert life.machine.state == "probing"
    life.now += 5
    life.lose()
    assert life.attempt == 1


@pytest.mark.parametrize("state", ["idle", "connecting", "waiting", "closing", "failed"])
def test_only_an_open_link_becomes_ready(state: str) -> None:
    life = EVERY[state]()
    before = (life.machine.state, life.machine.deadline)
    assert life.tell("ready", life.machine.link) == []
    assert (life.machine.state, life.machine.deadline) == before


def test_being_ready_before_being_open_counts_for_nothing() -> None:
    life = waiting()
    life.wake()
    life.tell("ready", 2)
    life.tell("opened", 2)
    life.now += 3600
    life.lose()
    assert life.attempt == 2


# A link that the user calls bad


def test_a_link_whose_login_failed_is_closed_told_and_retried_later() -> None:
    life = started()
    life.tell("opened", 1)
    assert life.tell("rejected", 1) == [
        "1 leave",
        "1 closed: rejected",
        "1 retry 1 in 0.5: rejected",
        "1 state waiting",
    ]
    assert life.left == 0.5


def test_logins_that_fail_again_and_again_are_tried_ever_more_rarely() -> None:
    life = started()
    waits = []
    for _ in range(5):
        life.tell("opened", life.machine.link)
        life.tell("rejected", life.machine.link)
        waits.append(life.left)
        life.wake()
    assert waits == [0.5, 1.25, 1.875, 2.8125, 4.21875]


def test_failed_logins_spend_the_retries() -> None:
    life = started(max_retries=1)
    for _ in range(2):
        life.tell("opened", life.machine.link)
        did = life.tell("rejected", life.machine.link)
        if life.machine.state == "waiting":
            life.wake()
    assert did == ["2 leave", "2 closed: rejected", "2 failed, out of retries: rejected", "2 state failed"]


def test_the_user_may_name_the_least_wait() -> None:
    life = opened()
    assert "1 retry 1 in 20.5: rejected" in life.tell("rejected", 1, 20.0)
    life.now += 1
    assert life.tell("shown") == []
    assert life.left == 19.5


def test_the_user_may_call_a_failure_final() -> None:
    life = opened()
    assert life.tell("rejected", 1, 0.0, True) == [
        "1 leave",
        "1 closed: rejected",
        "1 failed: rejected",
        "1 state failed",
    ]


def test_a_link_may_be_called_bad_long_after_its_login() -> None:
    life = opened()
    life.now += 30
    life.wake()
    assert life.tell("rejected", 1)[0] == "1 leave"
    assert life.attempt == 1


@pytest.mark.parametrize("state", ["idle", "connecting", "waiting", "closing", "failed"])
def test_only_an_open_link_can_be_called_bad(state: str) -> None:
    life = EVERY[state]()
    before = (life.machine.state, life.machine.deadline)
    assert life.tell("rejected", life.machine.link, 5.0, True) == []
    assert (life.machine.state, life.machine.deadline) == before


def test_a_failed_login_is_no_sign_of_an_overloaded_server() -> None:
    life = waiting()
    life.wake()
    life.tell("opened", 2)
    assert "2 retry 2 in 8.75: rejected" in life.tell("rejected", 2, 8.0)


# Reconnecting before the link is ready


def test_reconnecting_before_the_link_is_ready_waits_as_after_a_loss() -> None:
    life = started()
    life.tell("opened", 1)
    assert life.tell("reconnect_now") == [
        "1 abandon",
        "1 closed: reconnect requested",
        "1 retry 1 in 0.5: reconnect requested",
        "1 state waiting",
    ]
    assert life.left == 0.5


def test_reconnecting_in_each_login_is_done_ever_more_rarely() -> None:
    life = started()
    waits = []
    for _ in range(4):
        life.tell("opened", life.machine.link)
        life.tell("reconnect_now")
        waits.append(life.left)
        life.wake()
    assert waits == [0.5, 1.25, 1.875, 2.8125]


def test_reconnecting_before_the_link_is_ready_may_spend_the_last_attempt() -> None:
    life = started(max_retries=0)
    life.tell("opened", 1)
    assert life.tell("reconnect_now")[-2:] == [
        "1 failed, out of retries: reconnect requested",
        "1 state failed",
    ]


def test_reconnecting_a_ready_link_waits_for_nothing_and_is_always_allowed() -> None:
    life = opened(max_retries=0)
    assert life.tell("reconnect_now")[-3:] == [
        "1 retry 1 in 0: reconnect requested",
        "2 open",
        "2 state connecting",
    ]
