"""Groups of peers: the rooms that they join, and the peers of each user."""

from collections.abc import Callable, Collection, Hashable, Iterator
from typing import Any, Protocol

from websocket_heartbeat.checks import check_close, check_count, check_message
from websocket_heartbeat.engines.base import SharedMessage
from websocket_heartbeat.events import Message
from websocket_heartbeat.json_messages import to_json
from websocket_heartbeat.server.batch import Batch
from websocket_heartbeat.server.farewell import Leaver, send_away
from websocket_heartbeat.server.peer import DISMISSED, Peer
from websocket_heartbeat.server.policy import Policy
from websocket_heartbeat.server.rounds import Rounds
from websocket_heartbeat.server.sessions.link import SessionLink


class Member(Leaver, Protocol):
    """The inside of a peer, as far as rooms need it: handler.py."""

    @property
    def peer(self) -> Peer:
        """What users hold."""

    @property
    def session(self) -> SessionLink | None:
        """Its session; None: it has none."""

    def tell(self, name: str, hook: Callable[..., Any], *arguments: Any) -> None:
        """Call a hook with the peer and arguments, beside those that take its messages."""

    async def has_room(self) -> None:
        """Wait until it has taken most of what was sent to it; PeerGone: it is gone."""

    def send_shared(self, shared: SharedMessage, room: Hashable, keep: int | None) -> None:
        """Send it a message of that room; never waits."""

    def send_shared_volatile(self, shared: SharedMessage) -> None:
        """Send it a message of a room, now or never."""

    def dismiss(self, code: int, reason: str) -> None:
        """Ask it to go and not to come back, with a code and a reason that were checked."""


class Rooms:
    """Who is in which room in this process, and what is done with all of them. Arguments were checked before.

    A room is there while somebody is in it. What is done to it first comes first to each member.

    enter: raises RuntimeError where this is not the event loop of the members.
    """

    def __init__(self, enter: Callable[[], None], rounds: Rounds[Member], batch: Batch) -> None:
        self.enter: Callable[[], None] = enter
        self._rounds = rounds
        self._batch = batch
        self._members: dict[Hashable, dict[Member, None]] = {}

    def check(self, name: Hashable) -> None:
        """Raise TypeError or ValueError for what can be the name of none."""

    def join(self, name: Hashable, member: Member) -> None:
        """Add a member."""
        self._members.setdefault(name, {})[member] = None

    def leave(self, name: Hashable, member: Member) -> None:
        """Remove a member that leaves."""
        self.remove(name, member)

    def remove(self, name: Hashable, member: Member) -> None:
        """Remove a member that leaves, or that is gone."""
        members = self._members[name]
        del members[member]
        if not members:
            del self._members[name]

    def members(self, name: Hashable) -> Collection[Member]:
        """Return who is in a room, in the order in which they have joined."""
        return self._members.get(name, {})

    def sizes(self) -> dict[Hashable, int]:
        """Return how many are in each room."""
        return {name: len(members) for name, members in self._members.items()}

    def send(self, name: Hashable, message: Message, keep: int | None, volatile: bool) -> None:
        """Do as `Room.send`."""
        shared = SharedMessage(message, self._batch.hold)
        if volatile:
            self._rounds.begin(self.members(name), lambda member: member.send_shared_volatile(shared))
            return
        room = self, name
        self._rounds.begin(self.members(name), lambda member: member.send_shared(shared, room, keep))

    def dismiss(self, name: Hashable, code: int, reason: str) -> None:
        """Do as `Room.dismiss`."""
        self._rounds.begin(self.members(name), lambda member: member.dismiss(code, reason))

    async def send_away(self, name: Hashable, over: float, code: int, reason: str) -> None:
        """Do as `Room.send_away`."""
        await self._rounds.done()
        await send_away(tuple(self.members(name)), over, code, reason)


class Room:
    """All peers that have joined a room, or all of one user: `Hub.room` and `Hub.user` make these.

    Its length is the number of its peers; iteration yields them: those of this process, also where the hub's
    store has it reach those of others.
    """

    __slots__ = ("_policy", "_rooms", "name")

    name: Hashable
    """The name of the room, or the principal."""

    def __init__(self, policy: Policy, rooms: Rooms, name: Hashable) -> None:
        self._policy = policy
        self._rooms = rooms
        self.name = name

    def __len__(self) -> int:
        return len(self._rooms.members(self.name))

    def __iter__(self) -> Iterator[Peer]:
        return iter([member.peer for member in self._rooms.members(self.name)])

    def send(self, message: Message, keep: int | None = None, *, volatile: bool = False) -> None:
        """Send a message to each peer that is a member now; never waits.

        Where processes share the store of the hub's sessions, it goes through the store to the members on all
        of them, those here too, in the same order on each: docs/server/rooms.md. What cannot be published yet
        waits, and `Hub.close` waits for that.

        Our own listener makes it into a frame once, however many they are. All that is sent to a member
        arrives in order, but in a room of more than 1,000: the later ones get it in later turns of the loop,
        and what they are sent by other ways meanwhile comes before it.

        keep: what happens with members that have not taken what was sent to them before, 64 KiB or more. So
            many messages of this room wait for each of them; older ones are dropped and counted
            (`Peer.dropped_messages`, `Hub.stats`). 1 is for news of which the latest is all that counts. None
            (default): nothing is dropped, but who makes no progress is, as with `Peer.send`.
        volatile: it is sent now or never to each, as with `Peer.send`: members that have not taken what was
            sent before do not get it, nor do sessions without a link. Default False.

        Raises:
            SendQueueFull: the store has been away, and 16 MiB of messages to rooms wait for it already.
            OSError: the hub is closed, and its store is one that processes share.
            RuntimeError: this is not the event loop of the hub, as in another thread; the text says how to
                get there.
            TypeError, ValueError: the message cannot be sent, as with `Peer.send`; `keep` is wrong, or given
                together with `volatile`.
        """
        if keep is not None:
            check_count("keep", keep, least=1)
            if volatile:
                raise ValueError("keep and volatile exclude each other: a volatile message never waits")
        message = check_message("message", message)
        self._policy.check_allowed(message)
        self._rooms.enter()
        self._rooms.send(self.name, message, keep, volatile)

    def send_json(self, value: Any, keep: int | None = None, *, volatile: bool = False) -> None:
        """Send a value as a text message of JSON; otherwise as `send`.

        Raises:
            TypeError, ValueError: JSON has no such value.
            and as `send`.
        """
        self.send(to_json(value), keep, volatile=volatile)

    def dismiss(self, reason: str = "", code: int = DISMISSED) -> None:
        """Ask each peer to go and not to come back, as `Peer.dismiss`; never waits.

        Also those of the other processes that share the store of the sessions, if they hear it: they are
        told, and nobody waits for them. Not sessions that no process has now: one whose ID is known is ended
        by `Hub.dismiss`. Raises RuntimeError as `send`.
        """
        check_close(code, reason)
        self._rooms.enter()
        self._rooms.dismiss(self.name, code, reason)

    async def send_away(self, over: float, code: int = 1012, reason: str = "restarting") -> None:
        """Ask each peer to go and to come back spread evenly over so many seconds, as `Hub.send_away`.

        Also those of other processes, as with `dismiss`; returns when those of this one are gone. Raises
        RuntimeError as `send`.
        """
        self._rooms.enter()
        await self._rooms.send_away(self.name, over, code, reason)
