"""Compares what clients and workers have written down: was each message handled, and answered, exactly once?

    python -m examples.cluster.ledger FOLDER

The histories in FOLDER are lines of words, the first of which is a time in nanoseconds, by one clock for all:
  clients.txt   TIME CLIENT sent NUMBER             the client has sent its message NUMBER: 1, 2, 3, ...
                TIME CLIENT got NUMBER COUNT        it was answered, as the one that makes it COUNT
                TIME CLIENT new|resumed -           its session has begun, or goes on over another link
                TIME CLIENT reset WHY NUMBER...     it is lost, another begins; uncertain are these messages
  worker-*.txt  TIME LIFE handled CLIENT NUMBER N   it is handled, as message N of the session
  kills.txt     TIME LIFE                           this life of a worker was ended by SIGKILL
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path


@dataclass
class Ledger:
    """What became of all messages; each fault as (client, number).

    sent, handled, answered: how many. resets, uncertain: sessions that were lost, and messages that clients
    were told of therefore. again: handled a second time, as a kill came before it was known that they were.
    """

    clients: int = 0
    sent: int = 0
    handled: int = 0
    answered: int = 0
    resumed: int = 0
    resets: int = 0
    uncertain: int = 0
    lost: list[tuple[str, int]] = field(default_factory=list)
    doubled: list[tuple[str, int]] = field(default_factory=list)
    unexplained: list[tuple[str, int]] = field(default_factory=list)
    again: list[tuple[str, int]] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, doubled or unexplained."""
        return not (self.lost or self.doubled or self.unexplained)


@dataclass
class _History:
    """Of one client: what it has sent, got as (number, count), was told of, and what workers have handled."""

    sent: list[int] = field(default_factory=list)
    got: list[tuple[int, int]] = field(default_factory=list)
    told: set[int] = field(default_factory=set)
    resets: int = 0
    handled: list[tuple[int, str]] = field(default_factory=list)  # (number, life)


def read(folder: Path) -> Ledger:
    """Return the ledger of the histories in a folder."""
    ledger = Ledger()
    histories: dict[str, _History] = defaultdict(_History)
    for _, client, what, *rest in _lines(folder / "clients.txt"):
        history = histories[client]
        if what == "sent":
            history.sent.append(int(rest[0]))
        elif what == "got":
            history.got.append((int(rest[0]), int(rest[1])))
        elif what == "resumed":
            ledger.resumed += 1
        elif what == "reset":
            history.resets += 1
            history.told.update(map(int, rest[1:]))
    # The workers' clock is one: sorted by time, their files are one history.
    facts = [line for place in folder.glob("worker-*.txt") for line in _lines(place) if line[2] == "handled"]
    for _, life, _, client, number, _ in sorted(facts, key=lambda line: int(line[0])):
        histories[client].handled.append((int(number), life))
    killed = {life for _, life in _lines(folder / "kills.txt")}
    for client, history in histories.items():
        _judge(client, history, killed, ledger)
    return ledger


def _judge(client: str, history: _History, killed: set[str], ledger: Ledger) -> None:
    ledger.clients += 1
    ledger.sent += len(history.sent)
    ledger.resets += history.resets
    ledger.uncertain += len(history.told)
    numbers = []
    before: tuple[int, str] | None = None
    for number, life in history.handled:
        if before is not None and number == before[0] and life != before[1] and before[1] in killed:
            ledger.again.append((client, number))
        else:
            numbers.append(number)
        before = number, life
    answers = [number for number, _ in history.got]
    ledger.handled += len(set(numbers))
    ledger.answered += len(set(answers))
    for seen in numbers, answers:
        certain = [number for number in history.sent if number not in history.told]
        ledger.lost += ((client, number) for number in certain if number not in set(seen))
        ledger.doubled += ((client, number) for number in _doubled(seen))
        ledger.unexplained += ((client, number) for number in _out_of_order(seen))
        ledger.unexplained += ((client, number) for number in set(seen) - set(history.sent))
    if not history.resets:  # which loses the count too
        ledger.unexplained += ((client, number) for number, count in history.got if number != count)


def _doubled(numbers: Sequence[int]) -> Iterator[int]:
    seen = set()
    for number in numbers:
        if number in seen:
            yield number
        seen.add(number)


def _out_of_order(numbers: Sequence[int]) -> Iterator[int]:
    return (later for earlier, later in pairwise(numbers) if later < earlier)


def _lines(place: Path) -> list[list[str]]:
    """Return the words of each line; a kill may have cut the last one short."""
    text = place.read_text() if place.exists() else ""
    return [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]


def told(ledger: Ledger) -> str:
    """Return it in words."""
    words = [
        f"{ledger.sent:,} messages sent by {ledger.clients:,} clients, {ledger.handled:,} handled, "
        f"{ledger.answered:,} answers received.",
        f"Sessions went on {ledger.resumed:,} times over another link.",
    ]
    if ledger.resets:
        words.append(
            f"Sessions lost with all who knew them: {ledger.resets}; their clients were told of "
            f"{ledger.uncertain} messages."
        )
    words += [
        f"{len(ledger.lost)} lost, {len(ledger.doubled)} doubled, {len(ledger.unexplained)} unexplained.",
        f"Handled again after a kill: {len(ledger.again)}, as promised: the worker died before it was known.",
    ]
    for name in "lost", "doubled", "unexplained":
        if faults := getattr(ledger, name):
            words.append(f"{name}, as (client, number): {faults[:10]}")
    return "\n".join(words)


if __name__ == "__main__":
    found = read(Path(sys.argv[1]))
    print(told(found))
    sys.exit(0 if found.is_clean else 1)
