"""Carries out what the core decides, over one kind of link and one timer, and calls the user's hooks."""

from typing import Any, Final

from websocket_heartbeat.core.machine import (
    ABANDON_LINK,
    CLOSE_LINK,
    CLOSED,
    CLOSING,
    CONNECTING,
    FAILED,
    LOST,
    NOTIFY_CLOSED,
    NOTIFY_OPENED,
    NOTIFY_RETRY,
    NOTIFY_STATE,
    OPEN,
    OPEN_LINK,
    OPEN_TIMEOUT,
    PING_LINK,
    PROBING,
    Action,
    Machine,
)
from websocket_heartbeat.miniprogram.clock import Clock
from websocket_heartbeat.miniprogram.language import record, report, tell, value_of
from websocket_heartbeat.miniprogram.link import Link
from websocket_heartbeat.miniprogram.options import settings_of

LONGEST_TIMER: Final = 2000000000.0
"""Milliseconds; beyond 2^31 setTimeout fires at once."""

# Kinds of steps that the core does not know: each is also the name of its hook.
ERROR: Final = "Error"
MESSAGE: Final = "Message"


def ignore(event: Any = None) -> None:
    """The hook until the user sets one: it can be called, and does nothing."""


class Step:
    """One action to carry out or one hook to call, in order.

    action: what the core decided; or of kind ERROR or MESSAGE. event: what the host reported, if anything.
    reason: why the link is gone, in words.
    """

    def __init__(self, action: Action, event: Any, reason: str) -> None:
        self.action = action
        self.event = event
        self.reason = reason


class Driver:
    """What the user holds: one connection over many links. A subclass knows the kind of host.

    opts: the options, defaults included. repeat: retries since the connection was last stable.
    forbidReconnect: whether `close` was called; set it, and no retry follows when the link is lost. state: a
    state of the core.
    """

    def __init__(self, clock: Clock, opts: dict[str, Any]) -> None:
        self.clock = clock
        self.opts = opts
        self.repeat = 0
        self.forbidReconnect = False
        self.settings = settings_of(opts)
        self.machine = Machine(self.settings, lambda: self.clock.random())
        self.state = self.machine.state
        self.link = Link()
        self.announced = 0
        """The number of the latest link for which onOpen was called: what is sent before that is queued."""
        self.queue: list[dict[str, Any]] = []
        """Messages that wait for a link."""
        self.timer: Any = None
        """What calls `_woke`, at `fires_at` in seconds of the clock."""
        self.fires_at = 0.0
        self.steps: list[Step] = []
        """What is still to be carried out."""
        self.held: list[Step] = []
        """Hooks to call once the user can have set them."""
        self.is_held = True
        """Whether hooks still have to wait for that."""
        self.is_busy = False
        """Whether steps are being carried out: a hook that acts then only adds steps."""
        self.has_dialled = False
        """Whether an attempt was begun since steps began to be carried out."""
        self.is_destroyed = False
        self.is_interrupted = False
        """Whether an attempt was refused in the background, and retries wait for the foreground."""
        self.ping_failed = False
        """Whether the host refused the latest ping."""
        self.on_ready: Any = None
        """Whom to give this object to; None once that is done."""

    # For the user

    def reconnect(self) -> None:
        """Open a new link now: in place of an open one, instead of waiting, after closing or giving up."""
        if self.is_destroyed:
            return
        self.forbidReconnect = False
        self._end_closing()
        if self._is_over():
            number = self.machine.link
            self.machine = Machine(self.settings, lambda: self.clock.random())
            # Numbers go on: what an earlier link still says is about no link of the new machine.
            self.machine.link = number
            self.machine.last_link = number
            # A hook that is told of the end may call this before the end is carried out.
            self.unwatch()
            self.start()
        else:
            self.machine.reconnect_now(self.clock.now())
            self._settle(None)

    def destroy(self) -> None:
        """Close at once, wait for nothing and remove all listeners; the object cannot be used after that."""
        self.is_destroyed = True
        self.stop(None)
        self._end_closing()

    # For subclasses, and for what makes a task

    def begin(self, ready: Any) -> None:
        """Start, and call `ready` with this object once there is a socket or the first attempt has failed.

        The user sets the hooks after that: in a `then`, which some hosts run as a macrotask, or after the
        constructor. Two timers later they are set.
        """
        self.on_ready = ready
        self.start()

    def _wait_once_more(self) -> None:
        self.clock.start_timer(lambda: self.release(), 0)

    def start(self) -> None:
        """Open the first link."""
        self.watch()
        self.machine.started(self.clock.now())
        self._settle(None)

    def release(self) -> None:
        """Call the user's hooks from now on, also for what happened before the user could set them."""
        self.is_held = False
        self.steps = self.held
        self._settle(None)

    def stop(self, params: Any) -> None:
        """The user closes; `params` go to the host's close."""
        was_open = self._is_open()
        self.forbidReconnect = True
        self.machine.stopped(self.clock.now())
        self._settle(params)
        if not was_open:
            # The host was not asked, so it calls nothing back.
            self._answer(params, "success", "close:ok")

    def hand_over(self, message: dict[str, Any]) -> bool:
        """Send now, or queue while no link is open; if neither can be done, call `fail` and return False."""
        if self._is_sendable():
            return self._send(message)
        state = self.machine.state
        limit: float = self.opts["sendQueue"]
        if state == CLOSED or state == CLOSING or state == FAILED or len(self.queue) >= limit:
            self._answer(message, "fail", "send:fail " + state)
            return False
        self.queue.append(message)
        return True

    # Written by a subclass for its kind of host

    def dial(self) -> Link:
        """Make the next link."""
        raise NotImplementedError("dial")

    def hook(self, name: str, event: Any) -> None:
        """Call the user's hook."""
        raise NotImplementedError("hook")

    def watch(self) -> None:
        """Listen to the host: foreground, background, network."""
        raise NotImplementedError("watch")

    def unwatch(self) -> None:
        """Stop listening to the host."""
        raise NotImplementedError("unwatch")

    # What the link and the host report

    def link_opened(self, event: Any) -> None:
        """The link is open, so there is a network, whatever the host has said."""
        self.machine.came_online(self.clock.now())
        self.machine.opened(self.clock.now(), self.machine.link)
        self._settle(event)

    def link_heard(self, event: Any) -> None:
        """A message came."""
        self.machine.heard(self.clock.now(), self.machine.link)
        self._collect(event, "")
        self._tell(MESSAGE, event)
        self._carry_out()

    def link_erred(self, event: Any) -> None:
        """The host reported an error."""
        self.be_ready()
        self._tell(ERROR, event)
        self._carry_out()

    def be_ready(self) -> None:
        """Give the user this object: there is a socket, or the first attempt has failed."""
        ready = self.on_ready
        if ready is not None:
            self.on_ready = None
            ready(self)
            self.clock.start_timer(lambda: self._wait_once_more(), 0)

    def link_lost(self, event: dict[str, Any], reason: str, is_error: bool) -> None:
        """The link, or the attempt, is gone; if by an error, onError is called before onClose."""
        if is_error:
            event["errMsg"] = reason
            self.be_ready()
            self._tell(ERROR, event)
        self.machine.lost(self.clock.now(), self.machine.link, event["code"])
        self._collect(event, reason)
        self._carry_out()

    def interrupted(self) -> None:
        """The link will be lost. A host may refuse all attempts while the program is in the background."""
        if self.machine.is_hidden and self.machine.state == CONNECTING:
            self.is_interrupted = True
            self.machine.went_offline(self.clock.now())

    def hidden(self) -> None:
        """The program is in the background."""
        self.machine.hidden(self.clock.now())

    def shown(self) -> None:
        """The program is in the foreground again."""
        if self.machine.state == PROBING and self.ping_failed:
            self._ping()
        if self.is_interrupted:
            self.is_interrupted = False
            self.machine.came_online(self.clock.now())
        self.machine.shown(self.clock.now())
        self._settle(None)

    def network(self, is_online: bool) -> None:
        """The network came, went, or is another one."""
        if is_online:
            self.machine.came_online(self.clock.now())
        else:
            self.machine.went_offline(self.clock.now())
        self._settle(None)

    # Decisions carried out

    def _settle(self, event: Any) -> None:
        """Carry out what the machine decided."""
        self._collect(event, "")
        self._carry_out()

    def _collect(self, event: Any, loss: str) -> None:
        """Take from the machine what it decided; loss: why the host lost the link, in words."""
        self.state = self.machine.state
        self.repeat = self.machine.retries.attempt
        actions = self.machine.take()
        while len(actions) > 0:
            action: Action = actions.pop(0)
            if action.kind == ABANDON_LINK:
                # At once: its later events would be taken for those of the next link.
                self.link.drop()
                # It may have been the first attempt, and have taken too long.
                self.be_ready()
            else:
                reason = loss if action.cause == LOST else action.cause
                self.steps.append(Step(action, event, reason))

    def _tell(self, kind: str, event: Any) -> None:
        self.steps.append(Step(Action(kind, self.machine.link), event, ""))

    def _carry_out(self) -> None:
        """Carry out all steps in order; what they cause comes after them. Begin one attempt at most."""
        if self.is_busy:
            return
        self.is_busy = True
        self.has_dialled = False
        while len(self.steps) > 0:
            self._perform(self.steps.pop(0))
        self.is_busy = False
        self._arm()

    def _take_up(self, step: Step) -> None:
        self.steps.append(step)
        self._carry_out()

    def _perform(self, step: Step) -> None:
        action = step.action
        kind = action.kind
        if kind == OPEN_LINK:
            if self.has_dialled:
                # If each attempt fails at once and a hook then calls `reconnect`, this would never end.
                self.clock.start_timer(lambda: self._take_up(step), 0)
            # Unless a hook has closed the connection since, or has even opened it again.
            elif action.link == self.machine.link and self.machine.state == CONNECTING:
                self.has_dialled = True
                self.link = self.dial()
                self.link.open()
        elif kind == PING_LINK:
            self._ping()
        elif kind == CLOSE_LINK:
            if not self.link.close(step.event):
                self._answer(step.event, "fail", "close:fail")
        elif self.is_held:
            self.held.append(step)
        else:
            self._notify(step)
        # Unless a hook has opened the connection again, or a callback does so.
        if kind == NOTIFY_STATE and self._is_over():
            self.unwatch()
            while len(self.queue) > 0 and self._is_over():
                self._answer(self.queue.pop(0), "fail", "send:fail " + self.machine.state)

    def _notify(self, step: Step) -> None:
        action = step.action
        kind = action.kind
        if kind == MESSAGE or kind == ERROR:
            self.hook(kind, step.event)
        elif kind == NOTIFY_STATE:
            self.hook("State", action.state)
        elif kind == NOTIFY_OPENED:
            self.announced = action.link
            self.hook("Open", step.event)
            while len(self.queue) > 0 and self._is_sendable():
                self._send(self.queue.pop(0))
        else:
            event = record(step.event if kind == NOTIFY_CLOSED else None)
            event["reason"] = step.reason
            event["code"] = action.code
            if kind == NOTIFY_CLOSED:
                self.hook("Close", event)
            elif kind == NOTIFY_RETRY:
                if self.forbidReconnect:
                    # The user has closed meanwhile, in onClose perhaps, or has only set this.
                    self.stop(None)
                else:
                    event["attempt"] = action.attempt
                    event["delay"] = action.delay * 1000
                    self.hook("Reconnect", event)
            else:
                self.hook("GiveUp", event)

    def _arm(self) -> None:
        """Have the timer fire at the deadline or before: one that fires early is set again then."""
        deadline = self.machine.deadline
        if deadline is not None and self.timer is not None and self.fires_at <= deadline:
            return
        self.clock.stop_timer(self.timer)
        self.timer = None
        if deadline is not None:
            self.fires_at = deadline
            wait = min((deadline - self.clock.now()) * 1000, LONGEST_TIMER)
            self.timer = self.clock.start_timer(lambda: self._woke(), wait)

    def _woke(self) -> None:
        self.timer = None
        was_connecting = self.machine.state == CONNECTING
        self.machine.woke(self.clock.now())
        if was_connecting and self.machine.state != CONNECTING:
            # Hosts tell of an error for every other attempt that fails.
            event = record(None)
            event["errMsg"] = OPEN_TIMEOUT
            self._tell(ERROR, event)
        self._settle(None)

    def _end_closing(self) -> None:
        """Do not wait for the host to report that the link has closed."""
        if self.machine.state == CLOSING:
            self.link.drop()
            self.link_lost(record(None), "stopped", False)

    def _ping(self) -> None:
        """Send a ping. A failure decides nothing: the link may still deliver."""
        self.ping_failed = False
        message = record(None)
        message["fail"] = lambda error: self._ping_refused()
        try:
            message["data"] = value_of(self.opts["pingMsg"])
            if not self.link.send(message):
                self._ping_refused()
        except Exception as error:
            self._ping_refused()
            report(error)

    def _ping_refused(self) -> None:
        self.ping_failed = True

    def _is_over(self) -> bool:
        return self.machine.state == CLOSED or self.machine.state == FAILED

    def _is_open(self) -> bool:
        return self.machine.state == OPEN or self.machine.state == PROBING

    def _is_sendable(self) -> bool:
        return self.announced == self.machine.link and self._is_open() and not self.link.is_over

    def _send(self, message: dict[str, Any]) -> bool:
        is_sent = self.link.send(message)
        if not is_sent:
            self._answer(message, "fail", "send:fail")
        return is_sent

    def _answer(self, params: Any, name: str, text: str) -> None:
        """Call the user's `success` or `fail`, then `complete`, as a host would."""
        result = record(None)
        result["errMsg"] = text
        tell(params, name, result)
        tell(params, "complete", result)
