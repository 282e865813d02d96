"""What a connection does at each thing that happens to it, one behaviour at a time."""

from collections.abc import Callable
from typing import Any

import pytest

from websocket_heartbeat.core.machine import (
    ABANDON_LINK,
    CLOSE_LINK,
    NOTIFY_CLOSED,
    NOTIFY_FAILED,
    NOTIFY_OPENED,
    NOTIFY_RETRY,
    NOTIFY_STATE,
    OPEN_LINK,
    PING_LINK,
    Action,
    Machine,
)
from websocket_heartbeat.core.settings import Settings

DEFAULTS: dict[str, Any] = {
    "interval": 15.0,
    "timeout": 10.0,
    "initial": 1.0,
    "maximum": 60.0,
    "hold": 0,
    "stable_after": 30.0,
    "open_timeout": 8.0,
    "close_timeout": 5.0,
    "max_attempts": None,
}


def in_words(action: Action) -> str:
    code = "" if action.code is None else f" {action.code}"
    unused = Action(action.kind, action.link)
    if action.kind == NOTIFY_STATE:
        text, unused.state = f"state {action.state}", action.state
    elif action.kind == NOTIFY_RETRY:
        text = f"retry {action.attempt} in {action.delay:g}: {action.cause}"
        unused.attempt, unused.delay, unused.cause = action.attempt, action.delay, action.cause
    elif action.kind == NOTIFY_CLOSED:
        text = f"closed: {action.cause}{code}"
        unused.cause, unused.code = action.cause, action.code
    elif action.kind == NOTIFY_FAILED:
        text = f"failed{', out of retries' if action.out_of_retries else ''}: {action.cause}{code}"
        unused.cause, unused.code, unused.out_of_retries = action.cause, action.code, action.out_of_retries
    else:
        text = {
            OPEN_LINK: "open",
            PING_LINK: "ping",
            CLOSE_LINK: "close",
            ABANDON_LINK: "abandon",
            NOTIFY_OPENED: "opened",
        }[action.kind]
    assert vars(action) == vars(unused), "fields that a kind does not use stay empty"
    return f"{action.link} {text}"


class Life:
    """A machine, the clock of its host, and what it did, in words: first the number of the link."""

    def __init__(self, random: Callable[[], float] = lambda: 0.5, **changes: Any) -> None:
        self.machine = Machine(Settings(*(DEFAULTS | changes).values()), random)
        self.now = 1000.0

    def did(self) -> list[str]:
        return [in_words(action) for action in self.machine.take()]

    def tell(self, happened: str, *arguments: Any) -> list[str]:
        getattr(self.machine, happened)(self.now, *arguments)
        return self.did()

    def lose(self, code: int | None = None, hint: float = 0.0, final: bool = False) -> list[str]:
        return self.tell("lost", self.machine.link, code, hint, final)

    def wake(self, late: float = 0.0) -> list[str]:
        """Call woke at the deadline, or so much later."""
        assert self.machine.deadline is not None
        self.now = max(self.now, self.machine.deadline + late)
        return self.tell("woke")

    def hear(self, ago: float = 0.0) -> list[str]:
        self.machine.heard(self.now - ago, self.machine.link)
        return self.did()

    @property
    def left(self) -> float | None:
        """Seconds until the deadline."""
        return None if self.machine.deadline is None else round(self.machine.deadline - self.now, 6)


def started(**changes: Any) -> Life:
    life = Life(**changes)
    life.tell("started")
    return life


def opened(**changes: Any) -> Life:
    life = started(**changes)
    life.tell("opened", life.machine.link)
    return life


def probing(**changes: Any) -> Life:
    life = opened(**changes)
    life.wake()
    assert life.machine.state == "probing"
    return life


def waiting(**changes: Any) -> Life:
    life = started(**changes)
    life.lose()
    assert life.machine.state == "waiting"
    return life


def closing(**changes: Any) -> Life:
    life = opened(**changes)
    life.tell("stopped")
    return life


def failed() -> Life:
    life = started()
    life.lose(final=True)
    return life


EVERY: dict[str, Callable[[], Life]] = {
    "idle": Life,
    "connecting": started,
    "open": opened,
    "probing": probing,
    "waiting": waiting,
    "closing": closing,
    "failed": failed,
}


# Starting and opening


def test_a_new_machine_waits_for_its_user() -> None:
    machine = Life().machine
    assert (machine.state, machine.link, machine.attempt, machine.deadline, machine.take()) == (
        "idle",
        0,
        0,
        None,
        [],
    )


def test_starting_opens_the_first_link_and_limits_how_long_that_takes() -> None:
    life = Life()
    assert life.tell("started") == ["1 open", "1 state connecting"]
    assert life.left == 8


def test_starting_twice_is_starting_once() -> None:
    for make in EVERY.values():
        life = make()
        life.tell("started")
        assert life.tell("started") == []


def test_fields_that_an_action_does_not_use_are_empty() -> None:
    assert vars(Action(PING_LINK, 3)) == {
        "kind": "ping_link",
        "link": 3,
        "state": "",
        "attempt": 0,
        "delay": 0.0,
        "cause": "",
        "code": None,
        "out_of_retries": False,
    }


def test_what_was_taken_is_not_given_again() -> None:
    life = Life()
    life.machine.started(0.0)
    assert len(life.machine.take()) == 2
    assert life.machine.take() == []


def test_a_link_that_opens_is_reported_and_pinged_once_idle_for_the_interval() -> None:
    life = started()
    life.now += 2
    assert life.tell("opened", 1) == ["1 state open", "1 opened"]
    assert life.left == 15


def test_a_link_opens_once() -> None:
    life = opened()
    assert life.tell("opened", 1) == []


def test_a_link_that_does_not_open_in_time_is_abandoned_after_one_grace_period() -> None:
    life = started()
    assert life.wake() == []
    assert (life.machine.state, life.left) == ("connecting", 0.001)
    assert life.wake() == ["1 abandon", "1 retry 1 in 0.5: open timeout", "1 state waiting"]
    assert life.left == 0.5


def test_a_host_that_was_stuck_while_connecting_gets_as_long_to_find_the_link_open() -> None:
    life = started()
    life.wake(late=3)
    assert life.left == 3
    life.now += 2.9
    assert life.tell("opened", 1) == ["1 state open", "1 opened"]


def test_grace_while_connecting_is_at_most_the_open_timeout() -> None:
    life = started()
    life.wake(late=3600)
    assert life.left == 8


def test_each_link_gets_its_own_grace() -> None:
    life = started()
    life.wake()
    life.wake()
    life.wake()
    assert life.machine.state == "connecting"
    assert life.wake() == []
    assert life.machine.state == "connecting"


# Heartbeat


def test_an_idle_link_is_pinged_and_given_the_timeout() -> None:
    life = opened()
    assert life.wake() == ["1 ping", "1 state probing"]
    assert life.left == 10


def test_traffic_puts_off_the_ping_without_a_new_deadline_for_each_message() -> None:
    life = opened()
    life.now += 6
    assert life.hear() == []
    assert life.left == 9
    assert life.wake() == []
    assert (life.machine.state, life.left) == ("open", 6)
    assert life.wake() == ["1 ping", "1 state probing"]


def test_a_ping_is_due_at_the_very_end_of_the_interval() -> None:
    life = opened()
    life.now += 14.999
    assert life.tell("woke") == []
    life.now += 0.001
    assert life.tell("woke") == ["1 ping", "1 state probing"]


def test_an_answer_ends_the_probe_and_the_interval_begins_again() -> None:
    life = probing()
    life.now += 1
    assert life.hear() == ["1 state open"]
    assert life.left == 15
    assert life.wake() == ["1 ping", "1 state probing"]


def test_what_arrived_before_the_ping_does_not_end_the_probe() -> None:
    life = probing()
    life.now += 1
    assert life.hear(ago=2) == []
    assert (life.machine.state, life.left) == ("probing", 9)


def test_a_silent_link_is_abandoned_at_once_when_its_time_is_over() -> None:
    life = opened()
    opened_at = life.now
    life.wake()
    assert life.wake() == []
    assert life.left == 0.001
    assert life.wake() == [
        "1 abandon",
        "1 closed: heartbeat timeout",
        "1 retry 1 in 0.5: heartbeat timeout",
        "1 state waiting",
    ]
    assert life.now - opened_at == pytest.approx(15 + 10 + 0.001)


def test_a_late_host_gets_as_much_time_to_read_before_the_verdict() -> None:
    life = probing()
    assert life.wake(late=4) == []
    assert (life.machine.state, life.left) == ("probing", 4)
    assert life.hear() == ["1 state open"]


def test_grace_is_at_most_the_timeout() -> None:
    life = probing()
    life.wake(late=3600)
    assert life.left == 10


def test_grace_is_granted_once_for_each_ping() -> None:
    life = probing()
    life.wake(late=4)
    life.hear()
    life.wake()
    assert life.wake(late=2) == []
    assert life.left == 2
    assert "1 abandon" in life.wake(late=2)


def test_after_an_answer_during_grace_the_next_ping_has_its_own_grace() -> None:
    life = probing()
    life.wake()
    life.hear()
    life.wake()
    life.wake()
    assert life.machine.state == "probing"


def test_a_sleep_leads_to_a_probe_and_not_to_a_verdict() -> None:
    life = opened()
    assert life.wake(late=8 * 3600) == ["1 ping", "1 state probing"]
    assert life.left == 10


def test_a_wake_that_comes_early_changes_nothing() -> None:
    for make in EVERY.values():
        life = make()
        before = (life.machine.state, life.machine.deadline)
        assert life.tell("woke") == []
        assert (life.machine.state, life.machine.deadline) == before


# What the kernel knows of the path


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
    assert probing(max_attempts=0).tell("unacknowledged", 1, 5, 3.2)[-2:] == [
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
    assert life.left == 4
    life.tell("unacknowledged", 1, 2, 60.0)
    assert life.left == 4


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


# A slow user


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


# Background and foreground


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


# Network


def test_offline_a_retry_waits_for_the_network() -> None:
    life = waiting()
    assert life.tell("went_offline") == []
    assert life.machine.deadline is None
    life.now += 3600
    assert life.tell("came_online") == ["2 open", "2 state connecting"]


def test_a_link_lost_while_offline_waits_for_the_network() -> None:
    life = opened()
    life.tell("went_offline")
    assert life.lose() == ["1 closed: lost", "1 retry 1 in 0.5: lost", "1 state waiting"]
    assert life.machine.deadline is None


def test_going_offline_leaves_an_open_link_alone() -> None:
    life = opened()
    assert life.tell("went_offline") == []
    assert (life.machine.state, life.left) == ("open", 15)


def test_a_link_not_heard_since_offline_is_probed_impatiently_when_the_network_returns() -> None:
    life = opened()
    life.now += 2
    life.hear()
    life.tell("went_offline")
    life.now += 4
    assert life.tell("came_online") == ["1 ping", "1 state probing"]
    assert life.left == 5


def test_a_link_heard_while_offline_needs_no_probe() -> None:
    life = opened()
    life.tell("went_offline")
    life.now += 1
    life.hear()
    life.tell("went_offline")
    assert life.tell("came_online") == []
    assert life.machine.state == "open"


def test_another_network_without_a_gap_leads_to_a_probe() -> None:
    life = opened()
    life.now += 3
    life.hear()
    assert life.tell("came_online") == ["1 ping", "1 state probing"]


def test_another_network_without_a_gap_retries_at_once() -> None:
    assert waiting().tell("came_online") == ["2 open", "2 state connecting"]


def test_the_network_of_long_ago_does_not_matter() -> None:
    life = opened()
    life.tell("went_offline")
    life.now += 1
    life.hear()
    life.tell("came_online")
    life.lose()
    assert life.left == 0.5


@pytest.mark.parametrize("state", ["idle", "connecting", "probing", "closing", "failed"])
def test_a_network_that_returns_matters_only_to_an_open_or_a_waiting_connection(state: str) -> None:
    life = EVERY[state]()
    life.tell("went_offline")
    before = (life.machine.state, life.machine.deadline)
    assert life.tell("came_online") == []
    assert (life.machine.state, life.machine.deadline) == before


# Loss and retry


def test_an_attempt_that_fails_is_retried_and_the_retry_is_announced() -> None:
    life = started()
    assert life.lose() == ["1 retry 1 in 0.5: lost", "1 state waiting"]
    assert life.left == 0.5
    assert life.wake() == ["2 open", "2 state connecting"]


def test_a_loss_of_which_the_host_knows_nothing_more_is_retried_and_nobody_asked_to_wait() -> None:
    life = started()
    assert life.tell("lost", 1) == ["1 retry 1 in 0.5: lost", "1 state waiting"]
    assert life.tell("came_online") == ["2 open", "2 state connecting"]


def test_an_open_link_that_breaks_is_reported_with_its_cause_and_code() -> None:
    life = opened()
    assert life.lose(1001) == [
        "1 closed: lost 1001",
        "1 retry 1 in 0.5: lost",
        "1 state waiting",
    ]


def test_a_link_that_breaks_during_a_probe_is_lost_like_any_other() -> None:
    life = probing()
    assert life.lose() == ["1 closed: lost", "1 retry 1 in 0.5: lost", "1 state waiting"]


def test_a_link_is_lost_once() -> None:
    life = waiting()
    assert life.lose() == []
    assert life.machine.attempt == 1


def test_retries_back_off() -> None:
    life = started()
    waits = []
    for _ in range(4):
        life.lose()
        waits.append(life.left)
        life.wake()
    assert waits == [0.5, 1.25, 1.875, 2.8125]


def test_a_client_draws_its_place_once_in_each_outage() -> None:
    drawn: list[float] = []

    def random() -> float:
        drawn.append(0.25 if not drawn else 0.75)
        return drawn[-1]

    life = started(random=random)
    life.lose()
    assert life.left == 0.25
    life.wake()
    life.lose()
    assert len(drawn) == 1
    life.wake()
    life.tell("opened", life.machine.link)
    life.now += 30
    life.lose()
    assert life.left == 0.75
    assert len(drawn) == 2


def test_attempts_count_from_zero_after_a_stable_link() -> None:
    life = waiting()
    life.wake()
    life.tell("opened", 2)
    life.now += 30
    assert life.lose() == ["2 closed: lost", "2 retry 1 in 0.5: lost", "2 state waiting"]


def test_a_link_that_was_open_too_briefly_does_not_end_the_outage() -> None:
    life = waiting()
    life.wake()
    life.tell("opened", 2)
    life.now += 29.999
    assert life.lose() == ["2 closed: lost", "2 retry 2 in 1.25: lost", "2 state waiting"]


def test_a_server_that_accepts_and_drops_is_asked_ever_more_rarely() -> None:
    life = started()
    waits: list[float] = []
    for _ in range(12):
        life.tell("opened", life.machine.link)
        life.lose()
        assert life.left is not None
        waits.append(life.left)
        life.wake()
    assert waits == sorted(waits)
    assert waits[-1] > 7


def test_the_time_an_attempt_took_does_not_count_as_stable() -> None:
    life = waiting(stable_after=1.0)
    life.wake()
    life.now += 5
    life.lose()
    assert life.machine.attempt == 2


def test_after_as_many_retries_as_allowed_the_connection_fails() -> None:
    life = started(max_attempts=2)
    life.lose()
    life.wake()
    life.lose()
    life.wake()
    assert life.lose(1006) == ["3 failed, out of retries: lost 1006", "3 state failed"]
    assert life.machine.deadline is None


def test_with_no_retries_allowed_the_first_failure_is_the_end() -> None:
    life = started(max_attempts=0)
    assert life.lose() == ["1 failed, out of retries: lost", "1 state failed"]


def test_an_open_link_is_reported_closed_before_the_connection_fails() -> None:
    life = opened(max_attempts=0)
    assert life.lose(1006) == ["1 closed: lost 1006", "1 failed, out of retries: lost 1006", "1 state failed"]


def test_a_stable_link_gives_all_retries_back() -> None:
    life = started(max_attempts=1)
    life.lose()
    life.wake()
    life.tell("opened", 2)
    life.now += 30
    assert "2 retry 1 in 0.5: lost" in life.lose()


@pytest.mark.parametrize("state", ["connecting", "open", "probing"])
def test_what_no_retry_can_help_is_final(state: str) -> None:
    life = EVERY[state]()
    assert life.lose(4403, 7.0, True)[-2:] == ["1 failed: lost 4403", "1 state failed"]


@pytest.mark.parametrize("limit", [None, 5])
def test_timeouts_are_not_final_by_themselves(limit: int | None) -> None:
    life = probing(max_attempts=limit)
    life.wake()
    life.wake()
    life.wake()
    life.wake()
    life.wake()
    assert life.machine.state == "waiting"


def test_a_heartbeat_timeout_may_spend_the_last_attempt() -> None:
    life = probing(max_attempts=0)
    life.wake()
    assert life.wake() == [
        "1 abandon",
        "1 closed: heartbeat timeout",
        "1 failed, out of retries: heartbeat timeout",
        "1 state failed",
    ]


def test_an_open_timeout_may_spend_the_last_attempt() -> None:
    life = started(max_attempts=0)
    life.wake()
    assert life.wake() == ["1 abandon", "1 failed, out of retries: open timeout", "1 state failed"]


def test_a_hint_of_the_server_is_kept() -> None:
    life = started()
    assert life.lose(hint=20.0) == ["1 retry 1 in 20.5: lost", "1 state waiting"]
    assert life.left == 20.5


@pytest.mark.parametrize("event", ["shown", "came_online"])
@pytest.mark.parametrize("hint", [0.125, 20.0])
def test_a_server_that_asked_to_wait_is_not_asked_earlier(event: str, hint: float) -> None:
    life = started()
    life.lose(hint=hint)
    life.now += 0.125
    assert life.tell(event) == []
    assert (life.machine.state, life.left) == ("waiting", hint + 0.375)
    assert life.wake() == ["2 open", "2 state connecting"]


def test_a_server_that_asked_to_wait_is_not_asked_earlier_after_a_time_offline() -> None:
    life = started()
    life.lose(hint=20.0)
    life.tell("went_offline")
    life.now += 5
    assert life.tell("shown") == []
    assert life.machine.deadline is None
    assert life.tell("came_online") == []
    assert life.left == 15.5
    assert life.wake() == ["2 open", "2 state connecting"]


def test_a_wait_that_ended_while_offline_does_not_begin_again() -> None:
    life = started()
    life.lose(hint=20.0)
    life.tell("went_offline")
    life.now += 20.5
    assert life.tell("came_online") == ["2 open", "2 state connecting"]


def test_a_hint_counts_for_one_wait() -> None:
    life = started()
    life.lose(hint=20.0)
    life.wake()
    life.lose()
    assert life.tell("shown") == ["3 open", "3 state connecting"]


def test_the_user_may_overrule_a_hint() -> None:
    life = started()
    life.lose(hint=20.0)
    assert life.tell("reconnect_now") == ["2 open", "2 state connecting"]


# The user's wishes


def test_reconnecting_replaces_an_open_link_at_once() -> None:
    life = opened()
    life.now += 1
    assert life.tell("reconnect_now") == [
        "1 abandon",
        "1 closed: reconnect requested",
        "1 retry 1 in 0: reconnect requested",
        "2 open",
        "2 state connecting",
    ]
    assert life.left == 8


def test_reconnecting_replaces_a_probed_link_at_once() -> None:
    assert probing().tell("reconnect_now")[:2] == ["1 abandon", "1 closed: reconnect requested"]


def test_reconnecting_skips_a_wait_without_a_new_attempt() -> None:
    life = waiting()
    assert life.tell("reconnect_now") == ["2 open", "2 state connecting"]
    assert life.machine.attempt == 1


def test_reconnecting_works_offline_for_the_user_may_know_better() -> None:
    life = waiting()
    life.tell("went_offline")
    assert life.tell("reconnect_now") == ["2 open", "2 state connecting"]
    assert life.left == 8


def test_reconnecting_after_a_stable_link_begins_a_new_count() -> None:
    life = started(max_attempts=2)
    life.lose()
    life.wake()
    life.lose()
    life.wake()
    life.tell("opened", 3)
    life.now += 3600
    life.tell("reconnect_now")
    assert life.machine.attempt == 1
    assert "4 state waiting" in life.lose(), "two retries are allowed"


def test_reconnecting_again_and_again_is_no_stable_link() -> None:
    life = opened()
    for attempt in range(1, 5):
        life.tell("reconnect_now")
        assert life.machine.attempt == attempt
        life.tell("opened", life.machine.link)


@pytest.mark.parametrize("state", ["idle", "connecting", "closing", "failed"])
def test_reconnecting_has_no_meaning_elsewhere(state: str) -> None:
    life = EVERY[state]()
    before = (life.machine.state, life.machine.deadline)
    assert life.tell("reconnect_now") == []
    assert (life.machine.state, life.machine.deadline) == before


@pytest.mark.parametrize("state", ["open", "probing"])
def test_stopping_closes_an_open_link_politely(state: str) -> None:
    life = EVERY[state]()
    assert life.tell("stopped") == ["1 close", "1 state closing"]
    assert life.left == 5
    assert life.lose(1000) == ["1 closed: lost 1000", "1 state closed"]
    assert life.machine.deadline is None


def test_a_close_that_takes_too_long_is_cut_short() -> None:
    life = closing()
    assert life.wake() == ["1 abandon", "1 closed: close timeout", "1 state closed"]
    assert life.machine.deadline is None


def test_a_close_may_be_given_no_time_at_all() -> None:
    life = closing(close_timeout=0.0)
    assert life.left == 0
    assert life.tell("woke") == ["1 abandon", "1 closed: close timeout", "1 state closed"]


def test_stopping_while_connecting_abandons_the_link_and_nothing_was_open() -> None:
    life = started()
    assert life.tell("stopped") == ["1 abandon", "1 state closed"]
    assert life.machine.deadline is None


@pytest.mark.parametrize(("state", "link"), [("idle", 0), ("waiting", 1)])
def test_stopping_where_there_is_no_link_is_the_end_at_once(state: str, link: int) -> None:
    life = EVERY[state]()
    assert life.tell("stopped") == [f"{link} state closed"]
    assert life.machine.deadline is None


def test_stopping_twice_does_not_begin_the_close_again() -> None:
    life = closing()
    life.now += 3
    assert life.tell("stopped") == []
    assert life.left == 2


def test_a_failed_connection_stays_failed() -> None:
    life = failed()
    assert life.tell("stopped") == []
    assert life.machine.state == "failed"


@pytest.mark.parametrize(
    "event", ["started", "woke", "went_offline", "came_online", "hidden", "shown", "reconnect_now"]
)
@pytest.mark.parametrize("state", ["idle", "connecting", "open", "probing", "waiting"])
def test_after_stopping_no_link_is_opened_again(state: str, event: str) -> None:
    life = EVERY[state]()
    life.tell("stopped")
    for _ in range(3):
        life.now += 1000
        assert [done for done in life.tell(event) if done.endswith("open")] == []


# Links of the past and of the future


@pytest.mark.parametrize("state", list(EVERY))
@pytest.mark.parametrize("distance", [-1, 1])
def test_what_happens_to_another_link_changes_nothing(state: str, distance: int) -> None:
    life = EVERY[state]()
    other = life.machine.link + distance
    before = {
        name: str(vars(value) if name == "liveness" else value) for name, value in vars(life.machine).items()
    }
    life.now += 1
    life.tell("opened", other)
    life.machine.heard(life.now, other)
    life.tell("reading_paused", other)
    life.machine.paused = True
    life.tell("reading_resumed", other)
    assert life.machine.paused is True
    life.machine.paused = before["paused"] == "True"
    life.tell("unacknowledged", other, 9, 0.25)
    life.tell("lost", other, 1006, 9.0, True)
    assert life.did() == []
    after = {
        name: str(vars(value) if name == "liveness" else value) for name, value in vars(life.machine).items()
    }
    assert after == before


# A server that is up and overloaded


def draws(*numbers: float) -> Callable[[], float]:
    return iter(numbers).__next__


def time_out(life: Life) -> float:
    """Let the current attempt run into its open timeout; return the wait until the next."""
    life.wake()
    life.wake()
    assert life.left is not None
    return life.left


def refuse(life: Life, hint: float = 0.0) -> float:
    """Let the server refuse the current attempt; return the wait until the next."""
    life.lose(hint=hint)
    assert life.left is not None
    return life.left


def test_each_attempt_that_times_out_makes_windows_half_as_wide_again_and_draws_a_new_place() -> None:
    life = started(random=draws(0.5, 0.25, 0.75))
    assert time_out(life) == 0.5
    life.wake()
    assert time_out(life) == 0.25 * 1.5 * 1.5
    life.wake()
    assert time_out(life) == round(0.75 * 2.25 * 1.5 * 1.5, 6)


def test_so_does_each_attempt_that_the_server_refuses_with_a_hint() -> None:
    life = started(random=draws(0.5, 0.25, 0.75))
    assert refuse(life, hint=2) == 2.5
    life.wake()
    assert refuse(life, hint=2) == round(2 + 0.25 * 1.5 * 1.5, 6)
    life.wake()
    assert refuse(life, hint=0.001) == round(0.001 + 0.75 * 2.25 * 1.5 * 1.5, 6)


def test_a_refusal_without_a_hint_keeps_the_place_in_windows_as_wide_as_they_have_become() -> None:
    life = started(random=draws(0.5, 0.25))
    refuse(life)
    life.wake()
    time_out(life)
    life.wake()
    assert refuse(life) == round(0.75 * 1.5 * 1.5 + 0.25 * 2.25 * 1.5, 6)


def test_advice_on_an_open_link_is_no_sign_of_an_overloaded_server() -> None:
    life = started(random=draws(0.5))
    refuse(life)
    life.wake()
    life.tell("opened", life.machine.link)
    assert refuse(life, hint=30) == 30 + 0.5 * 1.5


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_link_that_falls_silent_is_no_sign_of_an_overloaded_server(is_cut: bool) -> None:
    life = started(random=draws(0.5))
    refuse(life)
    life.wake()
    life.tell("opened", life.machine.link)
    life.wake()
    assert life.machine.state == "probing"
    if is_cut:
        life.tell("unacknowledged", life.machine.link, 4, 1.0)
    else:
        life.wake()
        life.wake()
    assert life.machine.state == "waiting"
    assert life.left == 0.5 * 1 + 0.5 * 1.5


def test_an_attempt_that_the_host_lost_is_no_late_one() -> None:
    life = started(random=draws(0.5))
    refuse(life)
    life.wake()
    life.lose()
    assert life.left == 0.5 * 1 + 0.5 * 1.5


def test_the_next_outage_begins_with_the_first_window_again() -> None:
    life = started(random=draws(0.5, 0.5, 0.5))
    for _ in range(2):
        time_out(life)
        life.wake()
    life.tell("opened", life.machine.link)
    life.now += 30
    assert refuse(life) == 0.5
    life.wake()
    assert refuse(life) == 0.5 * 1 + 0.5 * 1.5
