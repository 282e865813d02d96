"""A link on which nothing is sent is pinged too, for a peer that waits for our pings; it stays open."""

from typing import Any

import pytest
from tests.core.life import Life, opened


def busy(**changes: Any) -> Life:
    """A life that pings in both directions, whose link hears something every five seconds for 15 s."""
    life = opened(both_directions=True, **changes)
    for _ in range(3):
        life.now += 5
        life.hear()
    return life


def test_a_link_that_hears_but_sends_nothing_is_pinged_and_stays_open() -> None:
    life = busy()
    assert life.left == 0
    assert life.tell("woke") == ["1 ping"]
    assert (life.machine.state, life.left) == ("open", 15)


def test_in_one_direction_a_link_that_hears_is_not_pinged() -> None:
    life = opened(both_directions=False)
    life.now += 15
    life.hear()
    assert life.tell("woke") == []
    assert life.left == 15


def test_the_peer_hears_of_us_once_in_each_interval() -> None:
    life = busy()
    pings = []
    for _ in range(12):
        if life.left == 0:
            pings += [life.now - 1000] * (life.tell("woke") == ["1 ping"])
        life.now += 5
        life.hear()
    assert pings == [15, 30, 45, 60]


def test_what_was_sent_puts_off_the_ping() -> None:
    life = busy()
    life.machine.sent(life.now - 4, 1)
    assert life.tell("woke") == []
    assert (life.machine.state, life.left) == ("open", 11)


def test_older_evidence_of_what_was_sent_does_not_replace_newer() -> None:
    life = busy()
    life.machine.sent(life.now - 4, 1)
    life.machine.sent(life.now - 9, 1)
    life.tell("woke")
    assert life.left == 11


def test_what_is_sent_on_another_link_does_not_put_off_the_ping() -> None:
    life = busy()
    life.tell("sent", 2)
    assert life.tell("woke") == ["1 ping"]


def test_a_link_that_sends_but_hears_nothing_is_probed_all_the_same() -> None:
    life = opened(both_directions=True)
    life.now += 15
    life.tell("sent", 1)
    assert life.tell("woke") == ["1 ping", "1 state probing"]
    life.wake()
    assert "1 abandon" in life.wake()


def test_a_probe_is_a_sign_of_ours_too() -> None:
    life = opened(both_directions=True)
    life.wake()
    life.now += 9
    assert life.hear() == ["1 state open"]
    assert life.left == 6, "nothing was sent since the ping"
    assert life.wake() == ["1 ping"]


def test_a_ping_that_was_due_while_the_last_one_was_unanswered_is_not_late() -> None:
    life = opened(both_directions=True, interval=1.0)
    life.wake()
    life.now += 5
    life.hear()
    assert life.left == 0
    assert life.wake() == ["1 ping"]


def test_a_link_that_falls_silent_after_an_unanswered_ping_gets_no_second_one() -> None:
    life = busy()
    life.now += 1
    assert life.tell("woke") == ["1 ping"]
    assert life.left == 14, "silent from then on"
    assert life.wake() == ["1 state probing"]


def test_the_verdict_on_it_comes_no_sooner_than_interval_and_timeout_after_it_was_last_heard() -> None:
    life = busy()
    heard_at = life.now
    life.now += 1
    life.tell("woke")
    life.wake()
    assert life.wake() == []
    assert "1 abandon" in life.wake()
    assert life.now - heard_at == pytest.approx(15 + 10 + 0.001)


def test_whatever_comes_after_the_ping_answers_it() -> None:
    life = busy()
    life.now += 1
    life.tell("woke")
    life.now += 1
    assert life.hear() == []
    assert life.wait() == ["1 ping", "1 state probing"], "but for the answer it is idle"


def test_what_came_before_the_ping_does_not_answer_it() -> None:
    life = busy()
    life.now += 1
    life.tell("woke")
    life.now += 1
    life.hear(ago=1.5)
    assert life.wait() == ["1 state probing"]
    life.now += 1
    assert life.hear(ago=1) == ["1 state open"]


def test_what_came_at_the_time_of_the_ping_but_before_it_does_not_answer_it() -> None:
    life = busy()
    assert life.tell("woke") == ["1 ping"]
    assert life.wake() == ["1 state probing"]


@pytest.mark.parametrize("event", ["shown", "came_online"])
def test_back_from_elsewhere_an_unanswered_ping_gets_a_short_time_and_no_second(event: str) -> None:
    life = busy()
    life.now += 1
    life.tell("woke")
    assert life.tell(event) == ["1 state probing"]
    assert life.left == 5


def test_a_late_host_pings_once() -> None:
    life = busy()
    life.now += 3600
    life.hear()
    assert life.tell("woke") == ["1 ping"]
    assert life.left == 15


def test_a_link_that_was_all_but_silent_when_it_was_pinged_has_its_whole_time() -> None:
    life = opened(both_directions=True)
    life.now += 1
    life.hear()
    life.now += 14
    assert life.tell("woke") == ["1 ping", "1 state probing"]
    assert life.left == 11, "silent for interval and timeout, then"
