"""Settings that the user changes hold for what is decided from then on, and for nothing that is under way."""

from tests.core.life import DEFAULTS, Life, opened

from websocket_heartbeat.core.settings import Settings


def reconfigure(life: Life, **changes: object) -> None:
    life.machine.reconfigured(Settings(*(DEFAULTS | changes).values()))


def test_another_interval_moves_the_ping_of_an_open_link() -> None:
    life = opened()
    reconfigure(life, interval=4.0)
    assert life.left == 4
    life.now += 4
    assert life.tell("woke") == ["1 ping", "1 state probing"]


def test_an_interval_that_is_over_already_makes_the_ping_due_at_once() -> None:
    life = opened()
    life.now += 9
    reconfigure(life, interval=4.0)
    assert life.left == -5
    assert life.tell("woke") == ["1 ping", "1 state probing"]


def test_heartbeats_in_both_directions_can_be_switched_on() -> None:
    life = opened()
    life.now += 5
    life.hear()
    reconfigure(life, both_directions=True)
    assert life.left == 10


def test_an_answer_that_is_awaited_keeps_its_time_and_the_next_one_has_the_new_time() -> None:
    life = opened()
    life.now += 15
    life.tell("woke")
    reconfigure(life, timeout=2.0)
    assert life.left == 10
    life.hear()
    life.now += 15
    life.tell("woke")
    assert life.left == 2


def test_retries_follow_the_new_window_and_the_new_limit() -> None:
    life = opened()
    reconfigure(life, initial=8.0, max_attempts=1)
    assert life.tell("lost", 1)[1] == "1 retry 1 in 4: lost"
    life.now += 4
    life.tell("woke")
    assert "2 failed, out of retries: lost" in life.tell("lost", 2)


def test_a_connection_that_waits_goes_on_waiting() -> None:
    life = opened()
    life.tell("lost", 1)
    left = life.left
    reconfigure(life, initial=8.0, interval=1.0)
    assert life.left == left
    assert life.did() == []
