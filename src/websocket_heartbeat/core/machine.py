"""Decides when to ping, when a link is dead and when to retry: every state and transition of a connection.

Not decided here: that a loss is final for another reason than its close code (`is_final` of `lost`;
client/retry.py), that reading pauses for a slow
user (`reading_paused`; client/inbox.py), and that a retry waits for its turn (a late `woke`; fleet.py).

The machine is pure, synchronous and deterministic. It does no I/O and reads no clock: the host tells what
happened and when (`now`, seconds of a monotonic clock of any origin), then takes the actions and carries them
out in their order. Links are numbered 1, 2, 3, ...; an input about any link but the current one, or its
successor while a renewal opens it, changes nothing. No input raises.

Rules
    1  Never two links that deliver. Two live at once during a renewal only: the successor opens while the
       current link goes on, and takes over once it is ready; then the other is closed. Should the current
       link be lost before, the successor takes over at once, if it is open, however final that loss would
       be without it; or it is the next attempt.
    2  After `stopped` no link is ever opened again. Nor is one after `dismissed`, whatever ends the link
       then, or after a final close code: both are the server's wish. But a successor that is open by then
       takes over, as rule 1 says.
    3  In every state but idle, closed, failed, and waiting while offline, `deadline` is set: the host calls
       `woke` then. An early or a spurious `woke` is harmless.
    4  A link silent for interval + timeout is abandoned at once, without waiting for anything; earlier if the
       peer's kernel has left our ping unacknowledged through four retransmission timeouts; later only while
       the peer's kernel acknowledges what was handed over before the ping. A link that brings no message for
       message_timeout is abandoned, too.
    5  A link that gives proof of life in time is never abandoned for its silence. So before a verdict the
       host always has one grace period in which to read what has arrived: as long as the host was late, at
       most the timeout. There is no verdict while reading is paused or the page is hidden. Only what is heard
       is proof of life.
    6  A ping is sent only on a quiet link: nothing was heard, or nothing was sent, for interval. Never while
       one is unanswered. Two things ask for a ping early, on a link not heard since: coming back to the
       foreground, and coming back online.
    7  Attempts count from 0 again only after a link was ready for stable_after: after the user's login, say.
    8  Delays are spread by core/backoff.py; a hint from the server is a lower bound, which nothing but
       reconnect_now cuts short. Delays grow faster while the server is overloaded: while attempts time out
       or are refused with a hint.
    9  Every NOTIFY_OPENED is followed by exactly one NOTIFY_CLOSED of the same link before the next
       NOTIFY_OPENED, but for a successor, which opens before the link that it replaces is closed; every retry
       is announced before it happens.
    10 Retries of losses in the background do not count against max_retries.

Transitions (docs/state-diagram.md is generated from this table, and a test holds it to what the machine does)
    idle        started         connecting  open link 1
    idle        stopped         closed
    connecting  opened          open        the user is told
    connecting  lost            waiting     the attempt failed; the retry is announced
    connecting  lost            failed      the failure is final, or no retry is left
    connecting  woke            waiting     open_timeout is over: abandon the link
    connecting  woke            failed      the same, and no retry is left
    connecting  stopped         closed      abandon the link
    open        woke            probing     silent for interval: ping, unless a ping is unanswered already
    open        woke            waiting     no message for message_timeout: abandon the link
    open        woke            failed      the same, and no retry is left; or dismissed and not closed
    open        woke            connecting  the same, while a successor is under way: it is the next attempt
    open        shown           probing     not heard since hidden: ping
    open        came_online     probing     not heard since offline: ping
    open        lost            waiting     the user is told; the retry is announced
    open        lost            failed      the loss is final, or no retry is left
    open        lost            connecting  a successor is under way, and is the next attempt
    open        rejected        waiting     close the link; the user is told; the retry is announced
    open        rejected        failed      the same, and it is final or no retry is left
    open        rejected        connecting  a successor is under way, and is the next attempt
    open        reconnect_now   connecting  abandon the link, open the next
    open        reconnect_now   waiting     the link was not ready yet: the retry waits, as after a loss
    open        reconnect_now   failed      the same, and no retry is left
    open        stopped         closing     close the link
    probing     heard           open        proof of life
    probing     ready           open        the successor takes over
    probing     woke            waiting     no proof of life: abandon the link
    probing     woke            failed      the same, and no retry is left
    probing     woke            connecting  a successor is under way, and is the next attempt
    probing     woke            open        a successor is open, and takes over before it is ready
    probing     unacknowledged  waiting     the path is dead: abandon the link
    probing     unacknowledged  failed      the same, and no retry is left
    probing     unacknowledged  connecting  a successor is under way, and is the next attempt
    probing     unacknowledged  open        a successor is open, and takes over before it is ready
    probing     lost            waiting     as in open
    probing     lost            failed      as in open
    probing     lost            connecting  as in open
    probing     lost            open        a successor is open, and takes over before it is ready
    probing     rejected        waiting     as in open
    probing     rejected        failed      as in open
    probing     rejected        connecting  as in open
    probing     rejected        open        a successor is open, and takes over before it is ready
    probing     reconnect_now   connecting  as in open
    probing     reconnect_now   waiting     as in open
    probing     reconnect_now   failed      as in open
    probing     stopped         closing     as in open
    waiting     woke            connecting  open the next link
    waiting     shown           connecting  at once, unless the server asked to wait
    waiting     came_online     connecting  the same
    waiting     reconnect_now   connecting  at once
    waiting     stopped         closed
    closing     lost            closed      the link has closed
    closing     woke            closed      close_timeout is over: abandon the link
"""

from typing import Callable, Final

from websocket_heartbeat.core.close_codes import is_final_code
from websocket_heartbeat.core.liveness import Liveness
from websocket_heartbeat.core.retries import Retries
from websocket_heartbeat.core.settings import Settings
from websocket_heartbeat.core.timeout import Timeout

# States
IDLE: Final = "idle"
CONNECTING: Final = "connecting"
OPEN: Final = "open"
PROBING: Final = "probing"
WAITING: Final = "waiting"
CLOSING: Final = "closing"
CLOSED: Final = "closed"
FAILED: Final = "failed"

# Actions for the host
OPEN_LINK: Final = "open_link"
PING_LINK: Final = "ping_link"
CLOSE_LINK: Final = "close_link"
ABANDON_LINK: Final = "abandon_link"
LEAVE_LINK: Final = "leave_link"
"""Close the link by a close frame, and be done with it: it delivers nothing more, and is not waited for; but
what the peer of one that was renewed has sent until then may come first, before what its successor delivers.
"""
SWITCH_LINK: Final = "switch_link"
"""The successor is the current link from now on."""

# Notifications for the user
NOTIFY_STATE: Final = "state"
NOTIFY_OPENED: Final = "opened"
NOTIFY_CLOSED: Final = "closed"
NOTIFY_RETRY: Final = "retry"
NOTIFY_FAILED: Final = "failed"
NOTIFY_RENEWAL_FAILED: Final = "renewal failed"

# Causes: why a link is gone
LOST: Final = "lost"
"""The host reported the loss and knows why."""
HEARTBEAT_TIMEOUT: Final = "heartbeat timeout"
PATH_DEAD: Final = "path dead"
OPEN_TIMEOUT: Final = "open timeout"
CLOSE_TIMEOUT: Final = "close timeout"
RECONNECT_REQUESTED: Final = "reconnect requested"
MESSAGE_TIMEOUT: Final = "message timeout"
REJECTED: Final = "rejected"
"""The user called the link bad, and the host knows why."""
DISMISSED: Final = "dismissed by the server"
"""The server has said that we are not to come back; and it did not close the link in time, or a successor."""
RENEWED: Final = "renewed"
STOPPED: Final = "stopped"
"""The user replaced the link, or the connection ended or had to wait, while its successor was opening."""

DEAD_PATH_TIMEOUTS: Final = 4
"""Retransmission timeouts in a row, each twice the one before, that no live path lets pass: 3 s at least."""

LONGEST_FOREGROUND_TIMEOUT: Final = 5.0
"""Seconds that a ping may take on return to the foreground or to the network, where somebody is watching."""


class Action:
    """One thing for the host to do, or one thing for the user to know.

    kind: one of the constants above; fields that a kind does not use stay empty.
    link: the link that it is about.
    state: NOTIFY_STATE: the state entered.
    cause: NOTIFY_CLOSED, NOTIFY_RETRY, NOTIFY_FAILED, NOTIFY_RENEWAL_FAILED: one of the causes above;
        LEAVE_LINK: RENEWED where it is that.
    code: NOTIFY_CLOSED, NOTIFY_FAILED: the close code, None if there was none.
    attempt, delay: NOTIFY_RETRY: which retry it will be, and the seconds until then.
    out_of_retries: NOTIFY_FAILED: whether max_retries retries have failed; if not, the loss was final.
    """

    def __init__(self, kind: str, link: int) -> None:
        self.kind = kind
        self.link = link
        self.state = ""
        self.cause = ""
        self.code: int | None = None
        self.attempt = 0
        self.delay: float = 0.0
        self.out_of_retries = False


class Successor:
    """The link that a renewal opens, in place of the current one once it is ready.

    timeout: for its opening, then for its becoming ready. is_open: whether it is open.
    paused: whether the host does not read it.
    """

    def __init__(self, now: float, link: int, open_timeout: float) -> None:
        self.link = link
        self.timeout: Timeout = Timeout(now, open_timeout)
        self.is_open = False
        self.paused = False


class Machine:
    """The life of one connection over many links.

    settings: the numbers to decide by. random: returns a number from 0 up to, not including, 1.

    state, deadline: the state, and when to call `woke`, or None.
    actions: what the host has yet to carry out, oldest first: `take` takes all, `actions.pop(0)` the next.
    link, last_link: the numbers of the current link and of the latest.
    successor: what a renewal opens, if one is under way.
    liveness: of the latest current link that has opened, with the time at which it was last heard.
    retries: how many there were since the last stable link, and when the next is due.

    due: when the state is to be looked at, or None; `deadline` is the earliest of this and the timeouts.
    timeout: while connecting of the attempt, while probing of the ping.
    watchdog: the time that the open link has for a message, or None.
    parting: the time that the server, which has dismissed us on the open link, has to close it, or None.
    ready_at: when the user had done what comes first on the open link, or None.
    paused: whether the host does not read the open link.
    """

    def __init__(self, settings: Settings, random: Callable[[], float]) -> None:
        self.settings: Settings = settings
        self.state: str = IDLE
        self.deadline: float | None = None
        self.actions: list[Action] = []
        self.link: int = 0
        self.last_link: int = 0
        self.successor: Successor | None = None
        self.liveness: Liveness = Liveness(settings, 0.0)
        self.retries: Retries = Retries(settings, random)
        self.due: float | None = None
        self.timeout: Timeout = Timeout(0.0, settings.open_timeout)
        self.watchdog: Timeout | None = None
        self.parting: Timeout | None = None
        self.ready_at: float | None = None
        self.paused: bool = False
        self.is_hidden: bool = False
        self.hidden_at: float = 0.0
        self.offline: bool = False
        self.offline_at: float = 0.0

    def take(self) -> list[Action]:
        """Return the actions since the last call, oldest first, and forget them."""
        actions = self.actions
        self.actions = []
        return actions

    # Inputs: what the user wants

    def reconfigured(self, settings: Settings) -> None:
        """The user has changed the settings: what is decided from now on follows the new ones.

        Limits of time that run already, of an attempt, a ping or the next message, stay as they are.
        """
        self.settings = settings
        self.retries.settings = settings
        self.liveness.interval = settings.interval
        self.liveness.both_directions = settings.both_directions
        if self.state == OPEN:
            self._wake_at(self.liveness.ping_due())

    def started(self, now: float) -> None:
        """The user wants the connection."""
        if self.state == IDLE:
            self._open_next(now)

    def stopped(self, now: float) -> None:
        """The user closes the connection for good."""
        if self._is_up():
            self._leave_successor(STOPPED)
            self._emit(CLOSE_LINK)
            self._enter(CLOSING, now + self.settings.close_timeout)
        elif self.state == CONNECTING:
            self._emit(ABANDON_LINK)
            self._enter(CLOSED)
        elif self.state == IDLE or self.state == WAITING:
            self._enter(CLOSED)

    def reconnect_now(self, now: float) -> None:
        """The user wants a new link at once: skips a wait, replaces an open link.

        The link that replaces one which was not ready yet waits as after a loss: a login that fails again and
        again is not to be repeated without end. After `dismissed` none replaces it.
        """
        if self.state == WAITING:
            self._open_next(now)
        elif self._is_up():
            self._leave_successor(STOPPED)
            if self.ready_at is None or self.parting is not None:
                self._give_up(now, RECONNECT_REQUESTED)
            else:
                self._emit(ABANDON_LINK)
                self._open_link_ended(now, RECONNECT_REQUESTED)
                self.retries.count_one(not self.is_hidden)
                self._announce_retry(RECONNECT_REQUESTED, 0.0)
                self._open_next(now)

    def renew(self, now: float) -> None:
        """The user wants another link in place of the ready one, without a gap: open it first."""
        may_follow = self.successor is None and self.parting is None
        if self._is_up() and self.ready_at is not None and may_follow:
            self.last_link = self.last_link + 1
            self.successor = Successor(now, self.last_link, self.settings.open_timeout)
            self._emit(OPEN_LINK, self.last_link)
            self._wake_at(self.due)

    # Inputs: what happened to a link

    def opened(self, now: float, link: int) -> None:
        """The handshake of `link` is complete."""
        successor = self._successor(link)
        if link == self.link and self.state == CONNECTING:
            self._begin(now)
            self._emit(NOTIFY_OPENED)
        elif successor is not None and not successor.is_open:
            successor.is_open = True
            successor.timeout.restart(now)
            self._emit(NOTIFY_OPENED, link)

    def ready(self, now: float, link: int) -> None:
        """The user has done what comes first on `link`, which is open: a login, say."""
        successor = self._successor(link)
        if successor is not None and successor.is_open:
            self._emit_with_cause(LEAVE_LINK, RENEWED)
            self._open_link_ended(now, RENEWED)
            self._switch(now, successor)
        if link == self.link and self._is_up() and self.ready_at is None:
            self.ready_at = now

    def rejected(self, now: float, link: int, hint: float = 0.0, is_final: bool = False) -> None:
        """The user calls `link`, which is open, bad: its login failed, say. hint: as in `lost`.

        is_final: whether the host knows that no retry can help.
        """
        successor = self._successor(link)
        if link == self.link and self._is_up():
            self._emit(LEAVE_LINK)
            self._retry_or_fail(now, REJECTED, hint=hint, is_final=is_final)
        elif successor is not None and successor.is_open:
            self._leave_successor(REJECTED)

    def dismissed(self, now: float, link: int) -> None:
        """The server has said on `link`, which is open, that we are not to come back. It is to close it."""
        successor = self._successor(link)
        if link == self.link and self._is_up():
            if self.parting is None:
                self.parting = Timeout(now, self.settings.close_timeout)
                self._wake_at(self.due)
        elif successor is not None and successor.is_open:
            self._leave_successor(DISMISSED)

    def heard(self, at: float, link: int) -> None:
        """Proof of life arrived on `link` at the time `at`, which may lie in the past."""
        if link == self.link and (self.state == OPEN or self.state == PROBING):  # as _is_up, sooner
            self.liveness.heard(at)
            if self.state == PROBING and not self.liveness.is_pinged:
                # As the ping was the last that was sent, the next one may be due already: not before now.
                self._enter(OPEN, max(self.liveness.ping_due(), at))

    def sent(self, at: float, link: int) -> None:
        """Something was sent on `link` at the time `at`. Told before each `woke`, for `both_directions`."""
        if link == self.link and self._is_up():
            self.liveness.sent(at)

    def received(self, at: float, link: int) -> None:
        """A message arrived on `link` at the time `at`. For `message_timeout`; told before each `woke`."""
        if link == self.link and self._is_up() and self.watchdog is not None:
            self.watchdog.restart(at)

    def acknowledged(self, at: float, link: int) -> None:
        """At `at` the peer's kernel acknowledged bytes that were handed over before the ping.

        A host that can tell calls this before `woke`. The ping is on its way only since then.
        """
        if link == self.link and self.state == PROBING:
            self.timeout.restart(at)

    def unacknowledged(self, now: float, link: int, timeouts: int, recheck_in: float) -> None:
        """The peer's kernel has not acknowledged our ping yet, as far as the host can tell.

        A host that can tell calls this after a ping and, as long as it holds, before each `woke`.
        timeouts: retransmission timeouts of TCP that have passed without progress. recheck_in: seconds until
        the host is to look again.
        """
        if link != self.link or self.state != PROBING or self.paused or self.is_hidden:
            return
        if timeouts >= DEAD_PATH_TIMEOUTS:
            self._give_up(now, PATH_DEAD)
        else:
            self._wake_at(min(now + recheck_in, self.timeout.due))

    def lost(
        self,
        now: float,
        link: int,
        code: int | None = None,
        hint: float = 0.0,
        is_final: bool | None = None,
    ) -> None:
        """The link is gone: its attempt failed, or it broke, or it has closed. The host tells the user why.

        code: the close code, None if there was none. hint: the least delay before a retry that the server
        asked for, in seconds, 0 for none. is_final: whether the host knows that no retry can help, or that
        one can; None leaves that to the code.
        """
        successor = self._successor(link)
        if link == self.link:
            if self.state == CLOSING:
                self._open_link_ended(now, LOST, code)
                self._enter(CLOSED)
            elif self.state == CONNECTING or self._is_up():
                is_end = is_final_code(code, self.settings.final_codes)
                if is_final is not None:
                    is_end = is_final
                self._retry_or_fail(now, LOST, code, hint=hint, is_final=is_end)
        elif successor is not None:
            self._renewal_failed(successor, LOST, code)

    def reading_paused(self, now: float, link: int) -> None:
        """The host stopped reading `link`, which is open, as the user is slow: silence proves nothing."""
        successor = self._successor(link)
        if link == self.link and self._is_up():
            self.paused = True
        elif successor is not None:
            successor.paused = successor.is_open

    def reading_resumed(self, now: float, link: int) -> None:
        """The host reads `link` again; an unanswered ping has its whole timeout again."""
        successor = self._successor(link)
        if link == self.link and self._is_up() and self.paused:
            self.paused = False
            self._excuse_silence(now, self.settings.timeout)
        elif successor is not None:
            successor.paused = False

    # Inputs: what happened around

    def woke(self, now: float) -> None:
        """The deadline has come. Before this call the host reports the best evidence of life that it has."""
        if self.deadline is None or now < self.deadline:
            return
        if self.successor is not None and self.successor.timeout.ran_out(now):
            self._leave_successor(OPEN_TIMEOUT)
        if self._is_starved(now):
            self._give_up(now, MESSAGE_TIMEOUT)
        elif self.parting is not None and self._is_up() and self.parting.ran_out(now):
            self._give_up(now, DISMISSED)
        elif self.due is None or now < self.due:
            self._wake_at(self.due)
        elif self.state == OPEN:
            self._look_after_open_link(now)
        elif self.state == WAITING:
            self._open_next(now)
        elif self.state == CLOSING:
            self._emit(ABANDON_LINK)
            self._open_link_ended(now, CLOSE_TIMEOUT)
            self._enter(CLOSED)
        elif self.state == PROBING and self._is_excused():
            self._wake_at(now + self.settings.timeout)
        elif not self.timeout.ran_out(now):
            # Its grace period has begun; or this was a look at acknowledgements, and none is missing.
            self._wake_at(self.timeout.due)
        elif self.state == PROBING:
            self._give_up(now, HEARTBEAT_TIMEOUT)
        else:
            self._give_up(now, OPEN_TIMEOUT)

    def went_offline(self, now: float) -> None:
        """The host has no network: a retry would be wasted until `came_online`."""
        if not self.offline:
            self.offline = True
            self.offline_at = now
            if self.state == WAITING:
                self._wake_at(None)

    def came_online(self, now: float) -> None:
        """The host has a network again, or another one: retry at once, probe an open link."""
        if not self.offline:
            # Another network, without a gap that the host could see: the link may have died with the old one.
            self.offline_at = now
        self.offline = False
        if self.state == WAITING:
            self._retry_early(now)
        elif self.state == OPEN and self.liveness.heard_at <= self.offline_at:
            self._probe(now, self._foreground_timeout())

    def hidden(self, now: float) -> None:
        """The page or program is in the background: timers may freeze, so they lead to no verdict."""
        if not self.is_hidden:
            self.is_hidden = True
            self.hidden_at = now

    def shown(self, now: float) -> None:
        """The page or program runs in the foreground again, or the computer resumed from suspend.

        A host that could not tell when it was stopped calls this alone, without `hidden` before.
        """
        if not self.is_hidden:
            self.hidden_at = now
        self.is_hidden = False
        self._excuse_silence(now, self._foreground_timeout())
        if self.state == WAITING:
            self._retry_early(now)
        elif self.state == OPEN and self.liveness.heard_at <= self.hidden_at:
            self._probe(now, self._foreground_timeout())

    # Decisions: liveness

    def _is_up(self) -> bool:
        return self.state == OPEN or self.state == PROBING

    def _is_excused(self) -> bool:
        """Whether silence proves nothing, as nobody would hear."""
        return self.paused or self.is_hidden

    def _begin(self, now: float) -> None:
        """The current link is open, and not ready yet."""
        limit = self.settings.message_timeout
        self.ready_at = None
        self.paused = False
        self.parting = None
        self.liveness = Liveness(self.settings, now)
        self.watchdog = None if limit is None else Timeout(now, limit)
        self._enter(OPEN, self.liveness.ping_due())

    def _look_after_open_link(self, now: float) -> None:
        liveness = self.liveness
        if now < liveness.ping_due():
            # There was traffic, which stores a time and leaves the deadline as it was.
            self._wake_at(liveness.ping_due())
        elif liveness.is_idle(now):
            self._ping(now)
            # Rule 4: an idle link is pinged up to a tenth of the interval before it was silent for all of it.
            self._await_answer(max(now, liveness.heard_at + liveness.interval), self.settings.timeout)
        else:
            # Heard all the time: this only lets the peer hear of us.
            self._ping(now)
            self._wake_at(liveness.ping_due())

    def _ping(self, now: float) -> None:
        """Send a ping, unless one is unanswered: TCP still carries it."""
        if not self.liveness.is_pinged:
            self._emit(PING_LINK)
            self.liveness.pinged(now)

    def _probe(self, now: float, timeout: float) -> None:
        self._ping(now)
        self._await_answer(now, timeout)

    def _await_answer(self, now: float, timeout: float) -> None:
        """Expect proof of life from now on."""
        self.timeout = Timeout(now, timeout)
        self._enter(PROBING, self.timeout.due)

    def _foreground_timeout(self) -> float:
        return min(self.settings.timeout, LONGEST_FOREGROUND_TIMEOUT)

    def _is_starved(self, now: float) -> bool:
        """Whether the open link has brought no message for message_timeout, and had its grace period."""
        if self.watchdog is None or not self._is_up():
            return False
        if self._is_excused():
            self.watchdog.restart(now)
        return self.watchdog.ran_out(now)

    def _excuse_silence(self, now: float, timeout: float) -> None:
        """The host reads again: a message, and the answer to a ping, have their whole time from now on."""
        if self.watchdog is not None:
            self.watchdog.restart(now)
        if self.state == PROBING:
            self._await_answer(now, timeout)

    # Decisions: retries

    def _give_up(self, now: float, cause: str) -> None:
        """Do not wait any longer for the current link, or for its attempt."""
        self._emit(ABANDON_LINK)
        self._retry_or_fail(now, cause)

    def _retry_or_fail(
        self,
        now: float,
        cause: str,
        code: int | None = None,
        hint: float = 0.0,
        is_final: bool = False,
    ) -> None:
        """The current link is gone without the user having closed it."""
        is_overloaded = cause == OPEN_TIMEOUT or (self.state == CONNECTING and hint > 0)
        if self.state != CONNECTING:
            self._open_link_ended(now, cause, code)
        if self.successor is not None and self.successor.is_open and (cause == LOST or not is_final):
            # The server has let it in, whatever it asks of further attempts. That it ends the link before for
            # good may mean just that: one that lets in one link of each user does.
            self._switch(now, self.successor)
            return
        is_end = is_final or self.parting is not None
        out_of_retries = self.retries.are_spent() and not self.is_hidden and not is_end
        if is_end or out_of_retries:
            self._leave_successor(STOPPED)
            self._emit_with_cause(NOTIFY_FAILED, cause, code).out_of_retries = out_of_retries
            self._enter(FAILED)
            return
        if hint > 0:
            self._leave_successor(STOPPED)
        self.retries.count_one(not self.is_hidden)
        if self.successor is not None:
            # It is the retry, and is under way already.
            self._announce_retry(cause, 0.0)
            self._switch(now, self.successor)
            return
        self._announce_retry(cause, self.retries.wait(now, hint, is_overloaded))
        self._enter(WAITING, None if self.offline else self.retries.due)

    def _announce_retry(self, cause: str, wait: float) -> None:
        action = self._emit_with_cause(NOTIFY_RETRY, cause)
        action.attempt = self.retries.attempt
        action.delay = wait

    def _retry_early(self, now: float) -> None:
        """Retry at once, but not before the time that the server asked for."""
        if self.retries.may_be_early(now):
            self._open_next(now)
        elif not self.offline:
            self._wake_at(self.retries.due)

    def _open_next(self, now: float) -> None:
        self.last_link = self.last_link + 1
        self.link = self.last_link
        self.timeout = Timeout(now, self.settings.open_timeout)
        self._emit(OPEN_LINK)
        self._enter(CONNECTING, self.timeout.due)

    # Decisions: renewal

    def _switch(self, now: float, successor: Successor) -> None:
        """The successor takes the place of the link before it, which is gone or has been left."""
        self.link = successor.link
        self.successor = None
        self._emit(SWITCH_LINK)
        if successor.is_open:
            self._begin(now)
            self.paused = successor.paused
        else:
            self.timeout = successor.timeout
            self._enter(CONNECTING, self.timeout.due)

    def _successor(self, link: int) -> Successor | None:
        """The successor, if that is `link`."""
        successor = self.successor
        return successor if successor is not None and successor.link == link else None

    def _leave_successor(self, cause: str) -> None:
        """Give up the renewal, if there is one; the current link stays."""
        successor = self.successor
        if successor is not None:
            self._emit(LEAVE_LINK if successor.is_open else ABANDON_LINK, successor.link)
            self._renewal_failed(successor, cause)

    def _renewal_failed(self, successor: Successor, cause: str, code: int | None = None) -> None:
        """The successor is gone; the current link stays."""
        self.successor = None
        if successor.is_open:
            self._emit_with_cause(NOTIFY_CLOSED, cause, code, successor.link)
        self._emit_with_cause(NOTIFY_RENEWAL_FAILED, cause, None, successor.link)

    # Telling the host

    def _open_link_ended(self, now: float, cause: str, code: int | None = None) -> None:
        """Tell the user that the open link is gone. After a stable one, attempts count from 0 (rule 7)."""
        self._emit_with_cause(NOTIFY_CLOSED, cause, code)
        if self.ready_at is not None and now - self.ready_at >= self.settings.stable_after:
            self.retries.begin_again()

    def _enter(self, state: str, due: float | None = None) -> None:
        is_new = state != self.state
        self.state = state
        self._wake_at(due)
        if is_new:
            self._emit(NOTIFY_STATE).state = state

    def _wake_at(self, due: float | None) -> None:
        """Set when the state is to be looked at, and with it the deadline."""
        self.due = due
        has_more = self.successor is not None or self.watchdog is not None or self.parting is not None
        if due is not None and has_more and self._is_up():
            if self.successor is not None:
                due = min(due, self.successor.timeout.due)
            if self.watchdog is not None:
                due = min(due, self.watchdog.due)
            if self.parting is not None:
                due = min(due, self.parting.due)
        self.deadline = due

    def _emit_with_cause(self, kind: str, cause: str, code: int | None = None, link: int = 0) -> Action:
        action = self._emit(kind, link)
        action.cause = cause
        action.code = code
        return action

    def _emit(self, kind: str, link: int = 0) -> Action:
        """Add an action to those that `take` returns, about the current link unless another is named."""
        action = Action(kind, self.link if link == 0 else link)
        self.actions.append(action)
        return action
