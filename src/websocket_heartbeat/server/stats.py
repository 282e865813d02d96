"""What a hub has done so far, in numbers for its operator."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

_REFUSED_BY = (
    "origins",
    "max_peers",
    "max_peers_per_address",
    "max_new_peers_per_second",
    "authenticate",
    "send_away",
)
_DROPPED_BY = ("idle_timeout", "write_limit", "close_timeout", "abort")


@dataclass(frozen=True, slots=True)
class HubStats:
    """What a hub has done so far."""

    peers: int
    """Clients that are connected now."""
    admitted: int
    """Clients that have ever connected."""
    refused: Mapping[str, int]
    """Handshakes that were refused, by the option of `Hub` that has refused them: "origins", "max_peers",
    "max_peers_per_address", "max_new_peers_per_second" or "authenticate", also where that raised or took too
    long; or "send_away", while all were sent away. Each word is there from the beginning, with 0."""
    dropped: Mapping[str, int]
    """Peers that were dropped, in the same way: by "idle_timeout", "write_limit" or "close_timeout"; or
    "abort", by `Peer.abort`. Others that have gone have ended by themselves, or answered a close frame."""
    dropped_messages: int
    """Messages of rooms that members did not get, as they read too slowly, and volatile ones that would have
    had to wait: `Peer.dropped_messages`, of all peers."""


class Tally:
    """Counts what HubStats has; at the beginning and the end of a peer, never for a message that arrives."""

    __slots__ = ("admitted", "dropped", "dropped_messages", "refused")

    def __init__(self) -> None:
        self.admitted: int = 0
        self.refused: Counter[str] = Counter(dict.fromkeys(_REFUSED_BY, 0))
        self.dropped: Counter[str] = Counter(dict.fromkeys(_DROPPED_BY, 0))
        self.dropped_messages: int = 0

    def stats(self, peers: int) -> HubStats:
        """Return all for the user; peers: how many are connected now."""
        return HubStats(peers, self.admitted, dict(self.refused), dict(self.dropped), self.dropped_messages)
