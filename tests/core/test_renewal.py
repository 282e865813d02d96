"""A renewal opens the next link beside the current one, which goes on until the next one is ready."""

import pytest
from tests.core.life import EVERY, almost_renewed, opened, probing, renewing, started


def test_a_renewal_opens_the_next_link_and_leaves_the_current_one_alone() -> None:
    life = opened()
    assert life.tell("renew") == ["2 open"]
    assert (life.machine.state, life.machine.link) == ("open", 1)
    assert life.left == 8


def test_a_successor_that_opens_is_told_and_has_its_time_to_become_ready() -> None:
    life = renewing()
    life.now += 7
    assert life.tell("opened", 2) == ["2 opened"]
    assert (life.machine.state, life.machine.link) == ("open", 1)
    assert life.wake() == []
    assert life.left == 7


def test_a_successor_opens_once() -> None:
    life = almost_renewed()
    life.now += 5
    assert life.tell("opened", 2) == []
    assert life.left == 3


def test_a_successor_that_is_ready_takes_over_and_the_link_before_it_is_closed() -> None:
    life = almost_renewed()
    life.now += 1
    assert life.tell("ready", 2) == ["1 leave: renewed", "1 closed: renewed", "2 switch"]
    assert (life.machine.state, life.machine.link, life.left) == ("open", 2, 15)


def test_a_successor_is_not_ready_before_it_is_open() -> None:
    life = renewing()
    assert life.tell("ready", 2) == []
    assert life.machine.link == 1


def test_a_probe_of_the_link_before_ends_when_the_successor_takes_over() -> None:
    life = probing()
    life.tell("renew")
    life.tell("opened", 2)
    assert life.tell("ready", 2) == ["1 leave: renewed", "1 closed: renewed", "2 switch", "2 state open"]
    assert life.left == 15


def test_a_successor_that_took_over_is_ready_from_then_on() -> None:
    life = almost_renewed()
    life.tell("ready", 2)
    life.now += 30
    assert "2 retry 1 in 0.5: lost" in life.lose()


def test_a_successor_that_took_over_and_is_lost_soon_is_no_stable_link() -> None:
    life = started()
    life.lose()
    life.wake()
    life.open()
    life.tell("renew")
    life.tell("opened", 3)
    life.tell("ready", 3)
    life.now += 29.999
    assert "3 retry 2 in 1.25: lost" in life.lose()


def test_the_link_before_may_have_been_the_stable_one() -> None:
    life = started()
    life.lose()
    life.wake()
    life.open()
    life.now += 30
    life.tell("renew")
    life.tell("opened", 3)
    life.tell("ready", 3)
    assert life.attempt == 0


def test_a_successor_that_took_over_can_be_renewed_in_turn() -> None:
    life = almost_renewed()
    life.tell("ready", 2)
    assert life.tell("renew") == ["3 open"]
    life.tell("opened", 3)
    assert life.tell("ready", 3) == ["2 leave: renewed", "2 closed: renewed", "3 switch"]


def test_renewing_twice_is_renewing_once() -> None:
    life = renewing()
    life.now += 5
    assert life.tell("renew") == []
    assert life.left == 3
    life.tell("opened", 2)
    assert life.tell("renew") == []


@pytest.mark.parametrize("state", ["idle", "connecting", "waiting", "closing", "failed"])
def test_only_an_open_link_can_be_renewed(state: str) -> None:
    life = EVERY[state]()
    before = (life.machine.state, life.machine.deadline)
    assert life.tell("renew") == []
    assert (life.machine.state, life.machine.deadline) == before


def test_a_link_that_is_not_ready_is_not_renewed_for_that_would_be_an_attempt_without_back_off() -> None:
    life = started()
    life.tell("opened", 1)
    assert life.tell("renew") == []
    life.tell("ready", 1)
    assert life.tell("renew") == ["2 open"]


def test_what_the_link_before_still_says_changes_nothing() -> None:
    life = almost_renewed()
    life.tell("ready", 2)
    life.now += 1
    life.machine.heard(life.now, 1)
    assert life.tell("lost", 1, 1000, 0.0, True) == []
    assert life.tell("rejected", 1) == []
    assert (life.machine.state, life.left) == ("open", 14)


# The current link goes on


def test_the_current_link_is_pinged_and_heard_as_ever() -> None:
    life = renewing(interval=5.0)
    assert life.wake() == ["1 ping", "1 state probing"]
    assert life.hear() == ["1 state open"]
    assert life.left == 3


@pytest.mark.parametrize("is_open", [False, True])
def test_what_the_successor_hears_sends_and_acknowledges_does_not_count_for_the_current_link(
    is_open: bool,
) -> None:
    life = (almost_renewed if is_open else renewing)(both_directions=True, message_timeout=60.0, interval=5.0)
    life.now += 4
    for happened in ("heard", "sent", "received", "acknowledged"):
        life.tell(happened, 2)
    assert life.tell("unacknowledged", 2, 9, 1.0) == []
    assert life.wake() == ["1 ping", "1 state probing"]
    for happened in ("heard", "sent", "received", "acknowledged"):
        life.tell(happened, 2)
    assert life.tell("unacknowledged", 2, 9, 1.0) == []
    assert life.machine.state == "probing"


def test_the_deadline_of_a_successor_does_not_cut_a_grace_period_short() -> None:
    life = opened(interval=5.0, timeout=4.0, open_timeout=6.0)
    life.now += 4
    life.tell("renew")
    life.wake()
    assert life.machine.state == "probing"
    life.wake(late=3.5)  # that is late for the successor, too, by 2.5
    assert life.left == 2.5
    assert life.wake() == ["2 abandon", "2 renewal failed: open timeout"]
    assert life.machine.state == "probing"
    assert life.left == 1


def test_the_deadline_of_a_successor_does_not_put_off_a_look_at_acknowledgements() -> None:
    life = renewing(open_timeout=16.0)
    life.wake()
    life.tell("unacknowledged", 1, 1, 1.5)
    life.wake()
    life.tell("unacknowledged", 1, 2, 1.5)
    assert life.left == 0.001
    life.wake()
    assert life.left == 1.499


# The successor fails


@pytest.mark.parametrize("code", [None, 1006])
def test_a_successor_that_does_not_open_is_told_and_the_current_link_stays(code: int | None) -> None:
    life = renewing()
    assert life.tell("lost", 2, code, 20.0, True) == ["2 renewal failed: lost"]
    assert (life.machine.state, life.machine.link, life.attempt) == ("open", 1, 0)
    assert life.tell("woke") == []
    assert life.wait() == ["1 ping", "1 state probing"]


def test_a_successor_that_is_lost_after_it_opened_is_told_closed_too() -> None:
    life = almost_renewed()
    assert life.tell("lost", 2, 1011) == ["2 closed: lost 1011", "2 renewal failed: lost"]
    assert (life.machine.state, life.machine.link) == ("open", 1)


def test_a_successor_that_does_not_open_in_time_is_abandoned_after_one_grace_period() -> None:
    life = renewing()
    assert life.wake() == []
    assert life.left == 0.001
    assert life.wake() == ["2 abandon", "2 renewal failed: open timeout"]
    assert (life.machine.state, life.machine.link, life.attempt) == ("open", 1, 0)
    assert life.left == 6.999


def test_a_host_that_was_stuck_gets_as_long_to_find_the_successor_open() -> None:
    life = renewing()
    life.wake(late=3)
    life.now += 2.9
    assert life.tell("opened", 2) == ["2 opened"]


def test_a_successor_that_does_not_become_ready_in_time_is_closed() -> None:
    life = almost_renewed()
    life.wake()
    assert life.wake() == ["2 leave", "2 closed: open timeout", "2 renewal failed: open timeout"]
    assert (life.machine.state, life.machine.link) == ("open", 1)


def test_a_successor_whose_login_failed_is_closed() -> None:
    life = almost_renewed()
    assert life.tell("rejected", 2, 20.0, True) == [
        "2 leave",
        "2 closed: rejected",
        "2 renewal failed: rejected",
    ]
    assert (life.machine.state, life.machine.link, life.attempt) == ("open", 1, 0)


def test_a_successor_that_is_not_open_cannot_be_called_bad() -> None:
    life = renewing()
    assert life.tell("rejected", 2) == []
    assert life.tell("opened", 2) == ["2 opened"]


def test_after_a_renewal_that_failed_another_may_begin() -> None:
    life = renewing()
    life.tell("lost", 2)
    assert life.tell("renew") == ["3 open"]
    assert life.left == 8
    assert life.tell("opened", 2) == []
    assert life.tell("opened", 3) == ["3 opened"]


def test_a_link_that_is_lost_after_a_renewal_that_failed_has_the_number_after_its_successor() -> None:
    life = renewing()
    life.tell("lost", 2)
    life.lose()
    assert life.wake() == ["3 open", "3 state connecting"]


# The user


def test_stopping_closes_the_current_link_and_gives_up_its_successor() -> None:
    life = renewing()
    assert life.tell("stopped") == ["2 abandon", "2 renewal failed: stopped", "1 close", "1 state closing"]
    assert life.left == 5
    assert life.tell("opened", 2) == []
    assert life.lose(1000) == ["1 closed: lost 1000", "1 state closed"]


def test_stopping_closes_a_successor_that_is_open_too() -> None:
    assert almost_renewed().tell("stopped") == [
        "2 leave",
        "2 closed: stopped",
        "2 renewal failed: stopped",
        "1 close",
        "1 state closing",
    ]


def test_reconnecting_replaces_the_current_link_and_its_successor() -> None:
    life = renewing()
    assert life.tell("reconnect_now") == [
        "2 abandon",
        "2 renewal failed: stopped",
        "1 abandon",
        "1 closed: reconnect requested",
        "1 retry 1 in 0: reconnect requested",
        "3 open",
        "3 state connecting",
    ]
    assert life.left == 8


def test_reconnecting_closes_a_successor_that_is_open() -> None:
    assert almost_renewed().tell("reconnect_now")[:4] == [
        "2 leave",
        "2 closed: stopped",
        "2 renewal failed: stopped",
        "1 abandon",
    ]
