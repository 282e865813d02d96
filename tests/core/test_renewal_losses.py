"""When the current link is lost during a renewal, the successor takes over or is the next attempt."""

from collections.abc import Callable

import pytest
from tests.core.life import Life, almost_renewed, renewing


def lose(life: Life) -> list[str]:
    return life.lose(1001)


def reject(life: Life) -> list[str]:
    return life.tell("rejected", 1)


def fall_silent(life: Life) -> list[str]:
    life.tell("shown")
    return life.wait()


def cut(life: Life) -> list[str]:
    life.tell("shown")
    return life.tell("unacknowledged", 1, 4, 1.0)


def starve(life: Life) -> list[str]:
    life.now += 7.5
    life.hear()
    return life.wait()


LOSSES: list[tuple[Callable[[Life], list[str]], list[str]]] = [
    (lose, ["1 closed: lost 1001"]),
    (reject, ["1 leave", "1 closed: rejected"]),
    (fall_silent, ["1 abandon", "1 closed: heartbeat timeout"]),
    (cut, ["1 abandon", "1 closed: path dead"]),
    (starve, ["1 abandon", "1 closed: message timeout"]),
]
SETTINGS = {"message_timeout": 7.75}
losses = pytest.mark.parametrize(("loss", "told"), LOSSES)


@losses
def test_a_successor_that_is_not_open_yet_is_the_next_attempt(
    loss: Callable[[Life], list[str]], told: list[str]
) -> None:
    life = renewing(**SETTINGS)
    did = loss(life)
    assert did[: len(told)] == told
    assert [what for what in did[len(told) :] if "retry" not in what] == ["2 switch", "2 state connecting"]
    assert did[len(told)].startswith("1 retry 1 in 0: ")
    assert life.machine.link == 2
    assert life.machine.deadline == 1000 + 8
    assert life.tell("opened", 2) == ["2 state open", "2 opened"]


@losses
def test_a_successor_that_is_open_takes_over_and_is_no_retry(
    loss: Callable[[Life], list[str]], told: list[str]
) -> None:
    life = almost_renewed(**SETTINGS)
    did = loss(life)
    assert [what for what in did if what != "2 state open"] == [*told, "2 switch"]
    assert (life.machine.state, life.machine.link, life.attempt) == ("open", 2, 0)
    assert life.left == 7.75
    assert life.tell("opened", 2) == []


def test_it_is_not_ready_by_taking_over() -> None:
    life = almost_renewed()
    life.lose()
    life.now += 3600
    life.lose()
    assert life.attempt == 1
    life.wake()
    life.tell("opened", 3)
    life.lose()
    assert life.attempt == 2


def test_once_it_is_ready_it_counts_as_stable_after_a_while() -> None:
    life = renewing()
    life.lose()
    assert life.attempt == 1
    life.open()
    life.now += 30
    assert "2 retry 1 in 0.5: lost" in life.lose()


def test_a_login_that_fails_on_it_goes_through_the_back_off() -> None:
    life = almost_renewed()
    life.lose()
    assert life.tell("rejected", 2) == [
        "2 leave",
        "2 closed: rejected",
        "2 retry 1 in 0.5: rejected",
        "2 state waiting",
    ]


def test_it_cannot_be_renewed_before_it_is_ready() -> None:
    life = almost_renewed()
    life.lose()
    assert life.tell("renew") == []


def test_an_attempt_that_a_renewal_began_has_its_grace_and_its_back_off() -> None:
    life = renewing()
    life.now += 7
    life.lose()
    assert life.left == 1
    assert life.wake() == []
    assert life.left == 0.001
    assert life.wake()[:2] == ["2 abandon", "2 retry 2 in 1.125: open timeout"]


def test_grace_that_a_successor_has_used_up_is_not_given_again() -> None:
    life = renewing()
    life.wake(late=2)
    life.lose()
    assert life.left == 2
    assert life.wake()[0] == "2 abandon"


def test_reading_that_paused_on_it_before_it_took_over_excuses_it() -> None:
    life = almost_renewed()
    life.tell("reading_paused", 2)
    life.lose()
    for _ in range(5):
        life.wake()
    assert life.machine.state == "probing"
    life.tell("reading_resumed", 2)
    assert life.wait()[0] == "2 abandon"


def test_reading_that_went_on_before_it_took_over_does_not() -> None:
    life = almost_renewed()
    life.tell("reading_paused", 2)
    life.tell("reading_resumed", 2)
    life.lose()
    assert life.wait() == ["2 ping", "2 state probing"]
    assert life.wait()[0] == "2 abandon"


def test_only_a_successor_that_is_open_can_be_read_or_not() -> None:
    life = renewing()
    life.tell("reading_paused", 2)
    life.lose()
    life.open()
    assert life.wait() == ["2 ping", "2 state probing"]
    assert life.wait()[0] == "2 abandon"


def test_a_pause_of_the_link_before_does_not_excuse_it() -> None:
    life = almost_renewed()
    life.tell("reading_paused", 1)
    life.lose()
    assert life.wake() == ["2 ping", "2 state probing"]
    life.wake()
    assert life.wake()[0] == "2 abandon"


# What the server and the settings say of further attempts


@pytest.mark.parametrize("hint", [0.25, 20.0])
def test_an_attempt_under_way_ends_when_the_server_asks_to_wait(hint: float) -> None:
    assert renewing().lose(1012, hint=hint) == [
        "1 closed: lost 1012",
        "2 abandon",
        "2 renewal failed: stopped",
        f"1 retry 1 in {hint + 0.5}: lost",
        "1 state waiting",
    ]


def test_so_it_does_when_the_user_asks_to_wait() -> None:
    assert renewing().tell("rejected", 1, 20.0)[-1] == "1 state waiting"


def test_a_successor_that_is_open_has_been_let_in_and_need_not_wait() -> None:
    assert almost_renewed().lose(1012, hint=20.0) == ["1 closed: lost 1012", "2 switch"]


def test_a_link_that_the_program_rejects_for_good_ends_the_renewal_too() -> None:
    life = almost_renewed()
    assert life.tell("rejected", 1, 0.0, True)[-5:] == [
        "2 leave",
        "2 closed: stopped",
        "2 renewal failed: stopped",
        "1 failed: rejected",
        "1 state failed",
    ]
    assert life.machine.deadline is None


def test_what_no_retry_can_help_ends_an_attempt_under_way_too() -> None:
    life = renewing()
    assert life.lose(4403, final=True)[-4:] == [
        "2 abandon",
        "2 renewal failed: stopped",
        "1 failed: lost 4403",
        "1 state failed",
    ]
    assert life.machine.deadline is None


def test_a_successor_that_is_open_has_been_let_in_though_its_predecessor_is_sent_away_for_good() -> None:
    assert almost_renewed().lose(4403, final=True) == ["1 closed: lost 4403", "2 switch"]


def test_without_a_retry_left_an_attempt_under_way_ends() -> None:
    assert renewing(max_retries=0).lose() == [
        "1 closed: lost",
        "2 abandon",
        "2 renewal failed: stopped",
        "1 failed, out of retries: lost",
        "1 state failed",
    ]


def test_a_successor_that_is_open_needs_no_retry_left() -> None:
    life = almost_renewed(max_retries=0)
    assert life.lose() == ["1 closed: lost", "2 switch"]
    assert life.lose()[-2:] == ["2 failed, out of retries: lost", "2 state failed"]


def test_an_attempt_that_a_renewal_began_goes_on_offline() -> None:
    life = renewing()
    life.tell("went_offline")
    life.lose()
    assert (life.machine.state, life.left) == ("connecting", 8)
