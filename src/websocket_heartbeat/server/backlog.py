"""Messages of rooms that wait until a member has taken what was sent before: the latest of each room."""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import TYPE_CHECKING

from websocket_heartbeat.engines.base import SharedMessage

if TYPE_CHECKING:
    from websocket_heartbeat.server.handler import PeerHandler


class Backlog:
    """The messages that wait, of each room in order. It is there while some wait."""

    __slots__ = ("_handler", "_rooms")

    def __init__(self, handler: "PeerHandler") -> None:
        self._handler = handler
        self._rooms: OrderedDict[Hashable, deque[SharedMessage]] = OrderedDict()  # the next one first

    def put(self, room: Hashable, shared: SharedMessage, keep: int) -> None:
        """Let a message wait; drop, and count, the room's oldest ones beyond `keep`."""
        messages = self._rooms.get(room)
        if messages is None:
            messages = self._rooms[room] = deque()
        messages.append(shared)
        while len(messages) > keep:
            messages.popleft()
            self._count_dropped()

    def _count_dropped(self) -> None:
        handler = self._handler
        if not handler.dropped_messages:
            handler.keeper.log.warning(
                "%r reads more slowly than its rooms send: messages of them are dropped, and counted",
                handler.peer,
                extra=handler.fields,
            )
        handler.dropped_messages += 1
        handler.keeper.tally.dropped_messages += 1

    def send(self, *, whole: bool) -> bool:
        """Send what waits, each room in its turn, until the link is full; return whether nothing waits now.

        whole: send all, also beyond that.
        """
        link = self._handler.link
        while self._rooms:
            if link.full and not whole:
                return False
            room, messages = self._rooms.popitem(last=False)
            link.send_shared(messages.popleft())
            if messages:
                self._rooms[room] = messages
        return True
