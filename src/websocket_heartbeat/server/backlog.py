"""Messages of rooms that wait until a member has taken what was sent before: the latest of each room."""

from collections import deque
from collections.abc import Hashable

from websocket_heartbeat.engines.base import SharedMessage


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

    def take(self) -> SharedMessage | None:
        """Take the oldest message, of the room that has waited longest; None: there is none any more."""
        for room, messages in self._rooms.items():
            shared = messages.popleft()
            if not messages:
                del self._rooms[room]
            return shared
        return None
