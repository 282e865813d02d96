"""What a hub asks of the place where its sessions are kept, `Store`; and where its rooms are, `SharedStore`.

A session has one record and the messages to its client that are not acknowledged, its log. One node owns it;
each claim makes a new generation, and every write is of a node and a generation: what was claimed by somebody
else since is fenced. Every call is atomic, and may be repeated where its outcome is not known.

A store that processes share also has a stream of the messages of each room, which every node reads that has
members; the record of a session keeps up to where the session has those of its rooms.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from websocket_heartbeat.events import Message


class Refused(Enum):
    """Why a call has done nothing."""

    FENCED = "fenced"
    """Another node has claimed the session since, or it is not this node's."""
    GONE = "gone"
    """There is no such session, or it is over."""
    FULL = "full"
    """The client's window has no room."""
    GAP = "gap"
    """The messages do not follow those that are there, or more are there than they reach to."""
    STALE = "stale"
    """The link is not newer than the one that the session has."""
    UNKNOWN = "unknown"
    """There is no such session, or not for this secret and principal."""
    FORGOTTEN = "forgotten"
    """The store may have forgotten writes since this was written."""


@dataclass(frozen=True, slots=True)
class Held:
    """Another node owns the session. generation: that of its claim."""

    node: str
    generation: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over. kind, why: as given to `Store.finish`. done: as in Record."""

    kind: str
    why: str
    done: int


@dataclass(slots=True, kw_only=True)
class Record:
    """One session.

    id: public. hash: SHA-256 of the secret that its client resumes with. principal: whose it is.
    generation: how often it was claimed. link: the number of the link that has claimed it last. node: its
    owner. lineage: of the store, when this was last written.
    window: of messages to the client: how many, and of what size together. max: the largest that it takes.
    done: the last message of the client that was handled. sent, acked: the last message to the client, and
    the last that it has acknowledged. state: what the application keeps with it.
    ending: the reason of a dismissal that the client has not acknowledged; None: there is none.
    deadline: when it expires, in seconds since the epoch; None while it has a link.
    rooms: those of which it is a member, each with the number of the last message of its stream that the log
    has, or had.
    """

    id: str
    hash: bytes = field(repr=False)
    principal: str | None = None
    generation: int = 1
    link: int = 0
    node: str
    lineage: str
    window: tuple[int, int]
    max: int
    done: int = 0
    sent: int = 0
    acked: int = 0
    state: bytes = field(default=b"", repr=False)
    ending: str | None = None
    deadline: float | None = None
    rooms: Mapping[str, int] = field(default_factory=dict)


def with_changes(rooms: Mapping[str, int], changes: Mapping[str, int | None]) -> dict[str, int]:
    """Return the rooms of a record with those that have changed, as `Store.write` has them."""
    return {room: number for room, number in {**rooms, **changes}.items() if number is not None}


@dataclass(frozen=True, slots=True)
class Found:
    """A session, with its messages from acked + 1 to sent.

    previous: the node that had it before it was claimed.
    """

    record: Record
    log: Sequence[Message] = field(repr=False)
    previous: str = ""


Listener = Callable[[bytes], None]
"""Called on the loop with what another node has sent by `notify`."""

Owned = Callable[[], Iterable[Found]]
"""Returns the sessions of this node, as it knows them, for a store that may have forgotten writes."""

OVER = "over"
EXPIRED = "expired"
REPLACED = "replaced"
"""How sessions end: by an end or a dismissal, after which nobody comes back; in time; by a reset."""

LOST = "lost"
"""The reason of a reset: the node is gone that had the session in its memory, or somebody has deleted it."""

TELL_AGAIN = 30.0
"""Seconds after which the end of a session is told again, of which it is not known that it was."""

NOBODY = ""
"""In place of the node: no node owns the session; the first to claim it has it."""
IN_MEMORY = "~"
"""The first character of the names of nodes which alone have what their sessions hold: the store has it once
they give them up. What is claimed from such a node by force is lost."""


class Transaction(ABC):
    """One that a user has begun in the store: to be committed with the record of a message, or rolled back.

    connection: what users get, for their own statements.
    """

    connection: Any

    @abstractmethod
    async def commit(
        self,
        id: str,
        generation: int,
        after: int,
        messages: Sequence[Message],
        *,
        done: int,
        acked: int,
        deadline: float | None,
        state: bytes | None,
        rooms: Mapping[str, int | None],
    ) -> int | Refused:
        """Do as `Store.write`, and commit with it. What is refused changes nothing, and may be tried again.

        Raises:
            OSError: the store has failed: `Store.outcome` tells whether it was committed.
        """

    @abstractmethod
    async def rollback(self) -> None:
        """Undo all."""

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether it is still that: a user may have ended it by a statement."""

    @abstractmethod
    def is_of_store(self, error: BaseException) -> bool:
        """Whether an error of a statement is no mistake in it: the store was lost, or others in the way."""


class Store(ABC):
    """Keeps sessions. A tombstone of each that is over is kept for `ttl` seconds."""

    ttl: float
    is_immediate = False
    """Whether it is the memory of this process: no call but `open` and `close` ever waits. What it had would
    be lost with the sessions themselves: so it has no messages, and what was handled only at times."""

    @abstractmethod
    async def open(self, node: str, listener: Listener, owned: Owned) -> None:
        """Begin, as that node.

        Raises:
            OSError: the store cannot be reached.
        """

    @abstractmethod
    async def close(self) -> None:
        """Be done with it; what was acknowledged is kept, and sessions of this node are NOBODY's from now on.

        Not those of a node whose name begins with IN_MEMORY, which it has not given.
        """

    @property
    @abstractmethod
    def lineage(self) -> str:
        """What changes whenever the store may have forgotten a write that it has acknowledged."""

    @abstractmethod
    async def put(self, record: Record, log: Sequence[Message]) -> Refused | None:
        """Create a session, or write it again; never over a newer generation or one that is over.

        Nor over the same generation of another node, under one lineage: a store that has forgotten a claim
        may have given its number again.
        """

    @abstractmethod
    async def claim(
        self,
        id: str,
        hash: bytes | None,
        principal: str | None,
        link: int,
        node: str,
        *,
        force: int | None = None,
    ) -> Found | Refused | Held | Ended:
        """Make a node the owner, on behalf of a link that resumes.

        force: take it from another node, if this is the generation of its claim; what that has claimed since
        it has not been asked for. None: from nobody.

        hash: None: no link asks, but the application, which has something to send. Then neither the principal
        nor the link is looked at, and the deadline stays.
        """

    @abstractmethod
    async def write(
        self,
        id: str,
        generation: int,
        after: int = 0,
        messages: Sequence[Message] = (),
        *,
        done: int = 0,
        acked: int = 0,
        deadline: float | None = None,
        state: bytes | None = None,
        ending: str | None = None,
        rooms: Mapping[str, int | None] | None = None,
    ) -> int | Refused:
        """Note what was handled and acknowledged, and add messages to the log, all of it or nothing.

        So the answers to a message are there if and only if it is known to be handled.

        after: the number that the messages follow; those of them that are there already are not added again.
        done, acked: noted if they are more than is known; the log up to `acked` is forgotten.
        deadline: None while the session has a link. state, ending: None: as they were.
        rooms: those that have changed, as in Record; None for a room of which it is a member no more.

        Returns:
            The number of the last message of the log.
        """

    @abstractmethod
    async def finish(self, id: str, generation: int, kind: str, why: str) -> Refused | None:
        """End a session and forget its log. kind: OVER, EXPIRED or REPLACED."""

    async def give(self, found: Found) -> None:  # noqa: B027
        """Have a session that its node gives up where the next one finds it.

        Nothing to do in a store to which everything was written.
        """

    @abstractmethod
    async def due(self, now: float, limit: int) -> list[Found]:
        """End as EXPIRED what is past its deadline, and return it, each session to one caller.

        What is not `told` is returned again, to any caller, after TELL_AGAIN: the caller that had it may be
        gone, or may not have got the answer.
        """

    async def told(self, ids: Sequence[str]) -> None:  # noqa: B027
        """Take the news that the end of sessions is told which `due` has returned; forget what they had.

        Nothing to do in the memory of this process, which tells it or is gone with it.
        """

    async def due_here(self, now: float, limit: int) -> list[Found]:
        """Do as `due` with the sessions that are in the memory of this node alone; other nodes end others."""
        return []

    def forget(self, id: str, generation: int) -> None:  # noqa: B027
        """Keep nothing in the memory of this node of a session that another one has claimed since."""

    @abstractmethod
    async def notify(self, node: str | None, data: bytes) -> bool:
        """Send something to a node, or to all others; it may be lost, and is never doubled.

        data: as long as a message may be, and a few hundred bytes more.

        Returns:
            Whether a process may be listening: if not, the node is gone.
        """

    async def begin(self) -> Transaction:
        """Begin a transaction of a user's.

        Raises:
            RuntimeError: this store has none for users.
            OSError: the store cannot be reached.
        """
        raise RuntimeError("peer.transaction() needs sessions that are kept in PostgreSQL")

    async def outcome(self, id: str, generation: int) -> tuple[int, int] | Refused:
        """Return `done` and `sent` of a session, once none of its transactions is under way any more.

        Raises:
            OSError: one still is, or the store cannot be reached.
        """
        raise NotImplementedError


HISTORY = 10_000
"""Messages of a room, about, that its stream keeps for members that come back. Older ones are forgotten, and
all of a room that nobody has used for four times the `ttl`: without members, and nothing was sent to it."""


class Posts(NamedTuple):
    """What was read of a room. last: the number of its last message. posts: with their numbers, in order."""

    last: int
    posts: Sequence[tuple[int, bytes]]


class SharedStore(Store):
    """A store that processes share: it has the streams of rooms too.

    The messages of a room have numbers. Each is one more than the one before, but where the store does not
    know that it has forgotten none: in a new lineage, and in a room of which it knows nothing. There they go
    on beyond all that it may ever have given (they begin with the microseconds since the epoch). So a reader
    who finds a gap may have missed something, and who finds none has not.
    """

    def __init__(self) -> None:
        self._followed: dict[str, Callable[[], None]] = {}

    @abstractmethod
    async def publish(self, room: str, sender: str, number: int, posts: Sequence[bytes]) -> int:
        """Add messages to a room's stream, so that every reader of a later one has read these before.

        sender, number: who sends, and a number that grows with each of its calls: what it has sent by a call
        with this number, or a larger one, is there already. With no posts, nothing is added, and the room is
        one that the store knows of from now on.

        Returns:
            The number of the last message of the room.
        """

    @abstractmethod
    async def read(self, room: str, after: int, limit: int) -> Posts:
        """Return messages of a room, those after a number; of a room of which nothing is known, none, and
        that number as the last.
        """

    def follow(self, room: str, more: Callable[[], None]) -> None:
        """Have `more` called on the loop when something was published to a room, by whatever node.

        It is also called once this has begun, and when something may have been published unheard; that is
        made good within seconds, or, where the store tells of lost connections, then. Until `unfollow`, or
        `close`; a room that is followed is not forgotten.
        """
        self._followed[room] = more

    def unfollow(self, room: str) -> None:
        """Follow a room no more; does nothing if it is not followed."""
        self._followed.pop(room, None)

    def _more_in(self, room: str) -> None:
        more = self._followed.get(room)
        if more is not None:
            more()
