"""Hidden and shown: no verdict in the background, an early ping on return."""

from tests.core.life import opened, probing, waiting


def test_while_hidden_there_is_no_verdict() -> None:
    life = probing()
    life.tell("hidden")
    for _ in range(5):
        assert life.wake() == []
        assert (life.machine.state, life.left) == ("probing", 10)


def test_a_probe_on_return_to_the_foreground_is_impatient() -> None:
    life = opened()
    life.tell("hidden")
    life.now += 60
    assert life.tell("shown") == ["1 ping", "1 state probing"]
    assert life.left == 5


def test_a_probe_on_return_is_never_more_patient_than_the_timeout() -> None:
    life = opened(timeout=2.0)
    life.tell("hidden")
    life.tell("shown")
    assert life.left == 2


def test_a_link_heard_while_hidden_needs_no_probe_on_return() -> None:
    life = opened()
    life.tell("hidden")
    life.now += 3
    life.hear()
    assert life.tell("shown") == []
    assert life.machine.state == "open"


def test_a_link_last_heard_before_it_was_hidden_is_probed_on_return() -> None:
    life = opened()
    life.now += 3
    life.hear()
    life.tell("hidden")
    life.now += 1
    life.hear(ago=2)
    assert life.tell("shown") == ["1 ping", "1 state probing"]


def test_hiding_twice_counts_from_the_first_time() -> None:
    life = opened()
    life.tell("hidden")
    life.now += 3
    life.hear()
    life.tell("hidden")
    assert life.tell("shown") == []


def test_a_ping_out_on_return_gets_a_new_short_time_and_no_second_ping() -> None:
    life = probing()
    life.tell("hidden")
    life.now += 60
    life.wake()
    assert life.tell("shown") == []
    assert life.left == 5
    life.wake()
    assert life.left == 0.001
    assert "1 abandon" in life.wake()


def test_being_shown_without_having_been_hidden_means_a_sleep_and_a_probe() -> None:
    life = opened()
    life.now += 3
    life.hear()
    assert life.tell("shown") == ["1 ping", "1 state probing"]


def test_verdicts_return_with_the_foreground() -> None:
    life = opened()
    life.tell("hidden")
    life.now += 1
    life.hear()
    life.tell("shown")
    life.wake()  # traffic put off the ping
    life.wake()  # the ping
    life.wake()  # grace
    assert "1 abandon" in life.wake()


def test_a_retry_does_not_wait_in_the_foreground() -> None:
    life = waiting()
    assert life.tell("shown") == ["2 open", "2 state connecting"]
    assert life.left == 8
