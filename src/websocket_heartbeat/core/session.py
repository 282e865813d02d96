"""One half of a session: numbers what it sends, keeps it until it is acknowledged, takes the rest in order.

A session carries messages across links: none lost, none doubled, in order, both ways. Its two halves, the
client's and the server's, are the same but for one thing: the server's is backed by a store. docs/session.md
is the protocol; what is decided about a resume is in core/resume.py.

Pure, as the machine: no I/O, no clock, nothing raises. Sizes are characters of a text and bytes of a binary
message. A number counts the messages of one direction from 1 on and never repeats; on the link each message
has one character instead, that of its number mod 64, as a check.

Positions
    sent, acked     of what we send: the last number given, the last that the peer has acknowledged. What lies
                    between is the outbox: the peer may need it again.
    got, done       of what we receive: the last number received, the last handled. Between them is the inbox.
    recorded        the last handled one that may be acknowledged: on a server, the last that the store knows,
                    or need not know.
    told            the last that was acknowledged on this link.

Rules
    1  acked <= sent, and told <= recorded <= done <= got.
    2  What is not acknowledged is kept; what is acknowledged has been handled, and recorded.
    3  A message that is not the next is not taken: the link is out of step, and must go.
    4  Nothing is sent while the peer's window is full: what is unacknowledged is at most the window, and of
       size the last message more. Who sends twice our window breaks the protocol.
    5  An acknowledgement is due after 16 messages, or a quarter of the window in messages or in size, or a
       second after the first of them was handled, and at once as the answer to a probe.
"""

from typing import Any, Final

CHARACTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
"""Of the numbers mod 64, from 0 on: base64url."""

# Close codes of a link of a session
VIOLATION: Final = 4490
REPLACED: Final = 4491
OUT_OF_STEP: Final = 4492

ACKNOWLEDGE_AFTER: Final = 16
"""Handled messages after which an acknowledgement is due, if they are no quarter of the window before."""
ACKNOWLEDGE_WITHIN: Final = 1.0
"""Seconds after which an acknowledgement is due."""


class Window:
    """How much may be unacknowledged: so many messages, and so many characters or bytes of them."""

    def __init__(self, messages: float, size: float) -> None:
        self.messages = messages
        self.size = size


class Kept:
    """A message in the outbox.

    number: its number. character: what goes before it on the link. next: the message after it, or None.
    """

    def __init__(self, number: int, character: str, payload: Any, size: float) -> None:
        self.number = number
        self.character = character
        self.payload = payload
        self.size = size
        self.next: Kept | None = None


class Half:
    """One half of a session.

    ours: the window that the peer has to keep to. theirs: that of the peer, known from the handshake on.
    """

    def __init__(self, ours: Window) -> None:
        self.ours = ours
        self.theirs: Window = Window(0, 0)
        self.sent: int = 0
        self.acked: int = 0
        self._oldest: Kept | None = None
        """Of the outbox; each message there knows the next."""
        self._newest: Kept | None = None
        self._outbox_size = 0.0
        self.got: int = 0
        self.done: int = 0
        self.recorded: int = 0
        self.told: int = 0
        self._inbox: list[float] = []
        """The sizes of what was received and is not handled."""
        self._inbox_size = 0.0
        self.is_much_handled: bool = False
        """Whether so much was handled since the last acknowledgement that another one is due."""
        self._untold_size = 0.0
        """Of what was handled since then."""
        self._out = 1
        """The place among the characters of the next message that we send."""
        self._in = 1
        """That of the next one that we receive."""
        self._due_at: float | None = None

    def go_on(self, acked: int, out_place: int, done: int, in_place: int) -> None:
        """Go on where a half was that is gone: what it had received and not handled will come again.

        acked: of what it had sent; `accept` what it had kept next. out_place, in_place: those among the
        characters of the messages after `acked` and `done`.
        """
        self.sent = acked
        self.acked = acked
        self._out = out_place
        self.got = done
        self.done = done
        self.recorded = done
        self.told = done
        self._in = in_place

    # What we send

    def has_room(self) -> bool:
        """Whether the peer's window has room for a message, of any size; one is always allowed."""
        if self.sent == self.acked:
            return True
        return self.sent - self.acked < self.theirs.messages and self._outbox_size < self.theirs.size

    def is_half_full(self) -> bool:
        """Whether more than half of the peer's window is taken."""
        half_of_it = 2 * (self.sent - self.acked) > self.theirs.messages
        return half_of_it or 2 * self._outbox_size > self.theirs.size

    def accept(self, payload: Any, size: float) -> str:
        """Number a message and keep it; return its character. It goes on the link behind all before it."""
        place = self._out
        character = CHARACTERS[place : place + 1]
        self._out = 0 if place == 63 else place + 1
        self.sent = self.sent + 1
        kept = Kept(self.sent, character, payload, size)
        newest: Kept | None = self._newest
        if newest is None:
            self._oldest = kept
        else:
            newest.next = kept
        self._newest = kept
        self._outbox_size = self._outbox_size + size
        return character

    def acknowledged(self, number: int) -> bool:
        """Forget messages up to a number; false if there is no such message, which breaks the protocol."""
        if number > self.sent:
            return False
        oldest: Kept | None = self._oldest
        size = self._outbox_size
        while oldest is not None and oldest.number <= number:
            size = size - oldest.size
            oldest = oldest.next
        self._oldest = oldest
        self._outbox_size = size
        if number > self.acked:
            self.acked = number
        if oldest is None:
            self._newest = None
        return True

    def fits(self, done: int, got: int) -> bool:
        """Whether the peer can have handled and received what it says: a resume compares that."""
        return self.acked <= done and done <= got and got <= self.sent

    def after(self, number: int) -> Kept | None:
        """Return the first message after a number: what a link owes that has just been attached."""
        kept: Kept | None = self._oldest
        while kept is not None and kept.number <= number:
            kept = kept.next
        return kept

    def size(self) -> float:
        """Return the size of what is in the outbox and in the inbox."""
        return self._outbox_size + self._inbox_size

    # What we receive

    def take(self, character: str, size: float) -> int:
        """Take a message that has come, and return 0; or the close code with which its link must go."""
        place = self._in
        if character != CHARACTERS[place : place + 1]:
            return OUT_OF_STEP
        waiting = self.got - self.done
        if waiting > 0 and (waiting >= 2 * self.ours.messages or self._inbox_size > 2 * self.ours.size):
            return VIOLATION
        self._in = 0 if place == 63 else place + 1
        self.got = self.got + 1
        self._inbox.append(size)
        self._inbox_size = self._inbox_size + size
        return 0

    def handled(self) -> None:
        """Note that the oldest message of the inbox was handled; `record` lets it be acknowledged."""
        self.done = self.done + 1
        size: float = self._inbox.pop(0)
        self._inbox_size = self._inbox_size - size
        self._untold_size = self._untold_size + size
        untold = self.done - self.told
        is_a_quarter = 4 * untold >= self.ours.messages or 4 * self._untold_size >= self.ours.size
        if untold >= ACKNOWLEDGE_AFTER or is_a_quarter:
            self.is_much_handled = True

    def record(self, number: int, now: float) -> None:
        """Let what was handled be acknowledged, up to a number: the store has it, or there is none."""
        if number > self.recorded:
            self.recorded = number
            if self._due_at is None:
                self._due_at = now + ACKNOWLEDGE_WITHIN

    # Acknowledgements

    def acknowledgement_due_at(self) -> float | None:
        """When to acknowledge, at the latest; None: there is nothing to acknowledge."""
        return self._due_at if self.recorded > self.told else None

    def is_acknowledgement_due(self, now: float) -> bool:
        """Whether to acknowledge now."""
        if self.recorded == self.told:
            return False
        due: float | None = self._due_at
        return self.is_much_handled or (due is not None and now >= due)

    def acknowledge(self) -> int:
        """Return the number to acknowledge; it counts as told."""
        self.told = self.recorded
        self._untold_size = 0.0
        self._due_at = None
        self.is_much_handled = False
        return self.told

    def is_in_step(self, sent: int) -> bool:
        """Whether a probe, which says how many messages were sent on the link so far, finds none missing."""
        return sent == self.got

    def attached(self, done: int) -> None:
        """Begin a link whose handshake has told the peer that we have handled as many messages."""
        self.told = done
