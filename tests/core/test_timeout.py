"""A limit of time is over after one grace period, and may begin again."""

from websocket_heartbeat.core.timeout import Timeout


def test_the_first_time_that_its_end_is_noticed_gives_one_turn_of_the_loop() -> None:
    timeout = Timeout(100.0, 10.0)
    assert not timeout.ran_out(109.9)
    assert (timeout.due, timeout.had_grace) == (110.0, False)
    assert not timeout.ran_out(110.0)
    assert (timeout.due, timeout.had_grace) == (110.001, True)
    assert not timeout.ran_out(110.0005)
    assert timeout.ran_out(110.001)
    assert timeout.ran_out(110.002)


def test_a_host_that_notices_late_gets_as_long_again() -> None:
    timeout = Timeout(100.0, 10.0)
    assert not timeout.ran_out(114.0)
    assert timeout.due == 118.0
    assert not timeout.ran_out(117.9)
    assert timeout.ran_out(118.0)


def test_the_grace_period_is_no_longer_than_the_limit() -> None:
    timeout = Timeout(100.0, 10.0)
    assert not timeout.ran_out(3600.0)
    assert timeout.due == 3610.0


def test_a_limit_that_begins_again_has_its_whole_time_and_its_own_grace() -> None:
    timeout = Timeout(100.0, 10.0)
    timeout.ran_out(110.0)
    timeout.restart(105.0)
    assert (timeout.due, timeout.had_grace) == (115.0, False)


def test_to_begin_again_never_shortens_what_is_left() -> None:
    timeout = Timeout(100.0, 10.0)
    timeout.restart(105.0)
    timeout.restart(101.0)
    assert timeout.due == 115.0
    timeout.ran_out(119.0)
    for at in (105.0, 112.9):
        timeout.restart(at)
        assert (timeout.due, timeout.had_grace) == (123.0, True)


def test_to_begin_again_when_as_long_is_left_gives_another_grace_period() -> None:
    timeout = Timeout(100.0, 10.0)
    timeout.ran_out(3600.0)
    timeout.restart(3600.0)
    assert (timeout.due, timeout.had_grace) == (3610.0, False)
