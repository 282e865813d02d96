"""Warnings on the console, of what a developer would not notice otherwise."""

from websocket_heartbeat.miniprogram.language import warn


class Advice:
    """Gives each warning once: for good, or for each outage.

    No warning quotes what the host, the server or the user's functions say: it might be secret.

    is_answered: whether a heartbeat was ever answered. was_silence_told: whether it was said that none is.
    was_failure_told, was_loss_told: whether it was said that an attempt failed, or that messages were lost,
    since a link was open.
    """

    def __init__(self) -> None:
        self.is_answered: bool = False
        self.was_silence_told: bool = False
        self.was_failure_told: bool = False
        self.was_loss_told: bool = False

    def connected(self) -> None:
        """A link is open."""
        self.was_failure_told = False
        self.was_loss_told = False

    def answered(self) -> None:
        """A message came while a heartbeat was unanswered."""
        self.is_answered = True

    def unanswered(self) -> None:
        """A link was given up, because its heartbeat was not answered in time."""
        if not (self.is_answered or self.was_silence_told):
            self.was_silence_told = True
            why = "no heartbeat was answered within pongTimeout, so the link is replaced, again and again; "
            warn(why + "the back end must answer each heartbeat (option pingMsg) with any message")

    def attempt_failed(self) -> None:
        """An attempt to connect has failed."""
        if not self.was_failure_told:
            self.was_failure_told = True
            warn("an attempt to connect has failed; the hook for errors is told why")

    def gave_up(self) -> None:
        """No retry is left."""
        warn("gave up, as repeatLimit allows no more retries; the hook for giving up is told why")

    def renewal_failed(self) -> None:
        """The link that a renewal opened is gone before it could take over."""
        warn("a renewal has failed, and the link before goes on; the hook for errors is told why")

    def opening_lasts(self) -> None:
        """The promise of the hook onOpen is still pending after openTimeout."""
        warn("the promise of onOpen is pending for longer than openTimeout; what waits is sent after it")

    def not_sent(self) -> None:
        """Messages that waited will not be sent, and there is no callback to tell of it."""
        if not self.was_loss_told:
            self.was_loss_told = True
            warn("not all that send() took was sent: the connection has ended, or a link has refused it")
