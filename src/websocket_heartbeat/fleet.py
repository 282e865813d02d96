"""Thousands of connections at once, opened at a bounded rate, with one set of hooks."""

import asyncio
import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any, Self

from websocket_heartbeat.client import Connection
from websocket_heartbeat.events import CloseEvent, Message, OpenEvent, ReconnectEvent, State, Stats
from websocket_heartbeat.hooks import Hook

_CLOSED_SIDE_BY_SIDE = 200
"""Each connection that is being closed is a task for that time."""

FleetOpenHook = Callable[[Connection, OpenEvent], Awaitable[None] | None]
FleetMessageHook = Callable[[Connection, Message], Awaitable[None] | None]
FleetCloseHook = Callable[[Connection, CloseEvent], Awaitable[None] | None]
FleetErrorHook = Callable[[Connection, Exception], Awaitable[None] | None]
FleetReconnectHook = Callable[[Connection, ReconnectEvent], Awaitable[None] | None]
FleetStateHook = Callable[[Connection, State], Awaitable[None] | None]


class Fleet:
    """Opens and supervises many connections; never a thundering herd of its own.

        async with Fleet(open_rate=500) as fleet:
            fleet.on_message = handle          # handle(connection, message)
            for url in urls:
                fleet.add(connect(url, heartbeat=Heartbeat(interval=30)))

    open_rate: attempts per second, first ones and retries together. Default 500.

    Hooks are those of a Connection with the connection as first argument. They take the place of the hooks of
    each connection that is added, for those that are set.
    """

    on_open = Hook[FleetOpenHook]("Called with the connection and an OpenEvent.")
    on_message = Hook[FleetMessageHook]("Called with the connection and each of its messages, in order.")
    on_close = Hook[FleetCloseHook]("Called with the connection and a CloseEvent.")
    on_error = Hook[FleetErrorHook]("Called with the connection and an exception.")
    on_reconnect = Hook[FleetReconnectHook]("Called with the connection and a ReconnectEvent.")
    on_state = Hook[FleetStateHook]("Called with the connection and each State that it enters.")

    def __init__(self, *, open_rate: float = 500) -> None:
        if isinstance(open_rate, bool) or not isinstance(open_rate, int | float):
            raise TypeError(f"open_rate must be a number of attempts per second, not {open_rate!r}")
        if not 0 < open_rate < math.inf:
            raise ValueError(f"open_rate must be finite and above 0, not {open_rate!r}")
        self._spacing = 1 / open_rate
        self._members: set[Connection] = set()
        self._queue: deque[Callable[[], None]] = deque()
        self._next_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.hooks: dict[str, Callable[..., Any]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def add(self, connection: Connection) -> Connection:
        """Take a connection that was not started yet, start it when its turn comes, and return it.

        Raises:
            ValueError: it was started already.
        """
        if connection.state is not State.IDLE:
            raise ValueError(f"connection must not be started before it is added: {connection!r}")
        self._members.add(connection)
        connection.pacer = self._may_open
        for name in self.hooks:
            self._attach(connection, name)
        if self._may_open(connection.start):
            connection.start()
        return connection

    @property
    def connections(self) -> list[Connection]:
        """Those that have not ended."""
        self._members = {connection for connection in self._members if not connection.closed}
        return list(self._members)

    @property
    def states(self) -> Counter[State]:
        """How many connections stand where."""
        return Counter(connection.state for connection in self._members)

    @property
    def stats(self) -> Stats:
        """The sum over all connections, without their reasons."""
        total = Stats()
        for connection in self._members:
            stats = connection.stats
            total.links += stats.links
            total.attempts += stats.attempts
            total.pings += stats.pings
            total.bytes_received += stats.bytes_received
            total.bytes_sent += stats.bytes_sent
        return total

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close every connection, each as by its own `close`."""
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting = list(self._members)
        while waiting:
            some, waiting = waiting[:_CLOSED_SIDE_BY_SIDE], waiting[_CLOSED_SIDE_BY_SIDE:]
            await asyncio.gather(*(connection.close(code, reason) for connection in some))

    def hook_changed(self, name: str) -> None:
        """Called by a Hook of this fleet when it was set or removed."""
        for connection in self._members:
            self._attach(connection, name)

    def _attach(self, connection: Connection, name: str) -> None:
        hook = self.hooks.get(name)
        setattr(connection, name, partial(hook, connection) if hook is not None else None)

    def _may_open(self, go: Callable[[], None]) -> bool:
        """Tell whether an attempt may begin now; otherwise call `go` when its turn comes."""
        now = asyncio.get_running_loop().time()
        if not self._queue and now >= self._next_at:
            self._next_at = now + self._spacing
            return True
        self._queue.append(go)
        self._set_timer()
        return False

    def _set_timer(self) -> None:
        if self._timer is None and self._queue:
            self._timer = asyncio.get_running_loop().call_at(self._next_at, self._next_turn)

    def _next_turn(self) -> None:
        """Let in whom the rate allows since the last time; a loop turn may be longer than the spacing."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._queue and self._next_at <= now:
            self._next_at += self._spacing
            self._queue.popleft()()
        self._set_timer()
