"""The time between the open of a link and the end of the user's onOpen, which may return a promise."""

from typing import Any

from websocket_heartbeat.core.machine import NOTIFY_CLOSED
from websocket_heartbeat.miniprogram.advice import Advice
from websocket_heartbeat.miniprogram.clock import Clock
from websocket_heartbeat.miniprogram.step import MESSAGE, Step


class Dialogue:
    """What onOpen does on a link: a login, say. What waits to be sent waits for its end.

    link: the number of the link, 0 while there is no dialogue.
    aside: what the user is to be told of another link meanwhile, which a renewal replaces: onOpen would take
    a message of that for the answer to its login.
    """

    def __init__(self, clock: Clock, opts: dict[str, Any], advice: Advice) -> None:
        self.clock = clock
        self.opts = opts
        self.advice = advice
        self.link: int = 0
        self.aside: list[Step] = []
        self.timer: Any = None

    def begin(self, link: int) -> None:
        """OnOpen is called for this link."""
        self.link = link

    def lasts(self) -> None:
        """OnOpen has returned a promise. The user is warned if it is pending for openTimeout."""
        limit: float = self.opts["openTimeout"]
        self.timer = self.clock.start_timer(lambda: self.advice.opening_lasts(), limit)

    def is_elsewhere(self, step: Step) -> bool:
        """Whether the step is about another link, and has to wait for the end."""
        kind = step.action.kind
        is_elsewhere = self.link != 0 and step.action.link != self.link
        return is_elsewhere and (kind == MESSAGE or kind == NOTIFY_CLOSED)

    def end(self) -> list[Step]:
        """The promise has settled, or the link is gone; return what has waited for that."""
        self.link = 0
        self.clock.stop_timer(self.timer)
        self.timer = None
        aside = self.aside
        self.aside = []
        return aside
