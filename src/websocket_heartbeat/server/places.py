"""The places of a hub, over all its transports: in all, for one address, and for new clients in a second."""

import asyncio
import math
import random
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from websocket_heartbeat.checks import check_count, check_rate
from websocket_heartbeat.redaction import printable
from websocket_heartbeat.server.admission import Refusal
from websocket_heartbeat.server.rate import Rate
from websocket_heartbeat.server.stats import Tally
from websocket_heartbeat.server.throttle import Throttle

_COME_BACK = (5, 15)
"""Seconds after which a client that was refused may come back: each at another time."""

_CUSTOMER = 64
"""Bits of an IPv6 address that tell one customer from another."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many clients may come, checked; `Hub` documents each. None: as many as like."""

    max_peers: int | None = None
    max_peers_per_address: int | None = None
    max_new_peers_per_second: float | None = None

    def __post_init__(self) -> None:
        for name, most in (
            ("max_peers", self.max_peers),
            ("max_peers_per_address", self.max_peers_per_address),
        ):
            if most is not None:
                check_count(name, most, least=1)
        if self.max_new_peers_per_second is not None:
            check_rate("max_new_peers_per_second", self.max_new_peers_per_second)


class Place:
    """What a client holds from its request to the end of its connection.

    It is given back once: by the peer at its end; by the gate, where that refuses a client; and by itself,
    with the last reference to it, where no peer comes of a handshake. So no transport keeps one for good. But
    a traceback may refer to it for long: a transport that knows calls `PeerHandler.never_opened`.
    """

    __slots__ = ("_places", "_source")

    def __init__(self, places: "Places | None", source: str | None) -> None:
        self._places = places  # None: it is given back, or nobody counts it
        self._source = source

    def give_back(self) -> None:
        """Give it back, unless that is done."""
        places, self._places = self._places, None
        if places is not None:
            places.given_back(self._source)

    def __del__(self) -> None:
        self.give_back()


class Places:
    """Counts the clients that are connected, and those that were refused."""

    def __init__(self, limits: Limits, log: Throttle, tally: Tally) -> None:
        self._limits = limits
        self._log = log
        self._tally = tally
        rate = limits.max_new_peers_per_second
        self._rate = None if rate is None else Rate(rate)
        self._shut_for = 0.0
        self._shut_until = -math.inf
        self._taken = 0
        self._taken_by: dict[str, int] = {}  # by source, where that is limited
        self._uncounted = Place(None, None)  # everybody's, where nothing is limited: it saves memory

    def take(self, address: str | None) -> Place | Refusal:
        """Return a place for a client of that address, None: unknown; or how it is refused."""
        limits = self._limits
        if asyncio.get_running_loop().time() < self._shut_until:
            return self._refusal(503, "send_away", math.ceil(random.uniform(0, self._shut_for)) or 1)
        if limits.max_peers is not None and self._taken >= limits.max_peers:
            words = "a client was refused with 503: max_peers=%d are here"
            self._log.warning(words, limits.max_peers, extra={"refused_by": "max_peers", "status": 503})
            return self._refusal(503, "max_peers", random.randint(*_COME_BACK))
        source = None
        count = 0
        if limits.max_peers_per_address is not None and address is not None:
            source = network(address)
            count = self._taken_by.get(source, 0)
            if count >= limits.max_peers_per_address:
                self._log.warning(
                    "a client was refused with 429: max_peers_per_address=%d are here from %s",
                    count,
                    printable(source),
                    extra={"refused_by": "max_peers_per_address", "status": 429},
                )
                return self._refusal(429, "max_peers_per_address", random.randint(*_COME_BACK))
        if self._rate is not None and not self._rate.take(asyncio.get_running_loop().time()):
            self._log.warning(
                "a client was refused with 503: max_new_peers_per_second=%g have come",
                limits.max_new_peers_per_second,
                extra={"refused_by": "max_new_peers_per_second", "status": 503},
            )
            return self._refusal(503, "max_new_peers_per_second", 1)
        if source is not None:
            self._taken_by[source] = count + 1
        elif limits.max_peers is None:
            return self._uncounted
        self._taken += 1
        return Place(self, source)

    def shut(self, seconds: float) -> None:
        """Refuse everybody for so many seconds, each with a moment within as many of its own to come back."""
        self._shut_for = seconds
        self._shut_until = asyncio.get_running_loop().time() + seconds

    def open(self) -> None:
        """Let clients in again."""
        self._shut_until = -math.inf

    def _refusal(self, status: int, limit: str, least: int) -> Refusal:
        """Return the refusal by a limit; the client may come back after so many seconds at least."""
        self._tally.refused[limit] += 1
        if self._rate is not None and status == 503:
            least = max(least, self._rate.come_back(asyncio.get_running_loop().time()))
        return Refusal(status, {"Retry-After": str(least)})

    def given_back(self, source: str | None) -> None:
        """Count a place as free again."""
        self._taken -= 1
        if source is not None:
            self._taken_by[source] -= 1
            if self._taken_by[source] == 0:
                del self._taken_by[source]


def network(address: str) -> str:
    """Return what all addresses of one customer have in common; what is no IP address stands for itself."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:  # a proxy has named it otherwise
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    host_bits = 128 - _CUSTOMER
    return f"{IPv6Address(int(parsed) >> host_bits << host_bits)}/{_CUSTOMER}"
