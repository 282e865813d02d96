"""A ping behind bytes that still leave is not on its way: its time begins when they are acknowledged."""

import pytest
from tests.core.life import EVERY, Life, probing


def acknowledge(life: Life, ago: float = 0.0) -> list[str]:
    life.machine.acknowledged(life.now - ago, life.machine.link)
    return life.did()


def test_a_ping_has_its_whole_time_from_the_latest_acknowledgement_on() -> None:
    life = probing()
    life.now += 9
    assert acknowledge(life) == []
    assert life.wake() == []
    assert (life.machine.state, life.left) == ("probing", 9)
    life.wake()
    assert life.left == 0.001
    assert "1 abandon" in life.wake()


def test_an_upload_of_an_hour_is_no_dead_link() -> None:
    life = probing()
    for _ in range(3600):
        life.now += 1
        acknowledge(life)
        if life.left is not None and life.left <= 0:
            assert life.tell("woke") == []
    assert life.machine.state == "probing"
    assert life.hear() == ["1 state open"]


def test_an_acknowledgement_from_before_the_ping_counts_for_nothing() -> None:
    life = probing()
    life.now += 1
    acknowledge(life, ago=3)
    life.wake()
    assert life.left == 0.001
    assert "1 abandon" in life.wake()


def test_the_same_acknowledgement_again_and_again_gives_time_once() -> None:
    life = probing()
    at = life.now + 2
    life.now += 10
    life.machine.acknowledged(at, 1)
    life.wake()
    assert life.left == 2
    for _ in range(2):
        life.machine.acknowledged(at, 1)
        life.wake()
    assert life.machine.state == "waiting"


def test_older_news_of_acknowledgements_does_not_replace_newer() -> None:
    life = probing()
    life.now += 9
    acknowledge(life)
    acknowledge(life, ago=5)
    life.wake()
    assert life.left == 9


def test_an_acknowledgement_during_grace_ends_it() -> None:
    life = probing()
    life.wake(late=4)
    life.now += 1
    acknowledge(life)
    life.wake()
    assert (life.machine.state, life.left) == ("probing", 7)
    life.wake()
    assert life.left == 0.001, "the new time has its own grace"


def test_back_in_the_foreground_the_time_is_short_and_stays_so() -> None:
    life = probing()
    life.tell("shown")
    life.now += 4
    acknowledge(life)
    life.wake()
    assert life.left == 4


def test_a_look_at_what_is_unacknowledged_does_not_end_the_longer_time() -> None:
    life = probing()
    life.now += 9
    acknowledge(life)
    life.tell("unacknowledged", 1, 1, 0.25)
    assert life.left == 0.25
    life.wake()
    assert life.left == 9.75


def test_an_acknowledgement_on_another_link_changes_nothing() -> None:
    life = probing()
    life.now += 9
    life.tell("acknowledged", 2)
    life.wake()
    assert life.left == 0.001


@pytest.mark.parametrize("state", ["idle", "connecting", "open", "waiting", "closing", "failed"])
def test_acknowledgements_put_off_nothing_but_a_verdict_on_silence(state: str) -> None:
    life = EVERY[state]()
    before = (life.machine.state, life.machine.deadline)
    life.now += 1
    assert acknowledge(life) == []
    assert (life.machine.state, life.machine.deadline) == before
