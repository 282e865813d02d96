"""Carries out what the core decides, over one kind of link and one timer, and calls the user's hooks."""

from typing import TYPE_CHECKING, Any, Callable, Final

from websocket_heartbeat.core.hint import hint_of
from websocket_heartbeat.core.machine import (
    ABANDON_LINK,
    CLOSE_LINK,
    CLOSED,
    CONNECTING,
    DISMISSED,
    FAILED,
    HEARTBEAT_TIMEOUT,
    LEAVE_LINK,
    LOST,
    NOTIFY_CLOSED,
    NOTIFY_FAILED,
    NOTIFY_OPENED,
    NOTIFY_RENEWAL_FAILED,
    NOTIFY_RETRY,
    NOTIFY_STATE,
    OPEN,
    OPEN_LINK,
    OPEN_TIMEOUT,
    PING_LINK,
    PROBING,
    REJECTED,
    RENEWED,
    STOPPED,
    SWITCH_LINK,
    Action,
    Machine,
)
from websocket_heartbeat.miniprogram.abstract import Abstract
from websocket_heartbeat.miniprogram.advice import Advice
from websocket_heartbeat.miniprogram.alarm import Alarm
from websocket_heartbeat.miniprogram.clock import Clock
from websocket_heartbeat.miniprogram.dialogue import Dialogue
from websocket_heartbeat.miniprogram.heart import Heart
from websocket_heartbeat.miniprogram.language import (
    describe,
    is_promise,
    is_same,
    is_text,
    read,
    record,
    report,
    when,
)
from websocket_heartbeat.miniprogram.link import Link
from websocket_heartbeat.miniprogram.links import Links
from websocket_heartbeat.miniprogram.options import CurrentOptions
from websocket_heartbeat.miniprogram.outbox import Outbox, answer
from websocket_heartbeat.miniprogram.step import ERROR, MESSAGE, SESSION, Step

if TYPE_CHECKING:
    from websocket_heartbeat.miniprogram.session.connection_session import ConnectionSession

NORMAL_CLOSURE: Final = 1000
"""The close code of a link that a renewal has replaced, as a host would say: RFC 6455, section 7.4.1."""


def no_hook(event: Any = None) -> None:
    """The hook until the user sets one: it can be called, and does nothing."""


class Driver(Abstract):
    """Runs the core for one connection: tells it what happens, and carries out what it decides, in order.

    What users see is described in connection.py.
    """

    def __init__(self, clock: Clock, opts: dict[str, Any]) -> None:
        super().__init__(clock, opts)
        self.repeat: int = 0
        self.forbidReconnect: bool = False
        self.current: CurrentOptions = CurrentOptions(opts)
        self.machine: Machine = Machine(self.current.settings, lambda: self.clock.random())
        self.state: str = self.machine.state
        self.links: Links = Links()
        self.dialled: int = 0
        """The number of the latest attempt that was begun."""
        self.advice: Advice = Advice()
        self.dialogue: Dialogue = Dialogue(clock, opts, self.advice)
        self.outbox: Outbox = Outbox(self)
        self.heart: Heart = Heart(opts)
        self.alarm: Alarm = Alarm(clock, lambda: self._woke())
        self.session: ConnectionSession | None = None
        """What carries messages across links; None without the option."""
        self.begin_session()
        self.steps: list[Step] = []
        """What is still to be carried out."""
        self.held: list[Step] = []
        """Hooks to call once the user can have set them."""
        self.is_held: bool = True
        """Whether hooks still have to wait for that."""
        self.is_busy: bool = False
        """Whether steps are being carried out: a hook that acts then only adds steps."""
        self.is_interrupted: bool = False
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

    # What the link and the host report

    def adopted(self, link: Link) -> None:
        """The host has given a socket."""
        self.expose(link.native)
        self.be_ready()
        self.listen()
        if link is not self.links.current:
            # Until it takes over, the user has the socket of the link before.
            self.expose(self.links.current.native)

    def link_opened(self, link: Link, event: Any) -> None:
        """The host says that the link is open; what the server says on it may be first."""
        if self.session is None:
            self.link_is_open(link, event)
        else:
            self.session.opened(link, event)

    def link_is_open(self, link: Link, event: Any) -> None:
        """The link is open, so there is a network, whatever the host has said."""
        if link is not self.links.successor:
            if self.machine.state != CONNECTING:
                return
            self._begin_link()
        now = self.now()
        if self.machine.offline:
            self.machine.came_online(now)
        self.machine.opened(now, link.number)
        self.settle(event)

    def _begin_link(self) -> None:
        """Another link is the current one, and open."""
        self.heart.is_beating = False
        self.outbox.is_in_doubt = False
        self.advice.connected()

    def link_heard(self, link: Link, event: Any) -> None:
        """A message came."""
        if link is self.links.current and self.machine.state == PROBING:
            self.advice.answered()
        self.machine.heard(self.now(), link.number)
        self.collect(event, "")
        if not self._is_of_session(link, event):
            self._message_came(link, event)
        self.carry_out()
        if link is self.links.current:
            self.outbox.trust()

    def _is_of_session(self, link: Link, event: Any) -> bool:
        """Whether a frame is for the session, which has taken it."""
        session = self.session
        if session is None or not link.is_session:
            return False
        is_taken: bool = session.heard(link, event)
        return is_taken

    def _message_came(self, link: Link, event: Any) -> None:
        data: Any = read(event, "data")
        if self._is_dismissal(link, data):
            self.collect(None, "")
        elif not (self.heart.has_dialect() and self._is_heartbeat(link, data)):
            self.steps.append(Step(Action(MESSAGE, link.number), event, ""))

    def _is_dismissal(self, link: Link, data: Any) -> bool:
        """Whether a message says that we are not to come back, or comes after that. The user sees none."""
        if is_text(data) and is_same(data, self.opts["dismissal"]):
            self.machine.dismissed(self.now(), link.number)
            return True
        return link is self.links.current and self.machine.parting is not None

    def _is_heartbeat(self, link: Link, data: Any) -> bool:
        """Whether a message is not for the user: it answers our heartbeat, or is one, which is answered."""
        if self.heart.is_pong(data):
            return True
        reply = self.heart.reply_to(data)
        if reply is None:
            return False
        self.outbox.send_past(reply, link)
        return True

    def link_erred(self, link: Link, event: Any) -> None:
        """The host reported an error. That of a successor is told when the host reports that it is gone."""
        if link is not self.links.successor:
            self.be_ready()
            self._tell_error(event)
            self.carry_out()

    def be_ready(self) -> None:
        """Give the user this object: there is a socket, or the first attempt has failed."""
        ready = self.on_ready
        if ready is not None:
            self.on_ready = None
            ready(self)
            self.clock.start_timer(lambda: self._wait_once_more(), 0)

    def link_lost(
        self, link: Link, closed: dict[str, Any], reason: str, failed: dict[str, Any] | None
    ) -> None:
        """The link, or the attempt, is gone.

        closed: the host's own event of that, as far as there is one. reason: why, in words; the server's may
        ask for a delay. failed: for onError, which is called before onClose; None if the host has told of no
        error, or it was passed on already.
        """
        is_final: bool | None = None
        if self.session is not None:
            is_over: bool = self.session.lost(link, closed["code"])
            is_final = True if is_over else None
        if link is self.links.successor:
            self.links.forget(link.number)
        else:
            if reason == "" and self.machine.parting is not None:
                reason = DISMISSED
            if failed is not None:
                failed["errMsg"] = reason
                self._tell_error(failed)
            if self.machine.state == CONNECTING:
                self._attempt_failed(closed, reason)
        self.machine.lost(self.now(), link.number, closed["code"], hint=hint_of(reason), is_final=is_final)
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
        self.thaw()
        if self.machine.state == PROBING and self.heart.was_refused:
            self._beat()
        if self.is_interrupted:
            self.is_interrupted = False
            self.machine.came_online(self.now())
        self.machine.shown(self.now())
        self._doubt_if_probing()
        self.settle(None)

    def freeze(self) -> None:
        """The host may kill the program from now on; a session that leaves a snapshot waits for `thaw`."""
        if self.session is not None:
            is_frozen: bool = self.session.freeze()
            if is_frozen:
                self.machine.went_offline(self.now())

    def thaw(self) -> None:
        """The program goes on."""
        if self._is_frozen():
            if self.session is not None:
                self.session.thaw()
            self.network(True)

    def _is_frozen(self) -> bool:
        session = self.session
        if session is None:
            return False
        is_frozen: bool = session.is_frozen()
        return is_frozen

    def network(self, is_online: bool) -> None:
        """The network came, went, or is another one."""
        if self._is_frozen():
            # No attempt before `thaw`.
            return
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
                self._let_go(action.link)
                # It may have been the first attempt, and have taken too long.
                self.be_ready()
            else:
                self._note(action)
                is_known = action.cause != LOST and action.cause != REJECTED
                self.steps.append(Step(action, event, action.cause if is_known else why))

    def _let_go(self, number: int) -> None:
        link = self.links.of_number(number)
        self.links.drop(number)
        if self.session is not None and link is not None:
            self.session.lost(link, None)

    def _note(self, action: Action) -> None:
        if action.kind == SWITCH_LINK:
            self.links.switch(action.link)
            if self.links.current.native is not None:
                self.expose(self.links.current.native)
            if self.is_open():
                self._begin_link()
        elif action.kind == NOTIFY_CLOSED:
            if action.link == self.dialogue.link:
                self._end_dialogue()
            if action.cause == HEARTBEAT_TIMEOUT:
                self.advice.unanswered()
        elif action.kind == NOTIFY_FAILED:
            if action.out_of_retries:
                self.advice.gave_up()
            else:
                # The server wants it: as after `close`, only createWebSocket connects again.
                self.forbidReconnect = True
        elif action.kind == NOTIFY_RENEWAL_FAILED and action.cause != STOPPED:
            self.advice.renewal_failed()

    def _tell_error(self, event: Any) -> None:
        self.steps.append(Step(Action(ERROR, self.machine.link), event, ""))

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
            if action.link == self.machine.last_link and self.is_attempt_due():
                self.guarded(lambda: self.createWebSocket())
        elif kind == PING_LINK:
            self._ping_or_trust()
        elif kind == CLOSE_LINK:
            self._close_link(step.event)
        elif self.is_held:
            self.held.append(step)
        elif self.dialogue.is_elsewhere(step):
            self.dialogue.aside.append(step)
        else:
            self._notify(step)
        # Unless a hook has opened the connection again, or a callback does so.
        if kind == NOTIFY_STATE and self.is_over():
            self.unwatch()
            self.forget_renewal()
            self.outbox.refuse_all()
            if self.session is not None and self.is_over():
                self.session.stop(self.machine.state)

    def _close_link(self, params: Any) -> None:
        link = self.links.current
        is_told = False
        if link.is_session and self.session is not None:
            is_taken: bool = self.session.end(link, read(params, "reason"))
            is_told = is_taken
        if is_told:
            # The server closes the link once it has handled what was sent.
            answer(params, "success", "close:ok")
        elif not link.close(params):
            answer(params, "fail", "close:fail")

    def guarded(self, action: Callable[[], None]) -> None:
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
            self._tell_message(step)
            self._check_heart(action.link)
        elif kind == ERROR or kind == SESSION:
            self._call_hook(kind, step.event)
        elif kind == NOTIFY_STATE:
            self._call_hook("State", action.state)
        elif kind == SWITCH_LINK:
            self._check_heart(action.link)
        elif kind == NOTIFY_RENEWAL_FAILED:
            self._renewal_failed(step)
        else:
            event = record(step.event if kind == NOTIFY_CLOSED else None)
            event["reason"] = step.reason
            event["code"] = NORMAL_CLOSURE if action.cause == RENEWED else action.code
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

    def _tell_message(self, step: Step) -> None:
        handled = step.handled
        if handled is None:
            self._call_hook(MESSAGE, step.event)
        else:
            when(
                self.hook(MESSAGE, step.event),
                lambda value: handled(),
                lambda error: self._handled_badly(error, handled),
            )

    def _handled_badly(self, error: Any, handled: Callable[[], None]) -> None:
        report(error)
        handled()

    def _check_heart(self, link: int) -> None:
        if link == self.machine.link and self.is_open():
            self.guarded(lambda: self.heartCheck())

    def _renewal_failed(self, step: Step) -> None:
        # Stopped: another link comes in its place, or none any more.
        if step.action.cause != STOPPED:
            event = record(step.event)
            event["errMsg"] = "renewal failed" + (": " + step.reason if step.reason != "" else "")
            self._call_hook("Error", event)

    def _announce(self, number: int, event: Any) -> None:
        """Call onOpen. The link is ready, and takes what waits or takes over, once that is done."""
        link = self.links.of_number(number)
        if link is not None and self.is_open():
            link.is_announced = True
            self.dialogue.begin(number)
        promise = self.hook("Open", event)
        self._check_heart(number)
        if self.dialogue.link == number and is_promise(promise):
            self.dialogue.lasts()
        when(
            promise,
            lambda value: self._opening_done(number),
            lambda error: self._opening_failed(number, error),
        )

    def _end_dialogue(self) -> None:
        """Go on with what has waited for the end of onOpen, before all that has come after it."""
        steps = self.dialogue.end()
        while len(self.steps) > 0:
            steps.append(self.steps.pop(0))
        self.steps = steps

    def _opening_done(self, link: int) -> None:
        if self.dialogue.link == link:
            self._end_dialogue()
            self.machine.ready(self.now(), link)
            self.collect(None, "")
            self.outbox.flush()
            self.carry_out()

    def _opening_failed(self, link: int, error: Any) -> None:
        report(error)
        if self.dialogue.link == link:
            self._end_dialogue()
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
            self._tell_error(event)
            self._attempt_failed(record(None), OPEN_TIMEOUT)
        self.settle(None)

    def now(self) -> float:
        """The time of what happens now, about which the core decides by the options as they are now."""
        self._learn_options()
        return self.clock.now()

    def _learn_options(self) -> None:
        if self.current.have_changed(self.heart.is_beating):
            self.machine.reconfigured(self.current.settings)

    # What the session wants

    def begin_session(self) -> None:
        """Have what the option asks for; what one before had is told already."""
        given = self.opts["session"]
        self.session = None
        if not (given is None or is_same(given, "off")):
            if not callable(read(given, "begin")):
                raise ValueError('session must be Session("prefer") of websocket-heartbeat/session, or "off"')
            session: ConnectionSession = given.begin(self)
            self.session = session

    def deliver(self, event: Any, handled: Any) -> None:
        """Give the user a message of the session, and call `handled` when the user has done with it."""
        step = Step(Action(MESSAGE, self.sending_link().number), event, "")
        step.handled = handled
        self.steps.append(step)
        self.carry_out()

    def tell_session(self, event: dict[str, Any]) -> None:
        """Tell the user of a session that begins, goes on or ends."""
        self.steps.append(Step(Action(SESSION, self.machine.link), event, ""))
        self.carry_out()

    def has_room(self) -> bool:
        """Whether the session, if there is one, takes another message."""
        session = self.session
        if session is None or not self.sending_link().is_session:
            return True
        is_room: bool = session.has_room()
        return is_room

    # Heartbeats, and doubt

    def _ping_or_trust(self) -> None:
        if self._may_beat():
            self._beat()
        else:
            # Nothing can be asked, so silence proves nothing.
            self.machine.heard(self.clock.now(), self.machine.link)
            self.collect(None, "")
            self.outbox.trust()

    def ask_for_life(self) -> None:
        """Send a heartbeat, if there are any: whatever is heard shows that the link works."""
        if self._may_beat() and self.machine.state == OPEN:
            self._beat()

    def _beat(self) -> None:
        link = self.links.current
        if link.is_session and self.session is not None:
            is_sent: bool = self.session.probe(link)
            self.heart.was_refused = not is_sent
        else:
            self.heart.beat(link)

    def _may_beat(self) -> bool:
        """Whether heartbeats are wanted: in a protocol that has its own, not before onOpen is done."""
        is_ready = self.dialogue.link != self.machine.link
        return self.heart.is_beating and (is_ready or not self.heart.has_dialect())

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
        """Whether onOpen is not done on an open link."""
        return self.dialogue.link != 0

    def is_attempt_due(self) -> bool:
        """Whether an attempt is to be begun: the next one, or that of a renewal."""
        is_wanted = self.machine.state == CONNECTING or self.machine.successor is not None
        return is_wanted and self.dialled != self.machine.last_link

    def sending_link(self) -> Link:
        """The link that takes what is sent: the one for which onOpen runs, or else the current one."""
        link = self.links.of_number(self.dialogue.link)
        return self.links.current if link is None else link

    def can_send(self) -> bool:
        """Whether the user knows of the link that takes what is sent, and it does take messages."""
        link = self.sending_link()
        return link.is_announced and self.is_open() and not (link.is_over or link.is_closing())
