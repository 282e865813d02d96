"""The one timer of a loop rings each alarm on time, whatever the other alarms do."""

import asyncio
import gc
import time
import weakref

import pytest
from tests.watch import Run, counts_references, until

from websocket_heartbeat.system.alarm import Alarm
from websocket_heartbeat.testing import SimulatedClock


def test_an_alarm_rings_once_at_its_time_rounded_up(play: Run, simulated_clock: SimulatedClock) -> None:
    async def main() -> None:
        rung: list[float] = []
        alarm = Alarm(lambda was_suspended: rung.append(simulated_clock.now()), 0.1)
        alarm.ring_by(1.23)
        await asyncio.sleep(5)
        assert rung == [pytest.approx(1.3)]

    play(main())


def test_an_exact_alarm_is_not_rounded(play: Run, simulated_clock: SimulatedClock) -> None:
    async def main() -> None:
        rung: list[float] = []
        Alarm(lambda was_suspended: rung.append(simulated_clock.now()), 0.1).ring_by(1.234, exact=True)
        await asyncio.sleep(5)
        assert rung == [1.234]

    play(main())


@pytest.mark.parametrize("granularity", [0.1, 0.05, 0.004, 0.003, 1e-5])
@pytest.mark.parametrize("when", [54.60000000000001, 0.1 + 0.2, 7.0, 9.000000000000002, 123.456])
def test_no_alarm_rings_before_its_time_nor_much_later(
    when: float, granularity: float, play: Run, simulated_clock: SimulatedClock
) -> None:
    async def main() -> None:
        rung: list[float] = []
        Alarm(lambda was_suspended: rung.append(simulated_clock.now()), granularity).ring_by(when)
        await asyncio.sleep(1000)
        assert len(rung) == 1
        assert when <= rung[0] <= when + granularity * 1.001

    play(main())


def test_an_earlier_alarm_stays_and_a_later_one_gives_way(play: Run, simulated_clock: SimulatedClock) -> None:
    async def main() -> None:
        rung: list[float] = []
        alarm = Alarm(lambda was_suspended: rung.append(round(simulated_clock.now(), 3)), 0.1)
        alarm.ring_by(5)
        alarm.ring_by(9)
        alarm.ring_by(2)
        await asyncio.sleep(3)
        assert rung == [2]
        alarm.ring_by(4)
        alarm.cancel()
        alarm.cancel()
        await asyncio.sleep(10)
        assert rung == [2]

    play(main())


def test_alarms_may_set_and_cancel_each_other_while_they_ring(
    play: Run, simulated_clock: SimulatedClock
) -> None:
    async def main() -> None:
        rung: list[str] = []
        alarms: list[Alarm] = []

        def first(was_suspended: bool) -> None:
            rung.append(f"first at {simulated_clock.now():g}")
            alarms[1].cancel()
            alarms[2].ring_by(simulated_clock.now())
            if len(rung) == 1:
                alarms[0].ring_by(simulated_clock.now() + 1)

        alarms.append(Alarm(first, 1))
        alarms.append(Alarm(lambda was_suspended: rung.append("cancelled"), 1))
        alarms.append(Alarm(lambda was_suspended: rung.append(f"last at {simulated_clock.now():g}"), 1))
        for alarm in alarms[:2]:
            alarm.ring_by(3)
        await asyncio.sleep(20)
        assert rung == ["first at 3", "last at 3", "first at 4", "last at 4"]

    play(main())


def test_an_alarm_that_fails_is_told_and_silences_no_other(simulated_clock: SimulatedClock) -> None:
    async def main() -> None:
        told: list[object] = []
        rung: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        error = LookupError("mistake")

        def fail(was_suspended: bool) -> None:
            raise error

        alarms = [
            Alarm(fail, 1),
            Alarm(lambda was_suspended: rung.append("same time"), 1),
            Alarm(lambda was_suspended: rung.append("later"), 1),
        ]
        alarms[0].ring_by(1)
        alarms[1].ring_by(1)
        alarms[2].ring_by(2)
        await asyncio.sleep(5)
        assert told == [error]
        assert rung == ["same time", "later"]

    simulated_clock.run(main())


def test_an_alarm_that_ends_the_program_silences_no_other() -> None:
    rung: list[str] = []

    async def main() -> None:
        now = asyncio.get_running_loop().time()

        def leave(was_suspended: bool) -> None:
            raise SystemExit

        alarms = [
            Alarm(leave, 0.01),
            Alarm(lambda was_suspended: rung.append("same time"), 0.01),
            Alarm(lambda was_suspended: rung.append("later"), 0.01),
        ]
        for alarm, when in zip(alarms, (0.01, 0.01, 0.02), strict=True):
            alarm.ring_by(now + when)
        time.sleep(0.05)  # noqa: ASYNC251  # all are due at once
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:  # as programs do, which close what they have
            await until(lambda: len(rung) == 2)

    with pytest.raises(SystemExit):
        asyncio.run(main())
    assert rung == ["same time", "later"]


def test_alarms_go_on_after_the_loop_was_blocked(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        rung: list[float] = []
        alarm = Alarm(lambda was_suspended: rung.append(loop.time()), 0.01)
        another = Alarm(lambda was_suspended: again(), 0.01)

        def again() -> None:
            alarm.ring_by(loop.time() - 0.05)  # overdue already
            alarm.cancel()
            alarm.ring_by(loop.time() - 0.1)
            if len(rung) < 3:
                another.ring_by(loop.time())

        another.ring_by(loop.time() + 0.01)
        time.sleep(0.3)  # noqa: ASYNC251  # a loop that is blocked
        await until(lambda: len(rung) >= 3)
        another.cancel()
        alarm.cancel()

    run(main())


@counts_references
def test_a_loop_that_ended_with_alarms_set_is_forgotten() -> None:
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def main() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        Alarm(lambda was_suspended: None, 1).ring_by(asyncio.get_running_loop().time() + 1000)

    for _ in range(4):
        asyncio.run(main())
    gc.collect()
    assert [loop() for loop in loops[:-1]] == [None] * 3
