"""Watches a machine from outside and stops the game at the first broken rule: tests tell it what happens.

It knows the rules of DESIGN section 2 and of the header of machine.py, and nothing of how the machine keeps
them. Everything that it remembers is a plain value, so that a search may copy it.
"""

import copy
from typing import Any

from websocket_heartbeat.core import machine as core
from websocket_heartbeat.core.settings import Settings

TOLERANCE = 1e-9
"""Seconds: what adding floating-point numbers may cost."""


class Referee:
    """A host that carries out every action at once, and judges it."""

    def __init__(self, settings: Settings, phase: float) -> None:
        self.settings = settings
        self.machine = core.Machine(settings, lambda: phase)
        self.now = 0.0
        self.state = core.IDLE
        self.last = 0
        self.live = 0
        self.is_open = False
        self.opened_at = 0.0
        self.heard_at = 0.0
        self.pinged_at: float | None = None
        self.patience = 0.0
        self.grace_until: float | None = None
        self.disturbed = False
        self.paused = False
        self.is_hidden = False
        self.hidden_at = 0.0
        self.offline = False
        self.offline_at = 0.0
        self.stopped = False
        self.attempts = 0
        self.announced = False
        self.retry_at = 0.0
        self.hint = 0.0

    def copy(self) -> "Referee":
        twin = copy.copy(self)
        twin.machine = copy.copy(self.machine)
        twin.machine.liveness = copy.copy(self.machine.liveness)
        twin.machine.actions = []
        return twin

    # The game

    def tell(self, happened: str, *arguments: Any) -> list[core.Action]:
        """Tell the machine, judge what it does, and return that."""
        machine = self.machine
        moment = arguments[0] if happened == "heard" else self.now
        rest = arguments[1:] if happened == "heard" else arguments
        if rest and rest[0] != machine.link:
            self._tell_of_another_link(happened, moment, *rest)
            return []
        before, deadline = machine.state, machine.deadline
        if deadline is not None and self.now > deadline:
            self.disturbed = True
        self._note(happened, moment, *rest)
        getattr(machine, happened)(moment, *rest)
        if happened == "opened":
            machine.ready(self.now, *rest)
        actions = machine.take()
        for action in actions:
            self._judge(happened, action, *rest)
        if happened == "woke" and before == machine.state == core.PROBING:
            self._note_grace(deadline)
        self._check()
        return actions

    def _tell_of_another_link(self, happened: str, *arguments: Any) -> None:
        before = self.snapshot()
        getattr(self.machine, happened)(*arguments)
        assert self.snapshot() == before, f"rule 1: {happened} of another link changed something"

    def snapshot(self) -> dict[str, Any]:
        """Every attribute of the machine."""
        return {
            **vars(self.machine),
            "liveness": vars(self.machine.liveness).copy(),
            "actions": self.machine.take(),
        }

    def _note(self, happened: str, moment: float, *rest: Any) -> None:
        """Remember what the world does, before the machine reacts."""
        if happened == "heard" and self.is_open and self.state != core.CLOSING:
            self.heard_at = max(self.heard_at, moment)
            self.disturbed = self.disturbed and moment < self.now
            if self.pinged_at is not None and moment >= self.pinged_at:
                self.pinged_at = self.grace_until = None
        elif happened == "lost" and self.live:
            self.live = 0
            self.hint = rest[2]
        elif happened == "stopped":
            self.stopped = True
        elif happened == "hidden":
            if not self.is_hidden:
                self.hidden_at = self.now
            self.is_hidden = self.disturbed = True
        elif happened == "shown":
            if not self.is_hidden:
                self.hidden_at = self.now
            self.is_hidden = False
            self._new_patience(min(self.settings.timeout, core.LONGEST_FOREGROUND_TIMEOUT))
        elif happened == "went_offline":
            if not self.offline:
                self.offline_at = self.now
            self.offline = True
        elif happened == "came_online":
            if not self.offline:
                self.offline_at = self.now
            self.offline = False
        elif happened == "reading_paused":
            self.paused = self.is_open and self.state != core.CLOSING
            self.disturbed = True
        elif happened == "reading_resumed" and self.paused:
            self.paused = False
            self._new_patience(self.settings.timeout)

    def _new_patience(self, patience: float) -> None:
        self.disturbed = True
        self.patience = patience
        self.grace_until = None

    def _note_grace(self, deadline: float | None) -> None:
        assert deadline is not None
        if not self.paused and not self.is_hidden and self.now >= deadline:
            late = max(self.now - deadline, core.SHORTEST_GRACE)
            self.grace_until = self.now + min(late, self.patience)

    # The rules

    def _judge(self, happened: str, action: core.Action, *rest: Any) -> None:
        match action.kind:
            case core.NOTIFY_STATE:
                assert action.state != self.state, "a state is reported when it changes"
                self.state = action.state
            case core.OPEN_LINK:
                self._judge_opening(happened, action.link)
            case core.PING_LINK:
                self._judge_ping(happened, action.link)
            case core.CLOSE_LINK:
                assert happened == "stopped"
                assert action.link == self.live, "rule 1: another link is closed"
                assert self.is_open, "only an open link is closed politely"
            case core.ABANDON_LINK:
                assert action.link == self.live, "rule 1: a link is abandoned that does not live"
                self.live = 0
                if happened == "woke" and self.state == core.PROBING:
                    self._judge_verdict()
                elif happened == "unacknowledged":
                    self._judge_dead_path(*rest)
            case core.NOTIFY_OPENED:
                assert action.link == self.live, "rule 1: a link is reported that does not live"
                assert not self.is_open, "rule 9: opened twice without closed"
                self.is_open = True
                self.opened_at = self.heard_at = self.now
                self.pinged_at = self.grace_until = None
                self.paused = self.disturbed = False
            case core.NOTIFY_CLOSED:
                assert self.is_open, "rule 9: closed without opened"
                self.is_open = False
                if self.now - self.opened_at >= self.settings.stable_after:
                    self.attempts = 0
            case core.NOTIFY_RETRY:
                self._judge_retry(happened, action)
            case core.NOTIFY_FAILED:
                limit = self.settings.max_attempts
                final = happened == "lost" and rest[3]
                spent = limit is not None and self.attempts >= limit
                assert final or spent, "gave up too early"
                assert action.out_of_retries == spent, "why it gave up"
            case _:
                raise AssertionError(f"unknown action {action.kind}")

    def _judge_opening(self, happened: str, link: int) -> None:
        assert not self.stopped, "rule 2: a link is opened after stopped"
        assert self.live == 0, "rule 1: two live links"
        assert link == self.last + 1, "links are numbered one after the other"
        if link > 1:
            assert self.announced, "rule 9: a retry that was not announced"
            if happened == "woke":
                assert self.now >= self.retry_at, "rule 8: earlier than announced"
            if happened != "reconnect_now" and self.hint > 0:
                assert self.now >= self.retry_at, "rule 8: earlier than the server asked for"
        self.live = self.last = link
        self.announced = False

    def _judge_ping(self, happened: str, link: int) -> None:
        assert link == self.live, "rule 1: a link is pinged that does not live"
        assert self.is_open, "a link is pinged that is not open"
        assert self.pinged_at is None, "rule 6: two unanswered pings"
        if happened == "shown":
            assert self.heard_at <= self.hidden_at, "rule 6: heard since hidden"
        elif happened == "came_online":
            assert self.heard_at <= self.offline_at, "rule 6: heard since offline"
        else:
            assert self.now >= self.heard_at + self.settings.interval, "rule 6: a ping on a busy link"
        self.pinged_at = self.now
        if happened == "woke":
            self.patience = self.settings.timeout
        else:
            self._new_patience(min(self.settings.timeout, core.LONGEST_FOREGROUND_TIMEOUT))

    def _judge_verdict(self) -> None:
        assert not self.paused, "rule 5: a verdict while reading is paused"
        assert not self.is_hidden, "rule 5: a verdict in the background"
        assert self.pinged_at is not None, "rule 5: a verdict without an unanswered ping"
        assert self.now >= self.pinged_at + self.patience - TOLERANCE, (
            "rule 5: a verdict before the time is over"
        )
        assert self.grace_until is not None, "rule 5: a verdict without grace"
        assert self.now >= self.grace_until - TOLERANCE, "rule 5: a verdict before the grace is over"

    def _judge_dead_path(self, link: int, timeouts: int, again: float) -> None:
        assert not self.paused, "rule 5: a verdict while reading is paused"
        assert not self.is_hidden, "rule 5: a verdict in the background"
        assert self.pinged_at is not None, "rule 5: a verdict without an unanswered ping"
        assert timeouts >= 4, "rule 4: a path is dead after four timeouts"

    def _judge_retry(self, happened: str, action: core.Action) -> None:
        self.attempts += 1
        assert action.attempt == self.attempts, "rule 7: attempts count from 0 only after a stable link"
        limit = self.settings.max_attempts
        if happened != "reconnect_now":
            assert limit is None or self.attempts <= limit, "more retries than allowed"
        if happened != "lost":
            self.hint = 0.0
        assert action.delay >= min(self.hint, 3600.0), "rule 8: sooner than the server asked for"
        assert action.delay <= max(self.hint, 0.0) + self.settings.maximum, "rule 8: later than the maximum"
        self.announced = True
        self.retry_at = self.now + action.delay

    def _check(self) -> None:
        machine = self.machine
        assert machine.state == self.state, "every change of state is reported"
        assert machine.link == self.last
        assert machine.attempt == self.attempts, "rule 7: attempts count from 0 only after a stable link"
        assert (self.live != 0) == (self.state in (core.CONNECTING, core.OPEN, core.PROBING, core.CLOSING)), (
            "rule 1: a link leaks"
        )
        assert self.is_open == (self.state in (core.OPEN, core.PROBING, core.CLOSING)), (
            "rule 9: closed was not reported"
        )
        ended = self.state in (core.IDLE, core.CLOSED, core.FAILED)
        waits = self.state == core.WAITING and self.offline
        assert (machine.deadline is None) == (ended or waits), "rule 3: stuck, or awake for nothing"
        excused = self.disturbed or self.paused or self.is_hidden
        if self.state in (core.OPEN, core.PROBING):
            assert machine.liveness.heard_at == self.heard_at, "the latest proof of life counts"
            assert (self.pinged_at is None) == (self.state == core.OPEN), "a probe lasts as long as its ping"
        if self.state in (core.OPEN, core.PROBING) and not excused:
            longest = self.settings.interval + self.settings.timeout + core.SHORTEST_GRACE
            assert self.now - self.heard_at <= longest + TOLERANCE, "rule 4: a silent link is kept"
