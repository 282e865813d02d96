"""A link that answers pings, but has brought no message for message_timeout, is replaced."""

from typing import Any

import pytest
from tests.core.life import Life, opened, probing, renewing

DEAD = [
    "1 abandon",
    "1 closed: message timeout",
    "1 retry 1 in 0.5: message timeout",
    "1 state waiting",
]


def watched(**changes: Any) -> Life:
    """A life whose link is to bring a message every 40 s."""
    return opened(message_timeout=40.0, **changes)


def pass_with_pongs(life: Life, seconds: float) -> list[str]:
    """Let time pass while the peer answers each ping at once; return what else was done."""
    end = life.now + seconds
    did: list[str] = []
    while life.machine.deadline is not None and life.machine.deadline <= end:
        did += life.wake()
        if life.machine.state == "probing":
            did += life.hear()
    life.now = end
    return [what for what in did if what not in ("1 ping", "1 state probing", "1 state open")]


def test_a_link_that_only_answers_pings_is_abandoned_after_one_grace_period() -> None:
    life = watched()
    assert pass_with_pongs(life, 40) == []
    assert life.left == 0.001
    assert life.wake() == DEAD


def test_each_message_gives_the_whole_time_again() -> None:
    life = watched()
    pass_with_pongs(life, 39)
    life.receive()
    assert pass_with_pongs(life, 39.999) == []
    life.wake()
    assert life.left == 0.001
    assert life.wake() == DEAD


def test_a_message_puts_off_the_verdict_without_a_new_deadline_for_each() -> None:
    life = watched(interval=300.0)
    life.now += 39
    life.receive()
    assert life.left == 1
    assert life.wake() == []
    assert life.left == 39


def test_older_evidence_of_a_message_does_not_replace_newer() -> None:
    life = watched(interval=300.0)
    life.now += 39
    life.receive()
    life.receive(ago=5)
    life.wake()
    assert life.left == 39


def test_without_the_setting_no_message_is_missed() -> None:
    life = opened()
    assert pass_with_pongs(life, 3600) == []
    life.receive()
    assert pass_with_pongs(life, 3600) == []


def test_messages_of_another_link_do_not_count() -> None:
    life = watched()
    pass_with_pongs(life, 39)
    life.tell("received", 2)
    pass_with_pongs(life, 1)
    assert life.wake() == DEAD


def test_each_link_has_its_own_time() -> None:
    life = watched(interval=60.0)
    life.now += 39
    life.lose()
    life.wake()
    life.open()
    assert life.left == 40


def test_a_message_read_during_grace_saves_the_link() -> None:
    life = watched(interval=300.0)
    life.wake(late=7)
    assert life.left == 7
    life.now += 5
    life.receive()
    assert life.wake() == []
    assert (life.machine.state, life.left) == ("open", 38)
    life.wake()
    assert life.left == 0.001, "the next silence has its own grace"


def test_grace_is_at_most_the_timeout() -> None:
    life = watched(interval=7200.0)
    life.wake(late=3600)
    assert life.left == 40


def test_the_heartbeat_does_not_wait_until_that_grace_is_over() -> None:
    life = watched(interval=60.0)
    assert life.wake(late=3600) == ["1 ping", "1 state probing"]
    assert life.left == 10
    assert "1 closed: heartbeat timeout" in life.wait()


def test_the_last_message_reported_again_and_again_gives_no_grace_again() -> None:
    life = watched(interval=300.0)
    life.now += 10
    life.receive()
    life.wake()
    life.now += 40
    for _ in range(2):
        life.machine.received(1010.0, 1)
        life.wake()
    assert life.machine.state == "waiting"


def test_a_busy_heartbeat_does_not_put_off_the_verdict() -> None:
    life = watched(interval=38.0, timeout=30.0)
    assert life.wake() == ["1 ping", "1 state probing"]
    assert life.left == 2
    assert life.wake() == []
    assert life.wake() == DEAD


def test_a_probe_that_ends_does_not_make_the_host_seem_late() -> None:
    life = watched(interval=38.0, timeout=30.0)
    life.wake()
    life.wake()
    assert life.hear() == ["1 state open"]
    assert life.left == 0.001
    assert life.wake() == DEAD


def test_bytes_that_are_no_message_do_not_save_the_link() -> None:
    life = watched(interval=30.0)
    for _ in range(4):
        life.now += 10
        life.hear()
    life.wake()
    assert life.wake() == DEAD


@pytest.mark.parametrize("excuse", ["reading_paused", "hidden"])
def test_nobody_misses_a_message_that_nobody_could_see(excuse: str) -> None:
    life = watched()
    life.tell(excuse, *([1] if excuse == "reading_paused" else []))
    assert pass_with_pongs(life, 3600) == []
    assert life.machine.state == "open"


@pytest.mark.parametrize(("away", "back"), [("reading_paused", "reading_resumed"), ("hidden", "shown")])
def test_the_whole_time_begins_when_somebody_looks_again(away: str, back: str) -> None:
    life = watched(interval=300.0)
    arguments = [1] if away == "reading_paused" else []
    life.tell(away, *arguments)
    life.now += 39
    life.tell(back, *arguments)
    life.hear()
    life.did()
    assert life.wait() == DEAD
    assert life.now == 1000 + 39 + 40 + 0.001


def test_it_may_spend_the_last_attempt() -> None:
    life = watched(max_retries=0)
    pass_with_pongs(life, 40)
    assert life.wake()[-2:] == ["1 failed, out of retries: message timeout", "1 state failed"]


def test_nothing_is_watched_while_no_link_is_open() -> None:
    life = watched(initial=60.0)
    life.lose()
    assert life.left == 30
    life.wake()
    assert life.left == 8
    closing = watched(close_timeout=60.0)
    closing.tell("stopped")
    assert closing.left == 60


def test_a_successor_under_way_is_the_next_attempt() -> None:
    life = renewing(message_timeout=2.0)
    life.wake()
    assert life.wake() == [
        "1 abandon",
        "1 closed: message timeout",
        "1 retry 1 in 0: message timeout",
        "2 switch",
        "2 state connecting",
    ]


def test_during_a_probe_too() -> None:
    life = probing(message_timeout=17.0)
    life.wake()
    assert life.wake() == DEAD
