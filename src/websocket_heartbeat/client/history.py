"""What a connection has done so far."""

from websocket_heartbeat.engines.base import Link
from websocket_heartbeat.events import Stats
from websocket_heartbeat.system.kernel import tcp_info

_KEPT_REASONS = 10
_NO_REASONS: list[str] = []  # shared, to save memory: never changed, as `add_reason` makes a new list


class History(Stats):
    """The numbers of `Connection.stats` that are counted; those of links are of links that are gone."""

    __slots__ = ()

    reasons: list[str]
    bytes_received: int
    bytes_sent: int

    def __init__(self) -> None:
        super().__init__(reasons=_NO_REASONS)

    def add_reason(self, reason: str) -> None:
        """Remember why a link or an attempt ended."""
        self.reasons = [*self.reasons, reason][-_KEPT_REASONS:]

    def add_bytes(self, link: Link | None) -> None:
        """Count the bytes of an open link, which is about to go."""
        info = tcp_info(link.socket) if link is not None else None
        if info is not None:
            self.bytes_received += info.bytes_received
            self.bytes_sent += info.bytes_acked

    def stats(self, link: Link | None, queued: int, dropped: int, not_sent: int) -> Stats:
        """Return all for the user. link: the open one. queued, dropped, not_sent: as in Stats."""
        info = tcp_info(link.socket) if link is not None else None
        return Stats(
            self.links,
            self.attempts,
            self.pings,
            self.bytes_received + (info.bytes_received if info else 0),
            self.bytes_sent + (info.bytes_acked if info else 0),
            queued,
            dropped,
            not_sent,
            list(self.reasons),
        )
