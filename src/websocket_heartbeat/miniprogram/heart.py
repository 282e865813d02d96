"""The heartbeats that the core asks for: what is sent, and whether any are wanted."""

from typing import Any

from websocket_heartbeat.miniprogram.language import log, record, value_of, when
from websocket_heartbeat.miniprogram.link import Link


class Heart:
    """Sends heartbeats, the message of the option `pingMsg`.

    is_beating: whether heartbeats are wanted on the open link: not until heartStart, nor after heartReset.
    was_refused: whether the host refused the latest. That decides nothing: the link may still deliver.
    """

    def __init__(self, opts: dict[str, Any]) -> None:
        self.opts = opts
        self.is_beating = False
        self.was_refused = False

    def beat(self, link: Link) -> None:
        """Send one; `pingMsg` may be a function, of a promise too."""
        self.was_refused = False
        try:
            when(
                value_of(self.opts["pingMsg"]),
                lambda data: self._send(link, data),
                lambda error: self._failed(error),
            )
        except Exception as error:
            self._failed(error)

    def _send(self, link: Link, data: Any) -> None:
        message = record(None)
        message["data"] = data
        message["fail"] = lambda error: self._refused()
        if not link.is_over and not link.send(message):
            self._refused()

    def _failed(self, error: Any) -> None:
        self._refused()
        log(error)

    def _refused(self) -> None:
        self.was_refused = True
