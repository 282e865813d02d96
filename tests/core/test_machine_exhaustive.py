"""Every order of events in a small world: the rules hold in every state, and the table is the whole truth.

From the start every event is tried in every state that is new, as often as it leads to one: messages, old
and fresh, losses of three kinds, a dead path, pauses, background, networks that go and come, the user's
wishes, news of other links; a host that wakes in time or late, or lets a second pass. Two states are the same
when nothing that follows can tell them apart. Times are whole seconds and links are three, so this ends.
"""

import re
from collections import deque
from typing import Any

import pytest
from tests.core.referee import Referee

from websocket_heartbeat.core import machine as core
from websocket_heartbeat.core.settings import Settings

LINKS = 3
GRACE = 1.0
"""Seconds: the shortest grace in this world, in which all times are whole seconds."""
LATE = 3.0
"""Seconds: how late a host may wake."""
LONG_AGO = 6.0
"""Seconds: longer than any number of the settings, and so as good as any longer time."""

SETTINGS = Settings(
    interval=2.0,
    timeout=2.0,
    both_directions=False,
    message_timeout=None,
    initial=2.0,
    maximum=2.0,
    hold=0,
    stable_after=4.0,
    open_timeout=1.0,
    close_timeout=1.0,
    max_attempts=1,
)

Transition = tuple[str, str, str]
Event = tuple[str, float, tuple[Any, ...]]
"""An input, how many seconds later, and its arguments."""


def events(referee: Referee) -> list[Event]:
    """Whatever may happen next."""
    link = referee.machine.link
    deadline = referee.machine.deadline
    happen: list[Event] = [
        ("started", 0.0, ()),
        ("opened", 0.0, (link,)),
        ("heard", 0.0, (referee.now, link)),
        ("heard", 0.0, (referee.now - 1.0, link)),
        ("unacknowledged", 0.0, (link, 1, 1.0)),
        ("unacknowledged", 0.0, (link, 4, 1.0)),
        ("lost", 0.0, (link, 1006, 0.0, False)),
        ("lost", 0.0, (link, 1013, 2.0, False)),
        ("lost", 0.0, (link, 4403, 0.0, True)),
        ("reading_paused", 0.0, (link,)),
        ("reading_resumed", 0.0, (link,)),
        ("hidden", 0.0, ()),
        ("shown", 0.0, ()),
        ("went_offline", 0.0, ()),
        ("came_online", 0.0, ()),
        ("reconnect_now", 0.0, ()),
        ("stopped", 0.0, ()),
    ]
    left = LONG_AGO if deadline is None else max(deadline - referee.now, 0.0)
    if left >= 1.0:
        happen.append(("", 1.0, ()))
    if deadline is not None:
        happen += [("woke", left, ()), ("woke", left + LATE, ())]
    return happen


def about_other_links(referee: Referee) -> list[tuple[str, tuple[Any, ...]]]:
    """Events that must change nothing."""
    past, future = referee.machine.link - 1, referee.machine.link + 1
    return [
        (name, (*first, link, *rest))
        for link in (past, future)
        for name, first, rest in [
            ("opened", (), ()),
            ("heard", (referee.now,), ()),
            ("unacknowledged", (), (4, 1.0)),
            ("lost", (), (1006, 2.0, True)),
            ("reading_paused", (), ()),
            ("reading_resumed", (), ()),
        ]
    ]


def essence(referee: Referee) -> tuple[Any, ...]:
    """All that the future depends on: times count from now on, and those long ago are alike."""
    machine, now = referee.machine, referee.now
    liveness = machine.liveness

    def ago(moment: float) -> float:
        return min(now - moment, LONG_AGO)

    surroundings = (
        machine.is_hidden and ago(machine.hidden_at),
        machine.offline and ago(machine.offline_at),
        None if machine.deadline is None else machine.deadline - now,
    )
    match machine.state:
        case core.IDLE | core.CLOSED | core.FAILED:
            return (machine.state, machine.link, *surroundings)
        case core.CONNECTING:
            return (machine.state, machine.link, machine.attempt, machine.had_grace, *surroundings)
        case core.WAITING:
            return (
                machine.state,
                machine.link,
                machine.attempt,
                machine.hinted,
                ago(machine.retry_at),
                *surroundings,
            )
        case core.CLOSING:
            return (machine.state, machine.link, *surroundings)
        case _:
            return (
                machine.state,
                machine.link,
                machine.attempt,
                ago(machine.opened_at) < SETTINGS.stable_after and ago(machine.opened_at),
                ago(liveness.heard_at),
                machine.state == core.PROBING
                and (ago(liveness.pinged_at), ago(liveness.timeout_from), liveness.timeout),
                machine.state == core.PROBING and machine.had_grace,
                machine.paused,
                referee.disturbed,
                referee.grace_until is not None and ago(referee.grace_until),
                *surroundings,
            )


def explore() -> tuple[int, int, set[Transition]]:
    """Return how many states there are, how many events were tried, and every change of state."""
    first = Referee(SETTINGS, 0.5)
    origin: dict[tuple[Any, ...], tuple[Any, ...] | None] = {essence(first): None}
    queue = deque([first])
    transitions: set[Transition] = set()
    tried = 0
    while queue:
        before = queue.popleft()
        here = essence(before)
        for name, arguments in about_other_links(before):
            before.tell(name, *arguments)
        for name, later, arguments in events(before):
            tried += 1
            after = before.copy()
            after.now += later
            try:
                if name:
                    after.tell(name, *arguments)
            except AssertionError as error:
                error.add_note(f"after {history(origin, here)}, then {name} {later:g} later")
                raise
            if after.state != before.state:
                transitions.add((before.state, name, after.state))
            key = essence(after)
            if key not in origin and after.machine.link <= LINKS:
                origin[key] = (here, name, later)
                queue.append(after)
    return len(origin), tried, transitions


def history(origin: dict[tuple[Any, ...], tuple[Any, ...] | None], here: tuple[Any, ...]) -> list[str]:
    """The events that led to a state, each with the seconds that passed before it."""
    steps: list[str] = []
    while (step := origin[here]) is not None:
        here, name, later = step
        steps.append(f"{name} {later:g} later")
    return steps[::-1]


def table() -> set[Transition]:
    """The transitions that the header of machine.py names."""
    assert core.__doc__ is not None
    lines = core.__doc__.partition("Transitions")[2].splitlines()[1:]
    rows = [re.match(r"    (\w+) +(\w+) +(\w+)(  |$)", line) for line in lines if line.strip()]
    assert all(rows)
    return {(row[1], row[2], row[3]) for row in rows if row is not None}


@pytest.mark.timeout(300)  # about ten seconds of work, however busy the machine is
def test_every_order_of_events_keeps_the_rules_and_takes_the_transitions_of_the_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(core, "SHORTEST_GRACE", GRACE)
    states, tried, transitions = explore()
    print(f"{states} states visited, {tried} events tried, {len(transitions)} transitions taken")
    assert transitions - table() == set(), "the machine does what its table does not say"
    assert table() - transitions == set(), "the table says what the machine does not do"
    assert states > 15_000
