"""The links of one connection: the current one, and the successor that a renewal opens beside it."""

from websocket_heartbeat.miniprogram.link import Link


class Links:
    """The links that live, and which of them is which.

    current: the one that the connection has, from its attempt to its end. successor: the one that is to take
    its place, once its attempt has begun.
    """

    def __init__(self) -> None:
        self.current: Link = Link(0)
        self.successor: Link | None = None

    def latest(self) -> Link:
        """The link whose attempt began last, of those that live."""
        return self.current if self.successor is None else self.successor

    def of_number(self, number: int) -> Link | None:
        """The link of that number, unless it is gone or another has taken its place."""
        latest = self.latest()
        if latest.number == number:
            return latest
        return self.current if self.current.number == number else None

    def add(self, link: Link, is_successor: bool) -> None:
        """Keep a link whose attempt begins."""
        if is_successor:
            self.successor = link
        else:
            self.current = link

    def drop(self, number: int) -> None:
        """Let go of a link at once and for good: it tells nothing more. The host sends a close frame."""
        link = self.of_number(number)
        if link is not None and not link.is_over:
            link.drop()
        self.forget(number)

    def forget(self, number: int) -> None:
        """The link is gone. That of the current one is known by its `is_over`."""
        if self.successor is not None and self.successor.number == number:
            self.successor = None

    def switch(self, number: int) -> None:
        """The successor of that number takes over; its attempt may not have begun."""
        self.current = Link(number) if self.successor is None else self.successor
        self.successor = None
