"""Collects what observers are told: totals of each second, the newest events, the lines that are shown.

Memory is bounded, but for some 400 bytes for each connection. Up to `MOST_SHOWN` connections, each has a
line. Of more, those that failed have, the latest first; the others are in the totals only. Connections of
blocking code run in threads of their own and call from there: hence the lock.
"""

import re
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from itertools import count, islice
from threading import Lock
from typing import NamedTuple

from websocket_heartbeat import observer
from websocket_heartbeat.dashboard.lines import Line, Mark, OfClient, OfPeer, Sample
from websocket_heartbeat.events import CloseEvent, ReconnectEvent, SessionEvent
from websocket_heartbeat.observer import ObservedConnection, ObservedPeer, Observer
from websocket_heartbeat.redaction import printable

MOST_SHOWN = 200
"""Lines."""

KEPT_SECONDS = 300
"""Of totals."""

KEPT_EVENTS = 200

_SHOWN_AFTER_FAILURE = 120.0
_SHOWN_AFTER_END = 10.0
"""Seconds for which a line is shown after its end: after a failure, and without one."""

_KEPT_ROUND_TRIPS = 512
"""Round trips of one second: more would hardly change the median."""

_CHECKED = 1000
"""Clients whose state is read each second, in turn, besides those that an event was about."""

_LONGEST = 500
"""Characters of a text, which may come from the other end."""

_ERRNO = re.compile(r"\A\[Errno \d+\] ")


class Totals(NamedTuple):
    """What one second was like.

    when: its end, in seconds since the epoch. seconds: its length, as event loops may be late. states: number
    of client connections by state. peers: clients of hubs. queue: messages queued. waiting: attempts of
    fleets that wait for their turn.

    Numbers of that second: opened, lost, retries: links of client connections. came, gone, died: clients of
    hubs that connected, that disconnected by a close frame, and that were lost or dropped. refused:
    handshakes. median, slowest: round trips in seconds; None: none was measured.
    """

    when: float
    seconds: float
    states: dict[str, int]
    peers: int
    queue: int
    waiting: int
    opened: int
    lost: int
    retries: int
    came: int
    gone: int
    died: int
    refused: int
    median: float | None
    slowest: float | None


class Event(NamedTuple):
    """An event as text. number: of the line that it is about, 0 for none; who: the name of that line."""

    when: float
    kind: str
    number: int
    who: str
    words: str
    error: str | None


class Second(NamedTuple):
    """What is new since the previous second."""

    totals: Totals
    shown: list[tuple[Line, Sample]]
    events: list[Event]


class Recorder(Observer):
    """Observes from `start` to `stop`, also the connections that exist at the start."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._numbers = count(1)
        self._clients: dict[int, Line] = {}  # by the ID of the object
        self._peers: dict[int, Line] = {}
        self._states: Counter[str] = Counter()  # of clients, as last read
        self._queued = 0
        self._changed: dict[int, Line] = {}  # by the ID of the object: to be read next
        self._turn: list[int] = []  # IDs of clients that are still to be read in this turn
        self._failed: OrderedDict[int, Line] = OrderedDict()  # by number, the latest failure last
        self._ended: deque[Line] = deque(maxlen=MOST_SHOWN)  # without a failure
        self._sampled: list[Line] = []  # those that are shown
        self._counts: Counter[str] = Counter()  # since the last second
        self._round_trips: list[float] = []
        self._events: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self._last: float | None = None
        self._refused: int | None = None  # of all hubs, at the last second
        self.seconds: deque[Totals] = deque(maxlen=KEPT_SECONDS)
        self.events: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self.reasons: Counter[str] = Counter()  # classes of losses, since the start

    def start(self) -> None:
        """Begin to observe."""
        observer.observe(self)  # first, so that nothing is missed in between
        for connection in observer.connections:
            with self._lock:
                if id(connection) not in self._clients and not connection.ended:
                    self._add_client(connection, None)
        for hub in observer.hubs:
            for peer in hub.peers():
                with self._lock:
                    if id(peer) not in self._peers and not peer.closed:
                        self._add_peer(peer)

    def stop(self) -> None:
        """Observe no more."""
        observer.ignore(self)

    # Of clients

    def connection_started(self, connection: ObservedConnection) -> None:
        """As in Observer."""
        with self._lock:
            self._add_client(connection, time.time())

    def link_ready(self, connection: ObservedConnection, link: int, down_for: float | None) -> None:
        """As in Observer."""
        words = f"link {link} is open" if down_for is None else f"link {link} is open, after {down_for:.1f} s"
        self._of_client(connection, "open", words, counted="opened")

    def link_lost(self, connection: ObservedConnection, event: CloseEvent, error: str | None) -> None:
        """As in Observer."""
        words = f"link {event.link} is gone: {event.reason}"
        if event.uncertain_bytes:
            words += f"; {event.uncertain_bytes} bytes may not have arrived"
        if error is None:
            self._of_client(connection, "closed", words)
        else:
            self._of_client(connection, "lost", words, error, counted="lost")

    def retry_scheduled(self, connection: ObservedConnection, event: ReconnectEvent, error: str) -> None:
        """As in Observer."""
        words = f"retry {event.retry} in {event.delay:.1f} s"
        with self._lock:
            line = self._clients.get(id(connection))
            if line is None:
                return
            self._counts["retries"] += 1
            self._changed[id(connection)] = line
            is_of_loss = bool(line.marks) and line.marks[-1].kind == "lost"
            if not is_of_loss:
                words += f": {event.reason}"
            is_news = not is_of_loss and line.latest_error != error
            self._tell(line, "retry", words, error, is_event=is_news)

    def round_trip(self, connection: ObservedConnection, seconds: float) -> None:
        """As in Observer."""
        with self._lock:
            self._measured(self._clients.get(id(connection)), seconds)

    def session_told(self, connection: ObservedConnection, event: SessionEvent) -> None:
        """As in Observer."""
        words = f"session: {event.kind}" + (f": {event.why}" if event.why else "")
        if event.uncertain:
            words += f"; {len(event.uncertain)} messages are uncertain"
        self._of_client(connection, "session", words)

    def connection_failed(self, connection: ObservedConnection, error: str, reason: str) -> None:
        """As in Observer."""
        self._of_client(connection, "failed", f"failed for good: {reason}", error)

    # Of hubs

    def peer_came(self, peer: ObservedPeer) -> None:
        """As in Observer."""
        with self._lock:
            line = self._add_peer(peer)
            self._counts["came"] += 1
            self._tell(line, "came", "connected", None)

    def peer_gone(self, peer: ObservedPeer, code: int | None, error: str | None) -> None:
        """As in Observer."""
        with self._lock:
            line = self._peers.pop(id(peer), None)
            if line is None:
                return
            reason = _ERRNO.sub("", peer.close_reason)
            words = "disconnected" + ("" if code is None else f" with code {code}")
            words += f": {reason}" if reason else ""
            if error is None:
                self._counts["gone"] += 1
                self._tell(line, "gone", words, None)
            else:
                self._counts["died"] += 1
                self._tell(line, "lost", words, error)
            self._end(line)

    def peer_round_trip(self, peer: ObservedPeer, seconds: float) -> None:
        """As in Observer."""
        with self._lock:
            self._measured(self._peers.get(id(peer)), seconds)

    # Every second

    def second(self) -> Second:
        """Return the totals since the last call, and take a sample of each line that is shown."""
        with self._lock:
            now = time.time()
            seconds = 1.0 if self._last is None else max(0.001, now - self._last)
            self._last = now
            self._check_states()
            counts, self._counts = self._counts, Counter()
            trips, self._round_trips = sorted(self._round_trips), []
            totals = Totals(
                now,
                seconds,
                {str(state): number for state, number in self._states.items() if number},
                len(self._peers),
                self._queued,
                sum(fleet.waiting for fleet in observer.fleets),
                counts["opened"],
                counts["lost"],
                counts["retries"],
                counts["came"],
                counts["gone"],
                counts["died"],
                self._newly_refused(),
                trips[len(trips) // 2] if trips else None,
                trips[-1] if trips else None,
            )
            self.seconds.append(totals)
            events = list(self._events)
            self._events.clear()
            self.events.extend(events)
            shown = [(line, line.sample(seconds)) for line in self._shown(now)]
            numbers = {line.number for line, _ in shown}
            for line in self._sampled:
                if line.number not in numbers:
                    line.samples = None
            self._sampled = [line for line, _ in shown]
            return Second(totals, shown, events)

    def _check_states(self) -> None:
        """Read the state and the queue of clients: some changes cause no call of the observer."""
        if len(self._turn) < _CHECKED:
            self._turn = list(self._clients)
        checked, self._changed = self._changed, {}
        for key in self._turn[-_CHECKED:]:
            if key in self._clients:
                checked[key] = self._clients[key]
        del self._turn[-_CHECKED:]
        for key, line in checked.items():
            subject = line.subject
            assert isinstance(subject, OfClient)
            connection = subject.connection()
            self._forget_state(line)
            if connection is not None and not connection.ended:
                line.state, line.queued = connection.state, connection.queued
                self._states[line.state] += 1
                self._queued += line.queued
            elif self._clients.get(key) is line:
                del self._clients[key]
                self._end(line)

    def _newly_refused(self) -> int:
        refused = sum(sum(hub.stats().refused.values()) for hub in observer.hubs)
        before, self._refused = self._refused, refused
        return 0 if before is None else max(0, refused - before)

    def _shown(self, now: float) -> list[Line]:
        for line in list(self._failed.values()):
            if line.gone_at is not None and now - line.gone_at > _SHOWN_AFTER_FAILURE:
                del self._failed[line.number]
        while self._ended and now - (self._ended[0].gone_at or now) > _SHOWN_AFTER_END:
            self._ended.popleft()
        living = len(self._clients) + len(self._peers)
        if living <= MOST_SHOWN:  # in a fixed order, so that lines do not move
            alive = (*self._clients.values(), *self._peers.values())
            gone = [line for line in (*self._failed.values(), *self._ended) if line.gone_at is not None]
            gone.sort(key=_number)
            return [*sorted(alive, key=_number), *gone[max(0, len(gone) - MOST_SHOWN + living) :]]
        shown = {line.number: line for line in reversed(self._failed.values())}
        for line in _first(self._clients.values(), self._peers.values()):
            if len(shown) == MOST_SHOWN:
                break
            shown.setdefault(line.number, line)
        return list(shown.values())

    # All within the lock

    def _forget_state(self, line: Line) -> None:
        """Subtract a client's last state and queue from the totals."""
        if line.state is not None:
            self._states[line.state] -= 1
        self._queued -= line.queued
        line.state, line.queued = None, 0

    def _add_client(self, connection: ObservedConnection, since: float | None) -> None:
        former = self._clients.pop(
            id(connection), None
        )  # of an object that was collected with its event loop
        if former is not None:
            self._forget_state(former)
        line = Line(next(self._numbers), "client", OfClient(connection), since)
        self._clients[id(connection)] = self._changed[id(connection)] = line

    def _add_peer(self, peer: ObservedPeer) -> Line:
        line = self._peers[id(peer)] = Line(next(self._numbers), "peer", OfPeer(peer), peer.since)
        return line

    def _of_client(
        self,
        connection: ObservedConnection,
        kind: str,
        words: str,
        error: str | None = None,
        *,
        counted: str | None = None,
    ) -> None:
        with self._lock:
            line = self._clients.get(id(connection))
            if line is None:
                return
            if counted is not None:
                self._counts[counted] += 1
            self._changed[id(connection)] = line
            self._tell(line, kind, words, error)

    def _tell(self, line: Line, kind: str, words: str, error: str | None, *, is_event: bool = True) -> None:
        now = time.time()
        words = words[:_LONGEST]
        if not words.isprintable():
            words = printable(words)
        line.mark(Mark(now, kind, words, error))
        if is_event:
            self._events.append(Event(now, kind, line.number, line.name, words, error))
        if error is not None:
            if kind != "retry":
                self.reasons[error] += 1
            self._failed[line.number] = line
            self._failed.move_to_end(line.number)
            if len(self._failed) > MOST_SHOWN:
                self._failed.popitem(last=False)

    def _measured(self, line: Line | None, seconds: float) -> None:
        if line is not None:
            line.round_trip = seconds
            if len(self._round_trips) < _KEPT_ROUND_TRIPS:
                self._round_trips.append(seconds)

    def _end(self, line: Line) -> None:
        line.gone_at = time.time()
        if line.number not in self._failed:
            self._ended.append(line)


def _number(line: Line) -> int:
    return line.number


def _first(*groups: Iterable[Line]) -> Iterable[Line]:
    for group in groups:
        yield from islice(group, MOST_SHOWN)
