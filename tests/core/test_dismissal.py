"""The server sends us away for good, by a message or by a close code."""

from typing import Any

import pytest
from tests.core.life import EVERY, Life, almost_renewed, opened, probing, renewing, started

from websocket_heartbeat.core.close_codes import FinalCodes, is_final_code


def codes() -> FinalCodes:
    # Made anew in each test, so that a change of the class is tried.
    return FinalCodes(4500, 4999, FinalCodes(4001, 4001, FinalCodes(3500, 3999, None)))


@pytest.mark.parametrize("code", [3500, 3999, 4001, 4500, 4999])
def test_codes_of_each_range_are_final_from_its_first_to_its_last(code: int) -> None:
    assert is_final_code(code, codes())
    assert not is_final_code(code, None)


@pytest.mark.parametrize("code", [None, 1000, 3499, 4000, 4002, 4499, 5000])
def test_other_codes_are_not_final_nor_is_none(code: int | None) -> None:
    assert not is_final_code(code, codes())


# By a code


@pytest.mark.parametrize("is_final", [None, True])
def test_a_final_code_is_the_end_unless_the_host_knows_better(is_final: bool | None) -> None:
    life = opened(final_codes=codes())
    assert life.tell("lost", 1, 4500, 7.0, is_final) == [
        "1 closed: lost 4500",
        "1 failed: lost 4500",
        "1 state failed",
    ]
    assert life.machine.deadline is None


def test_the_host_may_know_that_a_retry_helps_in_spite_of_the_code() -> None:
    life = opened(final_codes=codes())
    assert life.tell("lost", 1, 4500, 0.0, False)[-1] == "1 state waiting"


@pytest.mark.parametrize("code", [None, 1012, 4000])
def test_after_other_codes_there_is_a_retry(code: int | None) -> None:
    life = opened(final_codes=codes())
    assert life.tell("lost", 1, code)[-1] == "1 state waiting"


def test_what_is_final_is_not_called_a_lack_of_retries() -> None:
    life = opened(final_codes=codes(), max_retries=0)
    assert "1 failed: lost 4001" in life.tell("lost", 1, 4001)


def test_a_successor_that_is_open_takes_over_from_a_link_that_a_final_code_ends() -> None:
    life = almost_renewed(final_codes=codes())
    assert life.tell("lost", 1, 4500) == ["1 closed: lost 4500", "2 switch"]


# By a message: the close frame follows


def dismissed(of: Any = opened, **changes: Any) -> Life:
    life: Life = of(**changes)
    assert life.tell("dismissed", 1) == []
    return life


@pytest.mark.parametrize("of", [opened, probing])
@pytest.mark.parametrize("code", [None, 1000, 1006, 4500])
def test_after_a_dismissal_every_end_of_the_link_is_that_of_the_connection(of: Any, code: int | None) -> None:
    life = dismissed(of)
    shown = "" if code is None else f" {code}"
    assert life.lose(code, hint=3.0) == [
        f"1 closed: lost{shown}",
        f"1 failed: lost{shown}",
        "1 state failed",
    ]
    assert life.machine.deadline is None


def test_the_server_has_close_timeout_to_close_the_link_and_our_host_one_grace_to_read_that() -> None:
    life = dismissed()
    assert life.left == 5
    assert life.wake() == []
    assert life.left == 0.001
    assert life.wake() == [
        "1 abandon",
        "1 closed: dismissed by the server",
        "1 failed: dismissed by the server",
        "1 state failed",
    ]


def test_what_the_link_is_sent_and_brings_meanwhile_does_not_put_off_its_end() -> None:
    life = dismissed()
    life.now += 3
    life.hear()
    life.tell("dismissed", 1)
    assert life.left == 2


def test_the_deadlines_of_the_link_stay_where_they_come_sooner() -> None:
    life = opened(interval=2.0, close_timeout=9.0)
    life.tell("dismissed", 1)
    assert life.wake() == ["1 ping", "1 state probing"]
    assert life.wake() == []
    assert life.left == 0.001
    life = opened(interval=2.0, timeout=3.0, close_timeout=9.0)
    life.tell("dismissed", 1)
    life.wake()
    assert life.left == 3


@pytest.mark.parametrize(
    ("happened", "arguments", "cause"),
    [
        ("rejected", (1,), "rejected"),
        ("reconnect_now", (), "reconnect requested"),
        ("unacknowledged", (1, 4, 1.0), "path dead"),
    ],
)
def test_whatever_else_ends_a_link_on_which_we_were_dismissed_opens_no_other(
    happened: str, arguments: tuple[Any, ...], cause: str
) -> None:
    life = dismissed(probing)
    assert life.tell(happened, *arguments)[1:] == [
        f"1 closed: {cause}",
        f"1 failed: {cause}",
        "1 state failed",
    ]


def test_a_dismissed_link_is_not_renewed() -> None:
    assert dismissed().tell("renew") == []


def test_the_user_may_close_meanwhile() -> None:
    life = dismissed()
    assert life.tell("stopped") == ["1 close", "1 state closing"]
    life.now += 3
    assert life.left == 2
    assert life.lose(4500) == ["1 closed: lost 4500", "1 state closed"]


@pytest.mark.parametrize("state", ["idle", "connecting", "waiting", "closing", "failed"])
def test_where_no_link_is_open_nobody_is_dismissed(state: str) -> None:
    life = EVERY[state]()
    assert life.tell("dismissed", life.machine.link) == []
    assert life.machine.parting is None


def test_the_next_link_of_a_connection_knows_nothing_of_a_dismissal_of_another() -> None:
    life = dismissed(almost_renewed)
    assert life.lose(4500)[-1] == "2 switch"
    assert life.lose(1006)[-1] == "2 state waiting"


# During a renewal


def test_a_successor_that_is_open_takes_over_from_a_link_on_which_we_were_dismissed() -> None:
    life = dismissed(almost_renewed)
    life.wake()
    assert life.wake() == ["1 abandon", "1 closed: dismissed by the server", "2 switch"]
    assert life.machine.state == "open"


def test_a_successor_that_is_not_open_yet_is_given_up_with_the_link() -> None:
    life = dismissed(renewing)
    assert life.lose() == [
        "1 closed: lost",
        "2 abandon",
        "2 renewal failed: stopped",
        "1 failed: lost",
        "1 state failed",
    ]


def test_a_successor_on_which_we_are_dismissed_is_left_and_the_link_before_goes_on() -> None:
    life = almost_renewed()
    assert life.tell("dismissed", 2) == [
        "2 leave",
        "2 closed: dismissed by the server",
        "2 renewal failed: dismissed by the server",
    ]
    assert (life.machine.state, life.machine.link, life.machine.parting) == ("open", 1, None)


def test_a_successor_that_is_not_open_cannot_bring_a_dismissal() -> None:
    assert renewing().tell("dismissed", 2) == []
    assert started().tell("dismissed", 1) == []
