"""Faults run by a timetable, and heal ends them all."""

import asyncio
import time

import pytest
from tests.testing.fault_proxy.stage import SILENCE, events, stage
from tests.watch import Run, until


def test_heal_ends_every_fault(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.delay(30)
            on.proxy.throttle(1)
            on.proxy.cut_after(1)
            on.proxy.freeze()
            on.proxy.refuse()
            on.proxy.heal()
            client.send(bytes(1000))
            await peer.receives(bytes(1000))
            peer.send(bytes(1000))
            await client.receives(bytes(1000))
            on.proxy.hang()
            on.proxy.heal()
            await on.pair()

    run(main())


def test_a_timetable_runs_its_faults_at_their_times_and_logs_them(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            start = time.monotonic()
            await on.proxy.play(
                [(0, "freeze", "to_client"), (0.1, "thaw"), (0.3, "delay", 0.2, "to_server"), (0.3, "heal")]
            )
            log = on.proxy.log
            assert [(entry.event, entry.detail) for entry in log] == [
                ("freeze", "to_client"),
                ("thaw", "both"),
                ("delay", "0.2 s to_server"),
                ("heal", ""),
            ]
            assert start <= log[0].at
            # uvloop rounds timers to milliseconds.
            assert 0.098 < log[1].at - log[0].at < 5
            assert 0.298 < log[2].at - log[0].at < 5

    run(main())


def test_a_cancelled_timetable_goes_no_further() -> None:
    async def main() -> None:
        async with stage() as on:
            playing = asyncio.ensure_future(on.proxy.play([(0, "freeze"), (0.1, "thaw")]))
            await until(lambda: on.proxy.log)
            playing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await playing
            await asyncio.sleep(SILENCE)
            assert events(on.proxy) == ["freeze"]

    asyncio.run(main())


def test_a_bad_timetable_is_refused_before_its_first_fault() -> None:
    async def main() -> None:
        async with stage() as on:
            with pytest.raises(ValueError, match=r"timetable must name one of freeze, .*, not 'aclose'"):
                await on.proxy.play([(0, "freeze"), (1, "aclose")])
            with pytest.raises(ValueError, match="timetable must be in the order of time, not 1 s after 2 s"):
                await on.proxy.play([(2, "freeze"), (1, "thaw")])
            assert on.proxy.log == []

    asyncio.run(main())
