"""Sessions in a server of PostgreSQL that is restarted, fails over, refuses, is busy, or whose nodes die."""

import asyncio
import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.server.sessions.postgres import Postgres
from tests.server.sessions.test_sessions import running, session, told
from tests.server.sessions.test_store_contract import HASH, TTL, claimed, opened, record
from tests.watch import PATIENCE, Run, eventually, turns, until

from websocket_heartbeat import Message
from websocket_heartbeat.server import Hub, Peer
from websocket_heartbeat.server.sessions.store import Found, Refused

if sys.implementation.name == "cpython":  # as asyncpg is for it alone
    from websocket_heartbeat.server.sessions.postgresql.calls import active_rooms
    from websocket_heartbeat.server.sessions.postgresql.store import PostgresStore


@pytest.fixture
def own() -> Iterator[Postgres]:
    """Return a server for one test."""
    server = Postgres()
    server.start()
    yield server
    server.remove()


# Its tables


def test_nodes_that_begin_at_once_make_the_tables_once(postgres: Postgres) -> None:
    async def main() -> None:
        stores = [PostgresStore(postgres.url(), TTL) for _ in range(8)]
        await asyncio.gather(
            *(store.open(f"n{n}", lambda data: None, tuple) for n, store in enumerate(stores))
        )
        await stores[0].put(record(stores[0]), [])
        assert (await claimed(stores[7], link=1)).record.generation == 2
        await asyncio.gather(*(store.close() for store in stores))

    asyncio.run(main())


def test_tables_of_a_newer_version_are_left_alone(postgres: Postgres) -> None:
    async def main() -> None:
        async with opened(PostgresStore(postgres.url(), TTL)):
            pass
        await asyncio.to_thread(postgres.execute, "update websocket_heartbeat.version set version = 9")
        with pytest.raises(OSError, match="of version 9, and this process knows 1"):
            await PostgresStore(postgres.url(), TTL).open("a", lambda data: None, tuple)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


# What it may have forgotten


def test_a_server_that_was_killed_has_forgotten_nothing_and_is_the_same(own: Postgres) -> None:
    own.execute("alter role owner set synchronous_commit to off")

    async def main() -> None:
        async with opened(PostgresStore(own.url(), TTL)) as store:
            lineage = store.lineage
            await store.put(record(store), [])
            for number in range(4):
                assert await store.write("s", 1, number, [str(number)], done=number + 1) == number + 1
                await asyncio.to_thread(own.kill)
                with pytest.raises(OSError, match="the store of the sessions"):
                    await store.write("s", 1)
                await asyncio.to_thread(own.start)
                await eventually(lambda: answers(store))
            assert store.lineage == lineage
            found = await claimed(store, link=1)
            assert (found.log, found.record.done) == (tuple("0123"), 4)

    async def answers(store: Any) -> bool:
        try:
            await store.write("s", 1)
        except OSError:
            return False
        return True

    asyncio.run(main())


def test_a_server_that_does_not_wait_for_its_disk_is_another_one_after_a_restart() -> None:
    server = Postgres("-c", "fsync=off")
    server.start()

    async def main() -> None:
        async with opened(PostgresStore(server.url(), TTL)) as store:
            await store.put(record(store), [])
        await asyncio.to_thread(server.restart)
        async with opened(PostgresStore(server.url(), TTL)) as store:
            assert await store.claim("s", HASH, "ann", 1, "a") is Refused.FORGOTTEN

    try:
        asyncio.run(main())
    finally:
        server.remove()


def test_after_a_promotion_a_node_writes_its_sessions_again(
    own: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    """The replica that is promoted lacks the last writes."""

    async def main() -> None:
        store = PostgresStore(own.url(), TTL)
        known = Found(replace(record(store, sent=1), link=1, generation=2, done=7), ["one"])
        await store.open("a", lambda data: None, lambda: [known])
        await store.put(known.record, known.log)
        before = store.lineage
        await asyncio.to_thread(own.execute, "delete from websocket_heartbeat.session")
        await asyncio.to_thread(own.promote)

        async def is_written() -> bool:
            try:
                return await store.write("s", 2, 1, ["two"], done=8) == 2
            except OSError:
                return False

        await eventually(is_written)
        assert store.lineage != before
        found = await claimed(store, link=2)
        assert (found.log, found.record.done) == (("one", "two"), 8)
        await store.close()

    asyncio.run(main())
    assert "forgotten writes: 1 sessions are written again" in caplog.text


def test_a_user_who_may_not_know_what_was_forgotten_is_told_so(postgres: Postgres) -> None:
    postgres.execute(
        "drop role if exists ann",
        "create role ann login password 'sesame'",
        "grant create on database postgres to ann",
        "revoke execute on function pg_control_system() from public",
    )

    async def main() -> None:
        url = postgres.url(user="ann:sesame")
        with pytest.raises(OSError, match=r"may not call pg_control_system.*grant execute"):
            await PostgresStore(url, TTL).open("a", lambda data: None, tuple)
        await asyncio.to_thread(postgres.execute, "grant execute on function pg_control_system() to ann")
        async with opened(PostgresStore(url, TTL)) as store:
            await store.put(record(store), [])

    try:
        asyncio.run(main())
    finally:
        postgres.execute(
            "grant execute on function pg_control_system() to public", "drop owned by ann", "drop role ann"
        )


# Secrets


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("owner:hush", "owner:sesame"), "password authentication failed"),
        (("127.0.0.1", "127.0.0.1:x,sesame"), "port"),
        (("127.0.0.1:", "sesame.invalid:"), "cannot be reached"),
        (("/postgres", "/nothing"), "does not exist"),
        (("/postgres", "/postgres?sslmode=sesame"), "asyncpg does not take"),
        (("/postgres", "/postgres?sesame=1"), "cannot be reached"),
    ],
)
def test_what_is_wrong_with_a_url_is_told_without_its_password(
    postgres: Postgres, change: tuple[str, str], what: str
) -> None:
    url = postgres.url().replace(*change)

    async def main() -> None:
        with pytest.raises((OSError, ValueError), match=what) as raised:
            await PostgresStore(url, TTL).open("a", lambda data: None, tuple)
        assert "hush" not in str(raised.value)
        assert "owner:sesame" not in str(raised.value)
        assert "hush" not in repr(PostgresStore(postgres.url(), TTL))

    asyncio.run(main())


def test_a_hub_says_which_url_it_takes() -> None:
    pytest.importorskip("asyncpg")
    with pytest.raises(ValueError, match="number for the port") as raised:
        Hub(sessions="postgres://ann:sesame@host:port/db")
    assert "sesame" not in str(raised.value)


# Busy, and away


def test_a_session_that_somebody_has_locked_keeps_no_other_one(postgres: Postgres) -> None:
    async def main() -> None:
        async with opened(PostgresStore(postgres.url(), TTL)) as store:
            for id in ("s", "t", "u"):
                await store.put(record(store, id), [])
            import asyncpg  # here, as only CPython has it

            other = await asyncpg.connect(postgres.url())
            await other.execute("begin")
            await other.execute("select from websocket_heartbeat.session where id = 't' for update")
            answers = await asyncio.gather(
                *(store.write(id, 1, 0, ["x"]) for id in "stu"), return_exceptions=True
            )
            assert [answers[0], answers[2]] == [1, 1]
            assert "lock timeout" in str(answers[1])
            await other.execute("rollback")
            await other.close()
            assert await store.write("t", 1, 0, ["x"]) == 1

    asyncio.run(main())


def test_a_call_that_the_database_refuses_harms_no_other(postgres: Postgres) -> None:
    async def main() -> None:
        async with opened(PostgresStore(postgres.url(), TTL)) as store:
            await store.put(record(store), [])
            wrong = store.put(replace(record(store, "wrong"), max=2**80), [])
            right = store.put(record(store, "right"), [])
            answers = await asyncio.gather(wrong, right, return_exceptions=True)
            assert isinstance(answers[0], OSError)
            assert answers[1] is None

    asyncio.run(main())


def test_texts_of_strangers_may_have_any_character(postgres: Postgres) -> None:
    async def main() -> None:
        text = "nul \0, surrogate \ud800, \u00fc"
        async with opened(PostgresStore(postgres.url(), TTL)) as store:
            await store.put(replace(record(store), principal=text, rooms={text: 3}), [])
            await store.write("s", 1, ending=text)
            found = await store.claim("s", HASH, text, 1, "a")
            assert isinstance(found, Found)
            known = found.record
            assert (known.principal, known.ending, known.rooms) == (text, text, {text: 3})
            await store.finish("s", 2, "over", text)
            answer = await store.claim("s", HASH, text, 2, "a")
            assert answer.why == text  # type: ignore[union-attr]

    asyncio.run(main())


@pytest.mark.parametrize("turns_of_the_loop", range(4))
def test_a_program_that_exits_while_the_store_is_asked_ends(
    postgres: Postgres, turns_of_the_loop: int
) -> None:
    async def main() -> None:
        store = PostgresStore(postgres.url())
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

    closed: list[PostgresStore] = []
    with pytest.raises(SystemExit):
        asyncio.run(main())
    assert closed


def test_calls_of_one_turn_are_one_transaction(postgres: Postgres) -> None:
    count = "select pg_current_xact_id()::text::bigint as count"

    async def main() -> None:
        async with opened(PostgresStore(postgres.url(), TTL)) as store:
            await asyncio.gather(*(store.put(record(store, f"s{number}"), []) for number in range(100)))
            before = (await asyncio.to_thread(postgres.execute, count))[0]["count"]
            await asyncio.gather(*(store.write(f"s{number}", 1, 0, ["x"]) for number in range(100)))
            assert (await asyncio.to_thread(postgres.execute, count))[0]["count"] - before < 20

    asyncio.run(main())


@pytest.mark.timeout(90)
def test_while_the_server_is_away_sessions_wait_and_lose_nothing(run_asyncio: Run, own: Postgres) -> None:
    async def main() -> None:
        up: list[object] = []

        def answer(peer: Peer, message: Message) -> None:
            up.append(message)
            peer.send(f"answer {message!s}")

        hub = Hub(sessions=own.url(), on_message=answer)
        async with running(hub) as server, session(server.url()) as connection:
            events = told(connection)
            for number in range(3):
                await connection.send(f"{number} before")
                assert await connection.recv() == f"answer {number} before"
                await asyncio.to_thread(own.kill)
                for part in range(5):
                    await connection.send(f"{number} {part}")
                connection.reconnect_now()
                await until(lambda number=number: f"{number} 0" in up)  # type: ignore[misc]
                await asyncio.sleep(0.2)
                assert f"{number} 1" not in up  # as the one before is not recorded
                await asyncio.to_thread(own.start)
                async with asyncio.timeout(PATIENCE):
                    answers = [await connection.recv() for _ in range(5)]
                assert answers == [f"answer {number} {part}" for part in range(5)]
            assert {event.kind for event in events} == {"new", "resumed"}
            assert len(up) == len(set(up)) == 18

    run_asyncio(main())


# Nodes


def test_nodes_hear_each_other_whatever_the_length_also_after_the_server_was_away(
    own: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        heard: dict[str, list[bytes]] = {"a": [], "b": [], "c": []}
        stores = {name: PostgresStore(own.url(), TTL) for name in heard}
        for name, store in stores.items():
            await store.open(name, heard[name].append, tuple)
        assert await stores["a"].notify("b", b"to b\0\xff")
        assert await stores["a"].notify(None, b"to all others")
        assert not await stores["c"].notify("nobody", b"lost")
        await until(lambda: len(heard["b"]) == 2 and len(heard["c"]) == 1)
        assert heard == {"a": [], "b": [b"to b\0\xff", b"to all others"], "c": [b"to all others"]}
        long = b"x" * 2**20  # its parts are the same
        assert await stores["a"].notify("c", long)
        assert await stores["a"].notify("c", b"")
        await until(lambda: len(heard["c"]) == 3)
        assert heard["c"][1:] == [long, b""]
        await asyncio.to_thread(own.restart)
        await until(lambda: caplog.text.count("is back") == 3)
        assert await stores["a"].notify("c", b"again")
        await until(lambda: heard["c"][-1:] == [b"again"])
        await stores["b"].close()

        async def is_gone() -> bool:
            return not await stores["a"].notify("b", b"gone")

        await eventually(is_gone)  # when the server knows, too
        for name in "ac":
            await stores[name].close()

    asyncio.run(main())


def test_sessions_of_a_node_that_died_expire_and_those_of_one_that_lives_do_not(postgres: Postgres) -> None:
    async def main() -> None:
        dead, alive = PostgresStore(postgres.url(), 0.5), PostgresStore(postgres.url(), 0.5)
        for name, store in (("dead", dead), ("alive", alive)):
            await store.open(name, lambda data: None, tuple)
            await store.put(replace(record(store, name, sent=1), node=name), [name])
        ended: list[Found] = []

        async def has_ended() -> bool:
            ended.extend(await alive.due(time.time(), 10))
            return ended != []

        await eventually(has_ended)
        assert [(found.record.id, found.log) for found in ended] == [("dead", ("dead",))]
        assert await alive.write("alive", 1, 1, ["x"]) == 2
        assert await dead.write("dead", 1, 1, ["x"]) is Refused.GONE
        await alive.close()
        await dead.close()

    asyncio.run(main())


def test_each_session_that_is_due_is_given_to_one_node(postgres: Postgres) -> None:
    async def main() -> None:
        stores = [PostgresStore(postgres.url(), TTL) for _ in range(3)]
        for number, store in enumerate(stores):
            await store.open(str(number), lambda data: None, tuple)
        await asyncio.gather(
            *(stores[0].put(replace(record(stores[0], f"s{n}"), deadline=5.0), []) for n in range(90))
        )
        found = await asyncio.gather(*(store.due(6.0, 20) for store in stores for _ in range(3)))
        ids = [each.record.id for some in found for each in some]
        assert sorted(ids) == sorted(f"s{number}" for number in range(90))
        for store in stores:
            await store.close()

    asyncio.run(main())


def test_a_look_at_rooms_that_fails_takes_no_session_that_is_due(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        store = PostgresStore(postgres.url(), TTL)
        async with opened(store):
            await store.put(replace(record(store), deadline=5.0), [])
            store.follow("r", lambda: None)
            ask = store._ask

            async def fail(work: Any, arguments: Any) -> Any:
                if work is active_rooms:
                    raise OSError("the database is away")
                return await ask(work, arguments)

            monkeypatch.setattr(store, "_ask", fail)
            with pytest.raises(OSError, match="is away"):
                await store.due(6.0, 10)
            monkeypatch.undo()
            assert [found.record.id for found in await store.due(6.0, 10)] == ["s"]

    asyncio.run(main())
