"""The time between the open of a link and the end of the user's onOpen, which may return a promise."""

from typing import Any

from websocket_heartbeat.miniprogram.advice import Advice
from websocket_heartbeat.miniprogram.clock import Clock


class Dialogue:
    """What onOpen does on a link: a login, say. What waits to be sent waits for its end.

    link: the number of the link, 0 while there is no dialogue.
    """

    def __init__(self, clock: Clock, opts: dict[str, Any], advice: Advice) -> None:
        self.clock = clock
        self.opts = opts
        self.advice = advice
        self.link = 0
        self.timer: Any = None

    def begin(self, link: int) -> None:
        """OnOpen is called for this link."""
        self.end()
        self.link = link

    def lasts(self) -> None:
        """OnOpen has returned a promise. The user is warned if it is pending for openTimeout."""
        limit: float = self.opts["openTimeout"]
        self.timer = self.clock.start_timer(lambda: self.advice.opening_lasts(), limit)

    def end(self) -> None:
        """The promise has settled, or the link is gone."""
        self.link = 0
        self.clock.stop_timer(self.timer)
        self.timer = None
