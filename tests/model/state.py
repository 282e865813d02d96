"""A state of the model: one client, two nodes, the store with its replica, and all links there have been.

Everything is immutable and can be hashed, so that two states that are equal are one. A message is its
content: 1, 2, 3, ... in the order in which messages were accepted. That is not its number in a session; so
numbers that were used again, gaps and doubles are told apart.
"""

from typing import Literal, NamedTuple, TypeVar

T = TypeVar("T")

Contents = tuple[int, ...]

A, B, NOBODY = 0, 1, 2
NODES = "AB"

# Phases of the client's link
NO_LINK = "no link"
WAITING = "waiting"
"""For the welcome."""
OPEN = "open"

# How the client's session ends
RUNNING = "running"
ENDING = "ending"
"""The user has closed."""
GONE = "gone"
"""It is over: the client does not come back."""
DISMISSED = "dismissed"
"""What came before the dismissal is still to be handled."""

# How a record ends
ALIVE = "alive"
LEAVING = "leaving"
"""Dismissed, and not all is acknowledged."""
OVER = "over"
REPLACED = "replaced"
"""By another session, in a reset, or expired: a resume is a reset. The last two are tombstones."""


# Frames. `kind` comes last and is never given: it tells frames of the same numbers apart.


class Hello(NamedTuple):
    link: int
    kind: Literal["hello"] = "hello"


class Resume(NamedTuple):
    session: int
    key: int
    link: int
    done: int
    got: int
    acked: int
    sent: int
    kind: Literal["resume"] = "resume"


class Welcome(NamedTuple):
    session: int
    kind: Literal["welcome new"] = "welcome new"


class Resumed(NamedTuple):
    key: int
    got: int
    done: int
    kind: Literal["welcome resumed"] = "welcome resumed"


class Reset(NamedTuple):
    session: int
    done: int
    kind: Literal["welcome reset"] = "welcome reset"


class TurnedAway(NamedTuple):
    """The link is closed for good: its session is over, or another link has it."""

    why: Literal["ended", "replaced", "enough"]
    kind: Literal["turned away"] = "turned away"


class Message(NamedTuple):
    number: int
    content: int
    kind: Literal["message"] = "message"


class Ack(NamedTuple):
    number: int
    kind: Literal["ack"] = "ack"


class End(NamedTuple):
    kind: Literal["end"] = "end"


Up = Hello | Resume | Message | Ack | End
Down = Welcome | Resumed | Reset | TurnedAway | Message | Ack | End


class Client(NamedTuple):
    """The client.

    session: 0 for none. key: which of its keys it holds. links: how many links it has opened.
    outbox: contents of acked + 1 to sent. inbox: contents of done + 1 to got.
    link: the current one, 0 for none. told: the last acknowledgement sent on it.
    snapshot: what lies on disk. hidden: frozen, as the host has hidden the program. restored: started from a
    snapshot and not yet welcomed.
    """

    session: int = 0
    key: int = 0
    links: int = 0
    sent: int = 0
    acked: int = 0
    outbox: Contents = ()
    got: int = 0
    done: int = 0
    inbox: Contents = ()
    link: int = 0
    phase: str = NO_LINK
    told: int = 0
    ending: str = RUNNING
    snapshot: "Snapshot | None" = None
    hidden: bool = False
    restored: bool = False


class Snapshot(NamedTuple):
    session: int
    key: int
    sent: int
    acked: int
    outbox: Contents
    done: int


class Record(NamedTuple):
    """A session in the store.

    link: the one that has claimed it last. log: contents of acked + 1 to sent. claims: its
    generation, in worlds with `moves`: how often it was claimed.
    """

    key: int
    link: int
    owner: int
    lineage: int
    acked: int
    log: Contents
    done: int
    ended: str
    claims: int = 0

    @property
    def sent(self) -> int:
        return self.acked + len(self.log)

    @property
    def bare(self) -> "Record":
        """What the store has of it while only the memory of its owner has the rest."""
        return self._replace(acked=0, log=(), done=0)

    @property
    def is_tombstone(self) -> bool:
        return self.ended in (OVER, REPLACED)


class Memory(NamedTuple):
    """What a node knows of a session.

    record: as this node last knew it. inbox: what it has received and not recorded as handled.
    is_running: the effect of the first of these has happened, and is not recorded. told: as in Client.
    is_ending: the client has said its end, which waits for these.
    """

    session: int
    link: int
    record: Record
    inbox: Contents
    is_running: bool = False
    told: int = 0
    is_ending: bool = False

    @property
    def got(self) -> int:
        return self.record.done + len(self.inbox)


class Move(NamedTuple):
    """A resume that waits at a node, as the other one had the session.

    link: its number. held: the claim of the other one, as the store had it when that was asked.
    found: what it has claimed, once it has. is_answered: whether the other one has said that it does not
    have the session any more. has_told: whether that one knows of the claim.
    """

    link: int
    asked: Resume
    held: int
    found: Record | None = None
    is_answered: bool = False
    has_told: bool = False


class Question(NamedTuple):
    """A node is asked to give a session up for a link. given: what it has given, and is to write."""

    link: int
    to: int
    session: int
    given: Record | None = None


class Link(NamedTuple):
    """A link: an ordered pipe each way. Either end may be cut, and loses what it has not read.

    session: the one that it serves, 0 before the welcome. fresh: the one that was created over it, or 0.
    """

    number: int
    node: int
    client_open: bool
    server_open: bool
    session: int
    fresh: int
    up: tuple[Up, ...]
    down: tuple[Down, ...]


class State(NamedTuple):
    """All of it.

    records, replica: by session; the replica is what a failover leaves. memories: by node, then session.
    accepted_down, accepted_up: the session of each content, 0 where no order is owed any more.
    handled_down, handled_up, ambiguous: contents; the last: those that a crash may have doubled.
    has_cause: whether a reset is legitimate. sessions: how many there have been.
    left: of each fault, how often it may still happen.
    vouched: by node, then session: what a node knows of a session that it has given up, or claimed and not
    gone on with. moves, questions: of sessions that move.
    """

    client: Client
    records: tuple[Record | None, ...]
    replica: tuple[Record | None, ...]
    lineage: int
    memories: tuple[Memory | None, ...]
    links: tuple[Link, ...]
    accepted_down: tuple[int, ...]
    accepted_up: tuple[int, ...]
    handled_down: frozenset[int]
    handled_up: frozenset[int]
    ambiguous: frozenset[int]
    has_cause: bool
    sessions: int
    left: tuple[tuple[str, int], ...]
    vouched: tuple[Record | None, ...]
    moves: tuple[Move, ...] = ()
    questions: tuple[Question, ...] = ()

    # Reading

    def record(self, session: int) -> Record | None:
        return self.records[session - 1]

    def memory(self, node: int, session: int) -> Memory | None:
        return self.memories[node * len(self.records) + session - 1]

    def vouch(self, node: int, session: int) -> Record | None:
        return self.vouched[node * len(self.records) + session - 1]

    def link_at(self, number: int) -> int | None:
        """Return the place of the link with that number."""
        for place, link in enumerate(self.links):
            if link.number == number:
                return place
        return None

    def attached(self, node: int, session: int) -> int | None:
        """Return the place of the open link over which a node serves a session."""
        memory = self.memory(node, session)
        if memory is None:
            return None
        place = self.link_at(memory.link)
        if place is None:
            return None
        link = self.links[place]
        return place if link.server_open and link.session == session and link.node == node else None

    def is_current(self, node: int, session: int) -> bool:
        """Whether a node's memory of a session is of its last claim."""
        memory, record = self.memory(node, session), self.record(session)
        return memory is not None and record is not None and memory.link == record.link

    def is_held_by_client(self, place: int) -> bool:
        """Whether the client's end of a link is open, and its current one."""
        link = self.links[place]
        return link.client_open and self.client.link == link.number

    def left_of(self, fault: str) -> int:
        return dict(self.left).get(fault, 0)

    # What follows

    def with_client(self, client: Client) -> "State":
        return self._replace(client=client)

    def with_record(self, session: int, record: Record | None) -> "State":
        return self._replace(records=put(self.records, session - 1, record))

    def with_memory(self, node: int, session: int, memory: Memory | None) -> "State":
        place = node * len(self.records) + session - 1
        return self._replace(memories=put(self.memories, place, memory))

    def with_vouch(self, node: int, session: int, record: Record | None) -> "State":
        place = node * len(self.records) + session - 1
        return self._replace(vouched=put(self.vouched, place, record))

    def with_link(self, place: int, link: Link) -> "State":
        return self._replace(links=put(self.links, place, link))

    def spend(self, fault: str) -> "State | None":
        """Let a fault happen once less; None: it must not happen any more."""
        left = dict(self.left)
        if left.get(fault, 0) <= 0:
            return None
        left[fault] -= 1
        return self._replace(left=tuple(sorted(left.items())))

    def send_up(self, *frames: Up) -> "State":
        """Put frames on the client's link."""
        place = self.link_at(self.client.link)
        assert place is not None
        link = self.links[place]
        return self.with_link(place, link._replace(up=link.up + frames)) if link.server_open else self

    def send_down(self, place: int, *frames: Down) -> "State":
        link = self.links[place]
        return self.with_link(place, link._replace(down=link.down + frames)) if link.client_open else self

    def close_server(self, place: int) -> "State":
        """Close the server's end of a link."""
        state = self.with_link(place, self.links[place]._replace(server_open=False, up=()))
        if not self.moves:
            return state
        number = self.links[place].number
        return state._replace(moves=tuple(move for move in self.moves if move.link != number))

    def close_client(self) -> "State":
        """Close the client's end of its link."""
        state = self
        place = state.link_at(state.client.link)
        if place is not None:
            fresh = state.links[place].fresh
            state = state.with_link(place, state.links[place]._replace(client_open=False, down=()))
            if fresh and fresh != state.client.session:
                state = state.without(fresh).close_server(place)
        return state.with_client(state.client._replace(link=0, phase=NO_LINK, told=0))

    def without(self, session: int) -> "State":
        """Remove a session whose key nobody can ever know: it expires, and reports what it has accepted."""
        state = self._replace(
            sessions=self.sessions - 1,
            records=put(self.records, session - 1, None),
            replica=put(self.replica, session - 1, None),
            accepted_down=tuple(0 if of == session else of for of in self.accepted_down),
        )
        return state.with_memory(A, session, None).with_memory(B, session, None)

    def forget(self, node: int, session: int, *, closes: bool = True) -> "State":
        """Drop a node's memory of a session, and its link."""
        place = self.attached(node, session)
        state = self.with_memory(node, session, None)
        if place is not None and closes:
            state = state.send_down(place, TurnedAway("replaced")).close_server(place)
        return state


def put(values: tuple[T, ...], place: int, value: T) -> tuple[T, ...]:
    return (*values[:place], value, *values[place + 1 :])


def initial(sessions: int, faults: dict[str, int]) -> State:
    """Return the state in which nothing has happened."""
    none = (None,) * sessions
    return State(
        client=Client(),
        records=none,
        replica=none,
        lineage=0,
        memories=none * 2,
        links=(),
        accepted_down=(),
        accepted_up=(),
        handled_down=frozenset(),
        handled_up=frozenset(),
        ambiguous=frozenset(),
        has_cause=False,
        sessions=0,
        left=tuple(sorted(faults.items())),
        vouched=none * 2,
    )
