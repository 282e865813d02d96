"""Rooms that wait for their store wait by themselves: one whose part of a cluster is away delays no other."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.watch import Run, until

from websocket_heartbeat.server.sessions.sqlite import SqliteStore
from websocket_heartbeat.server.sessions.store import Posts
from websocket_heartbeat.server.streams import Streams


class Keeper:
    """Has a store that is open."""

    async def ready(self) -> None:
        """It is."""

    def enter(self) -> None:
        """There is one loop."""


class Half(SqliteStore):
    """A store of which the room "slow" never answers, and the room "broken" cannot be had."""

    def __init__(self) -> None:
        super().__init__("")
        self.published: list[str] = []
        self.is_mended = False

    async def publish(self, room: str, sender: str, number: int, posts: Any) -> int:
        if posts:
            await self._have(room)
            self.published += [f"{room} {post.decode()}" for post in posts]
        return 1

    async def read(self, room: str, after: int, limit: int) -> Posts:
        await self._have(room)
        return Posts(after + 1, [(after + 1, room.encode())])

    async def _have(self, room: str) -> None:
        if room == "slow":
            await asyncio.Event().wait()
        if room == "broken" and not self.is_mended:
            raise OSError("its node is away")

    def follow(self, room: str, more: Callable[[], None]) -> None:
        self._followed[room] = more


class Faulty(SqliteStore):
    """A store whose first answer is an error that no store should raise."""

    def __init__(self) -> None:
        super().__init__("")
        self.published: list[bytes] = []
        self.is_faulty = True

    async def publish(self, room: str, sender: str, number: int, posts: Any) -> int:
        if self.is_faulty:
            self.is_faulty = False
            raise RuntimeError("a fault")
        self.published += posts
        return 1


class Reader:
    """Keeps what is read."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def begun(self, number: int) -> None:
        """From there."""

    def missed(self, number: int) -> None:
        raise AssertionError

    def take(self, number: int, post: bytes) -> int:
        self.got.append(post)
        return 1


async def _never_ends(error: OSError) -> None:
    await asyncio.Event().wait()


def at_rest(work: Callable[[Streams, Half], Coroutine[Any, Any, None]]) -> Coroutine[Any, Any, None]:
    """Return what runs work where no pause ends: so nothing that it waits for may wait for a pause."""

    async def main() -> None:
        store = Half()
        streams = Streams(Keeper(), store, "a")
        streams.pause = _never_ends  # type: ignore[method-assign]
        try:
            await work(streams, store)
        finally:
            for task in list(streams._tasks):
                task.cancel()
            await asyncio.wait(streams._tasks)

    return main()


def test_what_is_sent_to_a_room_waits_for_no_other_room(run_asyncio: Run) -> None:
    async def work(streams: Streams, store: Half) -> None:
        for number in range(3):
            for room in ("slow", "broken", "well"):
                streams.publish(room, str(number).encode())
            await until(lambda number=number: f"well {number}" in store.published)  # type: ignore[misc]
        assert store.published == ["well 0", "well 1", "well 2"]

    run_asyncio(at_rest(work))


def test_who_waits_for_what_was_sent_waits_until_all_of_it_is_published_or_the_hub_is_closed(
    run_asyncio: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("websocket_heartbeat.server.streams._CLOSE_WITHIN", 0)

    async def main() -> None:
        streams = Streams(Keeper(), Half(), "a")
        assert streams.published() is None
        streams.publish("well", b"0")
        first = streams.published()
        streams.publish("slow", b"0")
        streams.publish("well", b"1")
        second = streams.published()
        assert first is not None
        assert second is not None
        assert streams.published() is second
        await first
        assert not second.done()
        await streams.close()
        await second
        assert streams.published() is None

    run_asyncio(main())


def test_nobody_waits_for_a_room_that_fails_again_and_again_until_it_is_back(
    run_asyncio: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("websocket_heartbeat.server.streams._PAUSE", 0.01)

    async def main() -> None:
        store = Half()
        streams = Streams(Keeper(), store, "a")
        streams.publish("broken", b"0")
        published = streams.published()
        assert published is not None
        await published
        streams.publish("broken", b"1")
        assert streams.published() is None
        store.is_mended = True
        await until(lambda: store.published == ["broken 0", "broken 1"])
        await until(lambda: not streams._publishing)
        streams.publish("broken", b"2")
        assert streams.published() is not None
        await streams.close()

    run_asyncio(main())


def test_what_is_read_of_a_room_waits_for_no_other_room(run_asyncio: Run) -> None:
    async def work(streams: Streams, store: Half) -> None:
        readers = {room: Reader() for room in ("slow", "broken", "well")}
        for room, reader in readers.items():
            streams.follow(room, reader)
        await until(lambda: len(store._followed) == 3)
        for number in range(3):
            for more in store._followed.values():
                more()
            await until(lambda number=number: len(readers["well"].got) > number)  # type: ignore[misc]
        assert [len(reader.got) for reader in readers.values()] == [0, 0, 3]

    run_asyncio(at_rest(work))


def test_a_fault_of_the_store_silences_no_room_for_ever() -> None:
    async def main() -> None:
        store = Faulty()
        streams = Streams(Keeper(), store, "a")
        streams.publish("room", b"0")
        (failed,) = streams._tasks
        published = streams.published()
        assert published is not None
        with pytest.raises(RuntimeError, match="a fault"):
            await failed
        await published  # nobody waits for it
        streams.publish("room", b"1")
        await until(lambda: store.published == [b"0", b"1"])

    asyncio.run(main())


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_what_a_closed_loop_has_left_takes_nothing_from_the_next_one() -> None:
    streams = Streams(Keeper(), Half(), "us")

    async def publish() -> None:
        streams.publish("slow", b"x")
        await asyncio.sleep(0)

    async def go_on() -> None:
        streams.forget()
        streams.publish("slow", b"y")
        gc.collect()  # the task of the loop before with it
        assert [task.get_loop() for task in streams._publishing.values()] == [asyncio.get_running_loop()]

    loop = asyncio.new_event_loop()
    loop.run_until_complete(publish())
    loop.close()
    asyncio.run(go_on())
