"""Every order of events in small worlds: the rules hold in every state, and the table is the whole truth.

From the start every event of a world is tried in every state that is new, as often as it leads to one. Each
world is about one thing that the machine can do, and has the events that may meddle with it; in all of them
the host wakes in time or late, or lets a second pass. Two states are the same when nothing that follows can
tell them apart. Times are whole seconds and links are few, so this ends.

Together the worlds take every transition of the table in the header of machine.py, and no other.
"""

import re
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from tests.core.referee import ABOUT_A_LINK, Referee, Wait

from websocket_heartbeat.core import machine as core
from websocket_heartbeat.core import timeout
from websocket_heartbeat.core.close_codes import FinalCodes
from websocket_heartbeat.core.settings import Settings
from websocket_heartbeat.core.timeout import Timeout

GRACE = 1.0
"""Seconds: the shortest grace in these worlds, in which all times are whole seconds."""
LATE = 3.0
"""Seconds: how late a host may wake."""
LONG_AGO = 6.0
"""Seconds: longer than any number of the settings, and so as good as any longer time."""

Event = tuple[str, float, tuple[Any, ...]]
"""An input, how many seconds later, and its arguments."""
Transition = tuple[str, str, str]
Key = tuple[Any, ...]


EVENTS: dict[str, Callable[[Referee], list[Event]]] = {
    "start": lambda world: [("started", 0.0, ())],
    "stop": lambda world: [("stopped", 0.0, ())],
    "open": lambda world: [("opened", 0.0, (link,)) for link in links(world)],
    "be ready": lambda world: [("ready", 0.0, (link,)) for link in links(world)],
    "hear": lambda world: [("heard", 0.0, (world.now, world.current))],
    "hear of old": lambda world: [("heard", 0.0, (world.now - 1.0, world.current))],
    "send": lambda world: [("sent", 0.0, (world.now, world.current))],
    "receive": lambda world: [("received", 0.0, (world.now, world.current))],
    "receive of old": lambda world: [("received", 0.0, (world.now - 1.0, world.current))],
    "acknowledge": lambda world: [("acknowledged", 0.0, (world.now, world.current))],
    "acknowledge of old": lambda world: [("acknowledged", 0.0, (world.now - 1.0, world.current))],
    "not acknowledge": lambda world: [("unacknowledged", 0.0, (world.current, 1, 1.0))],
    "cut": lambda world: [("unacknowledged", 0.0, (world.current, 4, 1.0))],
    "lose": lambda world: [("lost", 0.0, (link, 1006, 0.0, False)) for link in links(world)],
    "lose with a hint": lambda world: [("lost", 0.0, (link, 1013, 2.0, False)) for link in links(world)],
    "lose for good": lambda world: [("lost", 0.0, (link, 4403, 0.0, True)) for link in links(world)],
    "lose by a final code": lambda world: [("lost", 0.0, (link, 4500, 0.0, None)) for link in links(world)],
    "be dismissed": lambda world: [("dismissed", 0.0, (link,)) for link in links(world)],
    "reject": lambda world: [("rejected", 0.0, (link, 0.0, False)) for link in links(world)],
    "reject with a hint": lambda world: [("rejected", 0.0, (link, 2.0, False)) for link in links(world)],
    "reject for good": lambda world: [("rejected", 0.0, (link, 0.0, True)) for link in links(world)],
    "pause": lambda world: [("reading_paused", 0.0, (link,)) for link in links(world)],
    "resume": lambda world: [("reading_resumed", 0.0, (link,)) for link in links(world)],
    "hide": lambda world: [("hidden", 0.0, ())],
    "show": lambda world: [("shown", 0.0, ())],
    "go offline": lambda world: [("went_offline", 0.0, ())],
    "come online": lambda world: [("came_online", 0.0, ())],
    "reconnect": lambda world: [("reconnect_now", 0.0, ())],
    "renew": lambda world: [("renew", 0.0, ())],
}


def links(world: Referee) -> list[int]:
    return [link for link in (world.current, world.successor) if link]


def events(world: Referee, names: list[str]) -> list[Event]:
    """Whatever may happen next."""
    happen = [event for name in names for event in EVENTS[name](world)]
    deadline = world.machine.deadline
    left = LONG_AGO if deadline is None else max(deadline - world.now, 0.0)
    if left >= 1.0:
        happen.append(("", 1.0, ()))
    if deadline is not None:
        happen += [("woke", left, ()), ("woke", left + LATE, ())]
    return happen


def check_other_links(world: Referee) -> None:
    """Rule 1: what happens to a link that is gone, or was never opened, changes nothing."""
    before = world.snapshot()
    for link in {*range(world.last + 2)} - {*links(world)}:
        for name, arguments in ABOUT_A_LINK:
            getattr(world.machine, name)(world.now, link, *arguments)
    assert world.snapshot() == before, "rule 1: what happened to another link changed something"


def essence(world: Referee) -> Key:
    """All that the future depends on: times count from now on, and those long ago are alike."""
    machine, now = world.machine, world.now

    def ago(moment: float | None) -> float | None:
        return None if moment is None else min(now - moment, LONG_AGO)

    def left(of: Timeout | Wait) -> Key:
        if isinstance(of, Timeout):
            return ago(of.due), of.seconds, of.had_grace
        return ago(of.over), ago(of.grace_until), of.seconds

    around = (
        machine.state,
        machine.last_link,
        machine.is_hidden and ago(machine.hidden_at),
        machine.offline and ago(machine.offline_at),
        ago(machine.deadline),
    )
    retries = machine.retries
    counts = retries.attempt, retries.spent
    match machine.state:
        case core.CONNECTING:
            return (*around, *counts, left(machine.timeout), left(world.attempt))
        case core.WAITING:
            return (*around, *counts, retries.hinted, ago(retries.due))
        case core.OPEN | core.PROBING:
            liveness, watchdog, successor = machine.liveness, machine.watchdog, machine.successor
            parting = machine.parting
            ready = ago(machine.ready_at)
            return (
                *around,
                *counts,
                ready if ready is None else min(ready, world.settings.stable_after),
                ago(machine.due),
                ago(liveness.heard_at),
                world.settings.both_directions and ago(liveness.sent_at),
                ago(world.pinged_at),
                machine.state == core.PROBING and (left(machine.timeout), left(world.answer)),
                None if watchdog is None else (left(watchdog), left(world.message)),
                None if parting is None or world.parting is None else (left(parting), left(world.parting)),
                None
                if successor is None
                else (
                    successor.is_open,
                    successor.paused,
                    left(successor.timeout),
                    left(world.successor_attempt),
                ),
                machine.paused,
            )
        case _:
            return around


class World(NamedTuple):
    """What is tried together.

    events: their names in EVENTS. links: how many links are opened at most. states: how many states are known
    to be found at least, so that a search that no longer looks everywhere is noticed. alone: the transitions
    that this world is to take, as the world "renewal" does not: that one is to take all others of the table.
    """

    settings: Settings
    events: list[str]
    links: int
    states: int
    alone: frozenset[Transition] = frozenset()


def settings(
    both_directions: bool = False, message_timeout: float | None = None, open_timeout: float = 1.0
) -> Settings:
    return Settings(
        interval=2.0,
        timeout=2.0,
        both_directions=both_directions,
        message_timeout=message_timeout,
        initial=2.0,
        maximum=2.0,
        hold=0,
        stable_after=4.0,
        open_timeout=open_timeout,
        close_timeout=1.0,
        max_retries=1,
        final_codes=FinalCodes(4500, 4999, None),
    )


ALWAYS = ["start", "stop", "open", "be ready", "hear"]
NOBODY_LISTENS = ["pause", "resume", "hide", "show"]
NETWORK = ["go offline", "come online"]
KERNEL = ["not acknowledge", "cut"]
ENDS = ["lose", "lose with a hint", "lose for good", "reject", "reject with a hint", "reject for good"]

WORLDS = {
    "retries": World(
        settings(),
        [*ALWAYS, *ENDS, *NETWORK, "reconnect", "hide", "show"],
        3,
        5000,
        frozenset(
            {(core.OPEN, "came_online", core.PROBING), (core.WAITING, "came_online", core.CONNECTING)},
        ),
    ),
    "heartbeat": World(
        settings(), [*ALWAYS, *NOBODY_LISTENS, *NETWORK, *KERNEL, "hear of old", "lose"], 2, 9000
    ),
    "both directions": World(
        settings(both_directions=True),
        [*ALWAYS, *NOBODY_LISTENS, "hear of old", "send", "lose", "come online"],
        2,
        14000,
    ),
    "slow uploads": World(
        settings(), [*ALWAYS, *NOBODY_LISTENS, *KERNEL, "acknowledge", "acknowledge of old"], 2, 5000
    ),
    "watchdog": World(
        settings(message_timeout=3.0),
        [*ALWAYS, *NOBODY_LISTENS, "receive", "receive of old", "reconnect"],
        2,
        10000,
    ),
    "renewal": World(
        settings(open_timeout=2.0), [*ALWAYS, *ENDS, "renew", "cut", "reconnect", "show"], 3, 14000
    ),
    "dismissal": World(
        settings(open_timeout=2.0),
        [
            *ALWAYS,
            "be dismissed",
            "lose",
            "lose by a final code",
            "reject",
            "renew",
            "reconnect",
            "hide",
            "cut",
        ],
        3,
        10000,
    ),
    "renewal under a watchdog": World(
        settings(message_timeout=3.0, open_timeout=2.0),
        [*ALWAYS, "receive", "renew", "lose", "pause", "resume"],
        2,
        9000,
        frozenset((core.OPEN, "woke", after) for after in (core.CONNECTING, core.WAITING, core.FAILED)),
    ),
}


class Search:
    """All that can happen in one world."""

    def __init__(self, world: World) -> None:
        first = Referee(world.settings, 0.5)
        start = essence(first)
        self.origin: dict[Key, tuple[Key, str, float] | None] = {start: None}
        self.transitions: set[Transition] = set()
        self.tried = 0
        queue = deque([(start, first)])
        while queue:
            here, before = queue.popleft()
            check_other_links(before)
            for name, later, arguments in events(before, world.events):
                self.tried += 1
                after = before.copy()
                after.now += later
                try:
                    if name:
                        after.tell(name, *arguments)
                except AssertionError as error:
                    error.add_note(f"after {self.history(here)}, then {name} {arguments} {later:g} later")
                    raise
                if after.state != before.state:
                    self.transitions.add((before.state, name, after.state))
                key = essence(after)
                if key not in self.origin and after.machine.last_link <= world.links:
                    self.origin[key] = (here, f"{name} {arguments}", later)
                    queue.append((key, after))

    def history(self, here: Key) -> list[str]:
        """The events that led to a state, each with the seconds that passed before it."""
        steps: list[str] = []
        while (step := self.origin[here]) is not None:
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


def rows(name: str) -> set[Transition]:
    """The transitions of the table that a world is to take: each is of one world."""
    if name != "renewal":
        return set(WORLDS[name].alone)
    return table() - {row for world in WORLDS.values() for row in world.alone}


@pytest.mark.timeout(300)  # up to 13 seconds of work, however busy the machine is
@pytest.mark.parametrize("name", WORLDS)
def test_every_order_of_events_keeps_the_rules_and_takes_the_transitions_of_the_table(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeout, "SHORTEST_GRACE", GRACE)
    search = Search(WORLDS[name])
    print(f"{len(search.origin)} states visited, {search.tried} events tried")
    assert search.transitions - table() == set(), "the machine does what its table does not say"
    assert len(search.origin) >= WORLDS[name].states, "the search no longer looks everywhere"
    assert rows(name) - search.transitions == set(), "the table says what the machine does not do"
