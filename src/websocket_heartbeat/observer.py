"""Observers, which are called with what happens to connections, fleets and hubs of this process.

otel.py and dashboard/recorder.py have them. None is called for a message: it asks for what can be read at any
time, such as the length of a queue.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar
from weakref import WeakValueDictionary

from websocket_heartbeat.events import CloseEvent, ReconnectEvent, SessionEvent

T = TypeVar("T")


class ObservedConnection(Protocol):
    """A connection of a client, as an observer sees it.

    name, url: as in the log, fit to be shown. server: host and port of the URL; None before a callable has
    told. state: one of `State`. ended: whether nothing more will happen: it is closed or has failed, or its
    event loop is closed. queued: messages that wait to be sent. latency: seconds, None: not known.
    silent_for: seconds since anything arrived on the open link, None: there is no link.
    """

    @property
    def name(self) -> str: ...  # noqa: D102  # above

    @property
    def url(self) -> str | None: ...  # noqa: D102

    @property
    def server(self) -> tuple[str, int] | None: ...  # noqa: D102

    @property
    def state(self) -> str: ...  # noqa: D102

    @property
    def ended(self) -> bool: ...  # noqa: D102

    @property
    def queued(self) -> int: ...  # noqa: D102

    @property
    def latency(self) -> float | None: ...  # noqa: D102

    @property
    def silent_for(self) -> float | None: ...  # noqa: D102


class ObservedRequest(Protocol):
    """The handshake of a client of a hub: a `Request`."""

    @property
    def shown(self) -> str: ...  # noqa: D102

    @property
    def remote_address(self) -> tuple[str, int] | None: ...  # noqa: D102


class ObservedPeer(Protocol):
    """A client of a hub: a `Peer`."""

    @property
    def id(self) -> int: ...  # noqa: D102

    @property
    def since(self) -> float: ...  # noqa: D102

    @property
    def request(self) -> ObservedRequest: ...  # noqa: D102

    @property
    def latency(self) -> float | None: ...  # noqa: D102

    @property
    def silent_for(self) -> float | None: ...  # noqa: D102

    @property
    def buffered(self) -> int: ...  # noqa: D102

    @property
    def closed(self) -> bool: ...  # noqa: D102

    @property
    def close_reason(self) -> str: ...  # noqa: D102


class ObservedFleet(Protocol):
    """A fleet. waiting: attempts that wait for their turn."""

    @property
    def waiting(self) -> int: ...  # noqa: D102


class ObservedHubStats(Protocol):
    """What `HubStats` has."""

    @property
    def peers(self) -> int: ...  # noqa: D102

    @property
    def admitted(self) -> int: ...  # noqa: D102

    @property
    def refused(self) -> Mapping[str, int]: ...  # noqa: D102

    @property
    def dropped(self) -> Mapping[str, int]: ...  # noqa: D102

    @property
    def dropped_messages(self) -> int: ...  # noqa: D102


class ObservedHub(Protocol):
    """A hub, or a server without one."""

    def peers(self) -> Iterable[ObservedPeer]:
        """Return its clients; in any thread."""

    def stats(self) -> ObservedHubStats:
        """Return what it has done so far."""


class SessionCount(NamedTuple):
    """How many sessions have a link, and how many wait for one; and bytes that their messages take, about."""

    attached: int
    away: int
    held: float


class ObservedSessions(Protocol):
    """The sessions of a hub, or of a server."""

    def count(self) -> SessionCount:
        """Count them."""


class Living(Generic[T]):
    """Objects as long as they live, for readers in any thread: exporters of metrics have one of their own."""

    def __init__(self) -> None:
        self._all: WeakValueDictionary[int, T] = WeakValueDictionary()

    def add(self, each: T) -> None:
        """Keep it, as long as others do."""
        self._all[id(each)] = each

    def remove(self, each: T) -> None:
        """Keep it no more."""
        del self._all[id(each)]

    def __iter__(self) -> Iterator[T]:
        for reference in self._all.valuerefs():  # a list, made in one step
            each = reference()
            if each is not None:
                yield each


connections: Living[ObservedConnection] = Living()
fleets: Living[ObservedFleet] = Living()
hubs: Living[ObservedHub] = Living()
sessions: Living[ObservedSessions] = Living()
"""All of this process, for observers that begin later; of connections, those that were started."""


class Observer:
    """Called with what happens, on the thread of the loop where it does; here each call does nothing.

    error: the class of a failure, one of few words: evidence.py has those of clients; None: there was none.
    """

    # Connections of clients

    def connection_started(self, connection: ObservedConnection) -> None:
        """A connection was started."""

    def attempt_began(self, connection: ObservedConnection, link: int) -> Sequence[tuple[str, str]]:
        """An attempt begins; return headers for its handshake. Called in the context of the connection."""
        return ()

    def attempt_ended(self, connection: ObservedConnection, link: int, error: str | None) -> None:
        """A link has opened, or its attempt has failed or is given up."""

    def link_lost(self, connection: ObservedConnection, event: CloseEvent, error: str | None) -> None:
        """An open link is gone. error: None, where our side has closed or renewed it."""

    def retry_scheduled(self, connection: ObservedConnection, event: ReconnectEvent, error: str) -> None:
        """A retry was scheduled."""

    def link_ready(self, connection: ObservedConnection, link: int, down_for: float | None) -> None:
        """A link is ready. down_for: seconds that none was, None for the first one and a renewal."""

    def round_trip(self, connection: ObservedConnection, seconds: float) -> None:
        """A heartbeat was answered."""

    def session_told(self, connection: ObservedConnection, event: SessionEvent) -> None:
        """A session has begun, gone on or ended, or stands still."""

    def connection_failed(self, connection: ObservedConnection, error: str, reason: str) -> None:
        """A connection has failed for good. reason: in words, as in the log."""

    # Clients of hubs

    def peer_came(self, peer: ObservedPeer) -> None:
        """A client has come."""

    def peer_gone(self, peer: ObservedPeer, code: int | None, error: str | None) -> None:
        """It is gone. error: None, where one side has closed it by a close frame."""

    def peer_round_trip(self, peer: ObservedPeer, seconds: float) -> None:
        """A ping of ours was answered."""

    def session_changed(self, event: str, unacknowledged: int = 0) -> None:
        """A session has begun, gone on, or ended, with so many messages that its client may not have."""


observers: tuple[Observer, ...] = ()
"""All that are called, in this order. A tuple, so that one may be added or removed during a call."""


def observe(observer: Observer) -> None:
    """Call it from now on."""
    global observers
    observers = (*observers, observer)


def ignore(observer: Observer) -> None:
    """Call it no more."""
    global observers
    observers = tuple(other for other in observers if other is not observer)
