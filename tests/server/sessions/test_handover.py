"""A session that moves to another process of the same store: the old one ends what it handles, no more."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from tests.server.raw import client
from tests.server.sessions import servers
from tests.server.sessions.cluster import Cluster
from tests.server.sessions.test_sessions import running, session, told
from tests.server.sessions.valkey import Valkey
from tests.watch import PATIENCE, Run, turns, until

from websocket_heartbeat import Connection
from websocket_heartbeat.server import Hub, Peer, Server
from websocket_heartbeat.server.sessions import book
from websocket_heartbeat.server.sessions.book import Book
from websocket_heartbeat.server.sessions.link import SessionLink
from websocket_heartbeat.server.sessions.store import Found, Refused


@pytest.fixture(params=["sqlite", "cluster", *servers.PARAMETERS])
def place(request: pytest.FixtureRequest, tmp_path: Path, server_named: Callable[[str], Valkey]) -> str:
    """Return where sessions are kept."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 's.db'}"
    if request.param == "cluster":
        cluster: Cluster = request.getfixturevalue("cluster")
        return cluster.url
    return server_named(request.param).url


class Two:
    """Two hubs that share a place, and a connection that goes to one of them."""

    def __init__(self, place: str, **options: Any) -> None:
        self.ends: list[object] = []
        self.hubs = [
            Hub(sessions=place, on_session_end=lambda *end: self.ends.append(end), **options)
            for _ in range(2)
        ]
        self.servers: list[Server] = []
        self.connection: Connection = session(
            lambda: self.servers[0].url() if self.servers else "ws://127.0.0.1:9/"
        )
        self.events = told(self.connection)

    async def move(self) -> None:
        """Let the connection go on at the other hub."""
        self.servers.reverse()
        count = len(self.events)
        self.connection.reconnect_now()
        await until(lambda: len(self.events) > count)


@asynccontextmanager
async def two(place: str, **options: Any) -> AsyncIterator[Two]:
    both = Two(place, **options)
    async with AsyncExitStack() as stack:
        for hub in both.hubs:
            both.servers.append(await stack.enter_async_context(running(hub)))
        await stack.enter_async_context(both.connection)
        yield both


async def begun(both: Two) -> tuple[Peer, Book, Book]:
    """Return the peer of a session that is in use, and the books of its process and of the other one."""
    await until(lambda: len(both.hubs[0].peers) == 1)
    (peer,) = both.hubs[0].peers
    here, there = (hub._book for hub in both.hubs)
    assert here is not None
    assert there is not None
    await both.connection.send("used")
    await both.connection.flush()
    await there.ready()
    return peer, here, there


def test_the_move_waits_for_the_hook_that_runs_and_nothing_is_handled_twice(
    run_asyncio: Run, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[str] = []

    async def answer(peer: Any, message: str) -> None:
        begun.append(message)
        peer.send(f"a {message}")
        await asyncio.sleep(0.1)
        peer.send(f"b {message}")

    async def main() -> None:
        async with two(place, on_message=answer) as both:
            for number in range(6):
                await both.connection.send(str(number))
                await until(lambda: len(begun) > number)  # noqa: B023
                await both.move()
            async with asyncio.timeout(PATIENCE):
                answers = [await both.connection.recv() for _ in range(12)]
            assert answers == [f"{part} {number}" for number in range(6) for part in "ab"]
            assert begun == [str(number) for number in range(6)]
            assert not any(hasattr(line, "interrupted") or hasattr(line, "forced") for line in caplog.records)
            assert {event.kind for event in both.events} == {"new", "resumed"}
            assert both.ends == []

    run_asyncio(main())


def test_a_hook_that_does_not_end_is_cancelled_and_its_message_is_handled_again_as_a_warning_says(
    run_asyncio: Run, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[str] = []
    cancelled: list[str] = []
    closed: list[object] = []

    async def on_message(peer: Any, message: str) -> None:
        begun.append(message)
        if len(begun) == 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(message)
                raise
        peer.send("done")

    async def main() -> None:
        closes = lambda peer, code, reason: closed.append((code, reason))  # noqa: E731
        async with two(place, on_message=on_message, on_close=closes) as both:
            await both.connection.send("x")
            await until(lambda: begun == ["x"])
            await both.move()
            async with asyncio.timeout(PATIENCE):
                assert await both.connection.recv() == "done"
            await until(lambda: closed == [(None, "goes on in another process")])
            assert (begun, cancelled) == (["x", "x"], ["x"])
            assert both.ends == []
            assert [vars(line)["interrupted"] for line in caplog.records if hasattr(line, "interrupted")] == [
                1
            ]

    run_asyncio(main())


def test_a_session_that_another_process_finds_expired_ends_where_its_peer_is(
    run_asyncio: Run, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        closed: list[object] = []
        closes = lambda peer, *end: closed.append(end)  # noqa: E731
        async with two(place, session_ttl=3, on_message=lambda *_: None, on_close=closes) as both:
            await until(lambda: len(both.hubs[0].peers) == 1)
            (peer,) = both.hubs[0].peers
            await both.connection.send("used")
            await both.connection.flush()
            store = both.hubs[0]._book.store  # type: ignore[union-attr]
            due = store.due
            monkeypatch.setattr(store, "due", lambda now, limit: due(0, limit))  # it looks and finds nothing
            peer.send("unacknowledged")
            both.servers.clear()  # where it would come back to
            peer.abort()
            await until(lambda: both.ends != [])
            assert both.ends == [(peer.session, "expired", ("unacknowledged",))]
            await until(lambda: closed != [])
            assert closed == [(None, "expired")]
            assert peer.closed

    run_asyncio(main())


def test_a_session_that_another_process_has_ended_ends_here_too_though_the_news_of_it_was_lost(
    run_asyncio: Run, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "_OVERDUE", 1)

    async def lost(node: str | None, data: bytes) -> bool:
        return True

    async def main() -> None:
        closed: list[object] = []
        closes = lambda peer, *end: closed.append(end)  # noqa: E731
        async with two(place, session_ttl=3, on_message=lambda *_: None, on_close=closes) as both:
            peer, here, there = await begun(both)
            due = here.store.due
            monkeypatch.setattr(here.store, "due", lambda now, limit: due(0, limit))  # it finds nothing
            monkeypatch.setattr(there.store, "notify", lost)
            peer.send("unacknowledged")
            both.servers.clear()  # where it would come back to
            peer.abort()
            await until(lambda: closed != [] and both.ends != [])
            assert closed == [(None, "goes on in another process")]
            assert peer.closed
            assert both.hubs[0].peers == ()
            assert both.ends == [(peer.session, "expired", ("unacknowledged",))]  # told once

    run_asyncio(main())


def test_a_session_that_was_let_go_with_its_server_and_goes_on_elsewhere_is_not_claimed_here(
    run_asyncio: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "_OVERDUE", 0.5)
    claims: list[object] = []

    async def main() -> None:
        async with two(f"sqlite:///{tmp_path / 's.db'}", session_ttl=1, on_message=lambda *_: None) as both:
            peer, here, _ = await begun(both)
            (server, other), both.servers = both.servers, []
            peer.abort()
            await until(lambda: here.count().away == 1)  # so it has a deadline
            await server.close()
            both.servers.append(other)
            await until(lambda: len(both.events) == 2)
            monkeypatch.setattr(here.store, "claim", lambda *arguments, **_: claims.append(arguments))
            looks: list[None] = []  # of each 0.25 s, until long after the deadline
            monkeypatch.setattr(here.copies, "expire", lambda: looks.append(None))
            await until(lambda: len(looks) > 10)
            assert claims == []

    run_asyncio(main())


@pytest.mark.parametrize("durability", ["through", "handover"])
def test_a_session_that_was_let_go_with_its_server_goes_on_elsewhere_while_its_hub_is_closing(
    run_asyncio: Run, place: str, durability: Any
) -> None:
    async def main() -> None:
        async with two(place, durability=durability, on_message=lambda *_: None) as both:
            peer, here, _ = await begun(both)
            (server, other), both.servers = both.servers, []
            async with client(server):  # which never answers, so closing takes all of its 10 s
                closing = asyncio.create_task(both.hubs[0].close())
                await until(lambda: peer.closed)
                peer.send("never arrives")
                both.servers.append(other)
                await until(lambda: len(both.events) == 2)
                assert both.events[-1].kind == "resumed"
                assert not closing.done()
                assert here.count().away == 0
                await both.connection.send("goes on")
                await both.connection.flush()
                await closing

    run_asyncio(main())


@pytest.mark.parametrize("durability", ["through", "handover"])
def test_a_session_that_was_let_go_with_its_server_and_has_expired_is_forgotten(
    run_asyncio: Run, tmp_path: Path, durability: Any
) -> None:
    async def main() -> None:
        place = f"sqlite:///{tmp_path / 's.db'}"
        async with two(place, session_ttl=1, durability=durability, on_message=lambda *_: None) as both:
            _, here, _ = await begun(both)
            server = both.servers[0]
            both.servers.clear()
            await server.close()
            assert here.count().away == 1
            await until(lambda: both.ends != [] and here.count().away == 0)

    run_asyncio(main())


def test_a_claim_of_which_no_answer_came_costs_nothing(
    run_asyncio: Run, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    may_end = asyncio.Event()

    async def on_message(peer: Any, message: str) -> None:
        begun.append(message)
        peer.send(f"begun {message}")
        await may_end.wait()
        peer.send(f"done {message}")

    async def main() -> None:
        async with two(place, on_message=on_message) as both:
            await both.connection.send("x")
            await until(lambda: begun == ["x"])
            store = both.hubs[0]._book.store  # type: ignore[union-attr]
            claim = store.claim

            async def unanswered(*arguments: Any, **options: Any) -> None:
                monkeypatch.setattr(store, "claim", claim)
                await claim(*arguments, **options)
                raise OSError("the connection was cut")

            for number in range(2):
                monkeypatch.setattr(store, "claim", unanswered)
                both.connection.reconnect_now()
                if number == 0:  # what is written meanwhile is not refused
                    both.hubs[0].peers[0].send("meanwhile")
                await until(lambda number=number: len(both.events) == number + 2)  # type: ignore[misc]
            may_end.set()
            await both.connection.send("y")
            async with asyncio.timeout(PATIENCE):
                answers = [await both.connection.recv() for _ in range(5)]
            assert answers == ["begun x", "meanwhile", "done x", "begun y", "done y"]
            assert begun == ["x", "y"]
            assert {event.kind for event in both.events} == {"new", "resumed"}

    run_asyncio(main())


@pytest.mark.parametrize("at", ["its process", "another one"])
def test_a_session_of_which_a_claim_was_not_answered_expires_if_its_client_does_not_come_back(
    run_asyncio: Run, place: str, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    async def main() -> None:
        async with two(place, session_ttl=3, on_message=lambda *_: None) as both:
            peer, here, there = await begun(both)
            store = (here if at == "its process" else there).store
            claim = store.claim

            async def unanswered(*arguments: Any, **options: Any) -> None:
                found = await claim(*arguments, **options)
                if isinstance(found, Found):
                    monkeypatch.setattr(store, "claim", claim)
                    both.servers.clear()  # where it would come back to
                    raise OSError("the connection was cut")
                return found  # type: ignore[return-value]

            monkeypatch.setattr(store, "claim", unanswered)
            if at == "another one":
                both.servers.reverse()
            peer.abort()
            peer.send("unacknowledged")
            await until(lambda: both.ends != [])
            assert both.ends == [(peer.session, "expired", ("unacknowledged",))]

    run_asyncio(main())


def test_the_end_of_a_session_that_somebody_has_deleted_is_told(
    run_asyncio: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "_OVERDUE", 0.5)

    async def main() -> None:
        file = tmp_path / "s.db"
        async with two(f"sqlite:///{file}", session_ttl=3, on_message=lambda *_: None) as both:
            peer, _, _ = await begun(both)
            peer.send("unacknowledged")
            both.servers.clear()
            peer.abort()
            with closing(sqlite3.connect(file, isolation_level=None)) as database:
                of_away = "select 1 from session where deadline is not null and sent = 1"
                await until(lambda: database.execute(of_away).fetchall() != [])
                database.execute("delete from session")
            await until(lambda: both.ends != [])
            assert both.ends == [(peer.session, "lost", ("unacknowledged",))]

    run_asyncio(main())


def test_what_is_sent_while_the_answer_to_a_write_is_lost_comes_once_and_in_order(
    run_asyncio: Run, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with two(place, on_message=lambda *_: None) as both:
            await until(lambda: len(both.hubs[0].peers) == 1)
            (peer,) = both.hubs[0].peers
            await both.connection.send("used")
            await both.connection.flush()
            store = both.hubs[0]._book.store  # type: ignore[union-attr]
            write = store.write

            async def unanswered(*arguments: Any, **options: Any) -> None:
                monkeypatch.setattr(store, "write", write)
                await write(*arguments, **options)
                peer.send("third")
                raise OSError("the connection was cut")

            monkeypatch.setattr(store, "write", unanswered)
            peer.send("first")
            peer.send("second")
            async with asyncio.timeout(PATIENCE):
                answers = [await both.connection.recv() for _ in range(3)]
                peer.send("fourth")
                answers.append(await both.connection.recv())
            assert answers == ["first", "second", "third", "fourth"]
            assert both.hubs[0].peers == (peer,)
            assert [event.kind for event in both.events] == ["new"]

    run_asyncio(main())


def test_a_session_of_which_not_all_could_be_written_is_not_given_up(
    run_asyncio: Run, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its store may be about to forget all, and then nobody would know of it."""

    async def main() -> None:
        async with two(place, on_message=lambda *_: None) as both:
            peer, here, there = await begun(both)

            async def fail(*arguments: object, **options: object) -> None:
                raise OSError("away")

            with monkeypatch.context() as patches:
                patches.setattr(here.store, "write", fail)
                peer.send("kept")
                await there._handover._ask(here._node, str(peer.session), 99)
            async with asyncio.timeout(PATIENCE):
                assert await both.connection.recv() == "kept"
            assert both.hubs[0].peers == (peer,)
            assert [event.kind for event in both.events] == ["new"]

    run_asyncio(main())


def test_a_link_that_its_client_has_given_up_takes_no_session_from_a_newer_one(
    run_asyncio: Run, place: str
) -> None:
    async def main() -> None:
        async with two(place, on_message=lambda *_: None) as both:
            peer, here, there = await begun(both)
            for number in range(2, 4):
                both.connection.reconnect_now()
                await until(lambda number=number: len(both.events) == number)  # type: ignore[misc]
            await there._handover._ask(here._node, str(peer.session), 1)
            assert both.hubs[0].peers == (peer,)
            await both.connection.send("goes on")
            await both.connection.flush()
            assert {event.kind for event in both.events} == {"new", "resumed"}
            await there._handover._ask(here._node, str(peer.session), 99)
            await until(lambda: peer.closed)

    run_asyncio(main())


def test_who_has_given_a_session_up_forgets_it_when_another_process_has_claimed_it_from_nobody(
    run_asyncio: Run, place: str
) -> None:
    """Else it would write what is old to a store that forgets all, should the new owner die with that."""

    async def main() -> None:
        async with two(place, durability="handover", on_message=lambda *_: None) as both:
            peer, here, there = await begun(both)
            id, other = str(peer.session), both.servers[1]
            both.servers.clear()
            peer.abort()
            await until(lambda: getattr(here.here(id), "attachment", peer) is None)
            # A link has come to the other one, and its client gives that up before the session is claimed.
            await there._handover._ask(here._node, id, 99)
            assert here.copies.of(id) is not None
            both.servers.append(other)
            await until(lambda: len(both.hubs[1].peers) == 1)
            await until(lambda: here.copies.of(id) is None)
            await until(lambda: [event.kind for event in both.events] == ["new", "resumed"])

    run_asyncio(main())


def test_what_was_given_up_is_not_written_any_more_when_another_process_has_claimed_it(
    run_asyncio: Run, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store was away, and may have forgotten the claim meanwhile."""

    async def main() -> None:
        async with two(place, on_message=lambda *_: None) as both:
            await until(lambda: len(both.hubs[0].peers) == 1)
            (peer,) = both.hubs[0].peers
            here = both.hubs[0]._book
            assert here is not None
            tried: list[object] = []

            async def fail(found: Found) -> None:
                tried.append(found)
                here.copies.claimed_elsewhere(str(peer.session), found.record.generation + 1)
                raise OSError("away")

            monkeypatch.setattr(here.store, "give", fail)
            both.servers.clear()  # it comes back nowhere
            await here._handover.give(str(peer.session), 99)
            assert len(tried) == 1

    run_asyncio(main())


def test_what_its_owner_has_claimed_since_it_was_asked_is_asked_for_again(
    run_asyncio: Run, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken by force, it might be lost with a store that forgets: the owner would write what it had again."""

    async def main() -> None:
        async with two(place, on_message=lambda *_: None) as both:
            _, here, there = await begun(both)
            ask = there._handover._ask
            asked: list[str] = []
            answers: list[object] = []

            async def ask_slowly(node: str, id: str, link: int) -> object:
                asked.append(node)
                said = await ask(node, id, link)
                if len(asked) == 1:
                    answers.append(await here._find(id, None))  # its application has something to send
                return said

            monkeypatch.setattr(there._handover, "_ask", ask_slowly)
            await both.move()
            assert asked == [here._node, here._node]
            assert isinstance(answers[0], SessionLink)
            assert answers[0].has_moved
            assert [event.kind for event in both.events] == ["new", "resumed"]

    run_asyncio(main())


def test_what_a_process_that_seemed_dead_has_claimed_since_is_left_to_it(
    run_asyncio: Run, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with two(place, on_message=lambda *_: None) as both:
            peer, here, there = await begun(both)
            force = there._handover.force

            async def force_slowly(id: str, *arguments: Any) -> Any:
                await here._claims.claim(id)  # its client has come back there, say
                return await force(id, *arguments)

            monkeypatch.setattr(there._handover, "force", force_slowly)
            assert await there._find(str(peer.session), here._node) == here._node
            assert both.hubs[0].peers == (peer,)
            peer.send("goes on")
            async with asyncio.timeout(PATIENCE):
                assert await both.connection.recv() == "goes on"

    run_asyncio(main())


def test_who_has_given_up_what_it_has_just_claimed_does_not_go_on_with_it(
    run_asyncio: Run, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client has come back to the other one by a newer link, which has all by now."""

    async def main() -> None:
        async with two(place, on_message=lambda *_: None) as both:
            peer, here, there = await begun(both)
            session = here.here(str(peer.session))
            assert session is not None
            record, tell = session.found().record, there._handover._tell_taken
            newer: list[object] = []
            both.servers.clear()

            async def tell_slowly(node: str, id: str, generation: int, said: Any) -> None:
                await tell(node, id, generation, said)
                newer.append(await here._claims.take(id, record.hash, record.principal or "", 99))

            monkeypatch.setattr(there._handover, "_tell_taken", tell_slowly)
            answer = await there._claims.take(record.id, record.hash, record.principal or "", 2)
            assert [type(each) for each in newer] == [Found]
            assert answer is Refused.STALE

    run_asyncio(main())


def test_what_a_process_has_just_claimed_it_keeps_from_a_link_that_is_older(
    run_asyncio: Run, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with two(place, on_message=lambda *_: None) as both:
            _, _, there = await begun(both)
            tell = there._handover._tell_taken
            stays: list[bool] = []

            async def tell_slowly(node: str, id: str, generation: int, said: Any) -> None:
                stays.append(await there._handover.give(id, 1))
                await tell(node, id, generation, said)

            monkeypatch.setattr(there._handover, "_tell_taken", tell_slowly)
            await both.move()
            assert stays == [True]

    run_asyncio(main())


def test_a_session_that_two_processes_want_at_once_is_given_to_one_after_the_other(
    run_asyncio: Run, place: str
) -> None:
    """The first one has an old link, and gets nothing; the next message is begun, and the second waits."""
    begun_here: list[str] = []
    may_end = {message: asyncio.Event() for message in "xy"}

    async def on_message(peer: Any, message: str) -> None:
        begun_here.append(message)
        await may_end[message].wait()
        peer.send(f"done {message}")

    async def main() -> None:
        async with two(place, on_message=on_message) as both:
            here, there = (hub._book for hub in both.hubs)
            assert here is not None
            assert there is not None
            await there.ready()
            for message in "xy":
                await both.connection.send(message)
            await until(lambda: begun_here == ["x"])
            (peer,) = both.hubs[0].peers
            session = here.here(str(peer.session))
            assert session is not None
            await until(lambda: session.half.got == 2)
            gives = [asyncio.create_task(here._handover.give(session.id, link)) for link in (0, 99)]
            await until(lambda: session._incoming.is_leaving)
            may_end["x"].set()
            assert await gives[0]
            await until(lambda: begun_here == ["x", "y"])
            await until(lambda: session._incoming.is_leaving)
            assert not gives[1].done()
            may_end["y"].set()
            assert not await gives[1]
            async with asyncio.timeout(PATIENCE):
                assert [await both.connection.recv() for _ in range(2)] == ["done x", "done y"]
            assert begun_here == ["x", "y"]

    run_asyncio(main())


def test_nobody_is_told_that_a_session_is_given_up_before_the_store_has_it(
    run_asyncio: Run, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with two(place, durability="handover", on_message=lambda *_: None) as both:
            peer, here, _ = await begun(both)
            both.servers.clear()  # it comes back nowhere
            give, giving, may_give = here.store.give, asyncio.Event(), asyncio.Event()

            async def give_slowly(found: Found) -> None:
                giving.set()
                await may_give.wait()
                await give(found)

            monkeypatch.setattr(here.store, "give", give_slowly)
            gives = [asyncio.create_task(here._handover.give(str(peer.session), link)) for link in (98, 99)]
            await giving.wait()
            await turns(20)
            assert not any(each.done() for each in gives)
            may_give.set()
            assert await asyncio.gather(*gives) == [False, False]

    run_asyncio(main())
