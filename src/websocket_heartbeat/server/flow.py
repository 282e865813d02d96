"""What a peer takes of what is sent to it: whether a ping can have reached it, and whether it reads at all.

Linux tells how much the peer's kernel has acknowledged. Elsewhere it counts as taken what leaves our own
write buffer, and only while that gets shorter.
"""

from websocket_heartbeat.engines.base import Link
from websocket_heartbeat.system.kernel import delivery


def taken_and_waiting(link: Link) -> tuple[int, int]:
    """Return how many bytes the peer has taken, counted from some fixed number, and how many wait for it.

    Their sum is a place in the stream: all that was sent so far has been taken when as much was taken.
    """
    buffered = link.buffered
    known = delivery(link.socket)
    if known is None:
        return -buffered, buffered
    acknowledged, held = known
    return acknowledged, held + buffered


class Ping:
    """A ping to a silent peer that has not answered it yet.

    since: when it left as far as is known; later while bytes that were sent before it are still being taken.
    is_behind: whether there are such bytes.
    """

    __slots__ = ("_before", "_taken", "since")

    def __init__(self, link: Link, now: float) -> None:
        """Send it."""
        self._taken, waiting = taken_and_waiting(link)
        self._before = self._taken + waiting
        self.since = now
        link.ping()

    @property
    def is_behind(self) -> bool:
        """Whether bytes that were sent before it have not been taken yet."""
        return self._taken < self._before

    def look(self, link: Link, now: float) -> None:
        """Find out how far the ping has come."""
        if self.is_behind:
            taken = min(self._before, taken_and_waiting(link)[0])
            if taken > self._taken:
                self._taken = taken
                self.since = now
