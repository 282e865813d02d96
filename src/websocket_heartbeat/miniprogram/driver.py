"""Carries out what the core decides, over one kind of link and one timer, and calls the user's hooks."""

from typing import Any, Callable, Final

from websocket_heartbeat.core.hint import hint_of
from websocket_heartbeat.core.machine import (
    ABANDON_LINK,
    CLOSE_LINK,
    CLOSED,
    CONNECTING,
    FAILED,
    HEARTBEAT_TIMEOUT,
    LEAVE_LINK,
    LOST,
    NOTIFY_CLOSED,
    NOTIFY_FAILED,
    NOTIFY_OPENED,
    NOTIFY_RETRY,
    NOTIFY_STATE,
    OPEN,
    OPEN_LINK,
    OPEN_TIMEOUT,
    PING_LINK,
    PROBING,
    REJECTED,
    Action,
    Machine,
)
from websocket_heartbeat.miniprogram.advice import Advice
from websocket_heartbeat.miniprogram.alarm import Alarm
from websocket_heartbeat.miniprogram.clock import Clock
from websocket_heartbeat.miniprogram.dialogue import Dialogue
from websocket_heartbeat.miniprogram.heart import Heart
from websocket_heartbeat.miniprogram.language import describe, is_promise, read, record, report, when
from websocket_heartbeat.miniprogram.link import Link
from websocket_heartbeat.miniprogram.options import CurrentOptions
from websocket_heartbeat.miniprogram.outbox import Outbox, answer

# Kinds of steps that the core does not know: each is also the name of its hook.
ERROR: Final = "Error"
MESSAGE: Final = "Message"


def no_hook(event: Any = None) -> None:
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
    """Runs the core for one connection: tells it what happens, and carries out what it decides, in order.

    What users see is described in connection.py.
    """

    def __init__(self, clock: Clock, opts: dict[str, Any]) -> None:
        self.clock = clock
        self.opts = opts
        self.repeat = 0
        self.forbidReconnect = False
        self.current = CurrentOptions(opts)
        self.machine = Machine(self.current.settings, lambda: self.clock.random())
        self.state = self.machine.state
        self.link = Link()
        self.dialled = 0
        """The number of the latest attempt that was begun."""
        self.announced = 0
        """The number of the latest link for which onOpen was called: what is sent before that waits."""
        self.advice = Advice()
        self.dialogue = Dialogue(clock, opts, self.advice)
        self.outbox = Outbox(self)
        self.heart = Heart(opts)
        self.alarm = Alarm(clock, lambda: self._woke())
        self.steps: list[Step] = []
        """What is still to be carried out."""
        self.held: list[Step] = []
        """Hooks to call once the user can have set them."""
        self.is_held = True
        """Whether hooks still have to wait for that."""
        self.is_busy = False
        """Whether steps are being carried out: a hook that acts then only adds steps."""
        self.is_interrupted = False
        """Whether an attempt was refused in the background, and retries wait for the foreground."""
        self.on_ready: Any = None
        """Whom to give this object to; None once that is done."""

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
        self.machine.started(self.now())
        self.settle(None)

    def release(self) -> None:
        """Call the user's hooks from now on, also for what happened before the user could set them."""
        self.is_held = False
        self.steps = self.held
        self.settle(None)

    # Written by a subclass: connection.py for what the user may ask, task.py or web_socket.py for the host

    def createWebSocket(self) -> None:
        """Begin the attempt that is due."""
        raise NotImplementedError("createWebSocket")

    def heartCheck(self) -> None:
        """Count the silence until the next heartbeat from now on."""
        raise NotImplementedError("heartCheck")

    def stop(self, params: Any) -> None:
        """Close for good."""
        raise NotImplementedError("stop")

    def has_ended(self) -> bool:
        """Whether the connection has ended, and the user has not asked for another."""
        raise NotImplementedError("has_ended")

    def dial(self) -> Link:
        """Make the next link."""
        raise NotImplementedError("dial")

    def hook(self, name: str, event: Any) -> Any:
        """Call the user's hook, and return what it returns."""
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
        if self.machine.state == CONNECTING:
            self.heart.is_beating = False
            self.outbox.is_in_doubt = False
            self.advice.connected()
            now = self.now()
            self.machine.came_online(now)
            self.machine.opened(now, self.machine.link)
            self.settle(event)

    def link_heard(self, event: Any) -> None:
        """A message came."""
        if self.machine.state == PROBING:
            self.advice.answered()
        self.machine.heard(self.now(), self.machine.link)
        self.collect(event, "")
        if not (self.heart.has_dialect() and self._is_heartbeat(read(event, "data"))):
            self._tell(MESSAGE, event)
        self.carry_out()
        self.outbox.trust()

    def _is_heartbeat(self, data: Any) -> bool:
        """Whether a message is not for the user: it answers our heartbeat, or is one, which is answered."""
        if self.heart.is_pong(data):
            return True
        reply = self.heart.reply_to(data)
        if reply is None:
            return False
        self.outbox.send_past(reply)
        return True

    def link_erred(self, event: Any) -> None:
        """The host reported an error."""
        self.be_ready()
        self._tell(ERROR, event)
        self.carry_out()

    def be_ready(self) -> None:
        """Give the user this object: there is a socket, or the first attempt has failed."""
        ready = self.on_ready
        if ready is not None:
            self.on_ready = None
            ready(self)
            self.clock.start_timer(lambda: self._wait_once_more(), 0)

    def link_lost(self, closed: dict[str, Any], reason: str, failed: dict[str, Any] | None) -> None:
        """The link, or the attempt, is gone.

        closed: the host's own event of that, as far as there is one. reason: why, in words; the server's may
        ask for a delay. failed: for onError, which is called before onClose; None if the host has told of no
        error, or it was passed on already.
        """
        if failed is not None:
            failed["errMsg"] = reason
            self._tell(ERROR, failed)
        if self.machine.state == CONNECTING:
            self._attempt_failed(closed, reason)
        self.machine.lost(self.now(), self.machine.link, closed["code"], hint=hint_of(reason))
        self.collect(closed, reason)
        self.carry_out()

    def interrupted(self) -> None:
        """The link will be lost. A host may refuse all attempts while the program is in the background."""
        if self.machine.is_hidden and self.machine.state == CONNECTING:
            self.is_interrupted = True
            self.machine.went_offline(self.now())

    def hidden(self) -> None:
        """The program is in the background."""
        self.machine.hidden(self.now())

    def shown(self) -> None:
        """The program is in the foreground again."""
        if self.machine.state == PROBING and self.heart.was_refused:
            self.heart.beat(self.link)
        if self.is_interrupted:
            self.is_interrupted = False
            self.machine.came_online(self.now())
        self.machine.shown(self.now())
        self._doubt_if_probing()
        self.settle(None)

    def network(self, is_online: bool) -> None:
        """The network came, went, or is another one."""
        if is_online:
            self.machine.came_online(self.now())
            self._doubt_if_probing()
        else:
            self.machine.went_offline(self.now())
            self.outbox.doubt()
        self.settle(None)

    # Decisions carried out

    def settle(self, event: Any) -> None:
        """Carry out what the machine decided."""
        self.collect(event, "")
        self.carry_out()

    def collect(self, event: Any, why: str) -> None:
        """Take from the machine what it decided.

        why: why the link is gone, in words, where the core does not know.
        """
        self.state = self.machine.state
        self.repeat = self.machine.retries.attempt
        actions = self.machine.take()
        while len(actions) > 0:
            action: Action = actions.pop(0)
            if action.kind == ABANDON_LINK or action.kind == LEAVE_LINK:
                # At once: its later events would be taken for those of the next link.
                if not self.link.is_over:
                    self.link.drop()
                # It may have been the first attempt, and have taken too long.
                self.be_ready()
            else:
                self._note(action)
                is_known = action.cause != LOST and action.cause != REJECTED
                self.steps.append(Step(action, event, action.cause if is_known else why))

    def _note(self, action: Action) -> None:
        if action.kind == NOTIFY_CLOSED:
            self.dialogue.end()
            if action.cause == HEARTBEAT_TIMEOUT:
                self.advice.unanswered()
        elif action.kind == NOTIFY_FAILED:
            self.advice.gave_up()

    def _tell(self, kind: str, event: Any) -> None:
        self.steps.append(Step(Action(kind, self.machine.link), event, ""))

    def tell_closed(self, event: dict[str, Any], reason: str) -> None:
        """Call onClose for what was no open link."""
        action = Action(NOTIFY_CLOSED, self.machine.link)
        code: int | None = event["code"]
        action.code = code
        self.steps.append(Step(action, event, reason))

    def _attempt_failed(self, closed: dict[str, Any], reason: str) -> None:
        self.be_ready()
        if not self.machine.is_hidden:
            self.advice.attempt_failed()
        self.tell_closed(closed, reason)

    def carry_out(self) -> None:
        """Carry out all steps in order; what they cause comes after them."""
        if self.is_busy:
            return
        self.is_busy = True
        while len(self.steps) > 0:
            self._perform(self.steps.pop(0))
        self.is_busy = False
        self._learn_options()
        self.alarm.set(self.machine.deadline)

    def _perform(self, step: Step) -> None:
        action = step.action
        kind = action.kind
        if kind == OPEN_LINK:
            # Unless a hook has closed the connection since, or has even opened it again.
            if action.link == self.machine.link and self.machine.state == CONNECTING:
                self._guarded(lambda: self.createWebSocket())
        elif kind == PING_LINK:
            self._ping_or_trust()
        elif kind == CLOSE_LINK:
            if not self.link.close(step.event):
                answer(step.event, "fail", "close:fail")
        elif self.is_held:
            self.held.append(step)
        else:
            self._notify(step)
        # Unless a hook has opened the connection again, or a callback does so.
        if kind == NOTIFY_STATE and self.is_over():
            self.unwatch()
            self.outbox.refuse_all()

    def _guarded(self, action: Callable[[], None]) -> None:
        """Call a method that the user may have replaced."""
        try:
            action()
        except Exception as error:
            report(error)

    def _notify(self, step: Step) -> None:
        action = step.action
        kind = action.kind
        if kind == NOTIFY_OPENED:
            self._announce(action.link, step.event)
        elif kind == MESSAGE:
            self._call_hook(kind, step.event)
            self._check_heart(action.link)
        elif kind == ERROR:
            self._call_hook(kind, step.event)
        elif kind == NOTIFY_STATE:
            self._call_hook("State", action.state)
        else:
            event = record(step.event if kind == NOTIFY_CLOSED else None)
            event["reason"] = step.reason
            event["code"] = action.code
            if kind == NOTIFY_CLOSED:
                self._call_hook("Close", event)
            elif kind == NOTIFY_RETRY:
                if self.forbidReconnect:
                    # The user has closed meanwhile, in onClose perhaps, or has only set this.
                    self.stop(None)
                else:
                    event["attempt"] = action.attempt
                    event["delay"] = action.delay * 1000
                    self._call_hook("Reconnect", event)
            else:
                self._call_hook("GiveUp", event)

    def _call_hook(self, name: str, event: Any) -> None:
        when(self.hook(name, event), no_hook, report)

    def _check_heart(self, link: int) -> None:
        if link == self.machine.link and self.is_open():
            self._guarded(lambda: self.heartCheck())

    def _announce(self, link: int, event: Any) -> None:
        """Call onOpen. The link is ready, and takes what waits, once that is done."""
        self.announced = link
        if link == self.machine.link and self.is_open():
            self.dialogue.begin(link)
        promise = self.hook("Open", event)
        self._check_heart(link)
        if self.is_in_dialogue() and is_promise(promise):
            self.dialogue.lasts()
        when(promise, lambda value: self._opening_done(link), lambda error: self._opening_failed(link, error))

    def _opening_done(self, link: int) -> None:
        if self.dialogue.link == link:
            self.dialogue.end()
            self.machine.ready(self.now(), link)
            self.outbox.flush()
            self.settle(None)

    def _opening_failed(self, link: int, error: Any) -> None:
        report(error)
        if self.dialogue.link == link:
            self.dialogue.end()
            self.machine.rejected(self.now(), link, hint=hint_of(describe(error)))
            self.collect(None, "onOpen failed")
            self.carry_out()

    def _woke(self) -> None:
        was_connecting = self.machine.state == CONNECTING
        now = self.now()
        self.machine.sent(self.outbox.sent_at, self.machine.link)
        self.machine.woke(now)
        if was_connecting and self.machine.state != CONNECTING:
            # Hosts tell of an error for every other attempt that fails.
            event = record(None)
            event["errMsg"] = OPEN_TIMEOUT
            self._tell(ERROR, event)
            self._attempt_failed(record(None), OPEN_TIMEOUT)
        self.settle(None)

    def now(self) -> float:
        """The time of what happens now, about which the core decides by the options as they are now."""
        self._learn_options()
        return self.clock.now()

    def _learn_options(self) -> None:
        if self.current.have_changed(self.heart.is_beating):
            self.machine.reconfigured(self.current.settings)

    # Heartbeats, and doubt

    def _ping_or_trust(self) -> None:
        if self._may_beat():
            self.heart.beat(self.link)
        else:
            # Nothing can be asked, so silence proves nothing.
            self.machine.heard(self.clock.now(), self.machine.link)
            self.collect(None, "")
            self.outbox.trust()

    def ask_for_life(self) -> None:
        """Send a heartbeat, if there are any: whatever is heard shows that the link works."""
        if self._may_beat() and self.machine.state == OPEN:
            self.heart.beat(self.link)

    def _may_beat(self) -> bool:
        """Whether heartbeats are wanted: in a protocol that has its own, not before onOpen is done."""
        return self.heart.is_beating and not (self.heart.has_dialect() and self.is_in_dialogue())

    def _doubt_if_probing(self) -> None:
        """The core asks whether the link has come through the background or a change of the network."""
        if self.machine.state == PROBING:
            self.outbox.doubt()

    # What the connection is like now

    def is_open(self) -> bool:
        """Whether a link is open."""
        return self.machine.state == OPEN or self.machine.state == PROBING

    def is_over(self) -> bool:
        """Whether the connection has ended."""
        return self.machine.state == CLOSED or self.machine.state == FAILED

    def is_in_dialogue(self) -> bool:
        """Whether onOpen is not done on the open link."""
        return self.dialogue.link != 0

    def can_send(self) -> bool:
        """Whether the user knows of the open link, and it takes messages."""
        is_usable = not (self.link.is_over or self.link.is_closing())
        return self.announced == self.machine.link and self.is_open() and is_usable
