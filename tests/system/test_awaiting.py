"""What several wait for goes on when one of them is cancelled, and its failure complains to no loop."""

import asyncio

import pytest
from tests.watch import Run, turns

from websocket_heartbeat.system.awaiting import await_shared


def test_it_gives_the_result_and_raises_the_exception_to_all_who_wait(run_asyncio: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        good: asyncio.Future[int] = loop.create_future()
        bad: asyncio.Future[int] = loop.create_future()
        waiting = [asyncio.create_task(await_shared(future)) for future in (good, good, bad, bad)]
        await turns(2)
        good.set_result(5)
        bad.set_exception(OSError("away"))
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert outcomes[:2] == [5, 5]
        assert [str(outcome) for outcome in outcomes[2:]] == ["away", "away"]
        with pytest.raises(OSError, match="away"):
            await await_shared(bad)

    run_asyncio(main())


def test_what_fails_after_who_awaited_it_was_cancelled_is_no_complaint_of_the_loop(run_asyncio: Run) -> None:
    async def main() -> None:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(await_shared(future))
        await turns(2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not future.done()
        future.set_exception(OSError("away"))

    run_asyncio(main())
