"""One line of the cardiogram: a connection of a client, or a peer of a hub, with its beats and marks."""

from collections import deque
from typing import Any, NamedTuple, Protocol
from weakref import ref

from websocket_heartbeat.events import State
from websocket_heartbeat.observer import ObservedConnection, ObservedPeer
from websocket_heartbeat.redaction import printable

KEPT_BEATS = 120
"""Of a line that is shown: one a second, so two minutes."""

_KEPT_MARKS = 12

_LONGEST = 200
"""Characters of a path, which may be a stranger's."""


class Beat(NamedTuple):
    """What one second of a line was like.

    state: one of `State`, or "away", a session without a link, or "gone". heard: whether anything arrived.
    round_trip: seconds; None: none was measured. silent_for: seconds since anything arrived, None without a
    link. queue: messages that wait to be sent; of a peer, bytes that it has not taken.
    """

    state: str
    heard: bool
    round_trip: float | None
    silent_for: float | None
    queue: int


class Mark(NamedTuple):
    """Something that has happened to a line, in words; when: seconds since the epoch.

    kind: "open", "lost", "retry", "failed", "gone" or "session". error: the class of a failure, or None.
    """

    when: float
    kind: str
    words: str
    error: str | None


class Subject(Protocol):
    """What a line is of."""

    def names(self) -> tuple[str, str]:
        """Return a name, and where it leads or comes from."""

    def beat(self, round_trip: float | None, seconds: float) -> Beat:
        """Return what the last so many seconds were like. round_trip: of a heartbeat answered in them."""


class OfClient:
    """A connection of a client; it is not kept alive by this."""

    __slots__ = ("_connection",)

    def __init__(self, connection: ObservedConnection) -> None:
        self._connection = ref(connection)

    def names(self) -> tuple[str, str]:
        """As in Subject."""
        connection = self._connection()
        if connection is None:
            return "", ""
        url = connection.url or ""
        return ("", url) if connection.name == url else (connection.name, url)

    def connection(self) -> ObservedConnection | None:
        """Return the connection; None: it is gone with its event loop."""
        return self._connection()

    def beat(self, round_trip: float | None, seconds: float) -> Beat:
        """As in Subject."""
        connection = self._connection()
        if connection is None or (connection.ended and connection.state != State.FAILED):
            return Beat(State.CLOSED, False, None, None, 0)
        silent_for = connection.silent_for
        heard = silent_for is not None and silent_for < seconds
        return Beat(connection.state, heard, round_trip, silent_for, connection.queued)


class OfPeer:
    """A client of a hub or a server."""

    __slots__ = ("_peer",)

    def __init__(self, peer: ObservedPeer) -> None:
        self._peer = peer

    def names(self) -> tuple[str, str]:
        """As in Subject."""
        request = self._peer.request
        path, address = printable(request.shown[:_LONGEST]), request.remote_address
        return f"client {self._peer.id}", path if address is None else f"{path} from {address[0]}"

    def beat(self, round_trip: float | None, seconds: float) -> Beat:
        """As in Subject."""
        peer = self._peer
        if peer.closed:
            return Beat("gone", False, None, None, 0)
        silent_for = peer.silent_for
        if silent_for is None:
            return Beat("away", False, None, None, 0)
        heard = silent_for < seconds
        if heard and round_trip is None:
            round_trip = peer.latency
        return Beat(State.OPEN, heard, round_trip, silent_for, peer.buffered)


class Line:
    """One connection or peer. Beats are kept while it is shown, marks from its first trouble on.

    number: of this process, from 1. since: when it was started, in seconds since the epoch; None, of a
    client: before the recorder. marked: how many marks it has ever had.
    gone_at: when it has ended, or None. round_trip: of a heartbeat that was answered since the last beat.
    state, queued: the recorder's own, of a client when it was last looked at; None: not yet, or it has ended.
    """

    __slots__ = (
        "_marks",
        "_side",
        "beats",
        "gone_at",
        "marked",
        "number",
        "queued",
        "round_trip",
        "since",
        "state",
        "subject",
    )

    def __init__(self, number: int, side: str, subject: Subject, since: float | None) -> None:
        self.number: int = number
        self._side = side  # "client" or "peer"
        self.subject: Subject = subject
        self.since: float | None = since
        self.gone_at: float | None = None
        self.round_trip: float | None = None
        self.marked: int = 0
        self.state: str | None = None
        self.queued: int = 0
        self.beats: deque[Beat] | None = None
        self._marks: tuple[Mark, ...] = ()

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The latest, oldest first."""
        return self._marks

    def mark(self, mark: Mark) -> None:
        """Add one."""
        self.marked += 1
        self._marks = (*self._marks, mark)[-_KEPT_MARKS:]

    def sample(self, seconds: float) -> Beat:
        """Add a beat, and return it."""
        if self.beats is None:
            self.beats = deque(maxlen=KEPT_BEATS)
        beat = self.subject.beat(self.round_trip, seconds)
        self.round_trip = None
        self.beats.append(beat)
        return beat

    def description(self) -> dict[str, Any]:
        """Return what does not change from second to second, for the page."""
        name, where = self.subject.names()
        return {"side": self._side, "name": name, "where": where, "since": self.since, "gone": self.gone_at}
