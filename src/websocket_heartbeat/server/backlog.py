"""Messages of rooms that wait until a member has taken what was sent before: the latest of each room."""

from collections import deque
from collections.abc import Hashable

from websocket_heartbeat.engines.base import Link, SharedMessage


class Backlog:
    """The messages that wait, of each room in order. It is there while some wait."""

    __slots__ = ("_rooms",)

    def __init__(self) -> None:
        self._rooms: dict[Hashable, deque[SharedMessage]] = {}

    def put(self, room: Hashable, shared: SharedMessage, keep: int) -> int:
        """Let a message wait, and drop the room's oldest ones beyond `keep`; return how many those were."""
        messages = self._rooms.get(room)
        if messages is None:
            messages = self._rooms[room] = deque()
        messages.append(shared)
        dropped = len(messages) - keep
        for _ in range(dropped):
            messages.popleft()
        return max(0, dropped)

    def send(self, link: Link, whole: bool) -> bool:
        """Send what waits, room by room, until the link is full, or all; return whether nothing waits now."""
        for room, messages in list(self._rooms.items()):
            while messages:
                if link.full and not whole:
                    return False
                link.send_shared(messages.popleft())
            del self._rooms[room]
        return True
