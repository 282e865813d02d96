"""While the host does not read, silence proves nothing."""

import pytest
from tests.core.life import EVERY, opened, probing


def test_while_reading_is_paused_there_is_no_verdict() -> None:
    life = probing()
    life.tell("reading_paused", 1)
    for _ in range(5):
        assert life.wake() == []
        assert (life.machine.state, life.left) == ("probing", 10)


def test_an_unanswered_ping_gets_its_whole_time_anew_when_reading_goes_on() -> None:
    life = probing()
    life.tell("reading_paused", 1)
    life.now += 9
    assert life.tell("reading_resumed", 1) == []
    assert life.left == 10
    life.wake()
    assert life.left == 0.001
    assert "1 abandon" in life.wake()


@pytest.mark.parametrize(("away", "back"), [("reading_paused", "reading_resumed"), ("hidden", "shown")])
def test_an_answer_that_arrived_while_nobody_could_read_counts_from_its_arrival(away: str, back: str) -> None:
    life = probing()
    arguments = (1,) if away == "reading_paused" else ()
    life.tell(away, *arguments)
    life.now += 60
    life.tell(back, *arguments)
    assert life.hear(ago=59) == ["1 state open"]
    assert life.tell("woke") == ["1 ping", "1 state probing"], "that was long ago, so the link is asked again"
    assert life.left == 10


def test_reading_paused_before_the_ping_counts_too() -> None:
    life = opened()
    life.tell("reading_paused", 1)
    assert life.wake() == ["1 ping", "1 state probing"]
    life.wake()
    life.wake()
    assert life.machine.state == "probing"


def test_resuming_without_a_ping_out_changes_nothing() -> None:
    life = opened()
    life.tell("reading_paused", 1)
    life.now += 3
    assert life.tell("reading_resumed", 1) == []
    assert (life.machine.state, life.left) == ("open", 12)
    life.wake()
    life.wake()
    assert "1 abandon" in life.wake()


def test_resuming_what_was_not_paused_changes_nothing() -> None:
    life = probing()
    life.now += 4
    life.tell("reading_resumed", 1)
    assert life.left == 6


def test_the_pause_of_one_link_does_not_excuse_the_next() -> None:
    life = opened()
    life.tell("reading_paused", 1)
    life.lose()
    life.wake()
    life.tell("opened", 2)
    life.wake()
    life.wake()
    assert "2 abandon" in life.wake()


@pytest.mark.parametrize("state", ["connecting", "waiting", "closing"])
def test_reading_can_only_be_paused_on_an_open_link(state: str) -> None:
    life = EVERY[state]()
    life.tell("reading_paused", 1)
    assert life.machine.paused is False
