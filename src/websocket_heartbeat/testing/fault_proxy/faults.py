"""The faults that a proxy knows, and those that hold at present."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from websocket_heartbeat.checks import check_seconds

Direction = Literal["both", "to_client", "to_server"]
"""Which way bytes go: toward the client, toward the server, or both."""

Step = tuple[float, str, *tuple[float | str | None, ...]]
"""One line of a timetable: seconds after its start, the name of a fault, the arguments of that fault."""

NAMES: Final = (
    "freeze",
    "thaw",
    "reset",
    "disconnect",
    "refuse",
    "hang",
    "accept",
    "delay",
    "throttle",
    "cut_after",
    "retarget",
    "heal",
)
"""What a timetable may name: the methods of FaultProxy that are faults."""


def check_timetable(timetable: Sequence[Step]) -> None:
    """Raise unless the lines are in the order of time and name faults."""
    last = 0.0
    for at, name, *_ in timetable:
        if check_seconds("timetable", at, zero=True) < last:
            raise ValueError(f"timetable must be in the order of time, not {at!r} s after {last!r} s")
        last = at
        if name not in NAMES:
            raise ValueError(f"timetable must name one of {', '.join(NAMES)}, not {name!r}")


@dataclass(slots=True)
class Conditions:
    """The present faults of one direction, on every connection.

    frozen: nothing passes. delay: seconds of latency of each byte. rate: bytes per second of one connection,
    None for no limit. left: bytes that pass before every connection is reset, None for no such fault.
    carried: bytes that have passed so far.
    """

    frozen: bool = False
    delay: float = 0.0
    rate: int | None = None
    left: int | None = None
    carried: int = 0

    def heal(self) -> None:
        """End every fault; what was carried stays counted."""
        self.frozen = False
        self.delay = 0.0
        self.rate = None
        self.left = None


class Faults:
    """The faults that hold at present, for the connections that exist and for those to come.

    target: host and port of the server for new connections. hangs: they get no connection to it. may_dial:
    set while they may have one.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.to_client: Conditions = Conditions()
        self.to_server: Conditions = Conditions()
        self.hangs: bool = False
        self.may_dial: asyncio.Event = asyncio.Event()
        self.may_dial.set()

    def conditions(self, direction: Direction) -> list[Conditions]:
        """Return the conditions of one direction or of both."""
        if direction not in get_args(Direction):
            raise ValueError(f"direction must be both, to_client or to_server, not {direction!r}")
        by_name = {"to_client": self.to_client, "to_server": self.to_server}
        return [conditions for name, conditions in by_name.items() if direction in ("both", name)]

    def heal(self) -> None:
        """End every fault; the target stays."""
        self.hangs = False
        for conditions in (self.to_client, self.to_server):
            conditions.heal()

    def update_may_dial(self) -> None:
        """Hold back new connections, or let them go on to the server, as the present faults require."""
        if self.hangs or self.to_server.frozen:
            self.may_dial.clear()
        else:
            self.may_dial.set()
