"""The session of one connection: speaks with the server on its links, and keeps what is not acknowledged.

What the handshake means is decided in core/resume.py; numbers and windows are in core/session.py.
"""

from typing import TYPE_CHECKING, Any, Final

from websocket_heartbeat.core.resume import (
    ATTACHED,
    BE_PLAIN,
    CLOSE_LINK,
    DISMISSED,
    DROP_LINK,
    GREETING,
    GREETING_CONTROL,
    OVER,
    READY,
    REFUSE,
    REFUSED,
    RESET,
    RESUMED,
    SAY,
    TELL,
    Control,
    Resumption,
    Step,
)
from websocket_heartbeat.core.session import CHARACTERS, OUT_OF_STEP, VIOLATION, Half, Kept, Window
from websocket_heartbeat.miniprogram.language import copied, is_text, read, record
from websocket_heartbeat.miniprogram.session.background import Background
from websocket_heartbeat.miniprogram.session.controls import decode, encode
from websocket_heartbeat.miniprogram.session.flushing import Flushing
from websocket_heartbeat.miniprogram.session.frames import (
    first_of,
    framed,
    framed_as_text,
    length_of,
    rest_of,
    selected,
    size_of,
    take_bytes,
    text_of,
    unframed,
    whole_number,
)
from websocket_heartbeat.miniprogram.session.inbox import Inbox
from websocket_heartbeat.miniprogram.session.offers import SUBPROTOCOL, Offers

if TYPE_CHECKING:
    from websocket_heartbeat.miniprogram.driver import Driver
    from websocket_heartbeat.miniprogram.link import Link

WINDOW_MESSAGES: Final = 4096
WINDOW_SIZE: Final = 1048576
"""What the server may send unacknowledged: messages, and characters or bytes of them."""
LARGEST_MESSAGE: Final = 1073741824
"""Hosts have no limit; the server is told one."""

GREETED_WITHIN: Final = 3000.0
"""Milliseconds in which a server greets that has sessions: that travels with the answer to the handshake."""


NORMAL_CLOSURE: Final = 1000
"""The close code of a link after whose session nobody comes back: RFC 6455, section 7.4.1."""


class ConnectionSession:
    """The session of one connection, over all its links. The driver tells it of them, and asks it to send.

    link: the newest one that is open, whether its handshake is done or not; None if there is none.
    attached: that link, once the session goes on over it. event: the host's, of its opening.
    ousted: the link before, while a renewal takes the session from it.
    max: the largest message that the server takes.
    protocol: the application's subprotocol, which the server has selected; "" for none.
    kind: how the session of the latest link began.
    stale: how many messages of sessions before were received and are not handled: those come first.
    why: of its end, in the server's words.
    """

    def __init__(self, owner: "Driver", is_required: bool, has_binary: bool, place: Any) -> None:
        self.owner = owner
        self.has_binary = has_binary
        self.resumption: Resumption = Resumption(is_required, Window(WINDOW_MESSAGES, WINDOW_SIZE))
        self.offers: Offers = Offers(is_required)
        self.inbox: Inbox = Inbox(
            lambda event, handled: owner.deliver(event, handled),
            lambda: self._handled(),
        )
        self.flushing: Flushing = Flushing()
        self.link: Link | None = None
        self.attached: Link | None = None
        self.event: Any = None
        self.ousted: Link | None = None
        self.max: int = 0
        self.protocol: str = ""
        self.kind: str = ""
        self.stale: int = 0
        self.why: str = ""
        self.greeting: Any = None
        """The timer for the server's greeting."""
        self.alarm: Any = None
        """The timer for an acknowledgement."""
        self.background: Background = Background(owner, place)
        self.background.restore(self.resumption)

    # Links come and go

    def offer(self, link: "Link", protocols: Any) -> Any:
        """The subprotocols for the attempt of a link, where the user wants these."""
        return self.offers.offer(link.number, protocols)

    def opened(self, link: "Link", event: Any) -> None:
        """A link is open, as the host says. What the server says on it decides the rest."""
        if link is self.link:
            return
        if self.background.is_frozen:
            # A resume would make the snapshot stale.
            self._drop(link, None, record(None), "the program is in the background", record(None))
            return
        if self.link is not None:
            if self.resumption.state == ATTACHED:
                self.ousted = self.link
            self._leave(0)
        self.link = link
        self.event = event
        link.is_session = True
        if self.offers.is_offered:
            protocol = selected(link.native, event)
            self.resumption.opened(protocol is None or protocol == SUBPROTOCOL)
        else:
            self.resumption.opened(False)
        self._carry_out()
        if self.resumption.state == GREETING and self.link is link:
            opts: dict[str, Any] = self.owner.opts
            limit: float = opts["openTimeout"]
            wait = min(GREETED_WITHIN, limit / 2)
            self.greeting = self.owner.clock.start_timer(lambda: self._other_frame(), wait)

    def lost(self, link: "Link", code: int | None) -> bool:
        """A link, or its attempt, is gone; return whether no other is to follow."""
        if link is self.link:
            self._leave(0 if code is None else code)
            self._end_ousted()
        else:
            if link is self.ousted:
                self.ousted = None
            self.offers.failed(link.number)
        state = self.resumption.state
        return state == REFUSED or state == OVER or state == DISMISSED

    def _leave(self, code: int) -> None:
        self._stop_greeting()
        self.link = None
        self.attached = None
        self.background.held = []
        self.resumption.lost(code)
        self._carry_out()

    def _end_ousted(self) -> None:
        """The link that was to take the session from another is lost: that one is nobody's."""
        ousted = self.ousted
        self.ousted = None
        if ousted is not None and not _is_gone(ousted):
            ousted.drop(None)
            self.owner.link_lost(ousted, record(None), "the link that was to take its place was lost", None)

    def end(self, link: "Link", reason: Any) -> bool:
        """The user closes; return whether the server is told, which then closes the link."""
        self.thaw()
        if link is not self.link or self.resumption.state != ATTACHED:
            return False
        self._acknowledge()
        self.resumption.end(reason if is_text(reason) else "")
        self._carry_out()
        return True

    def stop(self, state: str) -> None:
        """The connection has ended: tell what is not acknowledged, if that is not told yet."""
        self.thaw()
        self._stop_greeting()
        self.owner.clock.stop_timer(self.alarm)
        self.alarm = None
        now = self.resumption.state
        if now != DISMISSED:
            self.inbox.forget_all()
            half = self.resumption.half
            if now != OVER and (half.sent > half.acked or len(self.background.queue) > 0):
                self._tell(OVER, state, half, half.acked)
            self.resumption.state = OVER
        self.look()
        self.flushing.end()

    # The program in the background

    def is_frozen(self) -> bool:
        """Whether nothing is handled, sent and acknowledged: a snapshot says how things are."""
        return self.background.is_frozen

    def freeze(self) -> bool:
        """The host may kill the program from now on; return whether a snapshot is there for the next one."""
        is_frozen = self.background.freeze(self.resumption)
        if is_frozen:
            self.inbox.stop()
        return is_frozen

    def thaw(self) -> None:
        """The program goes on: delete the snapshot, and do what has waited."""
        if not self.background.is_frozen:
            return
        frames = self.background.thaw()
        while len(frames) > 0:
            link = self.link
            event: Any = frames.pop(0)
            if link is not None:
                self.heard(link, event)
        self.inbox.go_on()
        self._acknowledge_if_due()
        self.owner.outbox.flush()

    # What is sent

    def has_room(self) -> bool:
        """Whether the server's window has room, and may be used."""
        return self.resumption.half.has_room() and not self.background.is_frozen

    def send(self, link: "Link", message: dict[str, Any]) -> bool:
        """Send, or keep for the next link; return False if the server would not take it."""
        data = message["data"]
        is_volatile: bool = message["volatile"]
        state = self.resumption.state
        if state == DISMISSED or state == OVER or self._wire_size(data) > self.max:
            return False
        if is_volatile:
            if self.background.is_frozen:
                return False
            told = record(message)
            told["data"] = self._framed("~", data)
            return link.send(told)
        data = copied(data)
        character = self.resumption.half.accept(data, size_of(data))
        attached: Link | None = self.attached
        if attached is not None:
            # Another link than that one, while onOpen runs on what is to replace it.
            self._put(attached, character, data)
        return True

    def probe(self, link: "Link") -> bool:
        """Ask the server for a sign of life; return False if the host refuses, or the session has left."""
        if link is not self.attached:
            return False
        return self._say("?" + text_of(self.resumption.half.sent))

    def flush(self) -> Any:
        """A promise that is kept when nothing is unacknowledged."""
        promise = self.flushing.begin()
        self.look()
        is_over: bool = self.owner.has_ended()
        if is_over:
            self.flushing.end()
        return promise

    def look(self) -> None:
        """Keep promises of `flush`, if that is due."""
        half = self.resumption.half
        is_empty: bool = self.owner.outbox.is_empty()
        if is_empty and half.sent == half.acked and len(self.background.queue) == 0:
            self.flushing.done()

    def _wire_size(self, data: Any) -> float:
        """What the server counts of a message: base64 takes four characters for three bytes."""
        size = size_of(data)
        return size if self.has_binary or is_text(data) else size * 4 / 3 + 4

    def _framed(self, character: str, data: Any) -> Any:
        if self.has_binary or is_text(data):
            return framed(character, data)
        return framed_as_text(character, data)

    def _put(self, link: "Link", character: str, data: Any) -> None:
        """Put a message on a link. If the host refuses it, it goes to the next one."""
        message = record(None)
        message["data"] = self._framed(character, data)
        link.send(message)

    def _say(self, text: str) -> bool:
        """Send what is no message."""
        message = record(None)
        message["data"] = text
        link = self.link
        if link is None:
            return False
        is_sent: bool = link.send(message)
        return is_sent

    # What comes

    def heard(self, link: "Link", event: Any) -> bool:
        """Take a frame; return False if it is a plain message: the server has no sessions."""
        if link is not self.link:
            return True
        if self.background.is_frozen:
            self._stop_greeting()
            self.background.hold(event)
            return True
        data = read(event, "data")
        state = self.resumption.state
        if state == ATTACHED:
            self._take(event, data)
        elif state != DISMISSED and state != OVER:
            self._handshake(data)
        return link.is_session

    def _handshake(self, data: Any) -> None:
        self._stop_greeting()
        control = self._control(data)
        if control is None:
            self._other_frame()
        else:
            if control.kind == GREETING_CONTROL:
                self.max = control.max
                self.protocol = control.protocol
            self.resumption.control_received(control)
            self._carry_out()

    def _control(self, data: Any) -> Control | None:
        is_object = is_text(data) and first_of(data) == "{"
        return decode(data) if is_object else None

    def _other_frame(self) -> None:
        self.resumption.frame_received()
        self._carry_out()

    def _take(self, event: Any, data: Any) -> None:
        first = first_of(data)
        if first == "%" and is_text(data):
            data = unframed(rest_of(data))
            first = first_of(data)
        if first != "" and CHARACTERS.find(first) >= 0:
            code = self.resumption.half.take(first, length_of(data) - 1)
            if code != 0:
                self._violated(code)
            else:
                self.inbox.add(self.owner.with_data(event, rest_of(data)), False)
        elif first == "~":
            self.inbox.add(self.owner.with_data(event, rest_of(data)), True)
        elif not is_text(data):
            self._violated(VIOLATION)
        elif first == "=":
            self._acknowledged(rest_of(data))
        elif first == "?":
            self._probed(whole_number(rest_of(data)))
        else:
            control = self._control(data)
            if control is None:
                self._violated(VIOLATION)
            else:
                self.resumption.control_received(control)
                self._carry_out()

    def _acknowledged(self, text: str) -> None:
        # A question mark behind it says that it answers a probe: whatever is heard is a sign of life.
        asked = text.find("?")
        number = whole_number(text if asked < 0 else text[0:asked])
        if number is None or not self.resumption.half.acknowledged(number):
            self._violated(VIOLATION)
        else:
            self.owner.outbox.flush()

    def _probed(self, sent: int | None) -> None:
        half = self.resumption.half
        if sent is None:
            self._violated(VIOLATION)
        elif not half.is_in_step(sent):
            self._violated(OUT_OF_STEP)
        else:
            self._say("=" + text_of(half.acknowledge()) + "?")

    def _violated(self, code: int) -> None:
        self.resumption.violated(code)
        self._carry_out()

    def _handled(self) -> None:
        """The user has done with the oldest message."""
        if self.stale > 0:
            self.stale = self.stale - 1
        else:
            self.resumption.handled(self.owner.clock.now())
            self._carry_out()
            if self.background.is_frozen:
                # Its hook has ended late: the next process must not get the message again.
                self.background.write(self.resumption)
            else:
                self._acknowledge_if_due()

    def _acknowledge_if_due(self) -> None:
        half = self.resumption.half
        if self.resumption.state != ATTACHED or self.background.is_frozen:
            return
        now: float = self.owner.clock.now()
        due = half.acknowledgement_due_at()
        if half.is_acknowledgement_due(now):
            self._acknowledge()
        elif due is not None and self.alarm is None:
            self.alarm = self.owner.clock.start_timer(lambda: self._alarm_rang(), (due - now) * 1000)

    def _alarm_rang(self) -> None:
        self.alarm = None
        self._acknowledge_if_due()

    def _acknowledge(self) -> None:
        half = self.resumption.half
        if half.recorded > half.told:
            self._say("=" + text_of(half.acknowledge()))

    # What was decided

    def _carry_out(self) -> None:
        steps = self.resumption.take_steps()
        while len(steps) > 0:
            step: Step = steps.pop(0)
            if step.kind == TELL:
                self._told(step)
            else:
                link = self.link
                if link is not None and not _is_gone(link):
                    self._perform(step, link)

    def _perform(self, step: Step, link: "Link") -> None:
        kind = step.kind
        if kind == SAY:
            self._say_control(step.control)
        elif kind == READY:
            self._ready(step.number, link)
        elif kind == BE_PLAIN:
            self._stop_greeting()
            self.offers.was_plain()
            link.is_session = False
            self.owner.link_is_open(link, self.event)
        elif kind == CLOSE_LINK:
            self._acknowledge()
            closed = record(None)
            closed["code"] = NORMAL_CLOSURE
            self._drop(link, None, closed, self.why, None)
        else:
            why = "the server has no sessions" if kind == REFUSE else "the session broke off"
            self._drop(link, step.code if kind == DROP_LINK else None, record(None), why, record(None))

    def _say_control(self, control: Control | None) -> None:
        if control is not None:
            control.max = LARGEST_MESSAGE
            control.binary = self.has_binary
            self._say(encode(control))

    def _ready(self, number: int, link: "Link") -> None:
        """The session goes on here: first what the server has not received, then the user."""
        self.ousted = None
        self.offers.has_had_session = True
        take_bytes(link.native)
        kept: Kept | None = self.resumption.half.after(number)
        while kept is not None:
            self._put(link, kept.character, kept.payload)
            kept = kept.next
        self.attached = link
        event: dict[str, Any] = record(None) if self.event is None else self.event
        event["session"] = self.kind
        event["protocol"] = self.protocol
        self.owner.link_is_open(link, event)

    def _drop(
        self, link: "Link", code: int | None, closed: dict[str, Any], why: str, failed: dict[str, Any] | None
    ) -> None:
        """Close a link, and have it count as lost at once."""
        link.drop(code)
        self.owner.link_lost(link, closed, why, failed)

    def _stop_greeting(self) -> None:
        self.owner.clock.stop_timer(self.greeting)
        self.greeting = None

    def _told(self, step: Step) -> None:
        self.kind = step.answer
        self.why = step.why
        before = step.before
        if step.answer == RESUMED:
            self.owner.outbox.put_first(self.background.take_queue())
        if before is not None:
            # The snapshot is of no use any more: its messages are told of now.
            self.background.delete()
        if before is not None and step.answer == RESET:
            self.stale = self.stale + before.got - before.done
        self._tell(step.answer, step.why, before, step.number)
        self.look()

    def _tell(self, kind: str, why: str, before: Half | None, done: int) -> None:
        """Tell the user of a session that begins, goes on or ends, with the messages after `done`."""
        uncertain: list[Any] = []
        if before is not None:
            kept: Kept | None = before.after(done)
            while kept is not None:
                uncertain.append(kept.payload)
                kept = kept.next
            # What the process before has sent without a number belongs to that session as well.
            while len(self.background.queue) > 0:
                uncertain.append(self.background.queue.pop(0))
        event = record(None)
        event["kind"] = kind
        event["why"] = why
        event["uncertain"] = uncertain
        event["done"] = done
        self.owner.tell_session(event)


def _is_gone(link: "Link") -> bool:
    is_over: bool = link.is_over
    return is_over
