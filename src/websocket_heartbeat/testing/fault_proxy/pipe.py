"""One direction of one connection: what was read from one end waits here for the other."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from websocket_heartbeat.testing.fault_proxy.faults import Conditions

_SLICE: Final = 0.02
"""Seconds of a throttled stream that are passed on at once."""

_ROOM: Final = 0.25
"""Seconds of a throttled stream that may wait in the socket that it comes from."""

_LEAST_ROOM: Final = 16 * 1024
_MOST_ROOM: Final = 4 * 2**20


class PipeEnd(Protocol):
    """What a pipe needs of the socket at either end of it."""

    def is_open(self) -> bool:
        """Whether the socket can be written to."""

    def set_room(self, size: int) -> None:
        """Let the system take about so many bytes that were not read yet."""

    def set_reading(self, is_wanted: bool) -> None:
        """Read from this socket, or stop, so that its peer feels backpressure."""

    def write(self, data: bytes) -> None:
        """Pass on bytes."""

    def finish(self) -> None:
        """Pass on the end of the stream."""

    def abort(self, reset: bool) -> None:
        """Drop the socket, with RST if asked."""


class Pipe:
    """Takes bytes from a source and passes them on to a sink when the conditions allow.

    full: whether the sink's write buffer is full. cut: called when the last byte before a cut has
    left.
    """

    def __init__(
        self, conditions: Conditions, source: PipeEnd, sink: PipeEnd, cut: Callable[[], None]
    ) -> None:
        self.full = False
        self._is_stopped = False
        self._loop = asyncio.get_running_loop()
        self._conditions = conditions
        self._source = source
        self._sink = sink
        self._cut = cut
        # When each may leave, by its delay. b"" stands for the end of the stream and None for a reset, which
        # queue behind the bytes before them.
        self._held: deque[tuple[float, bytes | None]] = deque()
        # When the throttle allows the next bytes.
        self._free_at = 0.0
        self._room_for: int | None = None  # the rate for which the source has room
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_holding(self) -> bool:
        """Whether anything waits here: bytes, the end of the stream or a reset."""
        return bool(self._held)

    def take(self, data: bytes | None) -> None:
        """Take bytes, b"" for the end of the stream or None for a reset."""
        self._held.append((self._loop.time() + self._conditions.delay, data))
        self.pump()

    def stop(self) -> None:
        """Let nothing pass any more, and forget what waits."""
        self._is_stopped = True
        self.pump()

    def pump(self) -> None:
        """Pass on what may pass now, come back for the rest, and read more only if nothing is in its way."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_stopped:
            self._held.clear()
            return
        self._make_room()
        while self._held and self._is_passable():
            due, data = self._held[0]
            ready = max(due, self._free_at)
            now = self._loop.time()
            if ready > now:
                self._timer = self._loop.call_later(ready - now, self.pump)
                break
            self._held.popleft()
            self._pass_on(due, data)
        # Bytes that only wait for their delay must not stop the reading; bytes that are late must, so that
        # the sender feels it.
        late = bool(self._held) and self._held[0][0] <= self._loop.time()
        self._source.set_reading(self._is_passable() and not late)

    def _make_room(self) -> None:
        """Let little wait in the source of a throttled stream.

        It is acknowledged there, by megabytes: a line that is slow acknowledges what it has carried.
        """
        rate = self._conditions.rate
        if rate != self._room_for and self._source.is_open():
            self._room_for = rate
            room = _MOST_ROOM if rate is None else int(rate * _ROOM)
            self._source.set_room(min(max(room, _LEAST_ROOM), _MOST_ROOM))

    def cut_if_due(self) -> None:
        """Reset every connection if the last byte before the cut has left."""
        # Not while bytes wait in the transport: the reset would overtake them.
        if self._conditions.left == 0 and not self.full:
            self._cut()

    def _is_passable(self) -> bool:
        is_open = self._sink.is_open() and not self.full
        return is_open and not self._conditions.frozen and self._conditions.left != 0

    def _pass_on(self, due: float, data: bytes | None) -> None:
        if data is None:
            self._sink.abort(reset=True)
        elif not data:
            self._sink.finish()
        else:
            conditions = self._conditions
            size = len(data)
            if conditions.rate is not None:
                size = min(size, max(1, int(conditions.rate * _SLICE)))
                self._free_at = max(self._free_at, self._loop.time()) + size / conditions.rate
            if conditions.left is not None:
                size = min(size, conditions.left)
                conditions.left -= size
            if size < len(data):
                self._held.appendleft((due, data[size:]))
            conditions.carried += size
            self._sink.write(data[:size])
            self.cut_if_due()
