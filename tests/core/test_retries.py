"""A lost link is retried: announced, ever later, not for ever, and not before the server wants it."""

import pytest
from tests.core.life import EVERY, opened, probing, started, waiting


def test_an_attempt_that_fails_is_retried_and_the_retry_is_announced() -> None:
    life = started()
    assert life.lose() == ["1 retry 1 in 0.5: lost", "1 state waiting"]
    assert life.left == 0.5
    assert life.wake() == ["2 open", "2 state connecting"]


def test_a_loss_of_which_the_host_knows_nothing_more_is_retried_and_nobody_asked_to_wait() -> None:
    life = started()
    assert life.tell("lost", 1) == ["1 retry 1 in 0.5: lost", "1 state waiting"]
    assert life.tell("came_online") == ["2 open", "2 state connecting"]


def test_an_open_link_that_breaks_is_reported_with_its_cause_and_code() -> None:
    life = opened()
    assert life.lose(1001) == [
        "1 closed: lost 1001",
        "1 retry 1 in 0.5: lost",
        "1 state waiting",
    ]


def test_a_link_that_breaks_during_a_probe_is_lost_like_any_other() -> None:
    life = probing()
    assert life.lose() == ["1 closed: lost", "1 retry 1 in 0.5: lost", "1 state waiting"]


def test_a_link_is_lost_once() -> None:
    life = waiting()
    assert life.lose() == []
    assert life.attempt == 1


def test_retries_back_off() -> None:
    life = started()
    waits = []
    for _ in range(4):
        life.lose()
        waits.append(life.left)
        life.wake()
    assert waits == [0.5, 1.25, 1.875, 2.8125]


def test_a_client_draws_its_place_once_in_each_outage() -> None:
    drawn: list[float] = []

    def random() -> float:
        drawn.append(0.25 if not drawn else 0.75)
        return drawn[-1]

    life = started(random=random)
    life.lose()
    assert life.left == 0.25
    life.wake()
    life.lose()
    assert len(drawn) == 1
    life.wake()
    life.open()
    life.now += 30
    life.lose()
    assert life.left == 0.75
    assert len(drawn) == 2


def test_attempts_count_from_zero_after_a_stable_link() -> None:
    life = waiting()
    life.wake()
    life.open()
    life.now += 30
    assert life.lose() == ["2 closed: lost", "2 retry 1 in 0.5: lost", "2 state waiting"]


def test_a_link_that_was_open_too_briefly_does_not_end_the_outage() -> None:
    life = waiting()
    life.wake()
    life.open()
    life.now += 29.999
    assert life.lose() == ["2 closed: lost", "2 retry 2 in 1.25: lost", "2 state waiting"]


def test_a_server_that_accepts_and_drops_is_asked_ever_more_rarely() -> None:
    life = started()
    waits: list[float] = []
    for _ in range(12):
        life.open()
        life.lose()
        assert life.left is not None
        waits.append(life.left)
        life.wake()
    assert waits == sorted(waits)
    assert waits[-1] > 7


def test_the_time_an_attempt_took_does_not_count_as_stable() -> None:
    life = waiting(stable_after=1.0)
    life.wake()
    life.now += 5
    life.lose()
    assert life.attempt == 2


def test_after_as_many_retries_as_allowed_the_connection_fails() -> None:
    life = started(max_retries=2)
    life.lose()
    life.wake()
    life.lose()
    life.wake()
    assert life.lose(1006) == ["3 failed, out of retries: lost 1006", "3 state failed"]
    assert life.machine.deadline is None


def test_with_no_retries_allowed_the_first_failure_is_the_end() -> None:
    life = started(max_retries=0)
    assert life.lose() == ["1 failed, out of retries: lost", "1 state failed"]


def test_an_open_link_is_reported_closed_before_the_connection_fails() -> None:
    life = opened(max_retries=0)
    assert life.lose(1006) == ["1 closed: lost 1006", "1 failed, out of retries: lost 1006", "1 state failed"]


def test_a_stable_link_gives_all_retries_back() -> None:
    life = started(max_retries=1)
    life.lose()
    life.wake()
    life.open()
    life.now += 30
    assert "2 retry 1 in 0.5: lost" in life.lose()


@pytest.mark.parametrize("state", ["connecting", "open", "probing"])
def test_what_no_retry_can_help_is_final(state: str) -> None:
    life = EVERY[state]()
    assert life.lose(4403, 7.0, True)[-2:] == ["1 failed: lost 4403", "1 state failed"]


@pytest.mark.parametrize("limit", [None, 5])
def test_timeouts_are_not_final_by_themselves(limit: int | None) -> None:
    life = probing(max_retries=limit)
    life.wake()
    life.wake()
    life.wake()
    life.wake()
    life.wake()
    assert life.machine.state == "waiting"


def test_a_heartbeat_timeout_may_spend_the_last_attempt() -> None:
    life = probing(max_retries=0)
    life.wake()
    assert life.wake() == [
        "1 abandon",
        "1 closed: heartbeat timeout",
        "1 failed, out of retries: heartbeat timeout",
        "1 state failed",
    ]


def test_an_open_timeout_may_spend_the_last_attempt() -> None:
    life = started(max_retries=0)
    life.wake()
    assert life.wake() == ["1 abandon", "1 failed, out of retries: open timeout", "1 state failed"]


def test_a_hint_of_the_server_is_kept() -> None:
    life = started()
    assert life.lose(hint=20.0) == ["1 retry 1 in 20.5: lost", "1 state waiting"]
    assert life.left == 20.5


@pytest.mark.parametrize("event", ["shown", "came_online"])
@pytest.mark.parametrize("hint", [0.125, 20.0])
def test_a_server_that_asked_to_wait_is_not_asked_earlier(event: str, hint: float) -> None:
    life = started()
    life.lose(hint=hint)
    life.now += 0.125
    assert life.tell(event) == []
    assert (life.machine.state, life.left) == ("waiting", hint + 0.375)
    assert life.wake() == ["2 open", "2 state connecting"]


def test_a_server_that_asked_to_wait_is_not_asked_earlier_after_a_time_offline() -> None:
    life = started()
    life.lose(hint=20.0)
    life.tell("went_offline")
    life.now += 5
    assert life.tell("shown") == []
    assert life.machine.deadline is None
    assert life.tell("came_online") == []
    assert life.left == 15.5
    assert life.wake() == ["2 open", "2 state connecting"]


def test_a_wait_that_ended_while_offline_does_not_begin_again() -> None:
    life = started()
    life.lose(hint=20.0)
    life.tell("went_offline")
    life.now += 20.5
    assert life.tell("came_online") == ["2 open", "2 state connecting"]


def test_a_hint_counts_for_one_wait() -> None:
    life = started()
    life.lose(hint=20.0)
    life.wake()
    life.lose()
    assert life.tell("shown") == ["3 open", "3 state connecting"]


def test_the_user_may_overrule_a_hint() -> None:
    life = started()
    life.lose(hint=20.0)
    assert life.tell("reconnect_now") == ["2 open", "2 state connecting"]
