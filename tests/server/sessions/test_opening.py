"""A hub may be closed while its store is being opened, or twice; one that is cancelled leaves nothing."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat.server import Hub


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[str]:
    """Return the URL of a file that cannot be opened for a while, as somebody writes to it."""
    with closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as database:
        database.execute("pragma journal_mode = wal").fetchall()
        database.execute("begin immediate")
        yield f"sqlite:///{tmp_path / 's.db'}"


def opening_threads() -> int:
    return sum(thread.name == "sessions" for thread in threading.enumerate())


def test_a_hub_is_closed_while_its_store_is_being_opened(run_asyncio: Run, locked: str) -> None:
    async def main() -> None:
        hub = Hub(sessions=locked)

        async def enter() -> None:
            async with hub:
                raise AssertionError("the file was opened")

        entering = asyncio.create_task(enter())
        await until(lambda: opening_threads() > 0)
        async with asyncio.timeout(5):  # the file is waited for, for 10 s
            await hub.close()
        with pytest.raises(OSError, match="the hub is closed"):
            await entering

    run_asyncio(main())


def test_a_program_that_ends_while_a_file_is_being_opened_ends(locked: str) -> None:
    closed: list[Hub] = []

    async def main() -> None:
        hub = Hub(sessions=locked)
        opening = asyncio.create_task(hub.__aenter__())
        try:
            await until(lambda: opening_threads() > 0)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:  # as asyncio.run does at the end
                task.cancel()
            with suppress(asyncio.CancelledError):
                await opening
        finally:
            async with asyncio.timeout(PATIENCE):
                await hub.close()
            closed.append(hub)

    asyncio.run(main())
    assert closed


def test_who_gives_up_while_a_hub_is_opening_leaves_nothing_behind(run_asyncio: Run, tmp_path: Path) -> None:
    async def main() -> None:
        for number in range(10):
            with suppress(TimeoutError):
                async with asyncio.timeout(0), Hub(sessions=f"sqlite:///{tmp_path / f'{number}.db'}"):
                    raise AssertionError("it was not cancelled")
        await until(lambda: opening_threads() == 0)

    run_asyncio(main())


def test_a_hub_may_be_closed_twice_at_once(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        hub = Hub(sessions=place)
        async with hub:
            await asyncio.gather(hub.close(), hub.close(), hub.close())

    run_asyncio(main())
