"""One line of the cardiogram: a connection of a client, or a peer of a hub, with its samples and marks."""

from collections import deque
from typing import Any, NamedTuple, Protocol
from weakref import ref

from websocket_heartbeat.events import State
from websocket_heartbeat.observer import ObservedConnection, ObservedPeer
from websocket_heartbeat.redaction import printable

KEPT_SAMPLES = 120
"""Of a line that is shown. One is taken each second, so this is two minutes."""

_KEPT_MARKS = 20

_LONGEST = 200
"""Characters of a path, which comes from the client."""


class Sample(NamedTuple):
    """The state of a line in one second.

    state: one of `State`; of a peer "open", "away" (a session without a link) or "disconnected". heard:
    whether anything arrived. round_trip: seconds; None: none was measured. silent_for: seconds since anything
    arrived; None: there is no link. queue: messages queued; of a peer, bytes in its write buffer.
    """

    state: str
    heard: bool
    round_trip: float | None
    silent_for: float | None
    queue: int


class Mark(NamedTuple):
    """An event of a line. when: seconds since the epoch. words: what happened.

    kind: "came", "open", "closed", "lost", "retry", "failed", "gone" or "session". error: the class of a
    failure, or None.
    """

    when: float
    kind: str
    words: str
    error: str | None


class Subject(Protocol):
    """What a line shows."""

    def names(self) -> tuple[str, str]:
        """Return a name, "" for none, and where it leads or comes from."""

    def sample(self, round_trip: float | None, seconds: float) -> Sample:
        """Return a sample of the last `seconds`. round_trip: of a heartbeat answered in it, or None."""


class OfClient:
    """A client connection, to which this holds no strong reference."""

    __slots__ = ("_connection", "_names")

    def __init__(self, connection: ObservedConnection) -> None:
        self._connection = ref(connection)
        self._names = "", ""  # as last read

    def names(self) -> tuple[str, str]:
        """As in Subject."""
        connection = self._connection()
        if connection is not None:
            url = connection.url or ""
            self._names = "" if connection.name == url else connection.name, url
        return self._names

    def connection(self) -> ObservedConnection | None:
        """Return the connection; None: it was collected."""
        return self._connection()

    def sample(self, round_trip: float | None, seconds: float) -> Sample:
        """As in Subject."""
        connection = self._connection()
        if connection is None or (connection.ended and connection.state != State.FAILED):
            return Sample(State.CLOSED, False, None, None, 0)
        silent_for = connection.silent_for
        heard = silent_for is not None and silent_for < seconds
        return Sample(connection.state, heard, round_trip, silent_for, connection.queued)


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

    def sample(self, round_trip: float | None, seconds: float) -> Sample:
        """As in Subject."""
        peer = self._peer
        if peer.closed:
            return Sample("disconnected", False, None, None, 0)
        silent_for = peer.silent_for
        if silent_for is None:
            return Sample("away", False, None, None, 0)
        heard = silent_for < seconds
        if heard and round_trip is None:
            round_trip = peer.latency
        return Sample(State.OPEN, heard, round_trip, silent_for, peer.buffered)


class Line:
    """One connection or peer. Samples are kept while it is shown, marks always.

    number: of this process, from 1. since: when it was started, in seconds since the epoch; None: a client
    connection that is older than the recorder. marked: the number of marks ever added. gone_at: when it
    ended, or None. round_trip: of a heartbeat answered since the last sample.
    state, queued: for the recorder: those of a client when last read; state None: not read yet, or ended.
    """

    __slots__ = (
        "_marks",
        "_side",
        "gone_at",
        "marked",
        "number",
        "queued",
        "round_trip",
        "samples",
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
        self.samples: deque[Sample] | None = None
        self._marks: tuple[Mark, ...] = ()

    @property
    def name(self) -> str:
        """Its name for people."""
        return self.subject.names()[0] or f"connection {self.number}"

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The latest, oldest first."""
        return self._marks

    def mark(self, mark: Mark) -> None:
        """Add a mark. If there are too many, drop the oldest retry: a long outage must not hide its cause."""
        self.marked += 1
        marks = [*self._marks, mark]
        if len(marks) > _KEPT_MARKS:
            del marks[next((index for index, each in enumerate(marks) if each.kind == "retry"), 0)]
        self._marks = tuple(marks)

    @property
    def latest_error(self) -> str | None:
        """The class of its latest failure."""
        return next((mark.error for mark in reversed(self._marks) if mark.error is not None), None)

    def sample(self, seconds: float) -> Sample:
        """Add a sample, and return it."""
        if self.samples is None:
            self.samples = deque(maxlen=KEPT_SAMPLES)
        sample = self.subject.sample(self.round_trip, seconds)
        self.round_trip = None
        self.samples.append(sample)
        return sample

    def description(self) -> dict[str, Any]:
        """Return what does not change from second to second, for the page."""
        where = self.subject.names()[1]
        return {
            "side": self._side,
            "name": self.name,
            "where": where,
            "since": self.since,
            "gone": self.gone_at,
        }
