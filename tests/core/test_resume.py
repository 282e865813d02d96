"""The client's side of the handshake: docs/session.md, chapters 4, 7 and 8, one sentence at a time.

What it does over many links that break anywhere is in test_session.py.
"""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from websocket_heartbeat.core import resume
from websocket_heartbeat.core.resume import Control, Resumption, Step
from websocket_heartbeat.core.session import OUT_OF_STEP, REPLACED, VIOLATION, Window

SAME = settings(derandomize=True, deadline=None)
"""The same examples in each run, as that of a mutant is judged by them."""
OURS = Window(8, 100)
THEIRS = Window(5, 50)


# What the server says


def greeting(window: Window = THEIRS) -> Control:
    control = Control(resume.GREETING_CONTROL)
    control.window = window
    return control


def welcome(answer: str, key: str = "", done: int = 0, got: int = 0, why: str = "") -> Control:
    control = Control(resume.WELCOME)
    control.answer, control.key, control.done, control.got, control.why = answer, key, done, got, why
    return control


def end(why: str = "") -> Control:
    control = Control(resume.END)
    control.why = why
    return control


# Clients in each state


def new_client(*, is_required: bool = False) -> Resumption:
    return Resumption(is_required, OURS)


def greeting_client(*, is_required: bool = False) -> Resumption:
    client = new_client(is_required=is_required)
    client.opened(True)
    return client


def hello_client() -> Resumption:
    client = greeting_client()
    client.control_received(greeting())
    client.take_steps()
    return client


def attached_client() -> Resumption:
    """It has sent 3 messages, of which 1 is acknowledged, and received 2, of which 1 is handled."""
    client = hello_client()
    client.control_received(welcome(resume.NEW, key="key 1"))
    for payload in ("one", "two", "three"):
        client.half.accept(payload, 1)
    client.half.acknowledged(1)
    client.half.take("B", 1)
    client.half.take("C", 1)
    client.handled(0.0)
    client.take_steps()
    return client


def detached_client() -> Resumption:
    client = attached_client()
    client.lost(0)
    return client


def greeting_again() -> Resumption:
    client = detached_client()
    client.opened(True)
    return client


def resuming_client() -> Resumption:
    client = greeting_again()
    client.control_received(greeting())
    client.take_steps()
    return client


def ending_client() -> Resumption:
    client = attached_client()
    client.end("bye")
    client.take_steps()
    return client


def dismissed_client() -> Resumption:
    client = attached_client()
    client.control_received(end("closed"))
    client.take_steps()
    return client


def over_client() -> Resumption:
    client = resuming_client()
    client.control_received(welcome(resume.OVER))
    client.take_steps()
    return client


def ended_client() -> Resumption:
    client = ending_client()
    client.half.acknowledged(3)
    client.lost(1000)
    return client


def plain_client() -> Resumption:
    client = new_client()
    client.opened(False)
    client.take_steps()
    return client


def refused_client() -> Resumption:
    client = new_client(is_required=True)
    client.opened(False)
    client.take_steps()
    return client


STATES: dict[str, Callable[[], Resumption]] = {
    "new": new_client,
    "greeting": greeting_client,
    "hello": hello_client,
    "attached": attached_client,
    "detached": detached_client,
    "greeting again": greeting_again,
    "resuming": resuming_client,
    "ending": ending_client,
    "dismissed": dismissed_client,
    "over": over_client,
    "ended": ended_client,
    "plain": plain_client,
    "refused": refused_client,
}

INPUTS: dict[str, Callable[[Resumption], object]] = {
    "opened, selected": lambda client: client.opened(True),
    "opened, not selected": lambda client: client.opened(False),
    "greeting": lambda client: client.control_received(greeting()),
    "new": lambda client: client.control_received(welcome(resume.NEW, key="key 2")),
    "new, no key": lambda client: client.control_received(welcome(resume.NEW)),
    "resumed": lambda client: client.control_received(welcome(resume.RESUMED, done=2, got=2)),
    "resumed, not fitting": lambda client: client.control_received(welcome(resume.RESUMED, done=2, got=4)),
    "reset": lambda client: client.control_received(welcome(resume.RESET, key="key 2", done=2)),
    "reset, no key": lambda client: client.control_received(welcome(resume.RESET, done=2)),
    "over": lambda client: client.control_received(welcome(resume.OVER, done=2)),
    "welcome of another kind": lambda client: client.control_received(welcome("never heard of", key="key 2")),
    "end": lambda client: client.control_received(end()),
    "hello": lambda client: client.control_received(Control(resume.HELLO)),
    "frame": lambda client: client.frame_received(),
    "lost": lambda client: client.lost(0),
    "closed 1000": lambda client: client.lost(1000),
    "closed 4490": lambda client: client.lost(VIOLATION),
    "closed 4491": lambda client: client.lost(REPLACED),
    "closed 4492": lambda client: client.lost(OUT_OF_STEP),
    "user closes": lambda client: client.end("bye"),
}

VIOLATED = ("detached", ["drop link"])
"""The link breaks the protocol: it is dropped, and the client resumes."""

TABLE: dict[str, dict[str, tuple[str, list[str]]]] = {
    "new": {
        "opened, selected": ("greeting", []),
        "opened, not selected": ("plain", ["be plain"]),
    },
    "greeting": {
        "greeting": ("welcoming", ["say hello"]),
        **dict.fromkeys(
            [
                *["new", "new, no key", "resumed", "resumed, not fitting", "reset", "reset, no key", "over"],
                *["welcome of another kind", "end", "hello", "frame"],
            ],
            ("plain", ["be plain"]),
        ),
        **dict.fromkeys(
            ["lost", "closed 1000", "closed 4490", "closed 4491", "closed 4492"], ("detached", [])
        ),
    },
    "hello": {
        "new": ("attached", ["tell new", "ready"]),
        "over": ("over", ["tell over", "close link"]),
        **dict.fromkeys(
            [
                *["greeting", "new, no key", "resumed", "resumed, not fitting", "reset", "reset, no key"],
                *["welcome of another kind", "end", "hello", "frame"],
            ],
            VIOLATED,
        ),
        **dict.fromkeys(
            ["lost", "closed 1000", "closed 4490", "closed 4491", "closed 4492"], ("detached", [])
        ),
    },
    "attached": {
        "end": ("dismissed", ["tell over"]),
        "user closes": ("attached", ["say end"]),
        **dict.fromkeys(
            [
                *["greeting", "new", "new, no key", "resumed", "resumed, not fitting", "reset"],
                *["reset, no key", "over", "welcome of another kind", "hello"],
            ],
            VIOLATED,
        ),
        **dict.fromkeys(["lost", "closed 1000", "closed 4490", "closed 4492"], ("detached", [])),
        "closed 4491": ("detached", ["tell reset"]),
    },
    "detached": {
        "opened, selected": ("greeting", []),
        "opened, not selected": VIOLATED,
    },
    "greeting again": {
        "greeting": ("welcoming", ["say resume"]),
        **dict.fromkeys(
            [
                *["new", "new, no key", "resumed", "resumed, not fitting", "reset", "reset, no key", "over"],
                *["welcome of another kind", "end", "hello", "frame"],
            ],
            VIOLATED,
        ),
        **dict.fromkeys(
            ["lost", "closed 1000", "closed 4490", "closed 4491", "closed 4492"], ("detached", [])
        ),
    },
    "resuming": {
        "resumed": ("attached", ["tell resumed", "ready"]),
        "reset": ("attached", ["tell reset", "ready"]),
        "over": ("over", ["tell over", "close link"]),
        **dict.fromkeys(
            [
                *["greeting", "new", "new, no key", "resumed, not fitting", "reset, no key"],
                *["welcome of another kind", "end", "hello", "frame"],
            ],
            VIOLATED,
        ),
        **dict.fromkeys(["lost", "closed 1000", "closed 4490", "closed 4492"], ("detached", [])),
        "closed 4491": ("detached", ["tell reset"]),
    },
    "ending": {
        "end": ("dismissed", ["tell over"]),
        **dict.fromkeys(
            [
                *["greeting", "new", "new, no key", "resumed", "resumed, not fitting", "reset"],
                *["reset, no key", "over", "welcome of another kind", "hello"],
            ],
            VIOLATED,
        ),
        **dict.fromkeys(["lost", "closed 1000", "closed 4490", "closed 4492"], ("detached", [])),
        "closed 4491": ("over", ["tell reset"]),
    },
    "plain": dict.fromkeys(
        ["lost", "closed 1000", "closed 4490", "closed 4491", "closed 4492"], ("detached", [])
    ),
}
"""What each input does in each state; where nothing is said it changes nothing."""

CONTROLS = list(INPUTS)[2:13]
"""No control comes without a link that has greeted."""
WITHOUT_LINK = ("new", "detached", "dismissed", "over", "ended", "plain", "refused")
PAIRS = [
    (state, each) for state in STATES for each in INPUTS if state not in WITHOUT_LINK or each not in CONTROLS
]


def summary(steps: list[Step]) -> list[str]:
    """Each step in words."""
    words = []
    for step in steps:
        if step.kind == resume.SAY:
            assert step.control is not None
            words.append(f"say {step.control.kind}")
        else:
            words.append(f"tell {step.answer}" if step.kind == resume.TELL else step.kind)
    return words


@pytest.mark.parametrize(("state", "given_input"), PAIRS)
def test_each_input_does_in_each_state_what_chapter_8_says(state: str, given_input: str) -> None:
    client = STATES[state]()
    before = client.state
    INPUTS[given_input](client)
    expected = TABLE.get(state, {}).get(given_input, (before, []))
    assert (client.state, summary(client.take_steps())) == expected


def test_a_control_after_the_end_of_a_session_breaks_the_protocol_and_nothing_more() -> None:
    for make in (dismissed_client, over_client, ended_client):
        client = make()
        state = client.state
        client.control_received(end())
        (step,) = client.take_steps()
        assert (step.kind, step.code, client.state) == (resume.DROP_LINK, VIOLATION, state)


def test_only_the_frames_of_an_attached_link_are_the_sessions() -> None:
    for make in STATES.values():
        client = make()
        is_attached = client.state == resume.ATTACHED
        assert client.frame_received() == is_attached


def test_steps_are_taken_once() -> None:
    client = new_client()
    client.opened(False)
    assert summary(client.take_steps()) == ["be plain"]
    assert client.take_steps() == []


# The parts of what is said and told


def test_the_parts_that_a_control_does_not_have_are_empty() -> None:
    control = Control(resume.END)
    assert (control.kind, control.answer, control.key, control.why, control.protocol) == (
        "end",
        "",
        "",
        "",
        "",
    )
    assert (control.window.messages, control.window.size, control.max, control.ttl) == (0, 0, 0, 0)
    assert (control.link, control.done, control.got, control.acked, control.sent) == (0, 0, 0, 0, 0)
    assert control.binary is True


def test_the_parts_that_a_step_does_not_have_are_empty() -> None:
    step = Step(resume.READY)
    assert (step.kind, step.control, step.number, step.code) == ("ready", None, 0, 0)
    assert (step.answer, step.why, step.before) == ("", "", None)


def test_a_new_client_holds_nothing() -> None:
    client = new_client()
    assert (client.state, client.key, client.is_ending) == (resume.DETACHED, "", False)
    assert (client.half.sent, client.half.got) == (0, 0)
    assert client.half.ours is OURS
    assert client.take_steps() == []


def test_hello_says_our_window_and_the_greeting_theirs() -> None:
    client = greeting_client()
    client.control_received(greeting())
    (step,) = client.take_steps()
    said = step.control
    assert said is not None
    assert (said.kind, said.key, said.link) == (resume.HELLO, "", 0)
    assert said.window is OURS
    assert client.half.theirs is THEIRS


def test_a_new_session_is_told_with_its_key_and_owes_all_that_was_accepted() -> None:
    client = hello_client()
    client.half.accept("early", 1)
    client.control_received(welcome(resume.NEW, key="key 1"))
    told, ready = client.take_steps()
    assert (told.answer, told.why, told.before, told.number) == (resume.NEW, "", None, 0)
    assert (ready.kind, ready.number) == (resume.READY, 0)
    assert client.key == "key 1"
    assert (client.half.sent, client.half.told) == (1, 0)


def test_a_session_that_was_not_asked_for_cannot_be_resumed() -> None:
    client = hello_client()
    client.control_received(welcome(resume.RESUMED, done=0, got=0))
    assert summary(client.take_steps()) == ["drop link"]


def test_a_resume_says_where_both_halves_of_ours_are() -> None:
    client = greeting_again()
    client.control_received(greeting(Window(1, 1)))
    (step,) = client.take_steps()
    said = step.control
    assert said is not None
    assert (said.kind, said.key, said.link) == (resume.RESUME, "key 1", 1)
    assert (said.done, said.got) == (1, 2)
    assert (said.acked, said.sent) == (1, 3)
    assert said.window is OURS
    assert client.half.theirs is THEIRS, "windows hold for the session: that of its first greeting"


def test_the_number_of_a_link_grows_also_with_resumes_that_came_to_nothing() -> None:
    client = detached_client()
    links = []
    for answer in ("", resume.RESUMED, "", resume.RESET, ""):
        client.opened(True)
        client.control_received(greeting())
        (step,) = client.take_steps()
        assert step.control is not None
        links.append(step.control.link)
        if answer:
            client.control_received(welcome(answer, key="key 2", done=1, got=1))
            client.take_steps()
        client.lost(0)
    assert links == [1, 2, 3, 4, 5]


def test_resumed_forgets_what_the_server_has_handled_and_owes_what_it_has_not_received() -> None:
    client = resuming_client()
    client.control_received(welcome(resume.RESUMED, done=2, got=3))
    told, ready = client.take_steps()
    assert (told.answer, told.why, told.before, told.number) == (resume.RESUMED, "", None, 0)
    assert ready.number == 3
    assert client.half.acked == 2
    assert client.key == "key 1"


def test_what_was_handled_while_a_resume_was_under_way_is_still_to_be_acknowledged() -> None:
    client = resuming_client()
    client.handled(5.0)
    client.control_received(welcome(resume.RESUMED, done=1, got=1))
    assert (client.half.told, client.half.recorded) == (1, 2)
    assert client.half.acknowledgement_due_at() is not None


def test_a_reset_tells_the_session_before_and_begins_another_from_nothing() -> None:
    client = resuming_client()
    before = client.half
    client.control_received(welcome(resume.RESET, key="key 2", done=2, why="expired"))
    told, ready = client.take_steps()
    assert (told.answer, told.why, told.number) == (resume.RESET, "expired", 2)
    assert told.before is before
    assert (before.sent, before.acked) == (3, 1)
    assert ready.number == 0
    assert client.key == "key 2"
    half = client.half
    assert (half.sent, half.acked, half.got, half.done, half.told) == (0, 0, 0, 0, 0)
    assert half.ours is OURS
    assert half.theirs is THEIRS


def test_over_tells_what_is_unacknowledged_beyond_what_the_server_has_handled() -> None:
    client = resuming_client()
    client.control_received(welcome(resume.OVER, done=2, why="account closed"))
    told, close = client.take_steps()
    assert (told.answer, told.why, told.number) == (resume.OVER, "account closed", 2)
    assert told.before is client.half
    assert close.kind == resume.CLOSE_LINK


def test_over_that_knows_of_nothing_handled_takes_no_acknowledgement_back() -> None:
    client = resuming_client()
    client.control_received(welcome(resume.OVER))
    told, _ = client.take_steps()
    assert told.number == 1


# Dismissal


def test_a_dismissal_is_told_at_once_and_the_link_is_closed_when_all_is_handled() -> None:
    client = attached_client()
    client.control_received(end("account closed"))
    (told,) = client.take_steps()
    assert (told.answer, told.why, told.number) == (resume.OVER, "account closed", 1)
    assert told.before is client.half
    client.handled(2.0)
    (close,) = client.take_steps()
    assert (close.kind, client.state) == (resume.CLOSE_LINK, resume.OVER)


def test_a_dismissal_of_a_client_that_has_handled_all_closes_the_link_at_once() -> None:
    client = attached_client()
    client.handled(0.0)
    client.control_received(end())
    assert summary(client.take_steps()) == ["tell over", "close link"]
    assert client.state == resume.OVER


def test_what_came_before_a_dismissal_is_handled_though_its_link_is_lost() -> None:
    client = dismissed_client()
    client.lost(0)
    client.opened(True)
    assert client.state == resume.DISMISSED
    client.handled(0.0)
    assert summary(client.take_steps()) == ["close link"]
    assert client.state == resume.OVER


# The user closes


def test_an_end_says_the_reason_once() -> None:
    client = attached_client()
    client.end("bye")
    client.end("never said")
    (step,) = client.take_steps()
    assert step.kind == resume.SAY
    assert step.control is not None
    assert (step.control.kind, step.control.why) == (resume.END, "bye")
    assert client.is_ending


@pytest.mark.parametrize("answer", [resume.RESUMED, resume.RESET])
def test_an_end_is_said_on_the_next_link_after_all_that_it_owes(answer: str) -> None:
    client = detached_client()
    client.end("bye")
    client.end("never said")
    assert client.take_steps() == []
    client.opened(True)
    client.control_received(greeting())
    assert summary(client.take_steps()) == ["say resume"]
    client.control_received(welcome(answer, key="key 2", done=1, got=1))
    steps = client.take_steps()
    assert summary(steps) == [f"tell {answer}", "ready", "say end"]
    assert steps[-1].control is not None
    assert steps[-1].control.why == "bye"


def test_an_end_whose_link_was_lost_is_said_again() -> None:
    client = ending_client()
    client.lost(0)
    client.opened(True)
    client.control_received(greeting())
    client.control_received(welcome(resume.RESUMED, done=1, got=1))
    assert summary(client.take_steps())[-1] == "say end"


@pytest.mark.parametrize("acked", [1, 2, 3])
@pytest.mark.parametrize("code", [0, 999, 1000, 1001, VIOLATION])
@pytest.mark.parametrize("ends", [False, True])
def test_an_end_is_answered_by_an_acknowledgement_of_all_and_a_close_with_1000(
    acked: int, code: int, ends: bool
) -> None:
    client = ending_client() if ends else attached_client()
    client.half.acknowledged(acked)
    client.lost(code)
    is_answered = ends and acked == 3 and code == 1000
    assert client.state == (resume.ENDED if is_answered else resume.DETACHED)
    assert client.take_steps() == []


def test_a_close_with_1000_during_the_handshake_answers_no_end() -> None:
    client = ending_client()
    client.half.acknowledged(3)
    client.lost(0)
    client.opened(True)
    client.control_received(greeting())
    client.lost(1000)
    assert client.state == resume.DETACHED


@pytest.mark.parametrize(("ends", "done"), [(True, 3), (True, 2), (False, 3)])
def test_over_answers_an_end_if_all_is_handled_and_else_is_told(ends: bool, done: int) -> None:
    client = resuming_client()
    if ends:
        client.end("bye")
    client.control_received(welcome(resume.OVER, done=done))
    is_answered = ends and done == 3
    assert client.state == (resume.ENDED if is_answered else resume.OVER)
    assert summary(client.take_steps()) == (["close link"] if is_answered else ["tell over", "close link"])


def test_an_end_is_awaited_until_it_is_answered_or_the_session_is_over() -> None:
    awaiting = {"attached", "detached", "greeting again", "resuming", "ending"}
    for state, make in STATES.items():
        client = make()
        assert client.awaits_end() == (state == "ending")
        client.end("bye")
        assert client.awaits_end() == (state in awaiting), state


# Links that break the protocol


def resume_and_violate(client: Resumption, code: int) -> None:
    """Open another link, which is resumed and then breaks the protocol."""
    client.opened(True)
    client.control_received(greeting())
    client.control_received(welcome(resume.RESUMED, done=1, got=1))
    client.take_steps()
    client.violated(code)


@pytest.mark.parametrize("code", [VIOLATION, OUT_OF_STEP])
def test_a_link_that_breaks_the_protocol_is_dropped_with_the_code(code: int) -> None:
    client = attached_client()
    client.violated(code)
    (step,) = client.take_steps()
    assert (step.kind, step.code) == (resume.DROP_LINK, code)
    assert (client.state, client.key) == (resume.DETACHED, "key 1")


@pytest.mark.parametrize("code", [VIOLATION, OUT_OF_STEP])
@pytest.mark.parametrize("by_server", [False, True])
@pytest.mark.parametrize("make", [attached_client, resuming_client, greeting_again])
def test_the_session_is_given_up_with_the_third_link_in_a_row_that_breaks_the_protocol(
    make: Callable[[], Resumption], by_server: bool, code: int
) -> None:
    client = detached_client()
    before = client.half
    for _ in range(2):
        resume_and_violate(client, code)
        client.lost(0)  # without effect: the link is gone already
    client.take_steps()
    assert client.key == "key 1"
    client.opened(True)
    if make is not greeting_again:
        client.control_received(greeting())
    if make is attached_client:
        client.control_received(welcome(resume.RESUMED, done=1, got=1))
    client.take_steps()
    if by_server:
        client.lost(code)
    else:
        client.violated(code)
    *_, told = client.take_steps()
    assert (told.kind, told.answer, told.why, told.number) == (resume.TELL, resume.RESET, "broken", 1)
    assert told.before is before
    assert (client.state, client.key) == (resume.DETACHED, "")
    assert client.half is not before
    assert (client.half.sent, client.half.ours) == (0, OURS)


def test_two_more_links_may_break_the_protocol_after_a_message_was_handled() -> None:
    client = detached_client()
    for _ in range(2):
        resume_and_violate(client, VIOLATION)
    client.settle(0.0)  # nothing new is handled
    assert client.half.done == 1
    client.handled(7.0)
    assert client.half.acknowledgement_due_at() is not None
    for _ in range(2):
        resume_and_violate(client, VIOLATION)
    assert client.key == "key 1"
    resume_and_violate(client, VIOLATION)
    assert client.key == ""


def test_to_settle_with_nothing_handled_excuses_no_link() -> None:
    client = detached_client()
    for _ in range(3):
        assert client.key == "key 1"
        client.settle(0.0)
        resume_and_violate(client, VIOLATION)
    assert client.key == ""


@pytest.mark.parametrize("how", ["reset", "broken"])
def test_the_links_of_a_session_before_do_not_count_against_the_next(how: str) -> None:
    client = detached_client()
    for _ in range(3 if how == "broken" else 2):
        resume_and_violate(client, VIOLATION)
    client.opened(True)
    client.control_received(greeting())
    answer = resume.NEW if how == "broken" else resume.RESET
    client.control_received(welcome(answer, key="key 2"))
    client.half.accept("one", 1)
    client.lost(0)
    for _ in range(2):
        resume_and_violate(client, VIOLATION)
    assert client.key == "key 2"
    resume_and_violate(client, VIOLATION)
    assert client.key == ""


def test_links_that_broke_the_protocol_before_the_first_session_do_not_count_against_it() -> None:
    client = new_client()
    for _ in range(4):
        client.opened(True)
        client.control_received(greeting())
        client.violated(VIOLATION)
    assert summary(client.take_steps()).count("tell reset") == 0
    client.opened(True)
    client.control_received(greeting())
    client.control_received(welcome(resume.NEW, key="key 1"))
    client.lost(0)
    assert client.key == "key 1"


def test_servers_without_sessions_are_no_links_that_broke_the_protocol() -> None:
    client = detached_client()
    for _ in range(3):
        client.opened(False)
    resume_and_violate(client, VIOLATION)
    assert client.key == "key 1"


def test_a_session_of_another_process_is_given_up_after_three_links_without_one() -> None:
    client = Resumption(is_required=False, window=Window(10, 1000))
    client.go_on("key of before", 7)
    for _ in range(2):
        client.opened(False)
        assert [step.kind for step in client.take_steps()] == [resume.DROP_LINK]
    assert client.key == "key of before"
    client.opened(False)
    dropped, told = client.take_steps()
    assert (dropped.kind, told.answer, told.why) == (resume.DROP_LINK, resume.RESET, "broken")
    client.opened(False)
    assert client.state == resume.PLAIN


def test_a_session_of_another_process_is_resumed_on_a_link_of_a_larger_number_and_then_is_its_own() -> None:
    client = Resumption(is_required=False, window=Window(10, 1000))
    client.go_on("key of before", 7)
    client.half.go_on(3, 4, 5, 6)
    client.half.accept("x", 1)
    client.opened(True)
    client.control_received(greeting())
    (step,) = client.take_steps()
    assert step.control is not None
    said = vars(step.control)
    assert [said[name] for name in ("key", "link", "done", "got", "acked", "sent")] == [
        "key of before", 8, 5, 5, 3, 4,
    ]  # fmt: skip
    welcome = Control(resume.WELCOME)
    welcome.answer, welcome.done, welcome.got = resume.RESUMED, 3, 3
    client.control_received(welcome)
    client.lost(1006)
    client.take_steps()
    for _ in range(5):
        client.opened(False)
    assert client.key == "key of before"


def test_links_that_are_only_lost_never_end_a_session() -> None:
    client = detached_client()
    for code in (0, 1000, 1001, 1006, 1012, 4489, 4493, 4494):
        client.opened(True)
        client.control_received(greeting())
        client.lost(code)
    assert client.key == "key 1"


@pytest.mark.parametrize("make", [attached_client, resuming_client])
def test_a_session_that_another_link_has_taken_is_told_and_its_key_forgotten(
    make: Callable[[], Resumption],
) -> None:
    client = make()
    before = client.half
    client.lost(REPLACED)
    (told,) = client.take_steps()
    assert (told.answer, told.why, told.number) == (resume.RESET, "replaced", 1)
    assert told.before is before
    assert (client.state, client.key, client.half.sent) == (resume.DETACHED, "", 0)


def test_who_closes_does_not_come_back_after_a_reset_by_itself() -> None:
    client = ending_client()
    client.lost(REPLACED)
    (told,) = client.take_steps()
    assert (told.answer, told.why) == (resume.RESET, "replaced")
    assert client.state == resume.OVER


# Servers without sessions


@pytest.mark.parametrize("is_required", [False, True])
def test_a_connection_that_had_a_session_is_never_plain_or_refused_again(is_required: bool) -> None:
    client = new_client(is_required=is_required)
    client.opened(True)
    client.control_received(greeting())
    client.control_received(welcome(resume.NEW, key="key 1"))
    client.lost(REPLACED)  # it has no session any more, but the server is known to have them
    client.take_steps()
    client.opened(False)
    (step,) = client.take_steps()
    assert (step.kind, step.code, client.state) == (resume.DROP_LINK, VIOLATION, resume.DETACHED)
    client.opened(True)
    client.frame_received()
    (step,) = client.take_steps()
    assert (step.kind, step.code, client.state) == (resume.DROP_LINK, VIOLATION, resume.DETACHED)


def test_who_requires_a_session_is_refused_by_a_link_without_one() -> None:
    for spoken in ("frame", "end"):
        client = greeting_client(is_required=True)
        INPUTS[spoken](client)
        assert summary(client.take_steps()) == ["refuse"]
        assert client.state == resume.REFUSED


def test_a_plain_link_that_is_lost_may_be_followed_by_a_session() -> None:
    client = plain_client()
    client.lost(0)
    client.opened(True)
    client.control_received(greeting())
    client.control_received(welcome(resume.NEW, key="key 1"))
    assert client.state == resume.ATTACHED


# Many at once


@SAME
@given(done=st.integers(0, 6), got=st.integers(0, 6))
def test_a_resume_is_believed_only_if_acked_done_got_and_sent_are_in_order(done: int, got: int) -> None:
    client = resuming_client()
    client.control_received(welcome(resume.RESUMED, done=done, got=got))
    if 1 <= done <= got <= 3:
        assert client.state == resume.ATTACHED
        assert client.half.acked == done
    else:
        assert client.state == resume.DETACHED
        assert client.half.acked == 1


@SAME
@given(st.lists(st.sampled_from(list(INPUTS))))
def test_whatever_comes_a_session_that_is_over_stays_over(inputs: list[str]) -> None:
    client = over_client()
    for each in inputs:
        INPUTS[each](client)
        assert client.state == resume.OVER
    assert set(summary(client.take_steps())) <= {"drop link"}
