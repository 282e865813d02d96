"""Links between a real client and real servers: each frame waits until a schedule says that it is read."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from websocket_heartbeat.controls import SUBPROTOCOL
from websocket_heartbeat.engines.base import Closure, Evidence, Link, LinkEvents
from websocket_heartbeat.events import Message


@dataclass
class Wire:
    """One link, as Link of state.py, with what the two ends really send.

    down: ends with the Closure, if the server has closed it. opened_at: by the clock of the loop.
    """

    number: int
    node: int
    opened_at: float
    client: "End" = field(init=False)
    server: "End" = field(init=False)
    up: deque[Message | Closure] = field(default_factory=deque)
    down: deque[Message | Closure] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.client = End(self.up, self.down)
        self.server = End(self.down, self.up)
        self.client.other, self.server.other = self.server, self.client


class End(Link):
    """One end of a wire. events: whose link it is."""

    subprotocol = SUBPROTOCOL
    events: LinkEvents
    other: "End"

    def __init__(self, written: "deque[Message | Closure]", unread: "deque[Message | Closure]") -> None:
        self._written = written
        self._unread = unread
        self.is_open = True

    def read(self) -> None:
        """Read the next frame, or that the link has ended."""
        frame = self._unread.popleft()
        if isinstance(frame, Closure):
            self.cut()
            self.events.closed(frame)
        else:
            self.deliver(frame)
            self.events.batch_delivered()

    def lose(self) -> None:
        """Find that the link has ended, without a close frame."""
        self.cut()
        self.events.closed(Closure())

    def cut(self) -> None:
        """Be gone, with what was not read."""
        self.is_open = False
        self._unread.clear()

    # As in Link

    def send(self, message: Message) -> None:
        if self.is_open and self.other.is_open:
            self._written.append(message)

    def close(self, code: int, reason: str) -> None:
        if self.is_open:
            closure = Closure(code, reason, framed=True)
            if self.other.is_open:
                self._written.append(closure)
            unread = [frame for frame in self._unread if not isinstance(frame, Closure)]
            self.cut()
            asyncio.get_running_loop().call_soon(self._closed, unread, closure)

    def _closed(self, unread: list[Message], closure: Closure) -> None:
        """Deliver what was under way, as a socket does: who has closed a link takes nothing more."""
        for frame in unread:
            self.deliver(frame)
        self.events.closed(closure)

    def abort(self) -> None:
        self.cut()

    def ping(self) -> None:
        """Do nothing: nobody is silent here."""

    def pause_reading(self) -> None:
        """Do nothing: a schedule says when is read."""

    def resume_reading(self) -> None:
        """Do nothing."""

    @property
    def buffered(self) -> int:
        return 0

    def evidence(self) -> Evidence:
        return Evidence(0.0, 0.0, 0)

    @property
    def position(self) -> int:
        return 0

    @property
    def uncertain(self) -> int | None:
        return 0
