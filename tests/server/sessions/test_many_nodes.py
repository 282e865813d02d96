"""Several processes that share a store: what a session is to get or to be told may come from any of them."""

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
from tests.server.sessions.processes import Node, nodes
from tests.server.sessions.test_sessions import running, session, told
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Backoff, Connection, ConnectionFailed, Session, connect
from websocket_heartbeat.server import Hub, SendUncertain, SessionOver, serve
from websocket_heartbeat.server.sessions.handover import Handover
from websocket_heartbeat.server.sessions.nodes import Nodes
from websocket_heartbeat.server.sessions.store import Found, Held
from websocket_heartbeat.server.sessions.stores import store_of

LATER = Backoff(initial=600, maximum=600)


async def said(node: Node, what: str) -> Any:
    return await asyncio.to_thread(node.said, what)


async def received(connection: Connection, count: int) -> list[Any]:
    async with asyncio.timeout(PATIENCE):
        return [await connection.recv() for _ in range(count)]


@asynccontextmanager
async def at(node: Node, query: str = "", **options: Any) -> AsyncIterator[tuple[Connection, str]]:
    """Have a client at a node; yield it, and the ID of its session."""
    async with connect(node.url(query), session="require", backoff=LATER, **options) as connection:
        yield connection, await said(node, "open")


async def stop(node: Node, shared: str) -> None:
    """Have a process stand still, but not while it writes to SQLite's file, which nobody else can then."""
    while True:
        node.process.send_signal(signal.SIGSTOP)
        await asyncio.to_thread(os.waitpid, node.process.pid, os.WUNTRACED)
        if not shared.startswith("sqlite") or is_free(shared.removeprefix("sqlite:///")):
            return
        node.process.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.01)


def is_free(path: str) -> bool:
    with closing(sqlite3.connect(path, timeout=0)) as database:
        try:
            database.execute("begin immediate")
        except sqlite3.OperationalError:
            return False
        database.rollback()
        return True


# Messages


@pytest.mark.timeout(120)
def test_a_process_that_serves_nobody_sends_to_clients_of_others_in_order(
    run_asyncio: Run, shared: str
) -> None:
    long = "é" * 400_000
    data = os.urandom(700_000)

    async def main(first: Node, second: Node) -> None:
        window = Session("require", window_bytes=4 * 2**20)
        async with (
            connect(first.url(), session=window, backoff=LATER) as one,
            connect(second.url(), session=window, backoff=LATER) as two,
            Hub(sessions=shared) as hub,
        ):
            ids = [await said(first, "open"), await said(second, "open")]
            for message in ("a", long, data, "b"):
                for id in ids:
                    await hub.send(id, message)
            for connection in (one, two):
                assert await received(connection, 4) == ["a", long, data, "b"]
            await asyncio.gather(*(hub.send(ids[0], str(number)) for number in range(100)))
            assert sorted(await received(one, 100), key=int) == [str(number) for number in range(100)]
            with pytest.raises(SessionOver, match="no such session"):
                await hub.send("no such ID", "x")

    with nodes(2, shared) as both:
        run_asyncio(main(*both))


@pytest.mark.timeout(120)
def test_what_is_sent_while_no_process_has_the_session_is_there_when_its_client_comes_back(
    run_asyncio: Run, shared: str
) -> None:
    """A process that has sent keeps nothing when it ends: the next one has the session at once."""

    async def main(first: Node, second: Node) -> None:
        url = first.url()
        async with connect(lambda: url, session="require", backoff=LATER) as connection:
            events = told(connection)
            id = await said(first, "open")
            await asyncio.to_thread(first.close)
            await until(lambda: connection.state == "waiting")
            for number in range(3):
                async with Hub(sessions=shared) as hub:
                    await hub.send(id, f"{number}")
            url = second.url()
            connection.reconnect_now()
            assert await received(connection, 3) == ["0", "1", "2"]
            async with Hub(sessions=shared) as hub:
                await hub.send(id, "3")
            assert await received(connection, 1) == ["3"]
            assert "resumed" in {event.kind for event in events}

    with nodes(2, shared) as both:
        run_asyncio(main(*both))


@pytest.mark.timeout(120)
def test_a_session_whose_process_was_killed_gets_its_messages_in_the_next(
    run_asyncio: Run, shared: str
) -> None:
    async def main(first: Node, second: Node) -> None:
        url = first.url()
        async with (
            connect(lambda: url, session="require", backoff=LATER) as connection,
            Hub(sessions=shared) as hub,
        ):
            id = await said(first, "open")
            await hub.send(id, "before")
            await asyncio.to_thread(first.kill)
            await hub.send(id, "after")
            url = second.url()
            await until(lambda: connection.state == "waiting")
            connection.reconnect_now()
            assert await received(connection, 2) == ["before", "after"]

    with nodes(2, shared) as both:
        run_asyncio(main(*both))


@pytest.mark.timeout(120)
def test_a_session_that_moves_all_the_time_gets_each_message_once_and_in_order(
    run_asyncio: Run, shared: str
) -> None:
    async def main(first: Node, second: Node) -> None:
        urls = [first.url(), second.url()]
        connection = session(lambda: urls[0])
        async with connection, Hub(sessions=shared) as hub:
            events = told(connection)
            id = await said(first, "open")
            wanted = [str(number) for number in range(200)]

            async def send() -> None:
                for message in wanted:
                    await hub.send(id, message)

            sending = asyncio.create_task(send())
            while not sending.done():
                urls.reverse()
                count = len(events)
                connection.reconnect_now()
                await until(lambda count=count: len(events) > count)  # type: ignore[misc]
                await asyncio.sleep(0.4)  # a session may be resumed once a second
            await sending
            assert await received(connection, 200) == wanted
            assert {event.kind for event in events} <= {"new", "resumed"}

    with nodes(2, shared) as both:
        run_asyncio(main(*both))


@pytest.mark.timeout(60)
def test_what_a_process_knows_of_a_session_is_dropped_when_another_one_has_had_it_and_given_it_up(
    run_asyncio: Run, shared: str
) -> None:
    async def main(node: Node) -> None:
        urls = [node.url()]
        connection = session(lambda: urls[0])
        async with connection, Hub(sessions=shared) as hub:
            id = await said(node, "open")
            await asyncio.to_thread(node.close)  # which leaves the session to the hub
            await hub.send(id, "first")
            other = store_of(shared, 120, "through")
            await other.open("other", lambda data: None, tuple)
            held = await other.claim(id, None, None, 0, "other")
            assert isinstance(held, Held)
            found = await other.claim(id, None, None, 0, "other", force=held.generation)
            assert isinstance(found, Found)
            assert await other.write(id, found.record.generation, found.record.sent, ["second"]) == 2
            await other.close()  # which leaves it to anybody
            await hub.send(id, "third")  # which is the second one, as far as the hub knows
            with nodes(1, shared) as (next_node,):
                urls[0] = next_node.url()
                connection.reconnect_now()
                assert await received(connection, 3) == ["first", "second", "third"]

    with nodes(1, shared) as (node,):
        run_asyncio(main(node))


@pytest.mark.timeout(60)
def test_what_is_sent_to_a_session_while_it_is_taken_over_is_not_lost(
    run_asyncio: Run, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking, go_on = asyncio.Event(), asyncio.Event()

    async def taken(*_: object) -> None:  # the process that had it is slow to hear of that
        taking.set()
        await go_on.wait()

    monkeypatch.setattr(Handover, "_tell_taken", taken)

    async def main(node: Node) -> None:
        async with Hub(sessions=shared) as hub, serve(hub=hub) as server:
            urls = [node.url()]
            async with session(lambda: urls[0]) as connection:
                id = await said(node, "open")
                urls[0] = server.url()
                connection.reconnect_now()
                await taking.wait()
                await hub.send(id, "meanwhile")
                go_on.set()
                await hub.send(id, "then")
                assert await received(connection, 2) == ["meanwhile", "then"]

    with nodes(1, shared) as (node,):
        run_asyncio(main(node))


@pytest.mark.timeout(60)
def test_a_message_whose_answer_is_lost_is_sent_once_and_said_to_be_uncertain(
    run_asyncio: Run, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("websocket_heartbeat.server.sessions.routing._PATIENCE", 0.5)
    losing: list[bool] = []
    heard = Nodes.heard
    monkeypatch.setattr(Nodes, "heard", lambda self, data: None if losing else heard(self, data))

    async def main(node: Node) -> None:
        async with at(node) as (connection, id), Hub(sessions=shared) as hub:
            await hub.send(id, "first")
            losing.append(True)
            with pytest.raises(SendUncertain, match="has not answered"):
                await hub.send(id, "second")
            losing.clear()
            await hub.send(id, "third")
            assert await received(connection, 3) == ["first", "second", "third"]

    with nodes(1, shared) as (only,):
        run_asyncio(main(only))


@pytest.mark.timeout(60)
def test_a_process_that_stands_still_is_not_waited_for_and_the_message_comes_once(
    run_asyncio: Run, shared: str
) -> None:
    """It is asked first whether it is there: so it cannot have the message, and the session is claimed."""

    async def main(first: Node, second: Node) -> None:
        url = first.url()
        async with (
            connect(lambda: url, session="require", backoff=LATER) as connection,
            Hub(sessions=shared) as hub,
        ):
            id = await said(first, "open")
            await stop(first, shared)
            await hub.send(id, "x")
            first.process.send_signal(signal.SIGCONT)
            url = second.url()
            connection.reconnect_now()
            assert await received(connection, 1) == ["x"]

    with nodes(2, shared) as both:
        run_asyncio(main(*both))


# Partings


@pytest.mark.timeout(60)
def test_a_session_is_dismissed_by_its_id_from_any_process(run_asyncio: Run, shared: str) -> None:
    async def main(first: Node, second: Node) -> None:
        async with at(first) as (one, one_id), at(second) as (two, two_id), Hub(sessions=shared) as hub:
            events = told(one)
            await hub.send(one_id, "before")
            await hub.dismiss(one_id, "account closed")
            assert await received(one, 1) == ["before"]
            with pytest.raises(ConnectionFailed):  # it is handled by that
                await one.recv()
            await until(lambda: events != [] and events[-1].kind == "over")
            assert events[-1].why == "account closed"
            assert await said(first, "end") == [one_id, "account closed", []]
            with pytest.raises(SessionOver, match="account closed"):
                await hub.dismiss(one_id)
            # The other one is away, and no process has its session.
            await asyncio.to_thread(second.close)
            await until(lambda: two.state == "waiting")
            await hub.send(two_id, "before")
            await hub.dismiss(two_id, "account closed")
            await hub.dismiss(two_id, "closed twice")
            with pytest.raises(SessionOver, match="account closed"):
                await hub.send(two_id, "x")

    with nodes(2, shared) as both:
        run_asyncio(main(*both))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("of", ["user", "room"])
def test_all_peers_of_a_user_or_a_room_are_dismissed_in_all_processes(
    run_asyncio: Run, shared: str, of: str
) -> None:
    async def main(first: Node, second: Node) -> None:
        async with (
            at(first, "?user=ann") as (one, _),
            at(second, "?user=ann") as (two, _),
            connect(second.url("?user=ann"), backoff=LATER) as plain,
            at(second, "?user=bob") as (other, other_id),
        ):
            await plain.wait_open()
            async with Hub(sessions=shared) as hub:
                group = hub.user("ann") if of == "user" else hub.room("lobby")
                group.dismiss("enough")
            await until(lambda: one.closed and two.closed and plain.closed)
            async with Hub(sessions=shared) as hub:
                if of == "user":
                    await hub.send(other_id, "still here")
                    assert await received(other, 1) == ["still here"]
                else:
                    await until(lambda: other.closed)

    with nodes(2, shared) as both:
        run_asyncio(main(*both))


@pytest.mark.timeout(60)
def test_a_room_is_sent_away_in_all_processes(run_asyncio: Run, shared: str) -> None:
    async def main(first: Node, second: Node) -> None:
        async with at(first) as (one, _), at(second) as (two, _):
            closes: list[Any] = []
            for connection in (one, two):
                await until(lambda connection=connection: connection.state == "open")  # type: ignore[misc]
                connection.on_close = closes.append
            async with Hub(sessions=shared) as hub:
                with pytest.raises(ValueError, match="over"):
                    await hub.room("lobby").send_away(-1)
                await hub.room("lobby").send_away(over=30)
            await until(lambda: len(closes) == 2)
            assert {close.code for close in closes} == {1012}

    with nodes(2, shared) as both:
        run_asyncio(main(*both))


def cut_off(cut: Hub, other: Hub, monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Have two hubs not hear each other, and the store's answer to the first one's next write come late.

    Return what is set when the store has written, and what lets the answer through.
    """
    is_cut, is_back = asyncio.Event(), asyncio.Event()
    assert cut._book is not None
    assert other._book is not None
    write = cut._book.store.write

    async def answers_late(*arguments: Any, **options: Any) -> Any:
        answer = await write(*arguments, **options)
        if not is_cut.is_set():
            is_cut.set()
            await is_back.wait()
        return answer

    async def is_not_heard(*_: object) -> bool:
        return True

    monkeypatch.setattr(cut._book.store, "write", answers_late)
    for hub in (cut._book, other._book):
        monkeypatch.setattr(hub.store, "notify", is_not_heard)
    return is_cut, is_back


@pytest.mark.timeout(60)
def test_who_gets_a_late_answer_of_the_store_handles_nothing_more_of_a_session_that_was_taken_meanwhile(
    run_asyncio: Run, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the network between a process and the store was cut, and is back."""
    handled: list[tuple[str, object]] = []

    async def main() -> None:
        cut = Hub(sessions=shared, on_message=lambda peer, message: handled.append(("cut", message)))
        other = Hub(sessions=shared, on_message=lambda peer, message: handled.append(("other", message)))
        async with running(cut) as server, running(other) as next_server:
            urls = [server.url()]
            async with session(lambda: urls[0]) as connection:
                await connection.wait_open()
                is_cut, is_back = cut_off(cut, other, monkeypatch)
                for text in ("first", "second"):
                    await connection.send(text)
                await is_cut.wait()
                urls[0] = next_server.url()
                connection.reconnect_now()
                await until(lambda: len(handled) == 2)
                is_back.set()
                await until(lambda: not cut.peers)
                await connection.flush()
                assert handled == [("cut", "first"), ("other", "second")]

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_what_the_store_has_by_a_late_answer_is_not_sent_again_to_a_session_that_was_taken_meanwhile(
    run_asyncio: Run, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        cut, other = Hub(sessions=shared), Hub(sessions=shared)
        async with running(cut) as server, running(other) as next_server:
            urls = [server.url()]
            async with session(lambda: urls[0]) as connection:
                await connection.wait_open()
                id = str(cut.peers[0].session)
                assert cut._book is not None
                link = cut._book.here(id)
                assert link is not None
                await until(lambda: not link._writer.is_writing)
                is_cut, is_back = cut_off(cut, other, monkeypatch)
                sending = asyncio.create_task(cut.send(id, "once"))
                await is_cut.wait()
                urls[0] = next_server.url()
                connection.reconnect_now()
                assert await connection.recv() == "once"
                monkeypatch.undo()
                is_back.set()
                with pytest.raises(SendUncertain):
                    await sending
                await other.send(id, "next")
                assert await connection.recv() == "next"

    run_asyncio(main())
