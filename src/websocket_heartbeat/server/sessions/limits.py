"""What sessions may take of a server: memory together, sessions a principal, resumes a second.

docs/session.md, chapter 10. What a link may take that has no session yet is in door.py.
"""

import random
from collections.abc import Iterable

from websocket_heartbeat.core.session import Window
from websocket_heartbeat.server.sessions.link import SessionLink

OVER_LIMIT = 4494
"""The close code of a link that a limit keeps from its session; the reason says when to come back."""

LARGEST_WINDOW = Window(16 * 1024, 4 * 2**20)
"""What one client may leave unacknowledged, whatever it offers: else one could fill the memory of all."""

PER_PRINCIPAL = 16
"""Sessions; where there are more, one without a link expires for each that begins."""

RESUMES_AT_ONCE = 3
RESUME_EVERY = 1.0
"""So many resumes of a session at once, then one in so many seconds."""

_COME_BACK = (5, 15)
"""Seconds after which clients may come back for which there is no room: each at another time."""

_FULL = 7 / 8
"""The part of the memory beyond which no session begins; down to that room is made, once all is taken."""


class OverLimit(Exception):
    """A link gets no session now. seconds: how long its client is to stay away."""

    def __init__(self, why: str, seconds: float) -> None:
        super().__init__(why)
        self.seconds = seconds


class Limits:
    """What the sessions of one hub take, and who must go or wait, where that is too much.

    most: bytes that messages may take together. held: those that they take.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.held: float = 0.0
        self._of: dict[str, dict[SessionLink, None]] = {}  # by principal

    def add(self, session: SessionLink) -> None:
        """Count a session."""
        if session.principal is not None:
            self._of.setdefault(session.principal, {})[session] = None

    def remove(self, session: SessionLink) -> None:
        """Count it no more."""
        if session.principal is not None:
            sessions = self._of[session.principal]
            del sessions[session]
            if not sessions:
                del self._of[session.principal]

    def check_room(self) -> None:
        """Let a session begin.

        Raises:
            OverLimit: there is no room.
        """
        if self.held > self.most * _FULL:
            raise OverLimit(f"messages take most of session_limit={self.most}", random.randint(*_COME_BACK))

    def check_resume(self, session: SessionLink, now: float) -> None:
        """Let a session go on over a new link.

        Raises:
            OverLimit: that happens too often.
        """
        busy = max(0.0, session.busy_until - now)
        wait = busy - (RESUMES_AT_ONCE - 1) * RESUME_EVERY
        if wait > 0:
            raise OverLimit("it is resumed too often", wait)
        session.busy_until = now + busy + RESUME_EVERY

    def one_too_many(self, principal: str | None) -> SessionLink | None:
        """Return the session that must go, when the principal begins another one."""
        sessions = {} if principal is None else self._of.get(principal, {})
        if len(sessions) < PER_PRINCIPAL:
            return None
        detached = [session for session in sessions if session.deadline is not None]
        return min(detached, key=lambda session: session.deadline or 0, default=None)

    def in_the_way(self, sessions: Iterable[SessionLink]) -> list[SessionLink]:
        """Return those that must go so that there is room: the largest without a link, and then of all."""
        found = []
        excess = self.held - self.most * _FULL
        for session in sorted(sessions, key=lambda session: (session.deadline is None, -session.held)):
            if excess <= 0:
                break
            if session.held:
                found.append(session)
                excess -= session.held
        return found
