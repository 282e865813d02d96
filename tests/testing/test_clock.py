"""Simulated time jumps to what is due, stands still for what is running, and says when nothing can happen."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from websocket_heartbeat.core.machine import Action, Machine
from websocket_heartbeat.core.settings import Settings
from websocket_heartbeat.testing import DeadlockError, SimulatedClock


@pytest.fixture
def clock(simulated_clock: SimulatedClock) -> SimulatedClock:
    return simulated_clock


# An event loop on simulated time


def test_a_year_of_sleep_takes_no_time_at_all(clock: SimulatedClock) -> None:
    start = time.monotonic()
    clock.run(asyncio.sleep(365 * 86400))
    assert clock.now() == 365 * 86400
    assert time.monotonic() - start < 5


def test_the_loop_and_the_clock_agree_about_the_time(clock: SimulatedClock) -> None:
    async def main() -> tuple[float, float]:
        await asyncio.sleep(7)
        return asyncio.get_running_loop().time(), clock.now()

    assert clock.run(main()) == (7, 7)


def test_a_timer_that_is_due_at_once_runs_even_after_years(clock: SimulatedClock) -> None:
    async def main() -> None:
        ran = asyncio.Event()
        asyncio.get_running_loop().call_later(0, ran.set)
        await ran.wait()

    for _ in range(10):
        clock.advance(365 * 86400 - 0.1)
    clock.run(main())


def test_timers_run_in_their_order_at_their_times(clock: SimulatedClock) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for delay in (3600, 0.25, 12):
            loop.call_later(delay, lambda: times.append(clock.now()))
        await asyncio.sleep(4000)

    times: list[float] = []
    clock.run(main())
    assert times == [0.25, 12, 3600]


def test_time_stands_still_while_callbacks_are_ready(clock: SimulatedClock) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(0.001, times.append, "timer")
        for _ in range(1000):
            await asyncio.sleep(0)
        assert clock.now() == 0
        assert times == []

    times: list[str] = []
    clock.run(main())


def test_timeouts_expire_on_simulated_time(clock: SimulatedClock) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 90)

    clock.run(main())
    assert clock.now() == 90


def test_advance_makes_timers_late_as_a_blocked_loop_does(clock: SimulatedClock) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(1, lambda: times.append(clock.now()))
        await asyncio.sleep(0.5)
        clock.advance(10)
        assert times == []
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert times == [10.5]

    times: list[float] = []
    clock.run(main())


def test_time_goes_on_from_one_run_to_the_next(clock: SimulatedClock) -> None:
    clock.run(asyncio.sleep(1))
    clock.advance(1)
    clock.run(asyncio.sleep(1))
    assert clock.now() == 3


def test_run_returns_the_result_and_raises_the_error_of_its_coroutine(clock: SimulatedClock) -> None:
    async def fail() -> None:
        raise LookupError("mine")

    assert clock.run(asyncio.sleep(1, "result")) == "result"
    with pytest.raises(LookupError, match="mine"):
        clock.run(fail())


def test_a_deadlock_is_an_error_that_says_where_each_task_waits(clock: SimulatedClock) -> None:
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.sleep(5)
        await asyncio.gather(*(asyncio.create_task(wait_for_ever(), name=f"other {n}") for n in range(8)))

    with pytest.raises(DeadlockError) as caught:
        clock.run(main())
    message = str(caught.value)
    assert "at 5 s nothing is ready and no timer is set" in message
    waiting = message.split("\n")[1:]
    assert len(waiting) == 9
    assert waiting == sorted(waiting)
    assert all("test_clock.py:" in line for line in waiting)
    assert "other 0 at " in message


def test_after_a_deadlock_tasks_are_cancelled_and_the_clock_can_run_again(clock: SimulatedClock) -> None:
    async def main() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    seen: list[str] = []
    with pytest.raises(DeadlockError):
        clock.run(main())
    assert seen == ["cancelled"]
    clock.run(asyncio.sleep(1))


def test_run_leaves_no_task_generator_or_loop_behind(clock: SimulatedClock) -> None:
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            seen.append("generator closed")

    async def background() -> None:
        try:
            await asyncio.sleep(1e6)
        except asyncio.CancelledError:
            seen.append("task cancelled")
            raise

    async def main() -> Any:
        tasks.append(asyncio.create_task(background()))
        generator = numbers()
        await anext(generator)
        await asyncio.sleep(0)
        return asyncio.get_running_loop(), generator

    seen: list[str] = []
    tasks: list[asyncio.Task[None]] = []
    loop, _ = clock.run(main())
    assert loop.is_closed()
    assert sorted(seen) == ["generator closed", "task cancelled"]


def test_threads_take_no_simulated_time(clock: SimulatedClock) -> None:
    async def main() -> str:
        async with asyncio.timeout(1):
            return await asyncio.to_thread(work)

    def work() -> str:
        time.sleep(0.05)
        return "done"

    assert clock.run(main()) == "done"
    assert clock.now() == 0


def test_time_goes_on_after_a_thread(clock: SimulatedClock) -> None:
    async def main() -> None:
        await asyncio.to_thread(threading.get_ident)
        await asyncio.sleep(3600)

    clock.run(main())
    assert clock.now() == 3600


def test_a_socket_without_timers_is_waited_for(clock: SimulatedClock) -> None:
    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            reading = asyncio.ensure_future(loop.sock_recv(ours, 10))
            await asyncio.sleep(0)
            theirs.send(b"bytes")
            return await reading

    assert clock.run(main()) == b"bytes"
    assert clock.now() == 0


def test_a_socket_that_is_late_is_no_deadlock(clock: SimulatedClock) -> None:
    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            sender = threading.Timer(0.05, theirs.send, [b"bytes"])
            sender.start()
            received = await loop.sock_recv(ours, 10)
            sender.join()
            return received

    assert clock.run(main()) == b"bytes"


def test_run_refuses_to_nest_and_leaves_no_coroutine_unawaited(clock: SimulatedClock) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="cannot be called while an event loop is running"):
            clock.run(asyncio.sleep(1))

    asyncio.run(main())


@pytest.mark.parametrize("name", ["advance", "drive", "call_later"])
def test_bad_seconds_are_refused_by_name(clock: SimulatedClock, name: str) -> None:
    others: dict[str, list[Any]] = {"advance": [], "drive": [], "call_later": [print]}
    with pytest.raises(ValueError, match=r"seconds must be from 0 to .*, not -1"):
        call(clock, name, -1, others[name])
    with pytest.raises(TypeError, match="seconds must be a number of seconds, not '1'"):
        call(clock, name, "1", others[name])


def call(clock: SimulatedClock, name: str, seconds: Any, others: list[Any]) -> None:
    if name == "drive":
        clock.drive(machine(), seconds)
    else:
        getattr(clock, name)(seconds, *others)


# A machine on simulated time


def machine() -> Machine:
    settings = Settings(
        interval=15,
        timeout=10,
        both_directions=False,
        message_timeout=None,
        initial=1,
        maximum=60,
        hold=6,
        stable_after=30,
        open_timeout=10,
        close_timeout=5,
        max_retries=None,
        final_codes=None,
    )
    return Machine(settings, lambda: 0.5)


def lines(trace: list[tuple[float, Action]]) -> list[tuple[float, str]]:
    return [(at, action.state or action.kind) for at, action in trace]


def test_a_machine_without_a_peer_opens_waits_and_opens_again(clock: SimulatedClock) -> None:
    alone = machine()
    alone.started(clock.now())
    trace = lines(clock.drive(alone, 10.6))
    assert trace == [
        (0, "open_link"),
        (0, "connecting"),
        (10.001, "abandon_link"),
        (10.001, "retry"),
        (10.001, "waiting"),
        (10.501, "open_link"),
        (10.501, "connecting"),
    ]
    assert clock.now() == 10.6


def test_a_day_of_heartbeats_with_a_peer_that_answers(clock: SimulatedClock) -> None:
    served = machine()

    def perform(action: Action) -> None:
        if action.kind == "open_link":
            clock.call_later(0.1, lambda: served.opened(clock.now(), action.link))
        elif action.kind == "ping_link":
            clock.call_later(0.2, lambda: served.heard(clock.now(), action.link))

    served.started(clock.now())
    trace = clock.drive(served, 86400, perform)
    assert served.state in ("open", "probing")
    assert served.link == 1
    pings = [at for at, action in trace if action.kind == "ping_link"]
    assert len(pings) == pytest.approx(86400 / 15.2, abs=2)
    assert pings[:2] == pytest.approx([15.1, 30.3])


def test_actions_that_follow_from_an_action_are_taken_at_the_same_time(clock: SimulatedClock) -> None:
    quick = machine()

    def perform(action: Action) -> None:
        if action.kind == "open_link":
            quick.opened(clock.now(), action.link)

    quick.started(clock.now())
    assert lines(clock.drive(quick, 0, perform)) == [
        (0, "open_link"),
        (0, "connecting"),
        (0, "open"),
        (0, "opened"),
    ]


def test_a_peer_that_answers_at_the_deadline_is_heard_before_the_machine_wakes(
    clock: SimulatedClock,
) -> None:
    class Watched(Machine):
        def woke(self, now: float) -> None:
            woken.append(now)
            super().woke(now)

    woken: list[float] = []
    served = Watched(machine().settings, lambda: 0.5)
    served.started(0)
    clock.call_later(10, lambda: served.opened(clock.now(), 1))
    clock.drive(served, 10)
    assert (served.state, served.deadline, woken) == ("open", 25, [])


def test_a_machine_that_slept_past_its_deadline_is_woken_late_and_grants_grace(
    clock: SimulatedClock,
) -> None:
    served = machine()
    served.started(0)
    served.opened(0, 1)
    clock.drive(served, 16)
    clock.advance(3600)
    trace = clock.drive(served, 0)
    assert lines(trace) == []
    assert (served.state, served.deadline) == ("probing", 3626)


def test_a_machine_that_ignores_its_deadline_is_found_out(clock: SimulatedClock) -> None:
    class Stuck(Machine):
        def woke(self, now: float) -> None:
            pass

    stuck = Stuck(machine().settings, lambda: 0.5)
    stuck.started(0)
    with pytest.raises(DeadlockError, match="the machine, connecting, was woken at its deadline 10 and left"):
        clock.drive(stuck, 60)


def test_calls_that_are_not_due_wait_for_the_next_drive(clock: SimulatedClock) -> None:
    idle = machine()
    times: list[float] = []
    clock.call_later(5, lambda: times.append(clock.now()))
    clock.drive(idle, 4)
    assert times == []
    clock.drive(idle, 4)
    assert (times, clock.now()) == ([5], 8)


def test_a_call_that_takes_time_makes_the_drive_longer_not_the_clock_go_back(clock: SimulatedClock) -> None:
    clock.call_later(1, lambda: clock.advance(10))
    clock.drive(machine(), 2)
    assert clock.now() == 11
