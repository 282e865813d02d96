"""Accounts for every message, so that none can be lost silently, not even by the demo itself."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from websocket_heartbeat.cli.demo.back_end import NO_SESSION, Handled
from websocket_heartbeat.events import Message, SessionEvent

KILLS = 1
"""How often the server is killed in one act."""


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the messages.

    sent: all that were given to the connection. echoed: came back. uncertain: had been handed to a link that
    died before the echo came; whether they arrived, a client cannot know. uncertain_arrived: those of them
    that the server has received, as only a demo can tell. queued: still wait for a link. lost: handed to a
    link that lives, and yet not echoed, or overtaken by a later one on the same link. unexpected: echoes that
    were altered, repeated, late or never asked for.
    """

    sent: int
    echoed: int
    uncertain: int
    uncertain_arrived: int
    queued: int
    lost: int
    unexpected: int

    @property
    def is_well(self) -> bool:
        """Whether nothing was lost silently, and nothing came that should not."""
        return self.lost == self.unexpected == 0


@dataclass(frozen=True, slots=True)
class SessionAccount:
    """What became of the messages of a session, by the server's ledger.

    sent: all that were given to the connection. handled: those that the server has handled. answered: those
    whose echo came back. lost: not handled or not answered, and not reported either. doubled: handled again,
    or answered again. uncertain: reported by on_session, as nobody can know. repeated: handled again because
    the server was killed while it handled them, which their number in the session tells (docs/session.md): at
    most one for each time that it is. unexpected: handled or answered after a later one, or altered.
    """

    sent: int
    handled: int
    answered: int
    lost: int
    doubled: int
    uncertain: int
    repeated: int
    unexpected: int

    @property
    def is_well(self) -> bool:
        """Whether each message was handled and answered once and in order."""
        return self.lost == self.doubled == self.uncertain == self.unexpected == 0 and self.repeated <= KILLS


class Follower(Protocol):
    """What an act tells of its messages, which carry their number before the first space."""

    @property
    def settled(self) -> bool:
        """Whether nothing more is to be waited for."""

    @property
    def line(self) -> str:
        """How things stand, in a few words."""

    def write(self, filler: str) -> str:
        """Return the next message, which is the next number and the filler."""

    def sent(self, message: str, link: int | None) -> None:
        """The message that was written last was given to the connection while `link`, or none, was open."""

    def opened(self, link: int) -> str:
        """A link has opened: return what that means for messages, or ""."""

    def closed(self, link: int) -> str:
        """A link is gone: return what that means for messages, or ""."""

    def echoed(self, message: Message) -> None:
        """A message has come back."""


class Ledger:
    """Follows each message of a connection without a session."""

    def __init__(self) -> None:
        self._sent = 0
        self._echoed = 0
        self._unexpected = 0
        self._overtaken = 0
        # What has not come back: the text, and the link it was handed to, or None while it waits for one.
        self._open: dict[int, tuple[str, int | None]] = {}
        self._dead_links: set[int] = set()

    def write(self, filler: str) -> str:
        """Return the next message, which is the next number and the filler."""
        return f"{self._sent + 1} {filler}"

    def sent(self, message: str, link: int | None) -> None:
        """The message that was written last was given to the connection while `link`, or none, was open."""
        self._sent += 1
        self._open[self._sent] = (message, link)

    def opened(self, link: int) -> str:
        """A link has opened, and gets what waits."""
        waiting = [number for number, (_, handed_to) in self._open.items() if handed_to is None]
        for number in waiting:
            self._open[number] = (self._open[number][0], link)
        return f"{_messages(len(waiting))} sent from the queue" if waiting else ""

    def closed(self, link: int) -> str:
        """A link is gone, and what of its messages has not come back is uncertain."""
        self._dead_links.add(link)
        uncertain = sum(handed_to == link for _, handed_to in self._open.values())
        return f"{_messages(uncertain)} uncertain" if uncertain else ""

    def echoed(self, message: Message) -> None:
        """A message has come back."""
        number = next((number for number, (text, _) in self._open.items() if text == message), None)
        if number is None:
            self._unexpected += 1
            return
        _, link = self._open.pop(number)
        self._echoed += 1
        # A link keeps the order, so the echoes of what was handed to it before will not come any more.
        overtaken = [n for n, (_, handed_to) in self._open.items() if n < number and handed_to == link]
        self._overtaken += len(overtaken)
        for n in overtaken:
            del self._open[n]

    @property
    def settled(self) -> bool:
        """Whether no message is on its way or queued."""
        return all(handed_to in self._dead_links for _, handed_to in self._open.values())

    @property
    def line(self) -> str:
        """How things stand, in a few words."""
        account = self.account(())
        return f"{account.sent} sent, {account.echoed} back, {account.queued} queued"

    def account(self, ledger: Sequence[Handled]) -> Account:
        """Return how things stand; ledger: the server's."""
        arrived = {entry.message for entry in ledger if entry.session == NO_SESSION}
        uncertain = [number for number, (_, link) in self._open.items() if link in self._dead_links]
        queued = sum(link is None for _, link in self._open.values())
        return Account(
            sent=self._sent,
            echoed=self._echoed,
            uncertain=len(uncertain),
            uncertain_arrived=len(arrived.intersection(uncertain)),
            queued=queued,
            lost=len(self._open) - len(uncertain) - queued + self._overtaken,
            unexpected=self._unexpected,
        )


class SessionLedger:
    """Follows the messages of a session: the client's side of what the server's ledger must agree with."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._answers: list[int] = []
        self._altered = 0
        self._uncertain: set[int] = set()

    def write(self, filler: str) -> str:
        """Return the next message, which is the next number and the filler."""
        return f"{len(self._texts) + 1} {filler}"

    def sent(self, message: str, link: int | None) -> None:
        """The message that was written last was given to the connection."""
        self._texts.append(message)

    def opened(self, link: int) -> str:
        """A link has opened, on which the session goes on."""
        waiting = self._unanswered
        return f"the session goes on; {_messages(waiting)} not answered yet" if waiting else ""

    def closed(self, link: int) -> str:
        """A link is gone; what it took with it is kept."""
        waiting = self._unanswered
        return f"{_messages(waiting)} kept" if waiting else ""

    def echoed(self, message: Message) -> None:
        """A message has come back."""
        number = _number_of(message)
        if 0 < number <= len(self._texts) and self._texts[number - 1] == message:
            self._answers.append(number)
        else:
            self._altered += 1

    def told(self, event: SessionEvent) -> None:
        """The session has begun, gone on or ended."""
        self._uncertain |= {number for message in event.uncertain if (number := _number_of(message))}

    @property
    def settled(self) -> bool:
        """Whether every message has come back."""
        return self._unanswered == 0

    @property
    def line(self) -> str:
        """How things stand, in a few words."""
        return f"{len(self._texts)} sent, {len(set(self._answers))} back"

    @property
    def _unanswered(self) -> int:
        return len(self._texts) - len(set(self._answers))

    def account(self, ledger: Sequence[Handled]) -> SessionAccount:
        """Return how things stand; ledger: the server's."""
        entries = [entry for entry in ledger if entry.session != NO_SESSION]
        repeated = {
            later.message
            for earlier, later in pairwise(entries)
            if (earlier.session, earlier.number) == (later.session, later.number)
            and earlier.life < later.life
        }
        handled = Counter(entry.message for entry in entries)
        answered = Counter(self._answers)
        handled.subtract(repeated)
        answered.subtract(number for number in repeated if answered[number] > 1)
        certain = set(range(1, len(self._texts) + 1)) - self._uncertain
        late = _late([entry.message for entry in entries]) + _late(self._answers)
        return SessionAccount(
            sent=len(self._texts),
            handled=sum(count > 0 for count in handled.values()),
            answered=len(set(self._answers)),
            lost=sum(not (handled[number] and answered[number]) for number in certain),
            doubled=sum(max(0, count - 1) for count in (*handled.values(), *answered.values())),
            uncertain=len(self._uncertain),
            repeated=len(repeated),
            unexpected=self._altered + late,
        )


def _late(numbers: Sequence[int]) -> int:
    """Return how many numbers come after a larger one."""
    return sum(later < earlier for earlier, later in pairwise(numbers))


def _number_of(message: Message) -> int:
    return int(message.partition(" ")[0]) if isinstance(message, str) else 0


def _messages(count: int) -> str:
    return f"{count} message{'' if count == 1 else 's'}"
