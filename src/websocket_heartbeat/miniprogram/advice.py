"""Warnings on the console, of what a developer would not notice otherwise."""

from websocket_heartbeat.miniprogram.language import warn


class Advice:
    """Gives each warning once: for good, or for each outage.

    No warning quotes what the host, the server or the user's functions say: it might be secret.

    is_answered: whether a heartbeat was ever answered. was_silence_told: whether it was said that none is.
    was_failure_told: whether it was said that an attempt failed since a link was open.
    """

    def __init__(self) -> None:
        self.is_answered = False
        self.was_silence_told = False
        self.was_failure_told = False

    def connected(self) -> None:
        """A link is open."""
        self.was_failure_told = False

    def answered(self) -> None:
        """A message came while a heartbeat was unanswered."""
        self.is_answered = True

    def unanswered(self) -> None:
        """A link was given up, because its heartbeat was not answered in time."""
        if not (self.is_answered or self.was_silence_told):
            self.was_silence_told = True
            warn(
                "no heartbeat was answered within pongTimeout, so the connection is replaced, and will be"
                " again and again if no heartbeat is ever answered. The back end must answer each"
                " heartbeat, the message of option pingMsg, with any message at once."
            )

    def attempt_failed(self) -> None:
        """An attempt to connect has failed."""
        if not self.was_failure_told:
            self.was_failure_told = True
            warn("an attempt to connect has failed, and others follow. The hook for errors is told why.")

    def gave_up(self) -> None:
        """No retry is left."""
        warn(
            "gave up: as many attempts in a row as repeatLimit allows have failed. The hook for giving up is"
            " told why. reconnect() tries again."
        )

    def opening_lasts(self) -> None:
        """The promise of the hook onOpen is still pending after openTimeout."""
        warn(
            "the promise that onOpen returned is still pending after openTimeout. What waited for the link"
            " is sent once it is fulfilled."
        )

    def not_sent(self) -> None:
        """Messages that waited will not be sent, and there is no callback to tell of it."""
        warn("the connection has ended before all that was given to send() was sent.")
