"""Volatile messages of a session: at most once, without a number, kept nowhere (docs/session.md, 5).

Those that wait for something have a bound of their own, as nobody acknowledges them.
"""

from typing import Final

from websocket_heartbeat.core.session import Window

VOLATILE: Final = "~"
"""What goes before one on the link, where others have the character of their number."""


class Waiting:
    """How many volatile messages wait, and how much they are: at most a window of them, but always one."""

    __slots__ = ("_most", "messages", "size")

    def __init__(self, most: Window) -> None:
        self._most = most
        self.messages: int = 0
        self.size: int = 0

    def add(self, size: int) -> bool:
        """Count one more; false if there is no room, and it is to be dropped."""
        if self.messages and (self.messages >= self._most.messages or self.size + size > self._most.size):
            return False
        self.messages += 1
        self.size += size
        return True

    def remove(self, size: int) -> None:
        """Count one that waits no more."""
        self.messages -= 1
        self.size -= size
