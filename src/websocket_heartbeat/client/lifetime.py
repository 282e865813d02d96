"""Whether a connection can be used, which everybody asks before waiting, and what wakes those that wait."""

from websocket_heartbeat.core import machine as core
from websocket_heartbeat.errors import ConnectionClosed, ConnectionFailed
from websocket_heartbeat.system.wakeup import Wakeup

ENDED = (core.CLOSED, core.FAILED)


class Lifetime:
    """The life of one connection from its start to its end.

    changed: notified whenever something has happened that somebody may wait for, other than a message.
    starts_later: somebody else starts the connection when its turn comes, so that waiting before makes sense.
    """

    __slots__ = ("_failure", "_machine", "changed", "starts_later")

    def __init__(self, machine: core.Machine) -> None:
        self._machine = machine
        self._failure: ConnectionFailed | None = None
        self.changed = Wakeup()
        self.starts_later = False

    @property
    def has_ended(self) -> bool:
        """Whether the connection is closed or has failed."""
        return self._machine.state in ENDED

    def fail(self, reason: str, code: int | None, cause: Exception | None) -> None:
        """Keep why the connection has failed for good."""
        self._failure = ConnectionFailed(reason, code)
        self._failure.__cause__ = cause

    def check_alive(self) -> None:
        """Raise ConnectionClosed or ConnectionFailed if there will be no further link."""
        self.check_failure()
        if self._machine.state in (core.CLOSING, core.CLOSED):
            raise ConnectionClosed("the connection is closed")

    def check_failure(self) -> None:
        """Raise ConnectionFailed if the connection has failed: a new one, as each gathers its traceback."""
        if self._failure is not None:
            raise ConnectionFailed(self._failure.reason, self._failure.code) from self._failure.__cause__

    def check_started(self) -> None:
        """Raise RuntimeError where waiting would be waiting for ever."""
        if self._machine.state == core.IDLE and not self.starts_later:
            raise RuntimeError(
                "the connection is not started: use it within `async with connect(...) as ...:`"
            )

    async def change(self) -> None:
        """Wait for the next change.

        Raises:
            RuntimeError: there will be none, as nobody has started the connection.
        """
        self.check_started()
        await self.changed.wait()
