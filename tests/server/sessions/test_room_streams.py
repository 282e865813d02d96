"""Every store that processes share has a stream of the messages of each room, and tells who follows it."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.server.sessions.postgres import Postgres
from tests.server.sessions.test_store_contract import TTL, opened
from tests.server.sessions.valkey import Valkey
from tests.watch import until

from websocket_heartbeat.server.sessions.sqlite import SqliteStore
from websocket_heartbeat.server.sessions.store import HISTORY, Posts, SharedStore
from websocket_heartbeat.server.sessions.valkey import ValkeyStore

if sys.implementation.name == "cpython":  # as asyncpg is for it alone
    from websocket_heartbeat.server.sessions.postgresql.store import PostgresStore

Engine = Callable[[], SharedStore]


@pytest.fixture(params=["sqlite", "valkey", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """Return what makes stores of a kind that share what they keep."""
    if request.param == "valkey":
        valkey: Valkey = request.getfixturevalue("valkey")
        return lambda: ValkeyStore(valkey.url, TTL)
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        return lambda: PostgresStore(postgres.url(), TTL)
    return lambda: SqliteStore(str(tmp_path / "s.db"), TTL)


def numbered(after: int, *posts: bytes) -> Posts:
    return Posts(after + len(posts), list(enumerate(posts, after + 1)))


def test_what_is_published_is_read_in_order_and_numbered_without_a_gap(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            assert isinstance(store, SharedStore)
            for room in ("r", "", "}{\u00fc:s"):
                start = await store.publish(room, "a", 0, [])
                assert await store.read(room, start, 9) == Posts(start, [])
                assert await store.publish(room, "a", 1, [b"one", b"\x00\xff"]) == start + 2
                assert await store.publish(room, "b", 1, [b""]) == start + 3
                assert await store.read(room, start, 9) == numbered(start, b"one", b"\x00\xff", b"")
                assert await store.read(room, start + 1, 1) == Posts(start + 3, [(start + 2, b"\x00\xff")])
                assert await store.read(room, start + 3, 9) == Posts(start + 3, [])

    asyncio.run(main())


def test_a_call_that_is_repeated_publishes_nothing(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            assert isinstance(store, SharedStore)
            start = await store.publish("r", "a", 0, [])
            for _ in range(2):
                assert await store.publish("r", "a", 5, [b"x", b"y"]) == start + 2
            assert await store.publish("r", "a", 4, [b"late"]) == start + 2
            assert await store.publish("r", "b", 5, [b"z"]) == start + 3
            assert await store.publish("other", "a", 4, [b"w"]) > 0
            assert await store.read("r", start, 9) == numbered(start, b"x", b"y", b"z")

    asyncio.run(main())


def test_a_room_of_which_nothing_is_known_has_nothing_and_begins_beyond_what_it_was(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            assert isinstance(store, SharedStore)
            assert await store.read("r", 17, 9) == Posts(17, [])
            start = await store.publish("r", "a", 0, [])
            assert start > 1_600_000_000_000_000  # microseconds since the epoch
            assert start < 2**53

    asyncio.run(main())


def test_calls_of_one_sender_keep_their_order(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            assert isinstance(store, SharedStore)
            start = await store.publish("r", "a", 0, [])
            sent = [str(number).encode() for number in range(100)]
            await asyncio.gather(*(store.publish("r", "a", n, [post]) for n, post in enumerate(sent, 1)))
            assert await store.read("r", start, 1000) == numbered(start, *sent)

    asyncio.run(main())


def test_the_stream_keeps_the_latest_and_what_is_gone_leaves_a_gap(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            assert isinstance(store, SharedStore)
            start = await store.publish("r", "a", 0, [])
            for number in range(1, 13):
                await store.publish("r", "a", number, [b"x"] * 1000)
            last, posts = await store.read("r", start, 3 * HISTORY)
            assert last == start + 12_000
            assert HISTORY <= len(posts) <= HISTORY + 1000
            assert [number for number, _ in posts] == list(range(last - len(posts) + 1, last + 1))

    asyncio.run(main())


def test_who_follows_a_room_is_told_by_every_node_and_once_it_has_begun(engine: Engine) -> None:
    async def main() -> None:
        told: dict[str, list[str]] = {"a": [], "b": []}
        async with AsyncExitStack() as stack:
            stores = {name: await stack.enter_async_context(opened(engine(), name)) for name in told}
            for name, store in stores.items():
                assert isinstance(store, SharedStore)
                for room in ("r", "s"):
                    store.follow(room, lambda name=name, room=room: told[name].append(room))  # type: ignore[misc]
                await until(lambda name=name: set(told[name]) == {"r", "s"})  # type: ignore[misc]
            a, b = stores.values()
            assert isinstance(a, SharedStore)
            assert isinstance(b, SharedStore)
            for number, sender in enumerate((a, b), 1):
                for heard in told.values():
                    heard.clear()
                await sender.publish("r", "x", number, [b"x"])
                await until(lambda: "r" in told["a"] and "r" in told["b"])
            b.unfollow("r")
            b.unfollow("never")
            b.follow("t", lambda: told["b"].append("t"))
            await until(lambda: "t" in told["b"])
            told["a"].clear()
            told["b"].clear()
            await a.publish("r", "x", 3, [b"x"])
            await a.publish("t", "x", 4, [b"x"])
            await until(lambda: "r" in told["a"] and "t" in told["b"])
            assert "r" not in told["b"]

    asyncio.run(main())


def test_a_server_that_is_restarted_tells_who_follows_and_goes_on_beyond_what_it_has_forgotten(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        server = Valkey(tmp_path)
        server.start()
        told: list[str] = []
        try:
            async with opened(ValkeyStore(server.url, TTL)) as store:
                assert isinstance(store, SharedStore)
                store.follow("r", lambda: told.append("r"))
                await until(lambda: told)
                last = await store.publish("r", "a", 9, [b"forgotten"])
                await until(lambda: len(told) > 1)
                told.clear()
                server.kill()
                await asyncio.to_thread(server.start)
                await until(lambda: told)
                assert await store.read("r", last, 9) == Posts(last, [])
                again = await store.publish("r", "a", 10, [b"x"])
                assert again > last + 1
                assert await store.read("r", last, 9) == Posts(again, [(again, b"x")])
        finally:
            server.kill()

    asyncio.run(main())


def test_a_machine_that_may_have_forgotten_leaves_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = tmp_path / "boot_id"
    monkeypatch.setattr("websocket_heartbeat.server.sessions.sqlite._BOOT_ID", boot)

    async def main() -> None:
        boot.write_text("first")
        async with opened(SqliteStore(str(tmp_path / "s.db"), TTL)) as store:
            assert isinstance(store, SharedStore)
            last = await store.publish("r", "a", 1, [b"x"])
        boot.write_text("second")
        async with opened(SqliteStore(str(tmp_path / "s.db"), TTL)) as store:
            assert isinstance(store, SharedStore)
            again = await store.publish("r", "a", 2, [b"y"])
            assert again > last + 1
            assert await store.read("r", last, 9) == Posts(again, [(again, b"y")])

    asyncio.run(main())


@pytest.mark.parametrize("missing", ["hset", "set", "xadd", "pexpire", "publish"])
def test_a_call_that_the_server_breaks_off_in_its_midst_is_repeated_without_harm(
    valkey: Valkey, missing: str
) -> None:
    def may(*changes: str) -> None:
        with valkey.client() as client:
            client.execute_command("ACL", "SETUSER", "sessions", "on", ">hush", "~*", "&*", "+@all", *changes)

    async def main() -> None:
        may()
        async with opened(ValkeyStore(valkey.url.replace("//", "//sessions:hush@"), TTL)) as store:
            assert isinstance(store, SharedStore)
            heard: list[str] = []
            start = await store.publish("r", "a", 0, [])
            store.follow("r", lambda: heard.append("r"))
            await until(lambda: heard)
            may(f"-{missing}")
            for _ in range(2):
                with pytest.raises(OSError, match=f"no permissions to run the '{missing}' command"):
                    await store.publish("r", "a", 1, [b"one", b"two"])
            may()
            heard.clear()
            await store.publish("r", "a", 1, [b"one", b"two"])
            await until(lambda: heard)
            last = await store.publish("r", "a", 2, [b"three"])
            read = await store.read("r", start, 9)
            assert [post for _, post in read.posts] == [b"one", b"two", b"three"]
            assert read.last == read.posts[-1][0] == last

    asyncio.run(main())
