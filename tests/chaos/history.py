"""What both ends of a stream of messages have seen, and whether that is as chapter 2 of docs/session.md says.

A stream is one direction of one connection, over all its sessions and links and all lives of the processes.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class History:
    """What was seen of one stream. A message is a number that no other one of the stream has.

    accepted: what `send` took, in that order. handled: what the other end handled, in that order.
    told: of the accepted ones, what was reported as uncertain, at either end.
    in_hand: parts of `accepted`, each what a process had sent and perhaps not stored when it was killed: from
    some message of the part on, the rest of it may be gone with the process.
    kills: places in `handled` before which the process that handles was killed: the message before may have
    been in progress, and come again.
    """

    accepted: Sequence[int]
    handled: Sequence[int]
    told: Sequence[int] = ()
    in_hand: Sequence[range] = ()
    kills: Collection[int] = ()


@dataclass
class Verdict:
    """What is wrong with a history: the messages of each kind of fault; and what is no fault.

    lost: accepted, and neither handled nor told. doubled: handled again. out_of_order: handled after a later
    one. unexplained: handled or told without having been accepted, told twice, or two of one number.
    again: handled a second time as a kill has interrupted the first. gone: sent by a process that was killed
    before they were stored.
    """

    lost: list[int] = field(default_factory=list)
    doubled: list[int] = field(default_factory=list)
    out_of_order: list[int] = field(default_factory=list)
    unexplained: list[int] = field(default_factory=list)
    again: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.doubled or self.out_of_order or self.unexplained)

    def add(self, other: "Verdict") -> None:
        """Add what was found of another stream."""
        for name, messages in vars(other).items():
            getattr(self, name).extend(messages)

    def __str__(self) -> str:
        faults = ("lost", "doubled", "out_of_order", "unexplained")
        return ", ".join(f"{len(getattr(self, name)):,} {name.replace('_', ' ')}" for name in faults)


def check(history: History) -> Verdict:
    """Compare both ends of a stream."""
    verdict = Verdict()
    place_of = {message: place for place, message in enumerate(history.accepted)}
    missing = _missing(history, place_of, verdict)
    gone = _gone(history, missing)
    told = set()
    for message in history.told:
        if message not in place_of or message in told:
            verdict.unexplained.append(message)
        told.add(message)
    for place in sorted(missing):
        message = history.accepted[place]
        if place in gone:
            verdict.gone.append(message)
        elif message not in told:
            verdict.lost.append(message)
    counts = Counter(history.accepted)
    verdict.unexplained += (message for message, count in counts.items() if count > 1)
    return verdict


def _missing(history: History, place_of: dict[int, int], verdict: Verdict) -> set[int]:
    """Return the places of what was never handled; note what was handled wrongly."""
    missing: set[int] = set()
    expected = 0
    before: int | None = None
    for position, message in enumerate(history.handled):
        place = place_of.get(message)
        if place is None:
            verdict.unexplained.append(message)
            continue
        if place >= expected:
            missing.update(range(expected, place))
            expected = place + 1
        elif place in missing:
            missing.discard(place)
            verdict.out_of_order.append(message)
        elif position in history.kills and message == before:
            verdict.again.append(message)
        else:
            verdict.doubled.append(message)
        before = message
    missing.update(range(expected, len(history.accepted)))
    return missing


def _gone(history: History, missing: set[int]) -> set[int]:
    """Return the places of what was lost with a process that was killed: the end of what it had in hand."""
    gone = set()
    for part in history.in_hand:
        for place in reversed(part):
            if place not in missing:
                break
            gone.add(place)
    return gone
