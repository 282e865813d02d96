"""The link that a session has now, and who closes it; and what a link is that outlives those beneath it."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from websocket_heartbeat.controls import marked_as_text
from websocket_heartbeat.core.session import Half
from websocket_heartbeat.engines.base import Evidence, Link, discard, marked
from websocket_heartbeat.events import Message
from websocket_heartbeat.system.kernel import Socket


class Carrier(Protocol):
    """What a session needs of the door that has taken in its link (door.py)."""

    def part(self, code: int, reason: str) -> None:
        """Close the link, and drop it if its client does not answer."""

    def abort(self) -> None:
        """Drop the link; `SessionLink.detached` follows at once."""

    def gone(self) -> asyncio.Future[None]:
        """Return a future that is done when the link has ended."""


class Attachment:
    """The link of a session, from the handshake that brings it until it is gone.

    link: takes frames. carrier: closes it. framed: returns the frame of a character and a message. is_shared:
    whether that is the same for most links; else the client has no binary frames.
    is_reading: whether the link delivers the frames of a read: at its end it writes what was sent meanwhile.
    has_said_end: whether the client was told here that the server ends the session.
    """

    __slots__ = ("carrier", "framed", "has_said_end", "is_reading", "is_shared", "link")

    def __init__(self, link: Link, carrier: Carrier, *, is_text_only: bool) -> None:
        self.link: Link = link
        self.carrier: Carrier = carrier
        self.is_shared: bool = not is_text_only
        self.framed: Callable[[str, Message], Message] = marked_as_text if is_text_only else marked
        self.is_reading: bool = False
        self.has_said_end: bool = False

    def acknowledge(self, half: Half) -> None:
        """Tell the client up to which message all is handled, and recorded."""
        self.link.send(f"={half.acknowledge()}")

    def part(self, code: int, reason: str) -> None:
        """Close the link, and take nothing more that comes on it."""
        self.link.deliver = discard
        self.carrier.part(code, reason)

    def abort(self) -> None:
        """Drop the link."""
        self.link.deliver = discard
        self.carrier.abort()


class LinkOverLinks(Link):
    """What is known of a session's link is known of the one beneath, and dropping it drops that one alone.

    attachment: the link beneath; None while there is none.
    """

    __slots__ = ("attachment",)

    attachment: Attachment | None

    def abort(self) -> None:
        """Drop the link that there is; the client comes back, and the session goes on."""
        if self.attachment is not None:
            self.attachment.abort()

    def link_gone(self) -> asyncio.Future[None] | None:
        """As in Link."""
        return None if self.attachment is None else self.attachment.carrier.gone()

    def pause_reading(self) -> None:
        """Nothing to do: the window bounds what comes, and acknowledgements must be read."""

    def resume_reading(self) -> None:
        """Nothing to do."""

    def ping(self) -> None:
        """As in Link."""
        if self.attachment is not None:
            self.attachment.link.ping()

    @property
    def can_ping(self) -> bool:  # type: ignore[override]
        """Whether silence of the link beneath says something; there is none to be silent while detached."""
        return self.attachment is not None and self.attachment.link.can_ping

    @property
    def socket(self) -> Socket | None:  # type: ignore[override]
        """That of the link beneath."""
        return None if self.attachment is None else self.attachment.link.socket

    @property
    def buffered(self) -> int:
        """As in Link."""
        return 0 if self.attachment is None else self.attachment.link.buffered

    @property
    def uncertain(self) -> int | None:
        """Nothing is: what was not acknowledged is sent again, or reported."""
        return 0

    def evidence(self) -> Evidence:
        """As in Link; without a link beneath, nobody is silent."""
        if self.attachment is None:
            now = asyncio.get_running_loop().time()
            return Evidence(now, now, 0)
        return self.attachment.link.evidence()

    @property
    def position(self) -> int:
        """As in Link."""
        return 0 if self.attachment is None else self.attachment.link.position
