"""Thousands of connections at once, opened at a bounded rate, with one set of hooks."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self

from websocket_heartbeat import observer
from websocket_heartbeat.checks import check_rate
from websocket_heartbeat.client import Connection
from websocket_heartbeat.client.hooks import Hook
from websocket_heartbeat.client.lifetime import running_loop
from websocket_heartbeat.events import (
    CloseEvent,
    Message,
    OpenEvent,
    ReconnectEvent,
    SessionEvent,
    State,
    Stats,
)

_CAUGHT_UP = 0.1
"""At most so many seconds of a blocked loop are made up for, so that attempts do not all start after it."""

_SWEPT_FROM = 64
"""From so many members on, `add` looks for those that have ended."""

FleetOpenHook = Callable[[Connection, OpenEvent], Awaitable[None] | None]
FleetMessageHook = Callable[[Connection, Message], Awaitable[None] | None]
FleetCloseHook = Callable[[Connection, CloseEvent], Awaitable[None] | None]
FleetErrorHook = Callable[[Connection, Exception], Awaitable[None] | None]
FleetReconnectHook = Callable[[Connection, ReconnectEvent], Awaitable[None] | None]
FleetSessionHook = Callable[[Connection, SessionEvent], Awaitable[None] | None]
FleetStateHook = Callable[[Connection, State], Awaitable[None] | None]


class Fleet:
    """Opens and supervises many connections, at a bounded rate of attempts.

        async with Fleet(open_rate=500, on_message=handle) as fleet:      # handle(connection, message)
            for url in urls:
                fleet.add(connect(url, heartbeat=Heartbeat(interval=30)))

    open_rate: attempts per second, first ones and retries together; `reconnect_now` does not wait for its
    turn. Default 500.

    on_open, on_message, on_close, on_error, on_reconnect, on_state, on_session: hooks as those of a
    Connection, with the connection as first argument. Those that are set, here or later, take the place of
    the hooks of each connection that is added.
    """

    on_open: Hook[FleetOpenHook] = Hook(2)
    """Called with the connection and an OpenEvent whenever a link has opened; its sends go first."""
    on_message: Hook[FleetMessageHook] = Hook(2)
    """Called with the connection and each of its messages, in order."""
    on_close: Hook[FleetCloseHook] = Hook(2)
    """Called with the connection and a CloseEvent whenever an open link is gone."""
    on_error: Hook[FleetErrorHook] = Hook(2)
    """Called with the connection and an exception, as `Connection.on_error`."""
    on_reconnect: Hook[FleetReconnectHook] = Hook(2)
    """Called with the connection and a ReconnectEvent when a retry is scheduled."""
    on_state: Hook[FleetStateHook] = Hook(2)
    """Called with the connection and each State that it enters."""
    on_session: Hook[FleetSessionHook] = Hook(2)
    """Called with the connection and a SessionEvent, as `Connection.on_session`."""

    def __init__(
        self,
        *,
        open_rate: float = 500,
        on_open: FleetOpenHook | None = None,
        on_message: FleetMessageHook | None = None,
        on_close: FleetCloseHook | None = None,
        on_error: FleetErrorHook | None = None,
        on_reconnect: FleetReconnectHook | None = None,
        on_state: FleetStateHook | None = None,
        on_session: FleetSessionHook | None = None,
    ) -> None:
        self._spacing = 1 / check_rate("open_rate", open_rate)
        self._members: set[Connection] = set()
        self._sweep_at = _SWEPT_FROM
        # Of those that have ended.
        self._ended: Counter[State] = Counter()
        self._past = Stats()
        self._queue: deque[tuple[Connection, Callable[[], None]]] = deque()
        self._next_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._hooks: dict[str, Callable[..., Any]] = {}
        self.on_open = on_open
        self.on_message = on_message
        self.on_close = on_close
        self.on_error = on_error
        self.on_reconnect = on_reconnect
        self.on_state = on_state
        self.on_session = on_session
        observer.fleets.add(self)

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
            TypeError: it is not a Connection, such as one for blocking code.
            ValueError: it was started or added already.
            RuntimeError: no loop is running.
        """
        running_loop()
        if not isinstance(connection, Connection):
            raise TypeError(f"connection must be a Connection, not {type(connection).__name__}")
        if connection.state is not State.IDLE:
            raise ValueError(f"connection must not be started before it is added: {connection!r}")
        connection._join_fleet(partial(self._may_open, connection))
        if len(self._members) >= self._sweep_at:
            self._sweep()
            self._sweep_at = max(_SWEPT_FROM, 2 * len(self._members))
        self._members.add(connection)
        for name, hook in self._hooks.items():
            connection._set_hook(name, partial(hook, connection))
        # Whatever calls back when its turn comes, a connection runs in the context of the code that added it.
        if self._may_open(connection, partial(copy_context().run, connection.start)):
            connection.start()
        return connection

    @property
    def connections(self) -> list[Connection]:
        """The connections that have not ended."""
        self._sweep()
        return list(self._members)

    @property
    def states(self) -> Counter[State]:
        """How many connections are in each state, those that have ended included."""
        self._sweep()
        return self._ended + Counter(connection.state for connection in self._members)

    @property
    def waiting(self) -> int:
        """How many attempts wait for their turn."""
        return len(self._queue)

    @property
    def stats(self) -> Stats:
        """The sum over all connections, those that have ended included, without their reasons."""
        self._sweep()
        total = replace(self._past, reasons=[])
        for connection in self._members:
            _add(total, connection.stats)
        return total

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close every connection, each as by its own `close`, side by side."""
        tasks = [asyncio.create_task(connection.close(code, reason)) for connection in self._members]
        if not tasks:
            return
        try:
            # Not gather: cancelled, it would cancel tasks that have not begun and so close nothing.
            await asyncio.wait(tasks)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            raise
        await asyncio.gather(*tasks)

    def _set_hook(self, name: str, hook: Callable[..., Any] | None) -> None:
        if hook is None:
            self._hooks.pop(name, None)
        else:
            self._hooks[name] = hook
        for connection in self._members:
            connection._set_hook(name, None if hook is None else partial(hook, connection))

    def _sweep(self) -> None:
        """Forget the connections that have ended, but keep their state and stats."""
        ended = [connection for connection in self._members if connection.closed]
        self._members.difference_update(ended)
        for connection in ended:
            self._ended[connection.state] += 1
            _add(self._past, connection.stats)
        self._past.queued = 0  # an ended connection sends nothing more

    def _may_open(self, connection: Connection, go: Callable[[], None]) -> bool:
        """Tell whether an attempt may begin now; otherwise call `go` when its turn comes."""
        now = asyncio.get_running_loop().time()
        if not self._queue and now >= self._next_at:
            self._next_at = now + self._spacing
            return True
        self._queue.append((connection, go))
        self._set_timer()
        return False

    def _set_timer(self) -> None:
        if self._timer is None and self._queue:
            self._timer = asyncio.get_running_loop().call_at(self._next_at, self._next_turn)

    def _next_turn(self) -> None:
        """Start the attempts that the rate allows by now, several after a long turn of the loop."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        self._next_at = max(self._next_at, now - _CAUGHT_UP)
        try:
            while self._queue and self._next_at <= now:
                connection, go = self._queue.popleft()
                # It may have been closed, or have opened without us.
                if connection.state in (State.IDLE, State.WAITING):
                    self._next_at += self._spacing
                    go()
        finally:  # also when a hook raised what ends the program
            self._set_timer()


def _add(total: Stats, stats: Stats) -> None:
    total.links += stats.links
    total.attempts += stats.attempts
    total.pings += stats.pings
    total.queued += stats.queued
    total.dropped += stats.dropped
    total.bytes_received += stats.bytes_received
    total.bytes_sent += stats.bytes_sent
