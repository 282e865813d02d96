"""Copies of sessions that this process has given up, or has claimed and not gone on with yet.

Should the store forget such a session, nobody else is known to have one.
"""

import asyncio

from websocket_heartbeat.server.sessions.store import NOBODY, Found


class Copies:
    """Those of one process, each kept for a ttl."""

    def __init__(self, ttl: float) -> None:
        self._ttl = ttl
        self._copies: dict[str, tuple[float, Found]] = {}  # by ID, and when it was made, the oldest first

    def add(self, found: Found) -> None:
        """Keep one, in place of an older one of the same session."""
        self._copies.pop(found.record.id, None)
        self._copies[found.record.id] = asyncio.get_running_loop().time(), found

    def of(self, id: str) -> Found | None:
        """Return the one of a session."""
        self.expire()
        return self._copies[id][1] if id in self._copies else None

    def of_claimed(self, id: str) -> Found | None:
        """Return the one of a session that this process has claimed."""
        found = self.of(id)
        return None if found is None or found.record.node == NOBODY else found

    def all_claimed(self) -> list[Found]:
        """Return those of all sessions that this process has claimed."""
        self.expire()
        return [found for _, found in self._copies.values() if found.record.node != NOBODY]

    def discard(self, id: str) -> None:
        """Keep none of a session."""
        self._copies.pop(id, None)

    def claimed_elsewhere(self, id: str, generation: int) -> None:
        """Keep none of a session that is older than what another process has claimed."""
        if id in self._copies and self._copies[id][1].record.generation < generation:
            del self._copies[id]

    def expire(self) -> None:
        """Keep none for longer than a ttl."""
        until = asyncio.get_running_loop().time() - self._ttl
        for id, (at, _) in list(self._copies.items()):
            if at > until:
                break
            del self._copies[id]

    def clear(self) -> None:
        """Keep none."""
        self._copies.clear()
