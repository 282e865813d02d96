"""Sessions in a server of Valkey that is restarted, forgets, fails, refuses, or whose nodes die."""

import asyncio
import gc
import random
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import RedisCluster
from tests.server.sessions.cluster import Cluster
from tests.server.sessions.test_store_contract import HASH, claimed, opened, record
from tests.server.sessions.valkey import Valkey
from tests.watch import PATIENCE, eventually, turns, until

from websocket_heartbeat.server.sessions.store import EXPIRED, Found, Refused
from websocket_heartbeat.server.sessions.valkey import ValkeyStore

TTL = 60.0


def test_a_node_writes_its_sessions_again_to_a_server_that_has_forgotten_them(
    own_valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        store = ValkeyStore(own_valkey.url, TTL)
        known = Found(replace(record(store, sent=1), link=1, generation=2, done=7), ["one"])
        await store.open("a", lambda data: None, lambda: [known])
        await store.put(known.record, known.log)
        await asyncio.to_thread(own_valkey.restart)
        before = store.lineage
        assert await store.write("s", 2, 1, ["two"], done=8) == 2
        assert store.lineage != before
        found = await claimed(store, link=2)
        assert (found.log, found.record.done) == (("one", "two"), 8)
        await store.close()

    asyncio.run(main())
    assert "forgotten writes: 1 sessions are written again" in caplog.text


def test_what_is_written_before_a_node_knows_of_a_restart_is_not_written_over(tmp_path: Path) -> None:
    server = Valkey(tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    server.start()

    async def main() -> None:
        store = ValkeyStore(server.url, TTL)
        known = Found(record(store), [])
        await store.open("a", lambda data: None, lambda: [known])
        await store.put(known.record, known.log)
        await asyncio.to_thread(server.restart)
        written, _ = await asyncio.gather(store.write("s", 1, 0, ["one"]), store.due(0, 1))
        assert written == 1
        await store.put(known.record, known.log)  # as who was asked by another node does, a little late
        assert await store.write("s", 1, 1, ["two"]) == 2
        assert (await claimed(store, link=1)).log == ("one", "two")
        await store.close()

    try:
        asyncio.run(main())
    finally:
        server.kill()


def test_a_session_is_written_again_that_its_owner_has_claimed_without_being_answered(
    own_valkey: Valkey,
) -> None:
    async def main() -> None:
        store = ValkeyStore(own_valkey.url, TTL)
        known = Found(record(store, sent=1), ["one"])
        await store.open("a", lambda data: None, lambda: [known])
        await store.put(known.record, known.log)
        assert (await claimed(store, link=1)).record.generation == 2  # of which the owner has not heard
        await store.put(known.record, known.log)
        assert await store.write("s", 1, 1, ["two"]) is Refused.FENCED
        with own_valkey.client() as client:  # as if it had been restarted
            client.hset("wh:{s}:m", "lineage", "another 0123")
        assert await store.put(known.record, known.log) is None
        assert await store.write("s", 1, 1, ["two"]) == 2
        assert isinstance(await store.claim("s", HASH, "ann", 2, "b", force=1), Found)
        assert await store.put(known.record, known.log) is Refused.FENCED
        await store.close()

    asyncio.run(main())


def test_a_session_whose_slot_has_moved_to_another_node_of_a_cluster_is_written_again(
    own_valkey: Valkey,
) -> None:
    async def main() -> None:
        store = ValkeyStore(own_valkey.url, TTL)
        known = Found(record(store, sent=1), ["one"])
        await store.open("a", lambda data: None, lambda: [known])
        await store.put(known.record, known.log)
        with own_valkey.client() as client:  # what it says is of the node from which it has come
            client.hset("wh:{s}:m", "lineage", "another 0123")
        assert await store.write("s", 1, 1, ["two"]) == 2
        await store.close()

    asyncio.run(main())


def test_sessions_that_could_not_be_written_again_are_the_next_time(
    own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        store = ValkeyStore(own_valkey.url, TTL)
        known = Found(record(store, sent=1), ["one"])
        await store.open("a", lambda data: None, lambda: [known])
        await store.put(known.record, known.log)
        await asyncio.to_thread(own_valkey.restart)

        async def fail(*arguments: object) -> None:
            raise OSError("away again")

        with monkeypatch.context() as patches:
            patches.setattr(store, "put", fail)
            with pytest.raises(OSError, match="away again"):
                await store.write("s", 1, 1, ["two"])
        assert await store.write("s", 1, 1, ["two"]) == 2
        await store.close()

    asyncio.run(main())


def test_a_user_who_may_not_listen_leaves_nothing_behind(own_valkey: Valkey) -> None:
    with own_valkey.client() as client:
        client.execute_command("ACL", "SETUSER", "ann", "on", ">hush", "~*", "&*", "+@all", "-subscribe")

    async def main() -> None:
        store = ValkeyStore(own_valkey.url.replace("//", "//ann:hush@"), TTL)
        with pytest.raises(OSError, match="cannot be reached"):
            await store.open("a", lambda data: None, tuple)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await store.close()

    asyncio.run(main())


def test_a_server_that_kept_everything_but_may_not_have_is_not_believed(tmp_path: Path) -> None:
    server = Valkey(tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    server.start()

    async def main() -> None:
        async with opened(ValkeyStore(server.url, TTL)) as store:
            await store.put(record(store), [])
            await store.put(record(store, "t", sent=1), ["x"])
            await asyncio.to_thread(server.restart)
            assert await store.claim("s", HASH, "ann", 1, "a") is Refused.FORGOTTEN
            assert await store.put(record(store, "t", sent=1), ["x"]) is None  # as its owner knows it
            assert (await claimed(store, 1, id="t")).log == ("x",)

    try:
        asyncio.run(main())
    finally:
        server.kill()


def test_a_server_that_is_away_is_an_error_that_is_not_for_ever(own_valkey: Valkey) -> None:
    async def main() -> None:
        store = ValkeyStore(own_valkey.url, TTL)
        known = Found(record(store, sent=1), ["one"])
        await store.open("a", lambda data: None, lambda: [known])
        await store.put(known.record, known.log)
        await asyncio.to_thread(own_valkey.kill)
        with pytest.raises(OSError, match="the store of the sessions"):
            await store.write("s", 1, 1, ["two"])
        await asyncio.to_thread(own_valkey.start)
        assert await store.write("s", 1, 1, ["two"]) == 2
        await store.close()

    asyncio.run(main())


def test_a_server_that_has_lost_the_scripts_gets_them_again(valkey: Valkey) -> None:
    async def main() -> None:
        async with opened(ValkeyStore(valkey.url, TTL)) as store:
            await store.put(record(store), [])
            with valkey.client() as client:
                client.script_flush()
            calls = [store.write("s", 1, number, [str(number)]) for number in range(4)]
            assert await asyncio.gather(*calls) == [1, 2, 3, 4]

    asyncio.run(main())


def test_sessions_of_a_node_that_died_expire_and_those_of_one_that_lives_do_not(valkey: Valkey) -> None:
    async def main() -> None:
        dead, alive = ValkeyStore(valkey.url, 0.5), ValkeyStore(valkey.url, 0.5)
        for name, store in (("dead", dead), ("alive", alive)):
            await store.open(name, lambda data: None, tuple)
            await store.put(replace(record(store, name, sent=1), node=name), [name])
        for task in dead._tasks:  # as kill -9
            task.cancel()
        ended: list[Found] = []

        async def has_ended() -> bool:
            ended.extend(await alive.due(time.time(), 10))
            return ended != []

        await eventually(has_ended)
        assert [(found.record.id, found.log) for found in ended] == [("dead", ("dead",))]
        assert await alive.write("alive", 1, 1, ["x"]) == 2
        assert await dead.write("dead", 1, 1, ["x"]) is Refused.GONE
        answer = await alive.claim("dead", HASH, "ann", 1, "alive", force=1)
        assert answer.kind == EXPIRED  # type: ignore[union-attr]
        await alive.close()
        await dead.close()

    asyncio.run(main())


def test_nodes_hear_each_other_also_after_the_server_was_away(own_valkey: Valkey) -> None:
    async def main() -> None:
        heard: dict[str, list[bytes]] = {"a": [], "b": [], "c": []}
        stores = {name: ValkeyStore(own_valkey.url, TTL) for name in heard}
        for name, store in stores.items():
            await store.open(name, heard[name].append, tuple)
        assert await stores["a"].notify("b", b"to\nb")
        assert await stores["a"].notify(None, b"to all others")
        assert not await stores["c"].notify("nobody", b"lost")
        await until(lambda: len(heard["b"]) == 2 and len(heard["c"]) == 1)
        assert heard == {"a": [], "b": [b"to\nb", b"to all others"], "c": [b"to all others"]}
        await asyncio.to_thread(own_valkey.restart)
        await eventually(lambda: stores["a"].notify("c", b"again"))
        await until(lambda: heard["c"][-1:] == [b"again"])
        for store in stores.values():
            await store.close()

    asyncio.run(main())


def test_a_user_who_may_not_ask_what_was_forgotten_is_told_so_and_no_password_is_shown(
    own_valkey: Valkey,
) -> None:
    with own_valkey.client() as client:
        client.execute_command("ACL", "SETUSER", "ann", "on", ">hush", "~*", "&*", "+@all", "-info")

    async def main() -> None:
        for user, what in (
            ("ann:hush", "may not call INFO"),
            ("ann:wrong", "has failed"),
            ("x:y", "has failed"),
        ):
            store = ValkeyStore(own_valkey.url.replace("//", f"//{user}@"), TTL)
            with pytest.raises(OSError, match=what) as raised:
                await store.open("a", lambda data: None, tuple)
            assert user.partition(":")[2] not in str(raised.value).split()
            await store.close()

    asyncio.run(main())


def test_calls_of_one_turn_are_one_pipeline(valkey: Valkey) -> None:
    """A server that counts what it reads: a hundred writes of one turn of the loop come in a few reads."""

    async def main() -> None:
        async with opened(ValkeyStore(valkey.url, TTL)) as store:
            await asyncio.gather(*(store.put(record(store, f"s{number}"), []) for number in range(100)))
            with valkey.client() as client:
                before = client.info("stats")["total_reads_processed"]
                await asyncio.gather(*(store.write(f"s{number}", 1, 0, ["x"]) for number in range(100)))
                assert client.info("stats")["total_reads_processed"] - before < 20

    asyncio.run(main())


def test_many_leases_go_to_the_server_in_batches(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with 20,000 sessions stalled for 0.4 s, each minute, when all leases were renewed at once."""
    lengths = []
    pipeline = ValkeyStore._pipeline

    async def counted(store: ValkeyStore, calls: list[Any]) -> list[Any]:
        lengths.append(len(calls))
        return await pipeline(store, calls)

    async def main() -> None:
        async with opened(ValkeyStore(valkey.url, TTL)) as store:
            await asyncio.gather(*(store.put(record(store, f"s{number}"), []) for number in range(1000)))
            monkeypatch.setattr(ValkeyStore, "_pipeline", counted)

    asyncio.run(main())
    assert sum(lengths) > 1000
    assert max(lengths) < 300


def test_a_store_that_was_closed_is_open_again_on_the_next_loop(valkey: Valkey) -> None:
    store = ValkeyStore(valkey.url, TTL)

    async def main() -> None:
        async with opened(store):
            # Each looks whether the server has forgotten it, one after the other.
            claims = [store.claim(f"none {number}", HASH, "ann", 1, "a") for number in range(3)]
            assert await asyncio.gather(*claims) == [Refused.UNKNOWN] * 3

    for _ in range(2):
        asyncio.run(main())


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_rooms_are_heard_of_where_a_loop_before_was_closed_with_the_store_open(valkey: Valkey) -> None:
    store = ValkeyStore(valkey.url, TTL)
    heard: list[str] = []

    async def main() -> None:
        async with opened(store):
            gc.collect()  # the tasks of the loop before with it
            store.follow("r", lambda: heard.append("r"))
            await until(lambda: heard)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(store.open("a", lambda data: None, tuple))
    loop.close()
    asyncio.run(main())


# The end of the program


@pytest.mark.parametrize("turns_of_the_loop", range(4))
def test_a_program_that_exits_while_the_store_is_asked_ends(valkey: Valkey, turns_of_the_loop: int) -> None:
    async def main() -> None:
        store = ValkeyStore(valkey.url)
        await store.open("a", lambda data: None, tuple)
        asking = asyncio.create_task(store.put(record(store), ()))
        try:
            await turns(turns_of_the_loop)
            asyncio.get_running_loop().call_soon(sys.exit, 3)
            await asking
        finally:
            async with asyncio.timeout(PATIENCE):
                await store.close()
            closed.append(store)

    closed: list[ValkeyStore] = []
    with pytest.raises(SystemExit):
        asyncio.run(main())
    assert closed


def test_a_node_whose_servers_are_not_known_for_a_moment_is_heard_of_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        heard: list[bytes] = []
        store, other = ValkeyStore(cluster.url), ValkeyStore(cluster.url)
        await other.open("b", lambda data: None, tuple)
        with monkeypatch.context() as patch:
            patch.setattr(RedisCluster, "get_random_node", lambda self: random.choice([]))
            with pytest.raises(OSError, match="cannot be reached"):
                await store.open("a", heard.append, tuple)
        await store.open("a", heard.append, tuple)
        await other.notify("a", b"hello")
        await until(lambda: heard == [b"hello"])
        await store.close()
        await other.close()

    asyncio.run(main())
