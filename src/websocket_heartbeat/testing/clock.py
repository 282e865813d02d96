"""A simulated clock: hours of a connection's life pass in milliseconds, the same way in each run."""

import asyncio
import heapq
import math
import selectors
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, TypeVar

from websocket_heartbeat.checks import check_seconds
from websocket_heartbeat.core.machine import Action, Machine

_T = TypeVar("_T")


class DeadlockError(RuntimeError):
    """Simulated time cannot go on: nothing is ready, and nothing is due that could ever make it so."""


class SimulatedClock:
    """A clock that begins at 0 and jumps from one event to the next instead of waiting.

        clock = SimulatedClock()
        clock.run(asyncio.sleep(3600))      # returns at once
        clock.now()                         # 3600.0

    It runs a coroutine on an event loop of its own (`run`), or a heartbeat machine without a loop (`drive`).
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._calls: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()

    def now(self) -> float:
        """Return the simulated time in seconds; within `run` the loop's time() says the same."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass without anything being run: a blocked loop, a process that was stopped.

        What became due meanwhile runs late, once `run` or `drive` goes on.
        """
        check_seconds("seconds", seconds, zero=True)
        self._now += seconds

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine as asyncio.run does, on simulated time, and return its result.

        Whenever no callback is ready, time jumps to the next timer. Threads (asyncio.to_thread, name lookups)
        take no simulated time. Sockets work, but time does not wait for their bytes: use in-process peers.

        Raises:
            DeadlockError: nothing is ready, no timer is set, no thread and no socket can change that. The
                message says where each task waits.
            RuntimeError: another event loop runs in this thread.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            coroutine.close()
            raise RuntimeError("SimulatedClock.run cannot be called while an event loop is running")
        with asyncio.Runner(loop_factory=lambda: _SimulatedLoop(self)) as runner:
            return runner.run(coroutine)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> None:
        """Let `drive` call `callback` in so many seconds: what a peer or a network does in the meantime."""
        check_seconds("seconds", seconds, zero=True)
        heapq.heappush(self._calls, (self._now + seconds, next(self._order), callback))

    def drive(
        self,
        machine: Machine,
        seconds: float,
        perform: Callable[[Action], object] | None = None,
    ) -> list[tuple[float, Action]]:
        """Act as the host of a machine for so many seconds; return its actions, each with its time.

        The machine is woken at each of its deadlines, late if `advance` went past it. Of what is due at the
        same time, calls of `call_later` come first.

        perform: carries out each action; it may give the machine inputs, and use `call_later`.

        Raises:
            DeadlockError: the machine was woken at its deadline and left it where it was.
        """
        check_seconds("seconds", seconds, zero=True)
        end = self._now + seconds
        trace: list[tuple[float, Action]] = []
        while True:
            # A loop, for what is performed may lead to further actions.
            while actions := machine.take():
                for action in actions:
                    trace.append((self._now, action))
                    if perform is not None:
                        perform(action)
            deadline = math.inf if machine.deadline is None else machine.deadline
            call_at = self._calls[0][0] if self._calls else math.inf
            due = min(deadline, call_at)
            if due > end:
                self._now = max(self._now, end)
                return trace
            self._now = max(self._now, due)
            if call_at <= deadline:
                heapq.heappop(self._calls)[2]()
                continue
            machine.woke(self._now)
            if machine.deadline == deadline:
                raise DeadlockError(
                    f"the machine, {machine.state}, was woken at its deadline {deadline:g} and left it there"
                )


class _Selector(selectors.DefaultSelector):
    """Moves the clock to the next timer where a loop would sleep until then."""

    def __init__(self, clock: SimulatedClock, loop: "_SimulatedLoop") -> None:
        super().__init__()
        self.clock = clock
        self.loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.loop.threads_at_work:
            return super().select(None)
        if timeout is not None:
            self.clock.advance(timeout)
            return ready
        # One socket is always there: the one by which threads wake the loop.
        if len(self.get_map()) > 1:
            return super().select(None)
        raise DeadlockError(self.loop.describe_deadlock())


class _SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop on a simulated clock."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock = clock
        self.threads_at_work = 0
        super().__init__(_Selector(clock, self))
        # asyncio runs what is due within its clock's resolution, a nanosecond. After half a year no float can
        # tell a nanosecond any more, and a timer that is due now would never run.
        self._clock_resolution = 1e-7

    def time(self) -> float:
        return self.clock.now()

    def run_in_executor(  # type: ignore[override]  # the types of the supertype cannot be repeated briefly
        self, *args: Any, **kwargs: Any
    ) -> "asyncio.Future[Any]":
        future = super().run_in_executor(*args, **kwargs)
        self.threads_at_work += 1
        future.add_done_callback(self.thread_done)
        return future

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        self.threads_at_work += 1
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self.threads_at_work -= 1

    def thread_done(self, future: "asyncio.Future[Any]") -> None:
        self.threads_at_work -= 1

    def describe_deadlock(self) -> str:
        waiting = [
            f"{task.get_name()} at {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
            for task in asyncio.all_tasks(self)
            for frame in task.get_stack(limit=1)
        ]
        return "\n    ".join(
            [f"at {self.clock.now():g} s nothing is ready and no timer is set; waiting:", *sorted(waiting)]
        )
