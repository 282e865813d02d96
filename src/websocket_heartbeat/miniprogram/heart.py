"""The heartbeats: those that the core asks for, their answers, and those of the other side."""

from typing import Any

from websocket_heartbeat.miniprogram.language import (
    is_bytes,
    is_promise,
    is_same,
    is_text,
    log,
    record,
    report,
    value_of,
    when,
)
from websocket_heartbeat.miniprogram.link import Link


class Heart:
    """Sends heartbeats, the message of the option `pingMsg`, and knows those among the messages that come.

    is_beating: whether heartbeats are wanted on the open link: not until heartStart, nor after heartReset.
    was_refused: whether the host refused the latest. That decides nothing: the link may still deliver.
    """

    def __init__(self, opts: dict[str, Any]) -> None:
        self.opts = opts
        self.is_beating = False
        self.was_refused: bool = False

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

    def has_dialect(self) -> bool:
        """Whether there are options that tell heartbeats from other messages."""
        return self.opts["pong"] is not None or self.opts["reply"] is not None

    def is_pong(self, data: Any) -> bool:
        """Whether a message answers a heartbeat of ours; what the user's function throws is reported."""
        pong = self.opts["pong"]
        if not callable(pong):
            return is_text(pong) and is_same(data, pong)
        try:
            result = pong(data)
            if is_promise(result):
                raise ValueError("pong must return true or false, and no promise")
            is_one: bool = result
            return is_one
        except Exception as error:
            report(error)
            return False

    def reply_to(self, data: Any) -> Any:
        """What answers a heartbeat of the other side; nothing if the message is none."""
        reply = self.opts["reply"]
        if reply is None:
            ping = self.opts["pingMsg"]
            pong = self.opts["pong"]
            return pong if is_text(pong) and is_text(ping) and is_same(data, ping) else None
        try:
            answer = reply(data)
            if answer is not None and not is_text(answer) and not is_bytes(answer):
                raise ValueError("reply must return text, bytes or nothing")
            return answer
        except Exception as error:
            report(error)
            return None

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
