"""Whether a silent peer lives: it is pinged after half of idle_timeout, and has the other half to answer."""

from websocket_heartbeat.engines.base import Link


class Ping:
    """A ping to a silent peer that has not answered it yet.

    since: when it left as far as is known; later while bytes that were sent before it are still being taken.
    is_behind: whether there are such bytes.
    """

    __slots__ = ("_before", "_taken", "since")

    def __init__(self, link: Link, taken: int, now: float) -> None:
        """Send it; taken: how much the peer has taken so far."""
        self._taken = taken
        self._before = link.position
        self.since: float = now
        link.ping()

    @property
    def is_behind(self) -> bool:
        """Whether bytes that were sent before it have not been taken yet."""
        return self._taken < self._before

    def look(self, taken: int, now: float) -> None:
        """Take the news of how much the peer has taken."""
        if self.is_behind and taken > self._taken:
            self._taken = taken
            self.since = now


class Silence:
    """What is known of the life of one peer.

    has_beaten: whether a heartbeat message has come.
    round_trip: seconds from the last ping to its pong; None: not known.
    """

    __slots__ = ("_ping", "has_beaten", "round_trip")

    def __init__(self) -> None:
        self._ping: Ping | None = None  # one that is unanswered
        self.has_beaten: bool = False
        self.round_trip: float | None = None

    def ponged(self, now: float) -> float | None:
        """Take the answer to a ping; return its round trip, None where that is not known.

        That it is a sign of life is seen where it is asked for.
        """
        ping, self._ping = self._ping, None
        if ping is None or ping.is_behind:
            return None
        self.round_trip = now - ping.since
        return self.round_trip

    def look(self, link: Link, now: float, listening_since: float, idle_timeout: float) -> float | None:
        """Ping a peer that was silent for half of idle_timeout; return when to look again, None to drop it.

        listening_since: since when we read from it. The ping has the other half to be answered, also where it
        left late as our loop was blocked.
        """
        half = idle_timeout / 2
        evidence = link.evidence()
        heard = max(evidence.heard_at, listening_since)
        if not link.can_ping:
            # It may be well, and have nothing to say, unless it sends heartbeats.
            silent = self.has_beaten and now >= heard + idle_timeout
            return None if silent else max(now + half / 4, heard + idle_timeout)
        ping = self._ping
        # The kernel's times are rough. But what was heard before the ping is older than it by a half.
        if ping is not None and heard > ping.since - half / 2:
            ping = self._ping = None
        if ping is None:
            if now < heard + half:
                return heard + half
            ping = self._ping = Ping(link, evidence.taken, now)
        else:
            ping.look(evidence.taken, now)
        due = max(heard + idle_timeout, ping.since + half)
        if now >= due:
            return None
        return min(due, now + half / 4) if ping.is_behind else due
