"""Whatever a host and a user do, in any order: one live socket, an end to each beginning, no leftovers."""

import itertools
import logging
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.miniprogram.scripted import Play
from tests.miniprogram.test_parity import random_scenario

MANY = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def without_renewals(random: Random) -> dict[str, Any]:
    scenario = random_scenario(random)
    scenario["steps"] = [step for step in scenario["steps"] if step[1] != "renew"]
    scenario["acting"] = {name: act for name, act in scenario["acting"].items() if act != "renew"}
    return scenario


class Watched(Play):
    """A play that counts live sockets whenever the adapter asks for another."""

    def __init__(self, scenario: dict[str, Any]) -> None:
        super().__init__(scenario)
        self.most = 0

    def note(self, *words: Any) -> None:
        super().note(*words)
        if words[0] in ("connectSocket", "WebSocket"):
            pending = set(self.promises)
            live = [n for n, socket in enumerate(self.sockets, 1) if socket.live and n not in pending]
            single = bool(self.config.get("single"))
            # With a single socket only the host itself knows; what counts there is that we closed it.
            self.most = max(self.most, 0 if single else len(live) + 1)


@MANY
@given(st.randoms(use_true_random=False))
def test_there_are_never_two_live_sockets(random: Random) -> None:
    play = Watched(without_renewals(random))
    play.run()
    assert play.most <= 1


@MANY
@given(st.randoms(use_true_random=False))
def test_a_renewal_adds_one_live_socket_at_most(random: Random) -> None:
    play = Watched(random_scenario(random))
    play.run()
    assert play.most <= 2


class Told(Play):
    """A play whose messages say on which link they come."""

    def socket_event(self, what: str, link: int, event: Any) -> None:
        if what == "Message":
            event = {"type": "message", "data": str(link or len(self.sockets))}
        super().socket_event(what, link, event)


@MANY
@given(st.randoms(use_true_random=False))
def test_once_a_link_has_taken_over_no_message_of_the_one_before_is_told(random: Random) -> None:
    scenario = random_scenario(random)
    # On a single socket all messages come by one way.
    scenario["host"]["single"] = False
    ended, closed = 0, []
    for _, *words in Told(scenario).run():
        if words[0] == "close":
            closed.append(words[1])
        elif words[:2] == ["hook", "Message"]:
            assert int(words[2]["data"]) > ended
        elif words[:2] == ["hook", "Close"] and words[2].get("reason") == "renewed":
            ended, closed = min(closed), []


@MANY
@given(st.randoms(use_true_random=False))
def test_every_open_is_followed_by_a_close_before_the_next_open_and_every_close_had_an_attempt(
    random: Random,
) -> None:
    log = Play(without_renewals(random)).run()
    words = [line[2] for line in log if line[1] == "hook" and line[2] in ("Open", "Close")]
    assert ("Open", "Open") not in itertools.pairwise(words)
    attempts = [line[1] for line in log if line[1] in ("connectSocket", "WebSocket", "asked")]
    closes = [line for line in log if line[1] == "state" and line[4] is True]
    assert words.count("Close") <= len(attempts) + len(closes)


@MANY
@given(st.randoms(use_true_random=False))
def test_messages_and_sends_belong_to_an_open_link(random: Random) -> None:
    scenario = without_renewals(random)
    scenario.pop("session", None)  # which has messages that outlive their links
    log = Play(scenario).run()
    is_open = False
    for line in log:
        if line[1] == "hook" and line[2] in ("Open", "Close"):
            is_open = line[2] == "Open"
        if line[1] == "hook" and line[2] == "Message":
            assert is_open


@MANY
@given(st.randoms(use_true_random=False))
def test_nothing_is_opened_after_close_until_the_user_asks(random: Random) -> None:
    scenario = random_scenario(random)
    scenario["steps"] = [
        step
        for step in scenario["steps"]
        if step[1] not in ("reconnect", "destroy", "forbid", "createWebSocket")
    ]
    scenario["steps"].insert(len(scenario["steps"]) // 2, ["user", "close"])
    allowed = ("close", "destroy", "send")
    scenario["acting"] = {name: act for name, act in scenario["acting"].items() if act in allowed}
    log = Play(scenario).run()
    closed = False
    for line in log:
        closed = closed or (line[1] == "state" and line[4] is True)
        assert not (closed and line[1] in ("connectSocket", "WebSocket"))
        assert not (closed and line[1] == "hook" and line[2] == "Reconnect")


@MANY
@given(st.randoms(use_true_random=False))
def test_destroy_leaves_nothing_behind(random: Random) -> None:
    scenario = random_scenario(random)
    scenario["host"]["off"] = True
    scenario["steps"] += [["advance", 1], ["user", "destroy"], ["advance", 0]]
    play = Play(scenario)
    log = play.run()
    if play.task is None:
        # Nobody has had anything to destroy.
        return
    # Hosts keep pending promises: they settle now.
    for number in range(1, 6):
        play.step("host", "resolve", number)
    assert play.clock.timers == 0
    assert play.task.state in ("closed", "failed")
    assert [name for name, listeners in play.host.listeners.items() if listeners] == []
    count = len(log)
    last_words = ["Open", "Message", "Close", "Error", *([] if scenario["target"] == "browser" else ["fail"])]
    for what in last_words:
        for link in range(1, len(play.sockets) + 1):
            play.step("host", what, link, {"data": "late"})
    play.step("host", "AppShow")
    play.step("advance", 600000)
    assert log[count:] == []


@MANY
@given(st.randoms(use_true_random=False))
def test_the_timer_is_always_set_while_something_must_happen(random: Random) -> None:
    scenario = random_scenario(random)
    play = Play(scenario)
    play.run()
    if play.task is not None and play.task.state not in ("closed", "failed", "idle"):
        assert play.clock.timers > 0 or (play.task.state == "waiting" and play.task.machine.offline)


def test_nothing_is_said_on_the_link_of_a_renewal_before_its_welcome_but_that_it_resumes() -> None:
    greeting = {"data": '{"session":1,"window":[9,99],"max":99,"ttl":120,"protocol":""}'}
    steps: list[list[Any]] = [
        ["advance", 1],
        ["host", "Open", 0, {}],
        ["host", "Message", 0, greeting],
        ["host", "Message", 0, {"data": '{"welcome":"new","key":"id.secret"}'}],
        ["advance", 14000],
        ["user", "renew"],
        ["host", "Open", 2, {}],
        ["host", "Message", 2, greeting],
        ["user", "send", "x"],
        ["advance", 2000],  # a heartbeat is due on the link before
    ]
    log = Play({"session": "prefer", "steps": steps}).run()
    said = [line[3]["data"] for line in log if line[1] == "send" and line[2] == 2]
    assert [text[:9] for text in said] == ['{"resume"']
