"""Accounts for every message, so that none can be lost silently, not even by the demo itself."""

from dataclasses import dataclass


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


class Ledger:
    """Follows each message from `sent` on; messages carry their number before the first space."""

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

    def opened(self, link: int) -> int:
        """A link has opened, and gets what waits: return how many messages that is."""
        waiting = [number for number, (_, handed_to) in self._open.items() if handed_to is None]
        for number in waiting:
            self._open[number] = (self._open[number][0], link)
        return len(waiting)

    def closed(self, link: int) -> int:
        """A link is gone: return how many of its messages are now uncertain."""
        self._dead_links.add(link)
        return sum(handed_to == link for _, handed_to in self._open.values())

    def echoed(self, message: str | bytes) -> None:
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

    def account(self, arrived: set[int]) -> Account:
        """Return how things stand; arrived: the numbers that the server has received."""
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
