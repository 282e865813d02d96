"""The client's side of a session's handshake: what is said when a link opens, and what its answer means.

docs/session.md, chapters 4 and 8. Pure, as the machine. The host tells what came; the actions are drained in
their order. Only one link at a time is spoken of here, the newest; what an older one brings must not be told.

Rules
    1  Nothing is said until the server has greeted: a server that selects the subprotocol without knowing it
       is sent nothing that it would not understand, and the link is plain.
    2  A client with a key asks to resume, with a link number that is larger than any before, also than those
       of attempts that came to nothing. No message is sent before the welcome.
    3  A session ends by a reset, of which the user is told with what is uncertain, or by an end. After a
       dismissal the client does not come back.
    4  A connection that had a session is never plain again: its server is known to have sessions. One that
       goes on with the session of another process is, once that is given up: it has seen none itself.

Transitions
    detached    opened          greeting    the server has selected the subprotocol
    detached    opened          plain       it has not, and the session is only preferred
    detached    opened          refused     it has not, and the session is required
    greeting    greeted         welcoming   say hello, or resume
    greeting    other frame     plain       the server selects what it does not know; or refused, as above
    welcoming   welcome new     attached    send what was accepted
    welcoming   welcome resumed attached    send what the server has not received
    welcoming   welcome reset   attached    tell what is uncertain; numbers begin again
    welcoming   welcome over    over        tell what is unacknowledged
    welcoming   welcome over    ended       the user closes, and all is acknowledged
    attached    end             dismissed   handle what came before
    dismissed   all is handled  over        acknowledge and close
    attached    lost            ended       the user closes, all is acknowledged, and the code is 1000
    plain       lost            detached    the machine reconnects
    the others with a link: greeting, welcoming and attached
                lost            detached    the machine reconnects
                violated        detached    drop the link: it breaks the protocol, or is out of step
    One that is lost with 4491 after the greeting, and the third in a row with 4490 or 4492, give the session
    up: the user is told of a reset, and one who closes is done (over).
"""

from typing import Final

from websocket_heartbeat.core.session import OUT_OF_STEP, REPLACED, VIOLATION, Half, Window

# States
DETACHED: Final = "detached"
GREETING: Final = "greeting"
WELCOMING: Final = "welcoming"
ATTACHED: Final = "attached"
PLAIN: Final = "plain"
REFUSED: Final = "refused"
DISMISSED: Final = "dismissed"
OVER: Final = "over"
ENDED: Final = "ended"

# Kinds of controls
GREETING_CONTROL: Final = "session"
HELLO: Final = "hello"
RESUME: Final = "resume"
WELCOME: Final = "welcome"
END: Final = "end"

# Answers of a welcome, and kinds of what the user is told
NEW: Final = "new"
RESUMED: Final = "resumed"
RESET: Final = "reset"

# Actions
SAY: Final = "say"
"""Send the control."""
READY: Final = "ready"
"""The link is open: tell the machine and the user; then send the messages after `number`."""
BE_PLAIN: Final = "be plain"
"""The link has no session: it is open as any other."""
REFUSE: Final = "refuse"
"""The server has no sessions, and the user requires one: the connection has failed."""
DROP_LINK: Final = "drop link"
"""Close the link with the code; it is lost."""
CLOSE_LINK: Final = "close link"
"""Acknowledge, and close the link with 1000: nothing is left to do."""
TELL: Final = "tell"
"""Tell the user of a session that begins or ends, with what is uncertain of the one before."""

TOO_LARGE: Final = 1009
"""The close code for a message that is too large: it would be sent again on each link."""

TRIES: Final = 3
"""Links in a row that broke the protocol or were out of step, after which the session is given up."""


class Control:
    """A JSON object of the handshake, in parts; those that a kind does not have stay empty.

    kind: which member it has. answer: of a welcome. key: of a resume, and of a welcome to a new session.
    why: of a reset, of a session that is over, and the reason of an end.
    window, max: of a greeting, a hello and a resume: what the speaker takes unacknowledged, and the largest
    message. With a resume, for a session that takes the place of the old one.
    binary: of a hello and a resume: whether the speaker takes binary frames; else bytes come as text.
    ttl: of a greeting: seconds that the server keeps a session without a link. protocol: of a greeting: the
    application's subprotocol, "" for none.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.answer = ""
        self.key = ""
        self.why = ""
        self.window: Window = Window(0, 0)
        self.max = 0
        self.binary = True
        self.ttl = 0
        self.protocol = ""
        self.link = 0
        """Of a resume."""
        self.done = 0
        self.got = 0
        """Of a resume and of a welcome to it: what the speaker has handled and received."""
        self.acked = 0
        self.sent = 0
        """Of a resume: of what the speaker has sent, what was acknowledged and how much it is."""


class Step:
    """One thing for the host to do.

    control: SAY. number: READY: the messages after this one are to be sent. code: DROP_LINK.
    answer, why: TELL: NEW, RESUMED, RESET or OVER, and the reason. before: TELL: the half of the session that
    is over, whose messages after `number` are uncertain; None if there was none.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.control: Control | None = None
        self.number = 0
        self.code = 0
        self.answer = ""
        self.why = ""
        self.before: Half | None = None


class Resumption:
    """The client's session, over all its links.

    half: its messages. key: what it resumes with, "" while it has none. is_ending: whether the user closes.
    link: the number of the latest link that has asked to resume.
    """

    def __init__(self, is_required: bool, window: Window) -> None:
        self._is_required = is_required
        self._window = window
        self.state: str = DETACHED
        self.half: Half = Half(window)
        self.key: str = ""
        self.link: int = 0
        self._said_done = 0
        """How much was handled when the last resume was sent: more may have been until its answer comes."""
        self._has_had_session = False
        self._is_from_before = False
        """Whether that was in another process."""
        self._tries = 0
        self.is_ending: bool = False
        self._reason = ""
        self._steps: list[Step] = []

    def go_on(self, key: str, link: int) -> None:
        """Go on with the session of a process that is gone; `half` is told of its messages besides."""
        self.key = key
        self.link = link
        self._has_had_session = True
        self._is_from_before = True

    def take_steps(self) -> list[Step]:
        """Return what is to be done, and forget it."""
        steps = self._steps
        self._steps = []
        return steps

    # Inputs

    def opened(self, is_selected: bool) -> None:
        """Take the news that a link is open, and whether the server has selected the subprotocol."""
        if self.state != DETACHED:
            return
        if is_selected or self._is_from_before:
            # There such a link counts as one that breaks the protocol: the sessions may be gone for good.
            self.state = GREETING
        if not is_selected:
            self._no_session()

    def control_received(self, control: Control) -> None:
        """Take a control that has come."""
        if self.state == GREETING and control.kind == GREETING_CONTROL:
            self._greeted(control)
        elif self.state == WELCOMING and control.kind == WELCOME:
            self._welcomed(control)
        elif self.state == ATTACHED and control.kind == END:
            self._dismissed(control.why)
        elif self.state == GREETING:
            self._no_session()
        else:
            self.violated(VIOLATION)

    def frame_received(self) -> bool:
        """Take the news that a frame has come that is no control; return whether it is the session's."""
        if self.state == GREETING:
            self._no_session()
        elif self.state == WELCOMING:
            self.violated(VIOLATION)
        return self.state == ATTACHED

    def violated(self, code: int) -> None:
        """Drop the link, which breaks the protocol or is out of step."""
        step = Step(DROP_LINK)
        step.code = code
        self._steps.append(step)
        self.lost(code)

    def handled(self, now: float) -> None:
        """Note that the oldest message that was received is handled."""
        self.half.handled()
        self.settle(now)

    def settle(self, now: float) -> None:
        """Let all be acknowledged that `half` was told to be handled: as `handled`, once for many."""
        if self.half.done > self.half.recorded:
            self._tries = 0
            self.half.record(self.half.done, now)
        self._end_if_handled()

    def awaits_end(self) -> bool:
        """Whether the user closes, and the server is still to answer that: over another link, if need be."""
        return self.is_ending and self.key != "" and not self.is_finished()

    def is_finished(self) -> bool:
        """Whether the session has ended, or the server has said that it ends."""
        return self.state == ENDED or self.state == OVER or self.state == DISMISSED

    def end(self, reason: str) -> None:
        """The user closes: nothing more is sent, and what was is still to be acknowledged."""
        if not self.is_ending:
            self.is_ending = True
            self._reason = reason
            if self.state == ATTACHED:
                self._say_end()

    def lost(self, code: int) -> None:
        """Take the news that the link is gone, with the close code that the server has given, or 0.

        Who is dismissed stays so: what came before is still handled.
        """
        if self.state == ATTACHED and self.is_ending and code == 1000 and self.half.acked == self.half.sent:
            self.state = ENDED  # as the server has answered our end
            return
        if self.state == GREETING or self.state == WELCOMING or self.state == ATTACHED:
            if code == VIOLATION or code == OUT_OF_STEP or code == TOO_LARGE:
                self._tries = self._tries + 1
            if code == REPLACED and self.state != GREETING:
                self._give_up("replaced")
            elif self._tries >= TRIES:
                self._give_up("broken")
            if self.state != OVER:
                self.state = DETACHED
        elif self.state == PLAIN:
            self.state = DETACHED

    # What follows

    def _no_session(self) -> None:
        """The server has no sessions."""
        if self._has_had_session:
            self.violated(VIOLATION)
        elif self._is_required:
            self.state = REFUSED
            self._steps.append(Step(REFUSE))
        else:
            self.state = PLAIN
            self._steps.append(Step(BE_PLAIN))

    def _greeted(self, greeting: Control) -> None:
        self.state = WELCOMING
        if self.key == "":
            self.half.theirs = greeting.window
            control = Control(HELLO)
        else:
            self.link = self.link + 1
            control = Control(RESUME)
            control.key = self.key
            control.link = self.link
            control.done = self.half.done
            self._said_done = control.done
            control.got = self.half.got
            control.acked = self.half.acked
            control.sent = self.half.sent
        control.window = self._window
        step = Step(SAY)
        step.control = control
        self._steps.append(step)

    def _welcomed(self, welcome: Control) -> None:
        if welcome.answer == NEW and self.key == "" and welcome.key != "":
            self.key = welcome.key
            self._tries = 0
            self._tell(NEW, "", None, 0)
            self._attach(0, 0)
        elif welcome.answer == RESUMED and self.key != "" and self.half.fits(welcome.done, welcome.got):
            self.half.acknowledged(welcome.done)
            self._tell(RESUMED, "", None, 0)
            self._attach(welcome.got, self._said_done)
        elif welcome.answer == RESET and self.key != "" and welcome.key != "":
            before = self.half
            self._begin_again()
            self.half.theirs = before.theirs
            self.key = welcome.key
            self._tell(RESET, welcome.why, before, welcome.done)
            self._attach(0, 0)
        elif welcome.answer == OVER:
            self.half.acknowledged(welcome.done)
            if self.is_ending and self.half.acked == self.half.sent:
                self.state = ENDED
            else:
                self.state = OVER
                self._tell(OVER, welcome.why, self.half, self.half.acked)
            self._steps.append(Step(CLOSE_LINK))
        else:
            self.violated(VIOLATION)

    def _attach(self, got: int, told: int) -> None:
        """The session goes on: the server has received up to `got`, and knows that we have handled `told`."""
        self.state = ATTACHED
        self._has_had_session = True
        self._is_from_before = False
        self.half.attached(told)
        step = Step(READY)
        step.number = got
        self._steps.append(step)
        if self.is_ending:
            self._say_end()

    def _say_end(self) -> None:
        step = Step(SAY)
        step.control = Control(END)
        step.control.why = self._reason
        self._steps.append(step)

    def _dismissed(self, why: str) -> None:
        self.state = DISMISSED
        self._tell(OVER, why, self.half, self.half.acked)
        self._end_if_handled()

    def _end_if_handled(self) -> None:
        if self.state == DISMISSED and self.half.got == self.half.done:
            self.state = OVER
            self._steps.append(Step(CLOSE_LINK))

    def _give_up(self, why: str) -> None:
        """Forget the session: its key is of no use any more."""
        if self.key == "":
            return
        before = self.half
        self._begin_again()
        if self._is_from_before:
            self._has_had_session = False
        if self.is_ending:
            self.state = OVER
        self._tell(RESET, why, before, before.acked)

    def _begin_again(self) -> None:
        self.key = ""
        self.half = Half(self._window)
        self._tries = 0

    def _tell(self, answer: str, why: str, before: Half | None, number: int) -> None:
        step = Step(TELL)
        step.answer = answer
        step.why = why
        step.before = before
        step.number = number
        self._steps.append(step)
