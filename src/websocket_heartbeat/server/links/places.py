"""The places for clients: so many in all, and so many for one address."""

import random
from ipaddress import IPv4Address, IPv6Address, ip_address

from websocket_heartbeat.server.admission import Refusal
from websocket_heartbeat.server.throttle import Throttle

_COME_BACK = (5, 15)
"""Seconds after which a client that was refused may come back: each at another time."""

_CUSTOMER = 64
"""Bits of an IPv6 address that tell one customer from another."""


class Places:
    """Counts who is here, from the request to the end of the connection.

    most, most_per_address: None for as many as come.
    """

    def __init__(self, most: int | None, most_per_address: int | None, log: Throttle) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._log = log
        self._taken = 0
        self._taken_by: dict[str, int] = {}

    def source(self, address: str) -> str:
        """Return what counts as the address of a client, "" where it does not matter."""
        return "" if self._most_per_address is None else network(address)

    def take(self, source: str) -> Refusal | None:
        """Take a place, which must be given back; where there is none, return how the client is refused."""
        if self._most is not None and self._taken >= self._most:
            self._log.warning("a client was refused with 503: max_peers=%d are here", self._most)
            return _refusal(503)
        if self._most_per_address is not None:
            count = self._taken_by.get(source, 0)
            if count >= self._most_per_address:
                self._log.warning(
                    "a client was refused with 429: max_peers_per_address=%d are here from %s", count, source
                )
                return _refusal(429)
            self._taken_by[source] = count + 1
        self._taken += 1
        return None

    def give_back(self, source: str) -> None:
        """Give a place back."""
        self._taken -= 1
        if self._most_per_address is not None:
            self._taken_by[source] -= 1
            if self._taken_by[source] == 0:
                del self._taken_by[source]


def network(address: str) -> str:
    """Return what all addresses of one customer have in common."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    host_bits = 128 - _CUSTOMER
    return f"{IPv6Address(int(parsed) >> host_bits << host_bits)}/{_CUSTOMER}"


def _refusal(status: int) -> Refusal:
    return Refusal(status, {"Retry-After": str(random.randint(*_COME_BACK))})
