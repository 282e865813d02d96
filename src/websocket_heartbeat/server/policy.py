"""The options of a hub that hold for each of its peers: the heartbeat, time-outs, the write limit."""

from dataclasses import dataclass

from websocket_heartbeat.checks import check_count, check_seconds, check_timeout
from websocket_heartbeat.config import Dialect
from websocket_heartbeat.events import Message


def _answers_clients(dialect: Dialect) -> bool:
    """Whether it says what is to be done with the heartbeat of a client."""
    return dialect.reply is not None or not (callable(dialect.ping) or callable(dialect.pong))


@dataclass(frozen=True, slots=True)
class Policy:
    """Those options, checked; `Hub` documents each."""

    heartbeat: str | Dialect | None
    idle_timeout: float | None
    open_timeout: float
    close_timeout: float
    write_limit: int
    dismissal: str | None

    def __post_init__(self) -> None:
        if self.heartbeat is not None and not isinstance(self.heartbeat, str | Dialect):
            raise TypeError(
                f"heartbeat must be a str, a Dialect or None, not {type(self.heartbeat).__name__}"
            )
        if isinstance(self.heartbeat, Dialect) and not _answers_clients(self.heartbeat):
            raise ValueError("heartbeat must say how clients are answered: give its Dialect a reply")
        if self.idle_timeout is not None:
            check_seconds("idle_timeout", self.idle_timeout)
        check_timeout("open_timeout", self.open_timeout)
        check_timeout("close_timeout", self.close_timeout, zero=True)
        check_count("write_limit", self.write_limit)
        if self.dismissal is not None and not isinstance(self.dismissal, str):
            raise TypeError(f"dismissal must be a str or None, not {type(self.dismissal).__name__}")
        if self.dismissal is not None and self.dismissal == self.heartbeat:
            raise ValueError("dismissal must differ from heartbeat, which is sent back")

    def check_allowed(self, message: Message) -> None:
        """Raise ValueError if the application may not send the message.

        A text that equals `dismissal` may come from a client, as in a chat, and would end others for good.
        """
        if type(message) is str and message == self.dismissal:
            raise ValueError("message must not be the hub's dismissal, which ends a client: call dismiss()")
