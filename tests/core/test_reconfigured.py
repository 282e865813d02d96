"""The user changes the settings while the connection lives: what is decided from then on follows them."""

from typing import Any

import pytest
from tests.core.life import EVERY, Life, opened, probing, settings, started


def reconfigure(life: Life, **changes: Any) -> None:
    life.machine.reconfigured(settings(**changes))
    assert life.did() == []


def test_a_shorter_interval_holds_for_the_open_link() -> None:
    life = opened()
    life.now += 3
    reconfigure(life, interval=5.0)
    assert life.left == 2
    assert life.wake() == ["1 ping", "1 state probing"]


def test_a_longer_interval_holds_for_the_open_link() -> None:
    life = opened()
    reconfigure(life, interval=60.0)
    assert life.left == 60


def test_an_interval_that_is_over_already_is_no_reason_to_be_late_twice() -> None:
    life = opened()
    life.now += 10
    reconfigure(life, interval=5.0)
    assert life.tell("woke") == ["1 ping", "1 state probing"]
    assert life.left == 10


def test_quiet_in_both_directions_holds_for_the_open_link() -> None:
    life = opened()
    life.now += 10
    life.hear()
    reconfigure(life, both_directions=True)
    assert life.left == 5
    assert life.wake() == ["1 ping"]


def test_a_ping_that_is_out_keeps_its_time_and_the_next_one_has_the_new_one() -> None:
    life = probing()
    reconfigure(life, timeout=3.0)
    assert life.left == 10
    life.hear()
    life.wake()
    assert life.left == 3


def test_the_next_attempt_has_the_new_time_to_open() -> None:
    life = started()
    reconfigure(life, open_timeout=2.0)
    assert life.left == 8
    life.lose()
    life.wake()
    assert life.left == 2


def test_the_time_for_the_next_message_stays_as_it_is() -> None:
    life = opened(message_timeout=12.0)
    reconfigure(life, message_timeout=3.0)
    assert life.left == 12
    life.lose()
    life.wake()
    life.open()
    assert life.left == 3


def test_the_next_loss_counts_against_the_new_number_of_retries() -> None:
    life = started(max_retries=0)
    reconfigure(life, max_retries=1)
    assert life.lose()[-1] == "1 state waiting"
    reconfigure(life, max_retries=0)
    life.wake()
    assert life.lose()[-1] == "2 state failed"


def test_the_next_retry_waits_in_the_new_window() -> None:
    life = started()
    reconfigure(life, initial=20.0)
    life.lose()
    assert life.left == 10


@pytest.mark.parametrize("state", ["idle", "connecting", "probing", "waiting", "closing", "failed"])
def test_no_deadline_but_that_of_an_open_link_changes(state: str) -> None:
    life = EVERY[state]()
    before = life.machine.state, life.machine.deadline
    life.now += 1
    reconfigure(life, interval=1.0, timeout=1.0, initial=0.5, open_timeout=1.0, close_timeout=1.0)
    assert (life.machine.state, life.machine.deadline) == before
