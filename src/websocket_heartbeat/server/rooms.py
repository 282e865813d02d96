"""Groups of peers: the rooms that they join, and the peers of each user."""

from collections.abc import Hashable, Iterator
from typing import Protocol

from websocket_heartbeat.checks import check_close, check_message
from websocket_heartbeat.events import Message
from websocket_heartbeat.server.farewell import Leaver, send_away
from websocket_heartbeat.server.peer import DISMISSED, Peer


class Member(Leaver, Protocol):
    """The inside of a peer, as far as rooms need it: handler.py."""

    @property
    def peer(self) -> Peer:
        """What users hold."""

    def send(self, message: Message) -> None:
        """Send it a message that was checked; never waits."""

    def dismiss(self, code: int, reason: str) -> None:
        """Ask it to go and not to come back, with a code and a reason that were checked."""


class Rooms:
    """Who is in which room. A room is there while somebody is in it."""

    def __init__(self) -> None:
        self._members: dict[Hashable, dict[Member, None]] = {}

    def join(self, name: Hashable, member: Member) -> None:
        """Add a member."""
        self._members.setdefault(name, {})[member] = None

    def leave(self, name: Hashable, member: Member) -> None:
        """Remove a member."""
        members = self._members[name]
        del members[member]
        if not members:
            del self._members[name]

    def members(self, name: Hashable) -> tuple[Member, ...]:
        """Return who is in a room, in the order in which they have joined."""
        return tuple(self._members.get(name, ()))


class Room:
    """All peers that have joined a room, or all of one user: `Hub.room` and `Hub.user` make these.

    name: that of the room, or the principal. Its length is the number of its peers; iteration yields them.
    """

    __slots__ = ("_rooms", "name")

    def __init__(self, rooms: Rooms, name: Hashable) -> None:
        self._rooms = rooms
        self.name = name

    def __len__(self) -> int:
        return len(self._rooms.members(self.name))

    def __iter__(self) -> Iterator[Peer]:
        return (member.peer for member in self._rooms.members(self.name))

    def send(self, message: Message) -> None:
        """Send a message to each peer; never waits.

        Raises:
            TypeError, ValueError: the message cannot be sent, as with `Peer.send`.
        """
        message = check_message("message", message)
        for member in self._rooms.members(self.name):
            member.send(message)

    def dismiss(self, reason: str = "", code: int = DISMISSED) -> None:
        """Ask each peer to go and not to come back, as `Peer.dismiss`."""
        check_close(code, reason)
        for member in self._rooms.members(self.name):
            member.dismiss(code, reason)

    async def send_away(self, over: float, code: int = 1012, reason: str = "restarting") -> None:
        """Ask each peer to go and to come back spread evenly over so many seconds, as `Hub.send_away`."""
        await send_away(self._rooms.members(self.name), over, code, reason)
