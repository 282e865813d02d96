"""What the driver needs of a link, whatever kind of host makes it."""

from typing import Any


class Link:
    """One link: an attempt, and the socket that it may become. This base class stands for "no link yet".

    Once dropped or lost, a link tells its owner nothing more.

    number: of the link, as the core counts; 0 for "no link yet". native: the host's own socket, once there is
    one. is_announced: whether onOpen was called for it: what is sent before that waits.
    is_over: whether it was dropped or lost; what the host still reports about it is ignored.
    is_session: whether what comes on it is for the session, and what is sent on it goes through that.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.native: Any = None
        self.is_announced = False
        self.is_over = False
        self.is_session = False

    def open(self) -> None:
        """Begin the attempt."""

    def listen(self) -> None:
        """Add our listeners to the socket that the host has given."""

    def is_closing(self) -> bool:
        """Whether the socket can take no more, although its end is not reported yet."""
        return False

    def is_alone(self) -> bool:
        """Whether it is open over the host's only socket, so that no other can open beside it."""
        return False

    def send(self, message: dict[str, Any]) -> bool:
        """Hand a message to the host; return False if the host threw."""
        return False

    def close(self, params: Any) -> bool:
        """Begin to close; return False if the host threw. The host may never report that it has closed."""
        return False

    def buffered(self) -> float:
        """How many bytes wait in the socket, as far as the host tells."""
        return 0.0

    def drop(self, code: int | None = None) -> None:
        """Let go of the socket at once and for good. code: the close code; None for 1000."""
