"""The user closes, and no link is opened again."""

import pytest
from tests.core.life import EVERY, closing, failed, started


@pytest.mark.parametrize("state", ["open", "probing"])
def test_stopping_closes_an_open_link_politely(state: str) -> None:
    life = EVERY[state]()
    assert life.tell("stopped") == ["1 close", "1 state closing"]
    assert life.left == 5
    assert life.lose(1000) == ["1 closed: lost 1000", "1 state closed"]
    assert life.machine.deadline is None


def test_a_close_that_takes_too_long_is_cut_short() -> None:
    life = closing()
    assert life.wake() == ["1 abandon", "1 closed: close timeout", "1 state closed"]
    assert life.machine.deadline is None


def test_a_close_may_be_given_no_time_at_all() -> None:
    life = closing(close_timeout=0.0)
    assert life.left == 0
    assert life.tell("woke") == ["1 abandon", "1 closed: close timeout", "1 state closed"]


def test_stopping_while_connecting_abandons_the_link_and_nothing_was_open() -> None:
    life = started()
    assert life.tell("stopped") == ["1 abandon", "1 state closed"]
    assert life.machine.deadline is None


@pytest.mark.parametrize(("state", "link"), [("idle", 0), ("waiting", 1)])
def test_stopping_where_there_is_no_link_is_the_end_at_once(state: str, link: int) -> None:
    life = EVERY[state]()
    assert life.tell("stopped") == [f"{link} state closed"]
    assert life.machine.deadline is None


def test_stopping_twice_does_not_begin_the_close_again() -> None:
    life = closing()
    life.now += 3
    assert life.tell("stopped") == []
    assert life.left == 2


def test_a_failed_connection_stays_failed() -> None:
    life = failed()
    assert life.tell("stopped") == []
    assert life.machine.state == "failed"


@pytest.mark.parametrize(
    "event", ["started", "woke", "went_offline", "came_online", "hidden", "shown", "reconnect_now"]
)
@pytest.mark.parametrize("state", ["idle", "connecting", "open", "probing", "waiting"])
def test_after_stopping_no_link_is_opened_again(state: str, event: str) -> None:
    life = EVERY[state]()
    life.tell("stopped")
    for _ in range(3):
        life.now += 1000
        assert [done for done in life.tell(event) if done.endswith("open")] == []
