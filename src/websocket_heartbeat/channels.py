"""A channel layer for Django Channels: groups as streams in the store of a hub's sessions.

A group is a stream, as a room is (server/streams.py): each process reads it in the one order that the store
has given, and gives it to the channels that it has in the group. What a channel has no room for is read again
later. The channel of a consumer whose client has a session keeps its places in the streams with the session:
the consumer that goes on with it, wherever that is, begins there.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable
from functools import cached_property
from typing import Any

try:
    import msgpack
    from channels.exceptions import ChannelFull
    from channels.layers import BaseChannelLayer
    from django.utils.module_loading import import_string
except ModuleNotFoundError as _missing:
    raise ImportError(
        "websocket_heartbeat.channels needs packages: pip install 'websocket-heartbeat[channels]'"
    ) from _missing

from websocket_heartbeat.checks import check_count
from websocket_heartbeat.errors import SendQueueFull
from websocket_heartbeat.server.hub import Hub
from websocket_heartbeat.server.links.asgi import AsgiConnection, connection_here
from websocket_heartbeat.server.sessions.link import SessionLink
from websocket_heartbeat.server.sessions.store import SharedStore
from websocket_heartbeat.server.sessions.stores import THROUGH, store_of
from websocket_heartbeat.server.streams import Streams, gapless
from websocket_heartbeat.server.throttle import Throttle

__all__ = ["ChannelLayer"]

_logger = logging.getLogger("websocket_heartbeat.channels")

_GROUP, _PROCESS = "g", "c"
"""What the names of streams begin with in the store: those of groups, and of what is sent to one process."""


class ChannelLayer(BaseChannelLayer):  # type: ignore[misc]  # Channels has no types
    """The backend of `CHANNEL_LAYERS`, with the extensions `groups` and `flush`.

    Messages are what MessagePack carries: dicts with str, bytes, int, float, bool, None, lists and dicts.
    They come to each channel in the order of its group, once, and none expires. A channel lives as long as
    the task that has made it by `new_channel`: for a consumer, until its end.

    hub: the hub, or where it is found, such as "chat.hub.hub". Its `sessions` are in a store that processes
        share.
    capacity: messages that wait for a channel in memory. More of a group stay in the store, which keeps about
        10,000; more sent to the channel alone are refused, or dropped if they come from another process.
        Default 100.

    Raises:
        TypeError, ValueError: an argument is wrong; the text names it.
    """

    extensions: tuple[str, ...] = ("groups", "flush")
    """The extensions of the specification that it has."""

    def __init__(self, hub: Hub | str, capacity: int = 100) -> None:
        if not isinstance(hub, Hub | str):
            raise TypeError(f"hub must be a Hub, or a str such as 'chat.hub.hub', not {type(hub).__name__}")
        super().__init__(capacity=check_count("capacity", capacity, least=1))
        self._named = hub
        self._log = Throttle(_logger)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = ""
        self._count = 0
        self._inbox: _Inbox | None = None
        self._channels: dict[str, _Channel] = {}
        self._groups: dict[str, _Group] = {}

    @cached_property
    def _hub(self) -> Hub:
        """The hub, which may need this layer to be there before it is imported."""
        hub = self._named if isinstance(self._named, Hub) else import_string(self._named)
        if not isinstance(hub, Hub):
            raise TypeError(f"hub must name a Hub: {self._named!r} is {type(hub).__name__}")
        if hub._book is None or hub._book.streams is None:
            raise ValueError(
                'hub must keep its sessions where processes share them, as Hub(sessions="valkey://...") does'
            )
        return hub

    @property
    def _streams(self) -> Streams:
        book = self._hub._book
        assert book is not None
        assert book.streams is not None
        return book.streams

    def _enter(self) -> None:
        """Belong to the running loop, as the hub does."""
        self._hub._commons.enter()
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self._process = secrets.token_hex(8)
            self._inbox = None
            self._channels.clear()
            self._groups.clear()

    # Channels

    async def new_channel(self, prefix: str = "specific") -> str:
        """Return the name of a new channel of this process; waits while the store is away.

        Raises:
            RuntimeError: the hub has peers on another event loop, as it has in a thread of its own.
            TypeError: the prefix cannot begin a name.
        """
        self._enter()
        if self._inbox is None:
            self._inbox = _Inbox(self)
        await asyncio.wait([self._inbox.has_begun])
        self._count += 1
        name = f"{prefix}.{self._process}!{self._count}"
        self.require_valid_channel_name(name)
        channel = self._channels[name] = _Channel(self, name, connection_here(self._hub))
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda _: self._end(channel))
        return name

    def _end(self, channel: "_Channel") -> None:
        if self._channels.get(channel.name) is channel:
            del self._channels[channel.name]
            channel.leave_all()

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send a message to one channel, of whatever process.

        Raises:
            ChannelFull: it has `capacity` messages already, which is known of the channels of this process;
                or the store has been away, and too much waits for it.
            ValueError: it is no channel that `new_channel` has returned.
            OSError, TypeError: as `group_send`.
        """
        self.require_valid_channel_name(channel)
        process = _process_of(channel)
        post = _packed(message)
        here = self._channels.get(channel)
        if here is not None and self._loop is _running():
            if not here.put(_unpacked(post)):
                raise ChannelFull(f"{channel} has {self.capacity} messages")
        else:
            await self._publish(_PROCESS + process, msgpack.packb([channel, post]))

    def _arrived(self, post: bytes) -> None:
        """Take what another process has sent."""
        try:
            name, message = msgpack.unpackb(post)
            channel, received = self._channels.get(name), _unpacked(message)
        except TypeError as error:  # what else it may raise are ValueErrors
            raise ValueError(str(error)) from None
        if channel is not None and not channel.put(received):
            words = "a message to a channel is dropped: %d wait for it"
            self._log.warning(words, self.capacity, extra={"dropped": 1})

    def receive(self, channel: str) -> Awaitable[dict[str, Any]]:
        """Wait for the next message of a channel of this process; with the call, the last one is handled.

        Raises:
            ValueError: it is no channel of this process, or has ended.
        """
        # The session is told of it now, and not in a turn of the loop to come: so that is written together
        # with what the consumer has just sent.
        here = self._here(channel)
        here.handled()
        return here.next()

    def _here(self, name: str) -> "_Channel":
        self.require_valid_channel_name(name)
        channel = self._channels.get(name)
        if channel is None:
            _process_of(name)
            raise ValueError(f"channel must be one of this process that has not ended, not {name!r}")
        return channel

    # Groups

    async def group_add(self, group: str, channel: str) -> None:
        """Have a channel of this process get what is sent to a group from now on.

        For a client with a session that was in the group already: from the place where that is. Waits while
        the store is away.

        Raises:
            ValueError: it is no channel of this process, or has ended.
            TypeError: the group can have no such name.
        """
        self.require_valid_group_name(group)
        await self._join(self._here(channel), _GROUP + group)

    async def _join(self, channel: "_Channel", key: str) -> None:
        if key in channel.places:
            await asyncio.wait([channel.places[key].group.has_begun])
            return
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(self, key)
        place = channel.places[key] = group.places[channel] = _Place(channel, group)
        await asyncio.wait([group.has_begun])
        place.keep_with_session()

    async def group_discard(self, group: str, channel: str) -> None:
        """Have a channel get no more of a group; does nothing if it is not in it, or has ended.

        Raises:
            TypeError: a name cannot be one.
        """
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        here = self._channels.get(channel)
        if here is not None:
            here.leave(_GROUP + group)

    def _left(self, group: "_Group") -> None:
        if not group.places and self._groups.get(group.key) is group:
            del self._groups[group.key]
            self._streams.unfollow(group.followed)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send a message to the channels of a group, of all processes.

        On the loop of the hub it returns at once: what cannot be published yet waits in memory, in order. On
        another one, as below `async_to_sync` in a task of Celery, it returns when the store has the message,
        by a connection of its own. A process that has no clients and sends much has the hub on its loop by
        `async with hub`.

        Raises:
            ChannelFull: the store has been away, and 16 MiB wait for it already.
            OSError: the hub is closed; or, on another loop than its own, the store cannot be reached: the
                message may have been sent, or not.
            TypeError: the message is no dict, or holds what MessagePack has not; the group can have no such
                name.
        """
        self.require_valid_group_name(group)
        await self._publish(_GROUP + group, _packed(message))

    async def _publish(self, key: str, post: bytes) -> None:
        hub = self._hub
        if hub._commons.loop is asyncio.get_running_loop():
            try:
                self._streams.publish(key, post)
            except SendQueueFull as full:
                raise ChannelFull(str(full)) from full
            return
        assert hub._sessions is not None
        store = store_of(hub._sessions, hub._session_ttl, THROUGH)
        assert isinstance(store, SharedStore)
        sender = secrets.token_hex(8)
        try:
            await store.open(sender, lambda data: None, lambda: ())
            await store.publish(key, sender, 1, [post])
        finally:
            await store.close()

    async def flush(self) -> None:
        """Forget what waits for the channels of this process, and their groups."""
        for channel in list(self._channels.values()):
            channel.leave_all()
            channel.sent.clear()


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _process_of(channel: str) -> str:
    """Return which process has a channel.

    Raises:
        ValueError: none has.
    """
    start, separator, _ = channel.partition("!")
    _, dot, process = start.rpartition(".")
    if not (separator and dot and process):
        raise ValueError(
            f"channel must be one that new_channel has returned, not {channel!r}: for channels that workers "
            "share, have another layer beside this one"
        )
    return process


def _packed(message: dict[str, Any]) -> bytes:
    if not isinstance(message, dict):
        raise TypeError(f"message must be a dict, not {type(message).__name__}")
    packed: bytes = msgpack.packb(message)
    return packed


class _Channel:
    """One channel of this process. connection: of its consumer, if the hub has that; None: of none.

    places: in the streams of its groups, by their keys. sent: what was sent to it alone.
    session: that of its client, once it is known. waiting: what it has not received of its groups.
    """

    def __init__(self, layer: ChannelLayer, name: str, connection: AsgiConnection | None) -> None:
        self._layer = layer
        self.name = name
        self.places: dict[str, _Place] = {}
        self.sent: deque[dict[str, Any]] = deque()
        self.session: SessionLink | None = None
        self.waiting: deque[tuple[_Place, int, bytes]] = deque()
        self._connection = connection
        self._is_known = connection is None  # whether it is known what session there is
        self._in_hand: tuple[_Place, int] | None = None
        self._woken: asyncio.Future[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether as much of its groups waits as may."""
        capacity: int = self._layer.capacity
        return len(self.waiting) >= capacity

    def put(self, message: dict[str, Any]) -> bool:
        """Have it receive a message that was sent to it alone; false: there is no room."""
        if len(self.sent) >= self._layer.capacity:
            return False
        self.sent.append(message)
        self.wake()
        return True

    def wake(self) -> None:
        """Have `next` look again."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def handled(self) -> None:
        """Take the news that what was received is handled."""
        if self._in_hand is not None:
            place, number = self._in_hand
            self._in_hand = None
            if self.session is not None and place.group.key in self.places:
                self.session.set_place(place.group.key, number)
                self.session.write_rooms()

    def handled_of(self, place: "_Place") -> int:
        """Return the number up to which all of a group is handled, of a place whose stream is read."""
        assert place.number is not None
        if self._in_hand is not None and self._in_hand[0] is place:
            return self._in_hand[1] - 1
        waits = next((number for each, number, _ in self.waiting if each is place), place.number + 1)
        return waits - 1

    async def next(self) -> dict[str, Any]:
        """Return the next message; not before the session is known, as that tells where to begin."""
        if not self._is_known:
            await self._find_session()
        while True:
            if self.sent:
                return self.sent.popleft()
            if self.waiting:
                place, number, post = self.waiting.popleft()
                self._in_hand = place, number
                try:
                    return _unpacked(post)
                except ValueError:
                    place.group.streams.tell_foreign(post)
                    continue
            behind = next((place for place in self.places.values() if place.is_behind), None)
            if behind is not None:
                # The others have their turn first when more is to be read.
                self.places[behind.group.key] = self.places.pop(behind.group.key)
                await behind.catch_up()
            else:
                self._woken = asyncio.get_running_loop().create_future()
                await self._woken

    async def _find_session(self) -> None:
        assert self._connection is not None
        self.session = await self._connection.session()
        for place in list(self.places.values()):
            place.keep_with_session()
        if self.session is not None:
            for key in list(self.session.rooms):
                if key.startswith(_GROUP):
                    await self._layer._join(self, key)
        self._is_known = True

    def leave(self, key: str) -> None:
        """Be in a group no more, nor its session."""
        place = self.places.pop(key, None)
        if place is not None:
            self._gone_from(place)
            if self.session is not None:
                self.session.set_place(key, None)
                self.session.write_rooms()

    def leave_all(self) -> None:
        """Be in no group any more; its session is in them still."""
        places, self.places = self.places, {}
        for place in places.values():
            self._gone_from(place)

    def _gone_from(self, place: "_Place") -> None:
        place.forget_waiting()
        del place.group.places[self]
        self._layer._left(place.group)


def _unpacked(post: bytes) -> dict[str, Any]:
    """Return a message; ValueError: no process of ours has sent it."""
    message = msgpack.unpackb(post)
    if not isinstance(message, dict):
        raise ValueError("a message is a dict")
    return message


class _Place:
    """Where a channel is in the stream of a group.

    number: of the last message that waits for it, or did; None: the stream is not read yet.
    is_behind: whether it has to read the stream itself, and is given nothing.
    """

    def __init__(self, channel: _Channel, group: "_Group") -> None:
        self._channel = channel
        self.group = group
        self.number = group.followed.number
        self.is_behind = False

    def take(self, number: int, post: bytes) -> None:
        """Take a message of the stream, or leave it there."""
        if self.is_behind or self.number is None or number <= self.number:
            return
        if self._channel.is_full:
            self.is_behind = True
            return
        self._channel.waiting.append((self, number, post))
        self.number = number
        self._channel.wake()

    def missed(self, number: int) -> None:
        """Take the news that messages up to a number cannot be had."""
        if not self.is_behind and self.number is not None and number > self.number:
            self.number = number
            self.group.warn()

    def keep_with_session(self) -> None:
        """Begin where the session is that the channel belongs to, or have it be here."""
        session = self._channel.session
        if session is None or self.number is None or self.group.key not in self._channel.places:
            return
        known = session.rooms.get(self.group.key)
        if known is None:
            session.set_place(self.group.key, self._channel.handled_of(self))
            session.write_rooms()
            return
        self.forget_waiting()
        self.number = known
        self.is_behind = True
        self._channel.wake()

    def forget_waiting(self) -> None:
        """Have nothing of this group wait."""
        others = [each for each in self._channel.waiting if each[0] is not self]
        self._channel.waiting = deque(others)

    async def catch_up(self) -> None:
        """Read what it is behind with, or the first part of it."""
        assert self.number is not None
        streams, begin = self.group.streams, self.number
        try:
            read = await streams.read(self.group.key, begin)
        except OSError as error:
            await streams.pause(error)
            return
        if self.group.key not in self._channel.places or self.number != begin:
            return
        for number, post in gapless(begin, read):
            self.number = number
            if post is None:
                self.group.warn()
            else:
                self._channel.waiting.append((self, number, post))
        if not read.posts or self.number >= (self.group.followed.number or 0):
            self.is_behind = False


class _Group:
    """The stream of one group, as this process reads it. has_begun: done once it does."""

    def __init__(self, layer: ChannelLayer, key: str) -> None:
        self.key = key
        self.streams = layer._streams
        self.places: dict[_Channel, _Place] = {}
        self.has_begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._log = layer._log
        self.followed = self.streams.follow(key, self)

    def begun(self, number: int) -> None:
        """As in Reader."""
        for place in self.places.values():
            place.number = number
        self.has_begun.set_result(None)

    def take(self, number: int, post: bytes) -> int:
        """As in Reader."""
        for place in self.places.values():
            place.take(number, post)
        return len(self.places)

    def missed(self, number: int) -> None:
        """As in Reader."""
        for place in self.places.values():
            place.missed(number)

    def warn(self) -> None:
        """Log that a channel has missed messages, or may have."""
        self._log.warning("a channel may have missed messages of a group: the store keeps them no more")


class _Inbox:
    """The stream of what other processes send to channels of this one. has_begun: done once it is read."""

    def __init__(self, layer: ChannelLayer) -> None:
        self._layer = layer
        self.has_begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        layer._streams.follow(_PROCESS + layer._process, self)

    def begun(self, number: int) -> None:
        """As in Reader."""
        self.has_begun.set_result(None)

    def take(self, number: int, post: bytes) -> int:
        """As in Reader."""
        self._layer._arrived(post)
        return 1

    def missed(self, number: int) -> None:
        """As in Reader."""
        self._layer._log.warning("channels may have missed messages: the store keeps them no more")
