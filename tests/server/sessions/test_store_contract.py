"""Every engine that keeps sessions does the same, and what it has acknowledged it has."""

import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.server.sessions import servers
from tests.server.sessions.cluster import Cluster
from tests.server.sessions.postgres import Postgres
from tests.server.sessions.valkey import Valkey
from tests.watch import until

from websocket_heartbeat.server.sessions.memory import MemoryStore
from websocket_heartbeat.server.sessions.sqlite import SqliteStore
from websocket_heartbeat.server.sessions.store import (
    EXPIRED,
    IN_MEMORY,
    NOBODY,
    OVER,
    REPLACED,
    TELL_AGAIN,
    Ended,
    Found,
    Held,
    Record,
    Refused,
    Store,
)
from websocket_heartbeat.server.sessions.valkey import ValkeyStore

if sys.implementation.name == "cpython":  # as asyncpg is for it alone
    from websocket_heartbeat.server.sessions.postgresql.store import PostgresStore

HASH = b"h" * 32
TTL = 60.0

Engine = Callable[[], Store]


@pytest.fixture(params=["memory", "sqlite", "sqlite, full", "postgresql", "cluster", *servers.PARAMETERS])
def engine(request: pytest.FixtureRequest, tmp_path: Path, server_named: Callable[[str], Valkey]) -> Engine:
    """Return what makes a store of a kind; those of SQLite share one file, those of a server that."""
    if request.param == "memory":
        return lambda: MemoryStore(TTL)
    if request.param == "cluster":
        cluster: Cluster = request.getfixturevalue("cluster")
        return lambda: ValkeyStore(cluster.url, TTL)
    if request.param in servers.NAMES:
        url = server_named(request.param).url
        return lambda: ValkeyStore(url, TTL)
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        return lambda: PostgresStore(postgres.url(), TTL)
    path = str(tmp_path / "s.db")
    return lambda: SqliteStore(path, TTL, "FULL" if "full" in request.param else "NORMAL")


@asynccontextmanager
async def opened(store: Store, node: str = "a") -> AsyncIterator[Store]:
    await store.open(node, lambda data: None, tuple)
    try:
        yield store
    finally:
        await store.close()


def record(store: Store, id: str = "s", sent: int = 0) -> Record:
    return Record(
        id=id,
        hash=HASH,
        principal="ann",
        node="a",
        lineage=store.lineage,
        window=(4, 100),
        max=2**20,
        sent=sent,
    )


async def claimed(store: Store, link: int, node: str = "a", id: str = "s") -> Found:
    found = await store.claim(id, HASH, "ann", link, node)
    assert isinstance(found, Found)
    return found


def test_a_session_is_found_again_with_what_its_client_lacks(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            assert await store.put(record(store), []) is None
            assert await store.write("s", 1, 0, ["one", b"\x00two", "thr\0ee"]) == 3
            assert isinstance(await store.write("s", 1, done=7, acked=1, state=b"cart", deadline=5.0), int)
            found = await claimed(store, link=1)
            assert found.log == (b"\x00two", "thr\0ee")
            assert found.record.lineage in store.lineage  # of the nodes of a cluster, it is one
            written = replace(record(store), lineage=found.record.lineage)
            assert found.record == replace(
                written, generation=2, link=1, done=7, sent=3, acked=1, state=b"cart", deadline=None
            )

    asyncio.run(main())


def test_a_session_is_found_with_its_rooms_and_how_far_it_has_their_messages(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            await store.put(replace(record(store), rooms={"a": 1, "b}\u00fc": 2**52}), [])
            assert (await claimed(store, link=1)).record.rooms == {"a": 1, "b}\u00fc": 2**52}
            assert await store.write("s", 2, 0, ["x"], rooms={"a": 7, "c": 3}) == 1
            assert await store.write("s", 2, 1, list("1234"), rooms={"a": 9}) is Refused.FULL
            assert await store.write("s", 2, rooms={"b}\u00fc": None, "never": None}) == 1
            assert await store.write("s", 2, acked=1, deadline=5.0) == 1
            assert (await claimed(store, link=2)).record.rooms == {"a": 7, "c": 3}
            await store.write("s", 3, deadline=5.0)
            (expired,) = await store.due(6.0, 10)
            assert expired.record.rooms == {"a": 7, "c": 3}
            many = {f"room {number}": number for number in range(1, 10_001)}
            await store.put(replace(record(store, "u"), rooms=many), [])
            assert (await claimed(store, link=1, id="u")).record.rooms == many
            await store.put(replace(record(store, "t"), rooms={"a": 1, "b": 1}), [])
            await store.put(replace(record(store, "t"), generation=2, rooms={"b": 2}), [])
            assert (await claimed(store, link=1, id="t")).record.rooms == {"b": 2}

    asyncio.run(main())


def test_the_secret_and_the_principal_must_be_right(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            await store.put(record(store), [])
            assert await store.claim("s", b"x" * 32, "ann", 1, "a") is Refused.UNKNOWN
            assert await store.claim("s", HASH, "bob", 1, "a") is Refused.UNKNOWN
            assert await store.claim("s", HASH, None, 1, "a") is Refused.UNKNOWN
            assert await store.claim("t", HASH, "ann", 1, "a") is Refused.UNKNOWN

    asyncio.run(main())


def test_a_link_that_is_not_newer_gets_nothing(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            await store.put(record(store), [])
            await claimed(store, link=5)
            assert await store.claim("s", HASH, "ann", 5, "a") is Refused.STALE
            assert await store.claim("s", HASH, "ann", 4, "a") is Refused.STALE
            assert (await claimed(store, link=6)).record.generation == 3

    asyncio.run(main())


def test_a_session_of_another_node_is_held_and_can_be_forced(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            await store.put(record(store, sent=1), ["x"])
            assert await store.claim("s", HASH, "ann", 1, "b") == Held("a", 1)
            found = await store.claim("s", HASH, "ann", 1, "b", force=1)
            assert isinstance(found, Found)
            assert (found.record.node, found.record.generation, found.log) == ("b", 2, ("x",))

    asyncio.run(main())


def test_what_an_owner_has_claimed_since_is_not_taken_from_it_by_force(engine: Engine) -> None:
    """It was asked for what it had before, and has given that up, or has said that it is not its own."""

    async def main() -> None:
        async with opened(engine()) as store:
            await store.put(record(store), [])
            assert await store.claim("s", HASH, "ann", 2, "b") == Held("a", 1)
            await claimed(store, link=1)
            for asks in (HASH, None):
                assert await store.claim("s", asks, "ann", 2, "b", force=1) == Held("a", 2)
            found = await store.claim("s", HASH, "ann", 2, "b", force=2)
            assert isinstance(found, Found)
            assert (found.record.node, found.record.generation, found.previous) == ("b", 3, "a")

    asyncio.run(main())


def test_the_application_claims_a_session_without_a_link_and_it_expires_as_before(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            await store.put(replace(record(store, sent=1), node="b", deadline=5.0), ["x"])
            assert await store.claim("s", None, None, 0, "a") == Held("b", 1)
            found = await store.claim("s", None, None, 0, "a", force=1)
            assert isinstance(found, Found)
            claimed_by = found.record
            assert (claimed_by.node, claimed_by.generation, claimed_by.link) == ("a", 2, 0)
            assert (claimed_by.deadline, found.log) == (5.0, ("x",))
            assert await store.write("s", 1, 1, ["fenced"], deadline=5.0) is Refused.FENCED
            assert await store.write("s", 2, 1, ["y"], deadline=5.0) == 2
            assert await store.claim("t", None, None, 0, "a") is Refused.UNKNOWN
            (expired,) = await store.due(6.0, 10)
            assert expired.log == ("x", "y")
            assert await store.claim("s", None, None, 0, "a") == Ended(EXPIRED, EXPIRED, 0)

    asyncio.run(main())


def test_a_session_that_is_nobodys_is_had_by_who_claims_it(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            await store.put(replace(record(store, sent=1), node=NOBODY), ["x"])
            assert (await claimed(store, link=1, node="b")).record.node == "b"
            assert await store.claim("s", HASH, "ann", 2, "a") == Held("b", 2)
            await store.put(replace(record(store, "t"), node=NOBODY), [])
            assert isinstance(await store.claim("t", None, None, 0, "b"), Found)
            assert await store.claim("t", None, None, 0, "a") == Held("b", 2)

    asyncio.run(main())


def test_a_node_that_closes_leaves_its_sessions_to_whoever_claims_them(engine: Engine) -> None:
    async def main() -> None:
        first, second = engine(), engine()
        if isinstance(first, MemoryStore):
            return  # it has no others
        async with opened(second, "b"):
            async with opened(first, "a"):
                await first.put(record(first, sent=1), ["x"])
            found = await claimed(second, link=1, node="b")
            assert (found.record.node, found.record.generation, found.log) == ("b", 2, ("x",))

    asyncio.run(main())


def test_sessions_that_a_node_alone_has_are_nobodys_only_when_it_gives_them(engine: Engine) -> None:
    async def main() -> None:
        first, second = engine(), engine()
        if isinstance(first, MemoryStore):
            return
        name = f"{IN_MEMORY}a"
        async with opened(second, "b"):
            async with opened(first, name):
                await first.put(replace(record(first), node=name), [])
                await first.put(replace(record(first, "t"), node=NOBODY), [])
            assert await second.claim("s", HASH, "ann", 1, "b") == Held(name, 1)
            await claimed(second, link=1, node="b", id="t")

    asyncio.run(main())


def test_nodes_tell_each_other_as_much_as_a_message_may_be(engine: Engine) -> None:
    async def main() -> None:
        stores = [engine() for _ in range(3)]
        if isinstance(stores[0], MemoryStore):
            return
        heard: list[list[bytes]] = [[] for _ in stores]
        for name, store, said in zip("abc", stores, heard, strict=True):
            await store.open(name, said.append, tuple)
        long = bytes(range(256)) * 4200
        assert await stores[0].notify("b", long)
        assert await stores[0].notify(None, long)
        for number in range(200):  # more than a queue holds
            assert await stores[2].notify("a", b"%d" % number)
        await until(lambda: len(heard[1]) == 2 and len(heard[2]) == 1 and len(heard[0]) >= 200)
        for store in stores:
            await store.close()
        assert heard[1] == [long, long]
        assert heard[2] == [long]
        assert heard[0] == [b"%d" % number for number in range(200)]

    asyncio.run(main())


def test_who_does_not_own_the_session_any_more_writes_nothing(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            await store.put(record(store), [])
            await store.claim("s", HASH, "ann", 1, "b", force=1)
            assert await store.write("s", 1, 0, ["x"]) is Refused.FENCED
            assert await store.write("s", 1, done=1) is Refused.FENCED
            assert await store.finish("s", 1, OVER, "") is Refused.FENCED
            assert await store.put(record(store, sent=1), ["x"]) is Refused.FENCED
            found = await claimed(store, 2, "b")
            assert (found.record.done, found.log) == (0, ())

    asyncio.run(main())


def test_who_has_the_same_generation_as_the_owner_and_is_another_writes_nothing(engine: Engine) -> None:
    """The store has forgotten a claim, and has given its number to another node."""

    async def main() -> None:
        async with opened(engine()) as store:
            await store.put(replace(record(store, sent=1), node="b", generation=2), ["theirs"])
            ours = replace(record(store, sent=1), generation=2)
            assert await store.put(ours, ["ours"]) is Refused.FENCED
            if not store.is_immediate:  # nobody gives up what is in the memory of a process
                assert await store.put(replace(ours, node=NOBODY), ["ours"]) is Refused.FENCED
            assert await store.write("s", 2, 1, ["ours"], done=1) is Refused.FENCED
            assert await store.finish("s", 2, OVER, "") is Refused.FENCED
            found = await claimed(store, 1, "b")
            assert (found.record.generation, found.record.done, found.log) == (3, 0, ("theirs",))
            assert await store.put(replace(ours, generation=4), ["newer"]) is None
            assert await store.put(replace(ours, generation=4, node=NOBODY), ["given up"]) is None
            assert (await claimed(store, 2, "b")).log == ("given up",)

    asyncio.run(main())


def test_a_call_that_is_repeated_changes_nothing(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            for _ in range(2):
                assert await store.put(record(store), []) is None
            for _ in range(2):
                assert await store.write("s", 1, 0, ["one", "two"]) == 2
                assert isinstance(await store.write("s", 1, done=3, acked=1), int)
            assert isinstance(await store.write("s", 1, done=2, acked=0), int)
            assert await store.write("s", 1, 5, ["x"], done=9, acked=2) is Refused.GAP
            assert await store.write("s", 1, 0, ["one"]) is Refused.GAP
            found = await claimed(store, link=1)
            assert (found.record.done, found.record.acked, found.log) == (3, 1, ("two",))
            assert isinstance(await store.write("s", 2, acked=99), int)
            assert (await claimed(store, link=2)).record.acked == 2

    asyncio.run(main())


def test_a_write_that_repeats_one_and_has_more_adds_what_is_new(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            await store.put(record(store), [])
            assert await store.write("s", 1, 0, ["one", "two"]) == 2
            assert await store.write("s", 1, 0, ["one", "two", "three"], acked=1) == 3
            assert await store.write("s", 1, 0, ["one", "two", "three", b"four"], done=2, acked=1) == 4
            assert await store.write("s", 1, 2, ["three", b"four", "five", "six"]) is Refused.FULL
            assert await store.write("s", 1, 2, ["three", b"four", "five"], acked=2) == 5
            assert await store.write("s", 1, 2, ["three", b"four"]) is Refused.GAP
            assert await store.write("s", 1, 6, ["seven"]) is Refused.GAP
            found = await claimed(store, link=1)
            assert (found.record.done, found.record.acked) == (2, 2)
            assert found.log == ("three", b"four", "five")

    asyncio.run(main())


def test_the_log_is_no_longer_than_the_window_but_for_one_message(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            await store.put(record(store), [])
            assert await store.write("s", 1, 0, list("1234")) == 4
            assert await store.write("s", 1, 4, ["5"], done=1) is Refused.FULL
            assert await store.write("s", 1, 4, ["5"], done=2, acked=1) == 5
            found = await claimed(store, link=1)
            assert (found.record.done, found.log) == (2, tuple("2345"))
            await store.put(replace(record(store, "none"), window=(0, 0)), [])
            assert await store.write("none", 1, 0, ["1"]) == 1

    asyncio.run(main())


@pytest.mark.parametrize("kind", [OVER, EXPIRED, REPLACED])
def test_what_has_ended_is_remembered_as_ended(engine: Engine, kind: str) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            await store.put(record(store, sent=1), ["x"])
            await store.write("s", 1, done=9)
            assert await store.finish("s", 1, kind, "why") is None
            assert await store.finish("s", 1, kind, "why") is Refused.GONE
            assert await store.write("s", 1, 1, ["y"]) is Refused.GONE
            assert await store.write("s", 1, done=1) is Refused.GONE
            assert await store.put(record(store), []) is Refused.GONE
            assert await store.claim("s", b"?" * 32, "ann", 1, "a") is Refused.UNKNOWN
            assert await store.claim("s", HASH, "ann", 1, "a") == Ended(kind, "why", 9)
            await store.due(time.time() + TTL + 1, 10)
            assert await store.claim("s", HASH, "ann", 1, "a") is Refused.UNKNOWN

    asyncio.run(main())


def test_the_end_of_a_session_that_nobody_has_told_is_told_again(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store, opened(engine(), "b") as other:
            await store.put(record(store, sent=2), ["x", "y"])
            await store.write("s", 1, acked=1, deadline=5.0, state=b"cart")
            (first,) = await store.due(6.0, 10)
            end = Ended(EXPIRED, EXPIRED, 0)
            if store.is_immediate:  # who has it is who tells
                assert await store.due(7.0 + TELL_AGAIN, 10) == []
                await store.told(["s"])
                return
            assert await other.claim("s", HASH, "ann", 1, "b", force=1) == end
            assert await store.write("s", 1, 2, ["z"]) is Refused.GONE
            assert await store.put(record(store), []) is Refused.GONE
            assert await other.due(5.0 + TELL_AGAIN, 10) == []
            (again,) = await other.due(7.0 + TELL_AGAIN, 10)
            assert again.log == first.log == ("y",)
            assert replace(again.record, deadline=None) == replace(first.record, deadline=None)
            for _ in range(2):
                await other.told(["s", "never"])
            assert await store.due(9.0 + 2 * TELL_AGAIN, 10) == []
            assert await store.claim("s", HASH, "ann", 1, "a") == end
            await store.due(time.time() + TTL + 1, 10)
            assert await store.claim("s", HASH, "ann", 1, "a") is Refused.UNKNOWN

    asyncio.run(main())


def test_sessions_expire_once_and_give_back_what_nobody_has_acknowledged(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            for number in range(5):
                await store.put(record(store, f"s{number}", sent=2), ["x", "y"])
                await store.write(f"s{number}", 1, acked=1, deadline=100.0 + number)
            await store.write("s0", 1)  # it has a link again
            await store.write("s1", 1, deadline=500.0)
            await store.write("s2", 1, deadline=102.0, ending="account closed")
            assert await store.due(101.9, 10) == []
            first = await store.due(103.0, 1)
            rest = await store.due(103.0, 10)
            assert [found.record.id for found in (*first, *rest)] == ["s2", "s3"]
            assert rest[0].log == ("y",)
            assert await store.due(103.0, 10) == []
            assert await store.claim("s2", HASH, "ann", 1, "a") == Ended(OVER, "account closed", 0)
            assert await store.claim("s3", HASH, "ann", 1, "a") == Ended(EXPIRED, EXPIRED, 0)
            await claimed(store, 1, id="s4")

    asyncio.run(main())


def test_many_calls_at_once_are_each_answered_and_keep_their_order(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            ids = [f"s{number}" for number in range(50)]
            await asyncio.gather(*(store.put(replace(record(store, id), window=(99, 99)), []) for id in ids))
            calls = [store.write(id, 1, number, [str(number)]) for number in range(20) for id in ids]
            assert await asyncio.gather(*calls) == [number + 1 for number in range(20) for _ in ids]
            for id in ids:
                assert (await claimed(store, 1, id=id)).log == tuple(map(str, range(20)))

    asyncio.run(main())


def test_a_caller_that_is_cancelled_harms_no_other(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            await store.put(record(store), [])
            cancelled = asyncio.create_task(store.write("s", 1, 0, ["x"]))
            await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.wait([cancelled])
            assert await store.write("s", 1, 0, ["x"]) == 1

    asyncio.run(main())


def test_neither_secrets_nor_payloads_are_shown(engine: Engine) -> None:
    async def main() -> None:
        async with opened(engine()) as store:
            await store.put(replace(record(store, sent=1), state=b"hush"), ["hush"])
            shown = repr(await claimed(store, 1))
            assert "hush" not in shown
            assert "hhh" not in shown

    asyncio.run(main())


# What survives the process


def sqlite(path: Path, synchronous: str = "NORMAL") -> SqliteStore:
    return SqliteStore(str(path), TTL, synchronous)


def test_a_file_has_everything_when_it_is_opened_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(sqlite(tmp_path / "s.db")) as store:
            lineage = store.lineage
            await store.put(record(store, sent=2), ["x", b"y"])
        async with opened(sqlite(tmp_path / "s.db")) as store:
            assert store.lineage == lineage
            assert (await claimed(store, 1)).log == ("x", b"y")
        async with opened(sqlite(tmp_path / "other.db")) as store:
            assert store.lineage != lineage

    asyncio.run(main())


def test_after_a_crash_of_the_machine_a_file_that_may_have_forgotten_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = tmp_path / "boot_id"
    boot.write_text("first")
    monkeypatch.setattr("websocket_heartbeat.server.sessions.sqlite._BOOT_ID", boot)

    async def main(synchronous: str, answer: type[Found] | Refused) -> None:
        boot.write_text("first")
        async with opened(sqlite(tmp_path / f"{synchronous}.db", synchronous)) as store:
            await store.put(record(store), [])
        boot.write_text("second")
        async with opened(sqlite(tmp_path / f"{synchronous}.db", synchronous)) as store:
            found = await store.claim("s", HASH, "ann", 1, "a")
            assert found is answer or type(found) is answer
            if answer is Refused.FORGOTTEN:  # an owner that still knows it writes it again
                assert await store.put(record(store, sent=1), ["x"]) is None
                assert (await claimed(store, 1)).log == ("x",)

    asyncio.run(main("NORMAL", Refused.FORGOTTEN))
    asyncio.run(main("FULL", Found))


def test_a_file_that_cannot_be_opened_is_an_error_that_names_it(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(OSError, match=r"no/such/s\.db"):
            await sqlite(tmp_path / "no/such/s.db").open("a", lambda data: None, tuple)

    asyncio.run(main())


def test_nodes_that_open_a_new_file_at_once_all_have_it(tmp_path: Path) -> None:
    async def main() -> None:
        for file in range(30):
            stores = [sqlite(tmp_path / f"{file}.db") for _ in range(8)]
            opening = (store.open(f"{node}", lambda data: None, tuple) for node, store in enumerate(stores))
            await asyncio.gather(*opening)
            assert len({store.lineage for store in stores}) == 1
            await asyncio.gather(*(store.close() for store in stores))

    asyncio.run(main())


def test_nodes_hear_each_other(tmp_path: Path) -> None:
    async def main() -> None:
        heard: dict[str, list[bytes]] = {"a": [], "b": [], "c": []}
        stores = {name: sqlite(tmp_path / "s.db") for name in heard}
        for name, store in stores.items():
            await store.open(name, heard[name].append, tuple)
        assert await stores["a"].notify("b", b"to b")
        assert await stores["a"].notify(None, b"to all others")
        assert not await stores["c"].notify("nobody", b"lost")
        await until(lambda: len(heard["b"]) == 2 and len(heard["c"]) == 1)
        for store in stores.values():
            await store.close()
        assert heard == {"a": [], "b": [b"to b", b"to all others"], "c": [b"to all others"]}

    asyncio.run(main())
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".socket"] == []


def silent_for(seconds: float, node: str, path: Path) -> None:
    """Have a node have said long ago, for the last time, that it lives."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("update node set seen = seen - ? where name = ?", (seconds, node))


def test_a_node_that_was_stopped_for_longer_than_the_ttl_hears_others_again(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "s.db"
        heard: list[bytes] = []
        stopped = sqlite(path)
        await stopped.open("a", heard.append, tuple)
        async with opened(sqlite(path), "b") as other:
            silent_for(TTL + 1, "a", path)
            await other.due(time.time(), 9)
            assert not await other.notify("a", b"lost")
            await stopped.due(time.time(), 9)
            assert await other.notify("a", b"x")
            await until(lambda: heard == [b"x"])
        await stopped.close()

    asyncio.run(main())


def test_a_node_that_ends_no_sessions_of_others_says_that_it_lives(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "s.db"
        async with opened(sqlite(path)) as quiet, opened(sqlite(path), "b") as other:
            silent_for(TTL + 1, "a", path)
            await quiet.due_here(time.time(), 9)
            await other.due(time.time(), 9)
            assert await other.notify("a", b"x")

    asyncio.run(main())


def test_hubs_of_one_process_may_share_a_memory() -> None:
    async def main() -> None:
        store = MemoryStore(TTL)
        heard: list[Sequence[bytes]] = []
        await store.open("a", lambda data: heard.append([b"a", data]), tuple)
        await store.open("b", lambda data: heard.append([b"b", data]), tuple)
        assert await store.notify("b", b"x")
        assert not await store.notify("c", b"x")
        assert heard == [[b"b", b"x"]]
        await store.close()

    asyncio.run(main())
