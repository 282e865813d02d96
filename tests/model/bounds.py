"""What is searched: how much happens in a world of the model, which rules hold there, and what a step is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from tests.model.rules import RULES
from tests.model.state import NODES, A, Down, State, Up


@dataclass(frozen=True)
class Bounds:
    """A world.

    down, up: messages to the client and from it, in all. links: that the client opens, at most.
    window: unacknowledged messages. sessions: at most.
    faults: how often each may happen: `sever`: a link is cut at the server's end, `node`: one crashes,
    `leave`: one is closed, `claim`: one claims a session without a link, as it has something to send,
    `failover`: the store goes on as its replica, `expire`: a session without a link expires, `kill`: the
    client's process ends, `host`: one message is lost on a link, `restart`: the server begins anew without
    its store, `revert`: the same, with an old copy of it that it takes for the newest, `late`: an answer of a
    node, or of the store to a claim, comes too late.
    broken: rules that do not hold.
    ends, dismisses, overflows, snapshots: whether the client ends its session, the server dismisses it or
    sends more than the window has room for, the client's host hides it.
    moves: whether a session moves step by step, as in moves.py. in_memory: whether only its owner has what a
    session holds, until it gives that up: durability "handover". forced: whether, else, it is taken by force
    from a node that does not answer. nodes: to which the client connects. ignored: invariants that are not
    checked, to see what lies behind them.
    """

    down: int = 1
    up: int = 1
    links: int = 3
    window: int = 2
    sessions: int = 2
    faults: Mapping[str, int] = field(default_factory=dict)
    broken: str = ""
    ends: bool = False
    dismisses: bool = False
    overflows: bool = False
    snapshots: bool = False
    forced: bool = False
    moves: bool = False
    in_memory: bool = False
    nodes: tuple[int, ...] = (0, 1)
    ignored: tuple[str, ...] = ()

    @cached_property
    def _broken(self) -> frozenset[str]:
        assert set(self.broken.split()) <= set(RULES), self.broken
        return frozenset(self.broken.split())

    def rule(self, name: str) -> bool:
        """Whether a rule holds."""
        return name not in self._broken


class Step(NamedTuple):
    """One thing that happens. link: the number of the link that it is about."""

    what: str
    node: int = A
    link: int = 0
    session: int = 0
    content: int = 0
    frame: Up | Down | None = None

    def __str__(self) -> str:
        parts = [self.what.replace("NODE", NODES[self.node])]
        parts += [f"message {self.content}"] if self.content else []
        parts += [f"{self.frame.kind} {self.frame[:-1]}"] if self.frame else []
        parts += [f"of session {self.session}"] if self.session else []
        parts += [f"on link {self.link}"] if self.link else []
        return " ".join(parts)


Steps = Iterator[tuple[Step, State]]
"""What may happen next, and the state that follows."""
