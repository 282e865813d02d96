"""Checks the rules of a machine from outside, and fails at the first broken one: tests report what happens.

It knows the rules of the header of machine.py, and nothing of how the machine keeps them. Everything that it
remembers is a plain value, so that a search may copy it.
"""

from typing import Any, NamedTuple, TypeVar

from websocket_heartbeat.core import machine as core
from websocket_heartbeat.core import timeout
from websocket_heartbeat.core.close_codes import FinalCodes
from websocket_heartbeat.core.settings import Settings

TOLERANCE = 1e-9
"""Seconds: what adding floating-point numbers may cost."""

OF_A_MOMENT = ("heard", "sent", "received", "acknowledged")
"""Inputs that tell when something was, which may lie in the past."""

ABOUT_A_LINK: list[tuple[str, tuple[Any, ...]]] = [
    ("opened", ()),
    ("ready", ()),
    ("heard", ()),
    ("sent", ()),
    ("received", ()),
    ("acknowledged", ()),
    ("unacknowledged", (4, 1.0)),
    ("dismissed", ()),
    ("lost", (1006, 2.0, True)),
    ("rejected", (2.0, True)),
    ("reading_paused", ()),
    ("reading_resumed", ()),
]
"""The inputs about a link, and arguments for them that change much where they are about one that lives."""

UP = (core.OPEN, core.PROBING)

CAUSED_BY = {
    core.LOST: "lost",
    core.HEARTBEAT_TIMEOUT: "woke",
    core.MESSAGE_TIMEOUT: "woke",
    core.OPEN_TIMEOUT: "woke",
    core.CLOSE_TIMEOUT: "woke",
    core.PATH_DEAD: "unacknowledged",
    core.RECONNECT_REQUESTED: "reconnect_now",
    core.REJECTED: "rejected",
    core.RENEWED: "ready",
}


class Wait(NamedTuple):
    """Rule 5: something may take so many seconds, and the host that notices the end gets one grace period."""

    since: float
    seconds: float
    grace_until: float | None = None

    @property
    def over(self) -> float:
        return self.since + self.seconds

    @property
    def end(self) -> float:
        """When the host is to be awake."""
        return self.over if self.grace_until is None else self.grace_until

    def again(self, since: float) -> "Wait":
        """It may take as long from a later time on, and never less than it had."""
        return Wait(since, self.seconds) if since + self.seconds >= self.end else self

    def noticed(self, now: float) -> "Wait":
        """The host woke, and there was no verdict."""
        if self.grace_until is not None:
            assert now < self.grace_until + TOLERANCE, "rule 4: there was to be a verdict"
            return self
        if now < self.over:
            return self
        late = max(now - self.over, timeout.SHORTEST_GRACE)
        return self._replace(grace_until=now + min(late, self.seconds))

    def judge(self, now: float) -> None:
        """There was a verdict."""
        assert now >= self.over - TOLERANCE, "rule 5: a verdict before the time is over"
        assert self.grace_until is not None, "rule 5: a verdict without grace"
        assert now >= self.grace_until - TOLERANCE, "rule 5: a verdict before the grace is over"


NO_WAIT = Wait(0.0, 0.0)

Thing = TypeVar("Thing")


class Referee:
    """A host that carries out every action at once, and judges it.

    current, successor: the links that live, 0 for none. open: the links that the user was told of.
    ready_at: since when the current link is ready.
    answer, message, attempt, successor_attempt: the time that each of them may take.
    parting: the time that the server has to close the link on which it has dismissed us, None if it has not.
    """

    def __init__(self, settings: Settings, phase: float) -> None:
        self.settings = settings
        self.machine = core.Machine(settings, lambda: phase)
        self.now = 0.0
        self.state = core.IDLE
        # Links
        self.last = 0
        self.current = 0
        self.successor = 0
        self.open: tuple[int, ...] = ()
        self.ready_at: float | None = None
        self.was_ready = False
        # Their life
        self.heard_at = 0.0
        self.sent_at = 0.0
        self.pinged_at: float | None = None
        self.answer = NO_WAIT
        self.message = NO_WAIT
        self.attempt = NO_WAIT
        self.successor_attempt = NO_WAIT
        self.parting: Wait | None = None
        self.answered_at = 0.0
        self.closing_until = 0.0
        self.paused = False
        self.successor_paused = False
        # What is around
        self.is_hidden = False
        self.hidden_at = 0.0
        self.offline = False
        self.offline_at = 0.0
        self.stopped = False
        # Retries
        self.attempts = 0
        self.spent = 0
        self.announced = False
        self.retry_at = 0.0
        self.is_hinted = False
        self.hint = 0.0
        self.is_final = False

    def copy(self) -> "Referee":
        twin = copy(self)
        twin.machine = machine = copy(self.machine)
        machine.liveness = copy(machine.liveness)
        machine.timeout = copy(machine.timeout)
        machine.retries = copy(machine.retries)
        if machine.watchdog is not None:
            machine.watchdog = copy(machine.watchdog)
        if machine.parting is not None:
            machine.parting = copy(machine.parting)
        if machine.successor is not None:
            machine.successor = copy(machine.successor)
            machine.successor.timeout = copy(machine.successor.timeout)
        machine.actions = []
        return twin

    # The game

    def tell(self, happened: str, *arguments: Any) -> list[core.Action]:
        """Tell the machine, judge what it does, and return that."""
        machine = self.machine
        moment = arguments[0] if happened in OF_A_MOMENT else self.now
        rest = arguments[1:] if happened in OF_A_MOMENT else arguments
        if rest and (rest[0] == 0 or rest[0] not in (self.current, self.successor)):
            self._tell_of_another_link(happened, moment, *rest)
            return []
        is_due = machine.deadline is not None and self.now >= machine.deadline
        self.was_ready = self.ready_at is not None
        self.hint, self.is_final = 0.0, False
        self._note(happened, moment, *rest)
        getattr(machine, happened)(moment, *rest)
        actions = machine.take()
        for action in actions:
            self._judge(happened, action, *rest)
        if happened == "woke" and is_due:
            self._note_what_was_noticed()
        self._check()
        return actions

    def _tell_of_another_link(self, happened: str, *arguments: Any) -> None:
        before = self.snapshot()
        getattr(self.machine, happened)(*arguments)
        assert self.snapshot() == before, f"rule 1: {happened} of another link changed something"

    def snapshot(self) -> dict[str, Any]:
        """Every attribute of the machine, and of what it consists of."""
        return {name: contents(value) for name, value in vars(self.machine).items()}

    # What happens, before the machine reacts

    def _note(self, happened: str, moment: float, *rest: Any) -> None:
        if not rest:
            self._note_around(happened)
        elif rest[0] == self.successor and self.successor in self.open:
            self.successor_paused = {"reading_paused": True, "reading_resumed": False}.get(
                happened, self.successor_paused
            )
        elif rest[0] != self.current:
            return
        elif happened == "lost":
            self.current = 0
            _, code, self.hint, is_final = rest
            self.is_final = is_among(code, self.settings.final_codes) if is_final is None else is_final
        elif self.state in UP:
            self._note_on_open_link(happened, moment, *rest[1:])

    def _note_on_open_link(self, happened: str, moment: float, *rest: Any) -> None:
        match happened:
            case "heard":
                self.heard_at = max(self.heard_at, moment)
                if self.pinged_at is not None and moment >= self.pinged_at:
                    self.pinged_at, self.answered_at = None, moment
            case "sent":
                self.sent_at = max(self.sent_at, moment)
            case "received":
                self.message = self.message.again(moment)
            case "acknowledged" if self.state == core.PROBING:
                self.answer = self.answer.again(moment)
            case "ready" if self.ready_at is None:
                self.ready_at = self.now
            case "dismissed" if self.parting is None:
                self.parting = Wait(self.now, self.settings.close_timeout)
            case "rejected":
                self.hint, self.is_final = rest
            case "reading_paused":
                self.paused = True
            case "reading_resumed" if self.paused:
                self.paused = False
                self._look_again(self.settings.timeout)

    def _note_around(self, happened: str) -> None:
        match happened:
            case "stopped":
                self.stopped = True
            case "hidden" if not self.is_hidden:
                self.hidden_at = self.now
                self.is_hidden = True
            case "shown":
                if not self.is_hidden:
                    self.hidden_at = self.now
                self.is_hidden = False
                self._look_again(self._foreground_timeout())
            case "went_offline" if not self.offline:
                self.offline_at = self.now
                self.offline = True
            case "came_online":
                if not self.offline:
                    self.offline_at = self.now
                self.offline = False

    def _look_again(self, seconds: float) -> None:
        """Nobody could hear: what the peer may take begins from now on."""
        self.answer = Wait(self.now, seconds)
        self.message = Wait(self.now, self.message.seconds)

    def _foreground_timeout(self) -> float:
        return min(self.settings.timeout, core.LONGEST_FOREGROUND_TIMEOUT)

    def _is_excused(self) -> bool:
        return self.paused or self.is_hidden

    def _quiet_since(self) -> float:
        return min(self.heard_at, self.sent_at) if self.settings.both_directions else self.heard_at

    def _note_what_was_noticed(self) -> None:
        """The host woke in time or late: whatever is overdue was judged, or has its grace period."""
        now, interval = self.now, self.settings.interval
        if self.successor:
            self.successor_attempt = self.successor_attempt.noticed(now)
        if self.state == core.CONNECTING:
            self.attempt = self.attempt.noticed(now)
        if self.state == core.OPEN:
            assert now < self.heard_at + interval, "rule 4: silence is to be probed"
            assert self.pinged_at is not None or now < self._quiet_since() + interval, "rule 6: no ping"
        if self.state in UP and self._is_excused():
            self.message = Wait(now, self.message.seconds)
        elif self.state in UP:
            if self.state == core.PROBING:
                self.answer = self.answer.noticed(now)
            if self.settings.message_timeout is not None:
                self.message = self.message.noticed(now)
        if self.state in UP and self.parting is not None:
            self.parting = self.parting.noticed(now)

    # The rules, one action at a time

    def _judge(self, happened: str, action: core.Action, *rest: Any) -> None:
        link = action.link
        assert CAUSED_BY.get(action.cause, happened) == happened, "what else happened"
        match action.kind:
            case core.NOTIFY_STATE:
                self._judge_state(happened, action.state)
            case core.OPEN_LINK if happened == "renew":
                self._judge_renewal(link)
            case core.OPEN_LINK:
                self._judge_opening(happened, link)
            case core.PING_LINK:
                self._judge_ping(happened, link)
            case core.CLOSE_LINK:
                assert happened == "stopped"
                assert link == self.current, "rule 1: another link is closed"
                assert link in self.open, "only an open link is closed"
            case core.ABANDON_LINK | core.LEAVE_LINK if link == self.successor:
                assert (action.kind == core.LEAVE_LINK) == (link in self.open), "closed without a close frame"
            case core.ABANDON_LINK | core.LEAVE_LINK:
                assert link == self.current, "rule 1: a link is given up that does not live"
                works = happened in ("ready", "rejected")
                assert (action.kind == core.LEAVE_LINK) == works, "closed without a close frame"
                self.current = 0
            case core.SWITCH_LINK:
                self._judge_switch(happened, link)
            case core.NOTIFY_OPENED:
                self._judge_opened(happened, link, *rest)
            case core.NOTIFY_CLOSED:
                self._judge_closed(action, *rest)
            case core.NOTIFY_RETRY:
                self._judge_retry(happened, action)
            case core.NOTIFY_FAILED:
                self._judge_failure(action)
            case core.NOTIFY_RENEWAL_FAILED:
                assert link == self.successor, "a renewal fails once"
                assert link not in self.open, "rule 9: closed was not reported"
                if action.cause == core.OPEN_TIMEOUT:
                    self.successor_attempt.judge(self.now)
                self.successor = 0
            case _:
                raise AssertionError(f"unknown action {action.kind}")

    def _judge_state(self, happened: str, state: str) -> None:
        assert state != self.state, "a state is reported when it changes"
        self.state = state
        if state == core.PROBING:
            if happened == "woke":  # perhaps a little before the link was silent for all of the interval
                since = max(self.now, self.heard_at + self.settings.interval)
                self.answer = Wait(since, self.settings.timeout)
            else:
                self.answer = Wait(self.now, self._foreground_timeout())
        elif state == core.CLOSING:
            self.closing_until = self.now + self.settings.close_timeout

    def _judge_renewal(self, link: int) -> None:
        assert self.state in UP, "rule 2: a link is opened after stopped"
        assert self.parting is None, "rule 2: a link is opened after dismissed"
        assert self.successor == 0, "rule 1: three live links"
        assert link == self.last + 1, "links are numbered one after the other"
        assert self.ready_at is not None, "rule 7: a renewal of what never worked would skip the back-off"
        self.successor = self.last = link
        self.successor_paused = False
        self.successor_attempt = Wait(self.now, self.settings.open_timeout)

    def _judge_opening(self, happened: str, link: int) -> None:
        assert not self.stopped, "rule 2: a link is opened after stopped"
        assert self.parting is None, "rule 2: a link is opened after dismissed"
        assert self.current == self.successor == 0, "rule 1: two live links"
        assert link == self.last + 1, "links are numbered one after the other"
        if link == 1:
            assert happened == "started"
        elif happened == "reconnect_now":
            assert self.state == core.WAITING or self.was_ready, (
                "rule 7: a login is repeated without back-off"
            )
        elif happened == "woke":
            assert self.now >= self.retry_at, "rule 8: earlier than announced"
        else:
            assert happened in ("shown", "came_online"), "nothing else opens a link"
            assert self.now >= self.retry_at or not self.is_hinted, (
                "rule 8: earlier than the server asked for"
            )
        self.last = link
        self._attempt_begins(link, Wait(self.now, self.settings.open_timeout))

    def _attempt_begins(self, link: int, wait: Wait) -> None:
        assert self.announced or link == 1, "rule 9: a retry that was not announced"
        self.announced = False
        self.current = link
        self.attempt = wait

    def _judge_switch(self, happened: str, link: int) -> None:
        assert self.current == 0, "rule 1: two links that deliver"
        assert link == self.successor, "rule 1: what takes over is no successor"
        assert link in self.open or happened != "ready", "a link takes over that is not open"
        is_let_in = happened == "lost" and link in self.open
        assert is_let_in or not self.is_final, "what is final is the end"
        assert link in self.open or self.parting is None, "rule 2: a link is opened after dismissed"
        self.successor = 0
        if link in self.open:
            assert self.open == (link,), "rule 9: closed was not reported"
            self._begin(link)
            self.paused = self.successor_paused
            self.ready_at = self.now if happened == "ready" else None
        else:
            assert self.hint <= 0, "rule 8: earlier than the server asked for"
            self._attempt_begins(link, self.successor_attempt)

    def _judge_opened(self, happened: str, link: int, *rest: Any) -> None:
        assert (happened, link) == ("opened", rest[0])
        assert not self.stopped, "rule 2: a link is opened after stopped"
        if self.open:
            assert self.open == (self.current,), "rule 9: opened twice without closed"
            assert link == self.successor, "rule 1: it is no successor"
            self.successor_attempt = Wait(self.now, self.settings.open_timeout)
        else:
            assert link == self.current, "rule 1: a link is open that does not live"
            self._begin(link)
        self.open = (*self.open, link)

    def _begin(self, link: int) -> None:
        """The current link is open."""
        self.current = link
        self.heard_at = self.sent_at = self.now
        self.pinged_at = self.ready_at = None
        self.paused = False
        self.parting = None
        self.message = Wait(self.now, self.settings.message_timeout or 0.0)

    def _judge_ping(self, happened: str, link: int) -> None:
        assert link == self.current, "rule 1: a link is pinged that is not the current one"
        assert link in self.open, "a link is pinged that is not open"
        assert self.pinged_at is None, "rule 6: two unanswered pings"
        if happened == "shown":
            assert self.heard_at <= self.hidden_at, "rule 6: heard since hidden"
        elif happened == "came_online":
            assert self.heard_at <= self.offline_at, "rule 6: heard since offline"
        else:
            assert happened == "woke"
            assert self.now >= self._quiet_since() + self.settings.interval, "rule 6: a ping on a busy link"
        self.pinged_at = self.sent_at = self.now

    def _judge_closed(self, action: core.Action, *rest: Any) -> None:
        assert action.link in self.open, "rule 9: closed without opened"
        self.open = tuple(link for link in self.open if link != action.link)
        if action.link == self.successor:
            return
        assert self.current == 0, "told before it is so"
        self._judge_verdict(action.cause, *rest)
        if self.ready_at is not None and self.now - self.ready_at >= self.settings.stable_after:
            self.attempts = self.spent = 0
        self.ready_at = None

    def _judge_verdict(self, cause: str, *rest: Any) -> None:
        """Rule 5, where the machine has judged by itself."""
        if cause in (core.HEARTBEAT_TIMEOUT, core.MESSAGE_TIMEOUT, core.PATH_DEAD):
            assert not self.paused, "rule 5: a verdict while reading is paused"
            assert not self.is_hidden, "rule 5: a verdict in the background"
        match cause:
            case core.HEARTBEAT_TIMEOUT:
                assert self.pinged_at is not None, "rule 5: a verdict without an unanswered ping"
                self.answer.judge(self.now)
            case core.PATH_DEAD:
                assert self.pinged_at is not None, "rule 5: a verdict without an unanswered ping"
                assert rest[1] >= 4, "rule 4: a path is dead after four timeouts"
            case core.MESSAGE_TIMEOUT:
                assert self.settings.message_timeout is not None
                self.message.judge(self.now)
            case core.OPEN_TIMEOUT:
                self.attempt.judge(self.now)
            case core.DISMISSED:
                assert self.parting is not None, "the server has said nothing"
                self.parting.judge(self.now)
            case core.CLOSE_TIMEOUT:
                assert self.now >= self.closing_until

    def _judge_retry(self, happened: str, action: core.Action) -> None:
        if self.state == core.CONNECTING:
            self._judge_verdict(action.cause)
        assert not self.open, "rule 9: closed was not reported, or a successor is open"
        assert not self._is_the_end(), "what is final is the end"
        self.attempts += 1
        if not self.is_hidden:
            self.spent += 1
        assert action.attempt == self.attempts, "rule 7: attempts count from 0 only after a stable link"
        limit = self.settings.max_retries
        if happened != "reconnect_now" or not self.was_ready:
            assert limit is None or self.is_hidden or self.spent <= limit, "more retries than allowed"
        assert action.delay >= min(self.hint, 3600.0), "rule 8: sooner than the server asked for"
        assert action.delay <= max(self.hint, 0.0) + self.settings.maximum, "rule 8: later than the maximum"
        self.announced = True
        self.retry_at = self.now + action.delay
        self.is_hinted = self.hint > 0

    def _judge_failure(self, action: core.Action) -> None:
        if self.state == core.CONNECTING:
            self._judge_verdict(action.cause)
        limit = self.settings.max_retries
        is_spent = limit is not None and not self.is_hidden and self.spent >= limit
        assert self._is_the_end() or is_spent, "gave up too early"
        assert not self.open, "rule 9: closed was not reported, or a successor is open"
        assert action.out_of_retries == (not self._is_the_end()), "why it gave up"

    def _is_the_end(self) -> bool:
        """Whether nothing is to follow on the current link, however many retries are left."""
        return self.is_final or self.parting is not None

    # The rules, after all actions

    def _check(self) -> None:
        machine, state = self.machine, self.state
        lives = state in (core.CONNECTING, core.CLOSING, *UP)
        assert machine.state == state, "every change of state is reported"
        assert (self.current != 0) == lives, "rule 1: a link leaks"
        assert machine.link == self.current or not lives
        assert (machine.successor.link if machine.successor is not None else 0) == self.successor
        assert self.successor == 0 or state in UP, "rule 1: a successor leaks"
        assert machine.last_link == self.last
        assert machine.retries.attempt == self.attempts, (
            "rule 7: attempts count from 0 only after a stable link"
        )
        told = (self.current,) if state in (core.CLOSING, *UP) else ()
        assert self.open in (told, (*told, self.successor)), "rule 9: opened or closed was not reported"
        ended = state in (core.IDLE, core.CLOSED, core.FAILED)
        waits = state == core.WAITING and self.offline
        assert (machine.deadline is None) == (ended or waits), "rule 3: stuck, or awake for nothing"
        limits = self._limits()
        assert not limits or (machine.deadline or 0.0) <= min(limits) + TOLERANCE, "rule 3: awake too late"
        if state in UP:
            liveness = machine.liveness
            assert (liveness.heard_at, liveness.sent_at) == (self.heard_at, self.sent_at), "the latest counts"
            assert liveness.is_pinged == (self.pinged_at is not None)
            assert (machine.ready_at is None) == (self.ready_at is None)
            pings_early = self.settings.both_directions
            assert (self.pinged_at is not None) == (state == core.PROBING) or pings_early, "a probe is a ping"

    def _limits(self) -> list[float]:
        """When the host must be awake: rules 4 and 6."""
        match self.state:
            case core.CONNECTING:
                limits = [self.attempt.end]
            case core.WAITING if not self.offline:
                limits = [self.retry_at]
            case core.CLOSING:
                limits = [self.closing_until]
            case core.OPEN if self.pinged_at is None:
                limits = [max(self._quiet_since() + self.settings.interval, self.answered_at)]
            case core.OPEN:
                limits = [self.heard_at + self.settings.interval]
            case core.PROBING if not self._is_excused():
                limits = [self.answer.end]
            case _:
                limits = []
        if self.state in UP and self.settings.message_timeout is not None and not self._is_excused():
            limits.append(self.message.end)
        if self.state in UP and self.parting is not None:
            limits.append(self.parting.end)
        if self.successor:
            limits.append(self.successor_attempt.end)
        return limits


def is_among(code: int | None, codes: FinalCodes | None) -> bool:
    """Whether a close code is among final ones."""
    return (
        codes is not None
        and code is not None
        and (code in range(codes.first, codes.last + 1) or is_among(code, codes.rest))
    )


def copy(original: Thing) -> Thing:
    """Copy an object and not what it refers to, in a third of the time that the standard library takes."""
    twin = object.__new__(type(original))
    twin.__dict__.update(original.__dict__)
    return twin


def contents(value: Any) -> Any:
    """An object's attributes, down to plain values."""
    if type(value).__module__.startswith("websocket_heartbeat") and not isinstance(value, Settings):
        return {name: contents(each) for name, each in vars(value).items()}
    return list(value) if isinstance(value, list) else value
