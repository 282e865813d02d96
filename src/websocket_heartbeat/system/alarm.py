"""One timer for all connections of an event loop, however many they are.

With a timer for every connection, every heartbeat would cost a heap entry and a turn of the loop of its own.
Here alarms are rounded up to a multiple of some granularity, so that connections due at about the same time
wake together; except retries, which the core has spread on purpose.

The clock of the loop stops while the computer is suspended, so alarms would be late after it. As there is
only one timer, it can check for a suspend every few seconds, and then rings all alarms.
"""

import asyncio
import heapq
import math
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary

from websocket_heartbeat.system import kernel

_CHECK_INTERVAL = 2.0
"""Seconds after which the timer checks whether the computer was suspended, though nothing is due."""

_SHORTEST_SUSPEND = 1.0
"""Seconds; a shorter suspend is ignored, as a link survives it."""


class Alarm:
    """One connection's alarm on the running loop.

    callback: called when the alarm rings, with whether that is because the computer was suspended.
    granularity: the step, in seconds, to which times are rounded up.
    """

    __slots__ = ("_at", "_callback", "_clock", "granularity")

    def __init__(self, callback: Callable[[bool], None], granularity: float) -> None:
        loop = asyncio.get_running_loop()
        clock = _clocks.get(loop)
        if clock is None:
            # A clock's timer refers to its loop: one that ended with alarms set would never be collected.
            for closed in [other for other in _clocks if other.is_closed()]:
                del _clocks[closed]
            clock = _clocks[loop] = _AlarmClock()
        self._clock = clock
        self._callback = callback
        self.granularity: float = granularity
        self._at: float | None = None

    def ring_by(self, when: float, *, exact: bool = False) -> None:
        """Ring at `when`, a time of the loop's clock, or before: an earlier alarm stays as it is.

        exact: `when` is not rounded up.
        """
        if self._at is not None:
            if self._at <= when:
                return
            self.cancel()
        # A multiple of the granularity stays as it is, although floats are not exact. An alarm never rings
        # before `when`, or it would ring repeatedly until then.
        at = when if exact else math.ceil(when / self.granularity - 1e-6) * self.granularity
        self._at = at if at > when else when
        self._clock.add(self, self._at)

    def cancel(self) -> None:
        """Do not ring any more; may be set again."""
        if self._at is not None:
            self._clock.remove(self, self._at)
            self._at = None

    def is_set_for(self, at: float) -> bool:
        """Whether it is to ring then, and was not cancelled or set again in the meantime."""
        return self._at == at

    def ring(self, at: float, was_suspended: bool) -> None:
        """Called by the clock; does nothing if it is not set for that time."""
        if self._at == at:
            self._at = None
            self._callback(was_suspended)


class _AlarmClock:
    """The alarms of one loop, by the time at which they ring."""

    __slots__ = ("_alarms", "_due", "_is_ringing", "_suspended_for", "_timer", "_times")

    def __init__(self) -> None:
        self._alarms: dict[float, dict[Alarm, None]] = {}
        self._times: list[float] = []  # a heap; times without alarms are skipped
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0  # when the timer fires
        self._is_ringing = False  # alarms are ringing, and the timer is set after the last one
        self._suspended_for = kernel.suspended_for()

    def add(self, alarm: Alarm, at: float) -> None:
        alarms = self._alarms.get(at)
        if alarms is not None:  # then the timer is set for them already
            alarms[alarm] = None
            return
        self._alarms[at] = {alarm: None}
        heapq.heappush(self._times, at)
        if not self._is_ringing:
            self._set_timer()

    def remove(self, alarm: Alarm, at: float) -> None:
        alarms = self._alarms.get(at)
        if alarms is None:  # they ring right now
            return
        alarms.pop(alarm, None)
        if not alarms:
            del self._alarms[at]
            if not self._alarms and not self._is_ringing:
                self._reset()

    def _set_timer(self) -> None:
        """Set the loop's timer to the earliest time, or to when the next check for a suspend is due."""
        earliest = self._times[0]
        if self._timer is not None:
            if self._due <= earliest:
                return
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        # Kept here: for a time in the past, uvloop returns a handle that does not know it.
        self._due = min(earliest, loop.time() + _CHECK_INTERVAL)
        self._timer = loop.call_at(self._due, self._timer_fired)

    def _reset(self) -> None:
        """Forget the times, of which none has an alarm any more, and stop the timer."""
        self._times.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _timer_fired(self) -> None:
        self._timer = None
        self._is_ringing = True
        try:
            self._ring()
        finally:
            # Also after SystemExit or KeyboardInterrupt in an alarm: the loop may be run again.
            self._is_ringing = False
            if self._alarms:
                self._set_timer()
            else:
                self._reset()

    def _ring(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        total = kernel.suspended_for()
        was_suspended = total - self._suspended_for > _SHORTEST_SUSPEND
        self._suspended_for = total
        due: deque[tuple[Alarm, float]] = deque()
        while self._times and (self._times[0] <= now or was_suspended):
            at = heapq.heappop(self._times)
            due += [(alarm, at) for alarm in self._alarms.pop(at, ())]
        # An alarm set from here on rings in a later turn of the loop, after it has read, even if it is due.
        try:
            while due:
                alarm, at = due.popleft()
                try:
                    alarm.ring(at, was_suspended)
                except Exception as error:  # the alarms of other connections must still ring
                    loop.call_exception_handler({"message": "error in an alarm", "exception": error})
        finally:  # a hook ends the program, which still closes what it has
            for alarm, at in due:
                if alarm.is_set_for(at):
                    self.add(alarm, at)


_clocks: WeakKeyDictionary[asyncio.AbstractEventLoop, _AlarmClock] = WeakKeyDictionary()
