"""Who waits for a change is woken by the next one; who is cancelled leaves nothing behind."""

import asyncio

from tests.watch import Run, turns

from websocket_heartbeat.system.wakeup import Wakeup


def test_all_who_wait_are_woken_in_their_order_and_only_they(run: Run) -> None:
    async def main() -> None:
        wakeup = Wakeup()
        woken: list[int] = []

        async def wait(number: int) -> None:
            await wakeup.wait()
            woken.append(number)

        wakeup.notify()
        tasks = [asyncio.create_task(wait(number)) for number in range(1000)]
        await turns()
        awaited = [wakeup.is_awaited]
        assert woken == []
        wakeup.notify()
        awaited.append(wakeup.is_awaited)
        assert awaited == [True, False]
        await asyncio.gather(*tasks)
        assert woken == list(range(1000))

    run(main())


def test_a_task_that_is_cancelled_waits_no_more_and_the_others_do(run: Run) -> None:
    async def main() -> None:
        wakeup = Wakeup()
        tasks = [asyncio.create_task(wakeup.wait()) for _ in range(5)]
        await turns()
        for task in (tasks[3], tasks[0]):
            task.cancel()
        await turns()
        assert [task.done() for task in tasks] == [True, False, False, True, False]
        assert wakeup.is_awaited
        for task in tasks:
            task.cancel()
        await turns()
        assert not wakeup.is_awaited

    run(main())


def test_a_task_that_is_cancelled_as_it_is_woken_is_cancelled(run: Run) -> None:
    async def main() -> None:
        wakeup = Wakeup()
        first, second = (asyncio.create_task(wakeup.wait()) for _ in range(2))
        await turns()
        wakeup.notify()
        first.cancel()
        waiting = asyncio.create_task(wakeup.wait())
        await turns()
        assert first.cancelled()
        assert second.done()
        assert not waiting.done()
        wakeup.notify()
        await waiting

    run(main())


def test_who_waits_again_is_woken_again(run: Run) -> None:
    async def main() -> None:
        wakeup = Wakeup()
        count = 0

        async def wait() -> None:
            nonlocal count
            while True:
                await wakeup.wait()
                count += 1

        task = asyncio.create_task(wait())
        for _ in range(3):
            await turns()
            wakeup.notify()
            wakeup.notify()
        await turns()
        assert count == 3
        task.cancel()
        await turns()

    run(main())
