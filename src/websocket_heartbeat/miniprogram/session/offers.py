"""Which attempts ask the server for a session: docs/session.md, 4.1."""

from typing import Any, Final

from websocket_heartbeat.miniprogram.language import elements_of, is_text

SUBPROTOCOL: Final = "websocket-heartbeat.v1"

ENOUGH: Final = 2
"""Links that opened without a session, after which none is asked for."""


class Offers:
    """Offers the subprotocol of sessions, unless it is known that the server has none.

    Browsers fail a handshake whose offer nobody selects. So an attempt that follows such a failure does not
    offer; if it opens, that is a sign. An outage looks the same, so it takes two.

    is_required: whether the user wants no link without a session.
    has_had_session: whether the server is known to have sessions.
    number: that of the latest attempt. is_offered: whether that one asks. is_skipped: whether the next one
    does not. plain: how many links opened without a session.
    """

    def __init__(self, is_required: bool) -> None:
        self.is_required = is_required
        self.has_had_session = False
        self.number: int = 0
        self.is_offered: bool = False
        self.is_skipped: bool = False
        self.plain: int = 0

    def offer(self, number: int, protocols: Any) -> Any:
        """The subprotocols for the attempt of that number, where the user wants these."""
        self.number = number
        is_hopeless = self.is_skipped or self.plain >= ENOUGH
        self.is_offered = self.is_required or self.has_had_session or not is_hopeless
        self.is_skipped = False
        if not self.is_offered:
            return protocols
        offered: list[Any] = []
        offered.append(SUBPROTOCOL)
        if is_text(protocols):
            offered.append(protocols)
        rest = elements_of(protocols)
        while rest is not None and len(rest) > 0:
            offered.append(rest.pop(0))
        return offered

    def was_plain(self) -> None:
        """A link has opened without a session."""
        self.plain = self.plain + 1

    def failed(self, number: int) -> None:
        """The attempt of that number did not open."""
        if number == self.number and self.is_offered:
            self.is_skipped = True
