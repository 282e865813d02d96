"""A ping that no kernel acknowledges is no longer waited for."""

import pytest
from tests.core.life import EVERY, probing


def test_a_ping_that_no_kernel_acknowledges_through_four_timeouts_went_down_a_dead_path() -> None:
    life = probing()
    life.now += 3
    assert life.tell("unacknowledged", 1, 4, 3.2) == [
        "1 abandon",
        "1 closed: path dead",
        "1 retry 1 in 0.5: path dead",
        "1 state waiting",
    ]


def test_a_dead_path_may_spend_the_last_attempt() -> None:
    assert probing(max_retries=0).tell("unacknowledged", 1, 5, 3.2)[-2:] == [
        "1 failed, out of retries: path dead",
        "1 state failed",
    ]


def test_fewer_timeouts_are_looked_at_again() -> None:
    life = probing()
    assert life.tell("unacknowledged", 1, 3, 1.6) == []
    assert (life.machine.state, life.left) == ("probing", 1.6)


def test_a_look_at_acknowledgements_never_puts_off_the_doubt() -> None:
    life = probing()
    life.now += 9
    life.tell("unacknowledged", 1, 1, 60.0)
    assert life.left == 1


def test_once_nothing_is_unacknowledged_the_ping_has_the_rest_of_its_time() -> None:
    life = probing()
    life.tell("unacknowledged", 1, 0, 0.25)
    assert life.wake() == []
    assert (life.machine.state, life.left) == ("probing", 9.75)
    assert life.wake() == []
    assert life.left == 0.001
    assert "1 abandon" in life.wake()


def test_a_look_at_acknowledgements_does_not_prolong_the_grace() -> None:
    life = probing()
    life.wake(late=4)
    life.tell("unacknowledged", 1, 2, 0.25)
    assert life.left == 0.25
    assert life.wake() == []
    assert life.left == 3.75
    life.tell("unacknowledged", 1, 2, 60.0)
    assert life.left == 3.75
    assert "1 abandon" in life.wake()


@pytest.mark.parametrize("excuse", ["reading_paused", "hidden"])
def test_a_path_is_not_found_dead_while_reading_is_paused_or_hidden(excuse: str) -> None:
    life = probing()
    life.tell(excuse, *([1] if excuse == "reading_paused" else []))
    assert life.tell("unacknowledged", 1, 9, 0.25) == []
    assert (life.machine.state, life.left) == ("probing", 10)


@pytest.mark.parametrize("state", ["idle", "connecting", "open", "waiting", "closing", "failed"])
def test_acknowledgements_matter_only_during_a_probe(state: str) -> None:
    life = EVERY[state]()
    before = (life.machine.state, life.machine.deadline)
    assert life.tell("unacknowledged", life.machine.link, 9, 0.25) == []
    assert (life.machine.state, life.machine.deadline) == before
