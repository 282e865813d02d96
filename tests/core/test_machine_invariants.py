"""In whatever order things happen, the machine keeps its rules; and a peer that answers is never given up."""

from random import Random
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
from tests.core.random_steps import random_step
from tests.core.referee import OF_A_MOMENT, UP, Referee

from websocket_heartbeat.core import machine as core
from websocket_heartbeat.core.close_codes import FinalCodes
from websocket_heartbeat.core.settings import Settings

ENDED = (core.CLOSED, core.FAILED)

# Eighths of a second: sums are exact, and deadlines are hit as often as missed.
DURATIONS = [0.125, 1.0, 5.0, 12.5, 30.0]


def random_settings(random: Random) -> Settings:
    return Settings(
        interval=random.choice(DURATIONS),
        timeout=random.choice(DURATIONS),
        both_directions=random.random() < 0.5,
        message_timeout=random.choice([None, None, *DURATIONS]),
        initial=random.choice([0.125, 1.0, 2.0]),
        maximum=random.choice([2.0, 20.0, 60.0]),
        hold=random.choice([0, 3]),
        stable_after=random.choice([0.0, 1.0, 30.0]),
        open_timeout=random.choice(DURATIONS),
        close_timeout=random.choice([0.0, 1.0, 5.0]),
        max_retries=random.choice([None, None, None, 0, 1, 3]),
        final_codes=random.choice([None, FinalCodes(4500, 4999, None)]),
    )


# Any order


def live(random: Random, steps: int) -> None:
    """Let anything happen, early and late, about any link; the referee judges."""
    referee = Referee(random_settings(random), random.randrange(8) / 8)
    told: list[str] = []
    try:
        for _ in range(steps):
            let_time_pass(random, referee)
            name, *arguments = random_step(random, referee.machine, referee.now)
            told.append(f"{referee.now:g}: {name} {arguments}")
            referee.tell(name, *(arguments if name in OF_A_MOMENT else arguments[1:]))
            if referee.state in ENDED and random.random() < 0.2:
                break
        check_that_nothing_lasts(referee)
    except AssertionError as error:
        error.add_note("\n".join([str(vars(referee.settings)), *told]))
        raise


def let_time_pass(random: Random, referee: Referee) -> None:
    deadline = referee.machine.deadline
    chance = random.random()
    if deadline is not None and chance < 0.4:
        referee.now = max(referee.now, deadline)
    elif chance < 0.7:
        referee.now += random.choice([0.125, 0.5, 1.0, 5.0, 30.0])
    elif chance < 0.72:
        referee.now += 36000.0


def check_that_nothing_lasts(referee: Referee) -> None:
    """Rule 3: with nothing but time, in front of the user and online, no state of no link lasts."""
    referee.tell("shown")
    referee.tell("came_online")
    referee.tell("reading_resumed", referee.machine.link)
    for _ in range(3):
        before = referee.state, referee.machine.link
        for _ in range(10):
            if referee.machine.deadline is None or (referee.state, referee.machine.link) != before:
                break
            referee.now = max(referee.now, referee.machine.deadline)
            referee.tell("woke")
        is_stuck = (referee.state, referee.machine.link) == before
        assert not is_stuck or referee.state in (core.IDLE, *ENDED), f"rule 3: stuck in {before}"


def test_the_rules_hold_in_any_order_of_events() -> None:
    random = Random(20261128)
    for _ in range(1500):
        live(random, 150)


# A living peer

moments = st.integers(0, 400).map(lambda eighths: eighths / 8)


class LivingPeer(RuleBasedStateMachine):
    """A peer that answers every ping in time: rule 5 says that its link is never given up.

    What it sends lies in the kernel until the host reads; a host that was blocked wakes late, and reads then.
    While reading is paused, or the process is suspended, nothing is read. A ping leaves after what was handed
    over before it, which may take long. Where messages are watched, they come in time. A renewal opens links
    to the same peer, unless it fails.
    """

    @initialize(numbers=st.integers(0, 999).map(lambda seed: random_settings(Random(seed))))
    def begin(self, numbers: Settings) -> None:
        self.referee = Referee(numbers, 0.5)
        self.trip = min(numbers.timeout, core.LONGEST_FOREGROUND_TIMEOUT) * 0.75
        self.paused = False
        self.may_fail = False
        self.renewal: list[tuple[float, str]] = []
        """What is to happen to the successor, and when."""
        self.tell("started")
        self.tell("opened", 1)
        self.tell("ready", 1)
        self.link_begins()

    def link_begins(self) -> None:
        now = self.referee.now
        self.arrivals: list[float] = []
        self.sent_at = now
        self.uploads_since = self.uploads_until = self.ping_leaves_at = now
        limit = self.referee.settings.message_timeout
        self.feed = float("inf") if limit is None else limit * 0.75
        self.next_message = now + self.feed

    @property
    def link(self) -> int:
        return self.referee.current

    def tell(self, happened: str, *arguments: Any) -> None:
        for action in self.referee.tell(happened, *arguments):
            match action.kind:
                case core.ABANDON_LINK:
                    assert action.link != self.link, "rule 5: the peer lives"
                case core.NOTIFY_CLOSED if action.cause != core.RENEWED:
                    assert action.link != self.link, "rule 5: the peer lives"
                case core.PING_LINK:
                    self.ping_leaves_at = max(self.referee.now, self.uploads_until)
                    self.arrivals.append(self.ping_leaves_at + self.trip)
                case core.NOTIFY_RENEWAL_FAILED:
                    assert self.may_fail, "rule 5: the successor is opened in time"
                    self.renewal = []
                case core.SWITCH_LINK:
                    self.link_begins()

    def read(self) -> None:
        """Take from the kernel what has arrived."""
        now = self.referee.now
        while self.renewal and self.renewal[0][0] <= now:
            link, happened = self.referee.successor, self.renewal.pop(0)[1]
            self.tell(happened, link)
            if happened == "opened" and self.paused:
                self.tell("reading_paused", link)
        if self.paused:
            return
        if now >= self.next_message:
            self.next_message += (now - self.next_message) // self.feed * self.feed + self.feed
            self.tell("received", now, self.link)
            self.tell("heard", now, self.link)
        if any(at <= now for at in self.arrivals):
            self.arrivals = [at for at in self.arrivals if at > now]
            self.tell("heard", now, self.link)

    def wake_if_due(self) -> None:
        deadline = self.referee.machine.deadline
        assert deadline is not None
        now = self.referee.now
        if now >= deadline:
            self.tell("sent", self.sent_at, self.link)
            progress = min(now, self.ping_leaves_at)
            if progress > self.uploads_since:
                # Acknowledgements come at least so often.
                every = self.trip / 4
                steps = (progress - self.uploads_since) // every
                self.tell("acknowledged", self.uploads_since + steps * every, self.link)
            # The peer's kernel acknowledges within a few timeouts.
            self.tell("unacknowledged", self.link, 3, 0.25)
            self.tell("woke")

    def run_until(self, end: float) -> None:
        """A host that does its work in time."""
        for _ in range(1000):
            deadline = self.referee.machine.deadline
            assert deadline is not None
            readable = [] if self.paused else [*self.arrivals, self.next_message]
            due = min([deadline, *readable, *(at for at, _ in self.renewal)])
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

    @rule(seconds=moments, every=st.sampled_from([0.5, 3.0]))
    def the_peer_sends_all_the_time(self, seconds: float, every: float) -> None:
        end = self.referee.now + seconds
        while self.referee.now < end:
            self.arrivals.append(self.referee.now)
            self.read()
            self.run_until(self.referee.now + every)

    @rule(seconds=moments, every=st.sampled_from([0.5, 3.0]))
    def the_user_sends_all_the_time(self, seconds: float, every: float) -> None:
        end = self.referee.now + seconds
        while self.referee.now < end:
            self.sent_at = self.referee.now
            self.run_until(self.referee.now + every)

    @rule(seconds=st.one_of(moments, st.just(600.0)))
    def the_user_uploads(self, seconds: float) -> None:
        now = self.sent_at = self.referee.now
        self.uploads_since, self.uploads_until = now, max(self.uploads_until, now + seconds)

    @rule(
        opens=st.sampled_from(["opened", "opened", "opened", "lost", "nothing"]),
        then=st.sampled_from(["ready", "ready", "ready", "lost", "rejected", "nothing"]),
    )
    def the_user_renews(self, opens: str, then: str) -> None:
        if self.referee.successor or self.referee.ready_at is None:
            return
        now, time = self.referee.now, self.referee.settings.open_timeout * 0.75
        self.renewal = [(now + time, opens)]
        if opens == "opened":
            self.renewal.append((now + 2 * time, then))
        self.renewal = [(at, happens) for at, happens in self.renewal if happens != "nothing"]
        self.may_fail = (opens, then) != ("opened", "ready")
        self.tell("renew")

    @precondition(lambda self: not self.paused)
    @rule()
    def the_user_is_slow(self) -> None:
        for link in self.referee.open:
            self.tell("reading_paused", link)
        self.paused = True

    @precondition(lambda self: self.paused)
    @rule()
    def the_user_is_back(self) -> None:
        for link in self.referee.open:
            self.tell("reading_resumed", link)
        self.paused = False
        self.read()

    @rule(seconds=moments, frozen=st.booleans(), timers_first=st.booleans())
    def the_page_is_hidden_for_a_while(self, seconds: float, frozen: bool, timers_first: bool) -> None:
        self.tell("hidden")
        if frozen:
            # Nothing runs and nothing travels: what was under way arrives that much later.
            self.arrivals = [at + seconds for at in self.arrivals]
            self.uploads_since += seconds
            self.uploads_until += seconds
            self.ping_leaves_at += seconds
            self.next_message += seconds
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
            assert self.referee.state in UP, "rule 5: the peer lives"


@pytest.mark.timeout(300)  # a few seconds of work, however busy the machine is
def test_a_peer_that_lives_is_never_given_up() -> None:
    run_state_machine_as_test(
        LivingPeer,
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
