"""In whatever order things happen, the machine keeps its rules; and a peer that answers is never given up."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.core.referee import Referee

from websocket_heartbeat.core import machine as core
from websocket_heartbeat.core.settings import Settings

# Eighths of a second: sums are exact, and deadlines are hit as often as missed.
moments = st.integers(0, 400).map(lambda eighths: eighths / 8)
phases = st.integers(0, 7).map(lambda eighths: eighths / 8)
durations = st.sampled_from([0.125, 1.0, 5.0, 12.5, 30.0])
all_settings = st.builds(
    Settings,
    interval=durations,
    timeout=durations,
    both_directions=st.just(False),
    message_timeout=st.none(),
    initial=st.sampled_from([0.125, 1.0, 2.0]),
    maximum=st.sampled_from([2.0, 20.0, 60.0]),
    hold=st.integers(0, 3),
    stable_after=st.sampled_from([0.0, 1.0, 30.0]),
    open_timeout=durations,
    close_timeout=st.sampled_from([0.0, 1.0, 5.0]),
    max_attempts=st.sampled_from([None, None, None, 0, 1, 3]),
)


class AnyOrder(RuleBasedStateMachine):
    """Every input at any time, about any link, early and late; the referee judges."""

    referee: Referee

    @initialize(numbers=all_settings, phase=phases, started=st.booleans())
    def begin(self, numbers: Settings, phase: float, started: bool) -> None:
        self.referee = Referee(numbers, phase)
        if started:
            self.referee.tell("started")

    @rule(seconds=moments)
    def time_passes_and_the_host_wakes_in_time(self, seconds: float) -> None:
        referee = self.referee
        end = referee.now + seconds
        for _ in range(50):
            if referee.machine.deadline is None or referee.machine.deadline > end:
                break
            referee.now = max(referee.now, referee.machine.deadline)
            referee.tell("woke")
        referee.now = max(referee.now, end)

    @rule(seconds=st.one_of(moments, st.just(36000.0)))
    def the_clock_jumps(self, seconds: float) -> None:
        self.referee.now += seconds

    @rule()
    def the_host_wakes(self) -> None:
        self.referee.tell("woke")

    @rule()
    def the_deadline_comes(self) -> None:
        if self.referee.machine.deadline is not None:
            self.referee.now = max(self.referee.now, self.referee.machine.deadline)
            self.referee.tell("woke")

    @rule()
    def the_link_opens(self) -> None:
        self.referee.tell("opened", self.referee.machine.link)

    @rule(ago=st.one_of(st.just(0.0), moments))
    def the_link_is_heard(self, ago: float) -> None:
        self.referee.tell("heard", self.referee.now - ago, self.referee.machine.link)

    @rule(timeouts=st.integers(0, 5), again=st.sampled_from([0.25, 1.0, 30.0]))
    def the_ping_is_not_acknowledged(self, timeouts: int, again: float) -> None:
        self.referee.tell("unacknowledged", self.referee.machine.link, timeouts, again)

    @rule(hint=st.sampled_from([0.0, 0.0, -1.0, 7.0, 5000.0]), final=st.sampled_from([False] * 9 + [True]))
    def the_link_is_lost(self, hint: float, final: bool) -> None:
        self.referee.tell("lost", self.referee.machine.link, 1006, hint, final)

    @rule(
        happened=st.sampled_from(
            ["opened", "heard", "unacknowledged", "lost", "reading_paused", "reading_resumed"]
        ),
        distance=st.sampled_from([-2, -1, 1]),
    )
    def something_happens_to_another_link(self, happened: str, distance: int) -> None:
        link = self.referee.machine.link + distance
        moment: list[Any] = [self.referee.now] if happened == "heard" else []
        rest: dict[str, list[Any]] = {"lost": [None, 3.0, True], "unacknowledged": [4, 1.0]}
        self.referee.tell(happened, *moment, link, *rest.get(happened, []))

    @rule(happened=st.sampled_from(["reading_paused", "reading_resumed"]))
    def the_user_is_slow_or_no_longer(self, happened: str) -> None:
        self.referee.tell(happened, self.referee.machine.link)

    @rule(happened=st.sampled_from(["hidden", "shown", "went_offline", "came_online"]))
    def the_surroundings_change(self, happened: str) -> None:
        self.referee.tell(happened)

    @rule(happened=st.sampled_from(["started", "reconnect_now"]))
    def the_user_asks(self, happened: str) -> None:
        self.referee.tell(happened)

    @rule(really=st.sampled_from([False] * 19 + [True]))
    def the_user_stops(self, really: bool) -> None:
        if really:
            self.referee.tell("stopped")

    def teardown(self) -> None:
        """Rule 3: with nothing but time, in front of the user and online, no state lasts."""
        if not hasattr(self, "referee"):
            return
        referee = self.referee
        referee.tell("shown")
        referee.tell("came_online")
        referee.tell("reading_resumed", referee.machine.link)
        for _ in range(3):
            before = referee.state
            if before in (core.IDLE, core.CLOSED, core.FAILED):
                break
            for _ in range(3):
                assert referee.machine.deadline is not None
                referee.now = max(referee.now, referee.machine.deadline)
                referee.tell("woke")
                if referee.state != before:
                    break
            assert referee.state != before, f"rule 3: stuck in {before}"


class LivingPeer(RuleBasedStateMachine):
    """A peer that answers every ping in time: rule 5 says that its link is never given up.

    What it sends lies in the kernel until the host reads; a host that was blocked wakes late, and reads then.
    While reading is paused, or the process is suspended, nothing is read.
    """

    @initialize(numbers=all_settings, phase=phases)
    def begin(self, numbers: Settings, phase: float) -> None:
        self.referee = Referee(numbers, phase)
        self.trip = min(numbers.timeout, core.LONGEST_FOREGROUND_TIMEOUT) * 0.75
        self.arrivals: list[float] = []
        self.paused = False
        self.tell("started")
        self.tell("opened", 1)

    def tell(self, happened: str, *arguments: Any) -> None:
        for action in self.referee.tell(happened, *arguments):
            assert action.kind != core.ABANDON_LINK, "rule 5: the peer lives"
            if action.kind == core.PING_LINK:
                self.arrivals.append(self.referee.now + self.trip)

    def read(self) -> None:
        """Take from the kernel what has arrived."""
        arrived = [at for at in self.arrivals if at <= self.referee.now]
        if arrived and not self.paused:
            self.arrivals = [at for at in self.arrivals if at > self.referee.now]
            self.tell("heard", self.referee.now, 1)

    def wake_if_due(self) -> None:
        deadline = self.referee.machine.deadline
        assert deadline is not None
        if self.referee.now >= deadline:
            # The peer's kernel acknowledges within a few timeouts.
            self.tell("unacknowledged", 1, 3, 0.25)
            self.tell("woke")

    def run_until(self, end: float) -> None:
        """A host that does its work in time."""
        for _ in range(1000):
            deadline = self.referee.machine.deadline
            assert deadline is not None
            readable = [] if self.paused else self.arrivals
            due = min([deadline, *readable])
            if due > end:
                break
            self.referee.now = max(self.referee.now, due)
            self.read()
            self.wake_if_due()
        self.referee.now = max(self.referee.now, end)

    @rule(seconds=moments)
    def time_passes(self, seconds: float) -> None:
        self.run_until(self.referee.now + seconds)

    @rule(seconds=st.one_of(moments, st.just(36000.0)), timers_first=st.booleans())
    def the_host_is_blocked(self, seconds: float, timers_first: bool) -> None:
        self.referee.now += seconds
        if timers_first:
            self.wake_if_due()
        self.read()
        self.wake_if_due()

    @rule(seconds=moments)
    def the_peer_sends_something(self, seconds: float) -> None:
        self.arrivals.append(self.referee.now + seconds)

    @precondition(lambda self: not self.paused)
    @rule()
    def the_user_is_slow(self) -> None:
        self.tell("reading_paused", 1)
        self.paused = True

    @precondition(lambda self: self.paused)
    @rule()
    def the_user_is_back(self) -> None:
        self.tell("reading_resumed", 1)
        self.paused = False
        self.read()

    @rule(seconds=moments, frozen=st.booleans(), timers_first=st.booleans())
    def the_page_is_hidden_for_a_while(self, seconds: float, frozen: bool, timers_first: bool) -> None:
        self.tell("hidden")
        if frozen:
            # Nothing runs and nothing travels: what was under way arrives that much later.
            self.arrivals = [at + seconds for at in self.arrivals]
            self.referee.now += seconds
            if timers_first:
                self.wake_if_due()
        else:
            self.run_until(self.referee.now + seconds)
        self.tell("shown")
        self.read()

    @rule(seconds=moments)
    def the_network_is_away_for_a_while(self, seconds: float) -> None:
        self.tell("went_offline")
        self.run_until(self.referee.now + min(seconds, self.trip / 4))
        self.tell("came_online")
        self.read()

    @invariant()
    def the_link_is_open(self) -> None:
        if hasattr(self, "referee"):
            assert self.referee.state in (core.OPEN, core.PROBING), "rule 5: the peer lives"


@pytest.mark.timeout(300)  # a few seconds of work, however busy the machine is
@pytest.mark.parametrize("world", [AnyOrder, LivingPeer])
def test_the_rules_hold_in_any_order_of_events(world: type[RuleBasedStateMachine]) -> None:
    run_state_machine_as_test(
        world,
        settings=settings(
            max_examples=150,
            stateful_step_count=50,
            derandomize=True,
            deadline=None,
            database=None,
            # Shrinking a failure takes minutes: add Phase.shrink to look for the shortest history.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
