"""Hidden and shown: no verdict in the background, an early ping on return."""

from tests.core.life import opened, probing, started, waiting


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


# What is lost there


def test_losses_in_the_background_do_not_count_against_the_retries() -> None:
    life = started(max_retries=1)
    life.tell("hidden")
    for attempt in range(1, 6):
        assert life.lose()[0].startswith(f"{attempt} retry {attempt} in ")
        life.wake()
    life.tell("shown")
    assert life.lose()[-1] == "6 state waiting"
    life.wake()
    assert life.lose()[-1] == "7 state failed"


def test_losses_before_it_still_count_on_return() -> None:
    life = started(max_retries=2)
    life.lose()
    life.wake()
    life.tell("hidden")
    life.lose()
    life.wake()
    life.tell("shown")
    assert life.lose()[-1] == "3 state waiting"
    life.wake()
    assert life.lose()[-2:] == ["4 failed, out of retries: lost", "4 state failed"]


def test_a_connection_out_of_retries_does_not_fail_while_nobody_looks() -> None:
    life = started(max_retries=0)
    life.tell("hidden")
    assert life.lose()[-1] == "1 state waiting"
    life.wake()
    life.tell("shown")
    assert life.lose()[-1] == "2 state failed"


def test_what_is_final_is_final_in_the_background_too() -> None:
    life = started()
    life.tell("hidden")
    assert life.lose(final=True) == ["1 failed: lost", "1 state failed"]


def test_a_loss_in_the_background_earns_no_retry_for_later() -> None:
    life = opened(max_retries=0)
    life.tell("hidden")
    life.lose()
    life.wake()
    life.open()
    life.tell("shown")
    life.hear()
    life.now += 30
    assert life.lose()[-1] == "2 state failed"


def test_retries_of_an_outage_that_ended_do_not_count_in_the_next() -> None:
    life = started(max_retries=1)
    life.lose()
    life.wake()
    life.open()
    life.now += 30
    life.lose()
    life.wake()
    life.tell("hidden")
    life.lose()
    life.wake()
    life.tell("shown")
    assert life.lose()[-1] == "4 state failed"
