"""Rooms of a hub whose store processes share: what is sent to one reaches its members on all nodes.

It goes through the room's stream (streams.py), to the members here too. A session has its place in the stream
of each of its rooms: it goes on from there at whatever node its client comes to, and catches up.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Any

from websocket_heartbeat.engines.base import SharedMessage
from websocket_heartbeat.errors import PeerGone
from websocket_heartbeat.events import Message
from websocket_heartbeat.server.batch import Batch
from websocket_heartbeat.server.farewell import check_farewell
from websocket_heartbeat.server.policy import Policy
from websocket_heartbeat.server.rooms import Member, Room, Rooms
from websocket_heartbeat.server.rounds import Rounds
from websocket_heartbeat.server.sessions.identity import name_of
from websocket_heartbeat.server.sessions.link import SessionLink
from websocket_heartbeat.server.stats import Tally
from websocket_heartbeat.server.streams import Followed, Streams, gapless

NO_PLACE = 0
"""The place of a session that has joined a room of whose stream it has not been told yet where it ends."""

_LONGEST_NAME = 1024
"""Bytes of a room's name: an index of PostgreSQL takes 2,700, and what it refuses would be tried for ever."""

Tell = Callable[[str, dict[str, Any]], None]
"""Called with what a room is called in the store, and what the other nodes are to do with their members."""

Missed = Callable[[Member, Room], None]
"""Called with a member and a room of which it may have missed messages."""


def room_key(name: Hashable) -> str:
    """Return the name of a room in the store.

    Raises:
        TypeError, ValueError: it has none there.
    """
    if not isinstance(name, str):
        raise TypeError(
            f"name must be a str, as processes share the rooms of this hub, not {type(name).__name__}"
        )
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError(f"name must not hold a lone surrogate: {name!r:.60}") from None
    if size > _LONGEST_NAME:
        raise ValueError(f"name must be at most {_LONGEST_NAME} bytes of UTF-8, not {size}")
    return f"r{name}"


def user_key(principal: Hashable) -> str:
    """Return the name of the peers of a principal in the store: of the same for what has the same repr."""
    name = f"{name_of(principal)}".encode(errors="backslashreplace")
    # No qualified name of a type begins with a number sign.
    return f"u{name.decode()}" if len(name) <= _LONGEST_NAME else f"u#{hashlib.sha256(name).hexdigest()}"


def name_in(key: str) -> str | None:
    """Return the name of a room, of what `room_key` has returned; None: it is that of a user."""
    return key[1:] if key.startswith("r") else None


class SharedRooms(Rooms):
    """See above. key: returns what a room, or the peers of a principal, are called in the store."""

    def __init__(
        self,
        enter: Callable[[], None],
        rounds: Rounds[Member],
        batch: Batch,
        streams: Streams,
        policy: Policy,
        tally: Tally,
        key: Callable[[Hashable], str],
        missed: Missed,
        tell: Tell,
    ) -> None:
        super().__init__(enter, rounds, batch)
        self._streams = streams
        self._policy = policy
        self._tally = tally
        self._key = key
        self._missed = missed
        self._tell = tell
        self._readers: dict[str, _Room] = {}  # by what the room is called in the store, as its members are
        # What it is called there by its name, and how many have joined by that: the repr of a principal may
        # change, and several that are not equal may have the same.
        self._keys: dict[Hashable, str] = {}
        self._joined: Counter[Hashable] = Counter()

    def _key_of(self, name: Hashable) -> str:
        key = self._keys.get(name)
        return self._key(name) if key is None else key

    def check(self, name: Hashable) -> None:
        """As in Rooms."""
        self._key(name)

    def join(self, name: Hashable, member: Member) -> None:
        """As in Rooms."""
        key = self._keys[name] = self._key_of(name)
        self._joined[name] += 1
        super().join(key, member)
        room = self._readers.get(key)
        if room is None:
            room = self._readers[key] = _Room(self, name)
        room.joined(member)

    def leave(self, name: Hashable, member: Member) -> None:
        """As in Rooms; also of its session, wherever that goes on."""
        key = self._keys[name]
        self.remove(name, member)
        if member.session is not None:
            member.session.set_place(key, None)
            member.session.write_rooms()

    def remove(self, name: Hashable, member: Member) -> None:
        """As in Rooms; its session is a member still."""
        key = self._keys[name]
        self._joined[name] -= 1
        if not self._joined[name]:
            del self._joined[name], self._keys[name]
        super().remove(key, member)
        room = self._readers[key]
        room.left(member)
        if key not in self._members:
            del self._readers[key]
            self._streams.unfollow(room.followed)

    def members(self, name: Hashable) -> Collection[Member]:
        """As in Rooms."""
        return super().members(self._key_of(name))

    def sizes(self) -> dict[Hashable, int]:
        """As in Rooms."""
        return {room.name: len(self._members[key]) for key, room in self._readers.items()}

    def send(self, name: Hashable, message: Message, keep: int | None, volatile: bool) -> None:
        """As in Rooms: to the members on all nodes."""
        if volatile and self._streams.is_away:
            self._tally.dropped_messages += 1
        else:
            self._streams.publish(self._key_of(name), _packed(message, keep, volatile))

    def dismiss(self, name: Hashable, code: int, reason: str) -> None:
        """As in Rooms; the other nodes are told."""
        super().dismiss(name, code, reason)
        self._tell(self._key_of(name), {"dismiss": reason, "code": code})

    async def send_away(self, name: Hashable, over: float, code: int, reason: str) -> None:
        """As in Rooms; the other nodes are told."""
        check_farewell(over, code, reason)
        self._tell(self._key_of(name), {"away": reason, "code": code, "over": over})
        await super().send_away(name, over, code, reason)

    async def do(self, key: str, what: Mapping[str, Any]) -> None:
        """Do with the members here what another node has told."""
        room = self._readers.get(key)
        if room is None:
            return
        if "dismiss" in what:
            super().dismiss(room.name, what["code"], what["dismiss"])
        else:
            await super().send_away(room.name, what["over"], what["code"], what["away"])


class _Room:
    """The members here of one room, as the reader of its stream. key: what it is called in the store.

    behind: those that are catching up, each with the task that sees to it: they are given nothing else.
    """

    def __init__(self, rooms: SharedRooms, name: Hashable) -> None:
        self._rooms = rooms
        self.name = name
        self.key = rooms._key_of(name)
        self._members = rooms.members(name)
        self._behind: dict[Member, asyncio.Task[None]] = {}
        self._begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.followed: Followed = rooms._streams.follow(self.key, self)

    def joined(self, member: Member) -> None:
        """Have a member get what is published from now on; a session that was one, from its place on."""
        session = member.session
        if session is None:
            return
        place = session.rooms.get(self.key)
        if not place:
            session.set_place(self.key, self.followed.number or NO_PLACE)
            session.write_rooms()
            if place == NO_PLACE:
                asyncio.get_running_loop().call_soon(self._tell_missed, member)  # not before on_open
        else:
            catch_up = self._catch_up(member, session, place)
            self._behind[member] = self._rooms._streams.spawn(catch_up)

    def left(self, member: Member) -> None:
        """Give it nothing more."""
        catching_up = self._behind.pop(member, None)
        if catching_up is not None and not catching_up.get_loop().is_closed():
            catching_up.cancel()

    # As a Reader

    def begun(self, number: int) -> None:
        """As in Reader."""
        for member in self._members:
            if member.session is not None and member.session.rooms.get(self.key) == NO_PLACE:
                member.session.set_place(self.key, number)
        self._begun.set_result(None)

    def take(self, number: int, post: bytes) -> int:
        """As in Reader."""
        give = self._giving(number, post)
        behind = self._behind
        self._rooms._rounds.begin(self._members, lambda member: None if member in behind else give(member))
        return len(self._members)

    def missed(self, number: int) -> None:
        """As in Reader."""
        behind = self._behind
        self._rooms._rounds.begin(
            self._members, lambda member: None if member in behind else self._has_missed(member, number)
        )

    def _has_missed(self, member: Member, number: int) -> None:
        if member.session is not None:
            member.session.set_place(self.key, number)
        self._tell_missed(member)

    def _tell_missed(self, member: Member) -> None:
        self._rooms._missed(member, Room(self._rooms._policy, self._rooms, self.name))

    def _giving(self, number: int, post: bytes) -> Callable[[Member], None]:
        """Return what gives a message to a member."""
        message, keep, volatile = _unpacked(post)
        shared = SharedMessage(message, self._rooms._batch.hold, (self.key, number))
        if volatile:
            return lambda member: member.send_shared_volatile(shared)
        room = self._rooms, self.name
        return lambda member: member.send_shared(shared, room, keep)

    async def _catch_up(self, member: Member, session: SessionLink, place: int) -> None:
        """Give a member what it has not had, as it has room for it, until it is where the others are."""
        streams = self._rooms._streams
        await asyncio.wait([self._begun])  # it is not this task's alone: cancelled, it must not cancel that
        while self.followed.number is not None and place < self.followed.number:
            try:
                read = await streams.read(self.key, place)
            except OSError as error:
                await streams.pause(error)
                continue
            for number, post in gapless(place, read):
                place = number
                try:
                    is_volatile = post is not None and _unpacked(post)[2]
                except ValueError:
                    assert post is not None
                    streams.tell_foreign(post)
                    post = None
                if post is None:
                    self._has_missed(member, number)
                elif not is_volatile:
                    try:
                        await member.has_room()
                    except PeerGone:
                        return
                    self._giving(number, post)(member)
            if not read.posts:
                break
        del self._behind[member]


def _packed(message: Message, keep: int | None, volatile: bool) -> bytes:
    """Return a message as it is in the stream, with how it is to be sent."""
    how = b"v" if volatile else b"" if keep is None else b"%d" % keep
    kind, data = (b"t", message.encode()) if isinstance(message, str) else (b"b", message)
    return kind + how + b"\n" + data


def _unpacked(post: bytes) -> tuple[Message, int | None, bool]:
    """Return a message, what is to be kept of its room, and whether it is volatile.

    Raises:
        ValueError: no process of ours has sent it.
    """
    how, _, data = post.partition(b"\n")
    message: Message = data.decode() if how[:1] == b"t" else data
    volatile = how[1:] == b"v"
    return message, None if volatile or len(how) == 1 else int(how[1:]), volatile
