"""`Hub(durability=...)`: what of sessions is where, and what is left when processes move, close or die."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.server.sessions.processes import Node, nodes
from tests.server.sessions.test_hostile_clients import RESUME
from tests.server.sessions.test_many_nodes import LATER, received, said
from tests.server.sessions.test_sessions import HELLO, handshake, running, told
from tests.watch import Run, turns, until

from websocket_heartbeat import Connection, connect
from websocket_heartbeat.observer import Observer, ignore, observe
from websocket_heartbeat.server import Hub
from websocket_heartbeat.server.sessions.nodes import Question
from websocket_heartbeat.server.sessions.store import Found, Held


class Stored:
    """What a store has: the fields of its sessions, and how many messages."""

    def __init__(self, place: str) -> None:
        self._place = place

    def messages(self) -> int:
        if self._place.startswith("sqlite"):
            with closing(sqlite3.connect(self._place.removeprefix("sqlite:///"))) as database:
                return int(database.execute("select count(*) from message").fetchone()[0])
        with redis.Redis.from_url(self._place.replace("valkey", "redis")) as client:
            return sum(client.llen(key) for key in client.keys("*:o"))

    def state(self) -> bytes:
        if self._place.startswith("sqlite"):
            with closing(sqlite3.connect(self._place.removeprefix("sqlite:///"))) as database:
                return bytes(database.execute("select state from session").fetchone()[0])
        with redis.Redis.from_url(self._place.replace("valkey", "redis")) as client:
            (key,) = client.keys("*:m")
            return bytes(client.hget(key, "state") or b"")


async def exchanged(connection: Connection, first: int, last: int) -> None:
    """Send numbers, and see that each was handled once, in order."""
    for number in range(first, last + 1):
        await connection.send(f"m{number}")
    assert await received(connection, last - first + 1) == [
        f"{number} m{number}" for number in range(first, last + 1)
    ]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("durability", ["through", "handover", "memory"])
def test_a_session_moves_between_processes_with_all_it_has(
    run_asyncio: Run, shared: str, durability: str
) -> None:
    async def main(first: Node, second: Node) -> None:
        urls = [first.url(), second.url()]
        async with connect(lambda: urls[0], session="require", backoff=LATER) as connection:
            events = told(connection)
            id = await said(first, "open")
            for turn in range(4):
                await exchanged(connection, 10 * turn + 1, 10 * turn + 10)
                async with Hub(sessions=shared, durability=durability) as hub:
                    await hub.send(id, "from elsewhere")
                assert await received(connection, 1) == ["from elsewhere"]
                urls.reverse()
                count = len(events)
                connection.reconnect_now()
                await until(lambda count=count: len(events) > count)  # type: ignore[misc]
                await asyncio.sleep(0.5)  # a session may be resumed once a second
            assert {event.kind for event in events} <= {"new", "resumed"}

    with nodes(2, shared, durability) as both:
        run_asyncio(main(*both))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("durability", "is_killed", "kind"),
    [
        ("through", False, "resumed"),
        ("through", True, "resumed"),
        ("handover", False, "resumed"),
        ("handover", True, "reset"),
        ("memory", False, "reset"),
        ("memory", True, "reset"),
    ],
)
def test_what_is_left_when_a_process_closes_or_is_killed(
    run_asyncio: Run, shared: str, durability: str, is_killed: bool, kind: str
) -> None:
    async def main(first: Node, second: Node) -> None:
        url = first.url()
        async with connect(lambda: url, session="require", backoff=LATER) as connection:
            events = told(connection)
            id = await said(first, "open")
            await exchanged(connection, 1, 10)
            await connection.flush()
            await asyncio.to_thread(first.kill if is_killed else first.close)
            await until(lambda: connection.state == "waiting")
            if kind == "reset" and not is_killed:
                assert (await said(first, "end"))[:2] == [id, "lost"]
            url = second.url()
            count = len(events)
            connection.reconnect_now()
            await until(lambda: len(events) > count)
            assert events[-1].kind == kind
            if kind == "reset":
                assert events[-1].why == "lost"
                if is_killed:
                    assert await said(second, "end") == [id, "lost", []]
            await exchanged(connection, *((1, 5) if kind == "reset" else (11, 15)))

    with nodes(2, shared, durability) as both:
        run_asyncio(main(*both))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("durability", ["handover", "memory"])
@pytest.mark.parametrize("shared", ["sqlite", "valkey"], indirect=True)
def test_the_store_has_no_message_and_no_state_of_a_session_that_a_process_has(
    run_asyncio: Run, shared: str, durability: str
) -> None:
    stored = Stored(shared)

    async def main() -> None:
        def on_message(peer: Any, message: Any) -> None:
            peer.state["secret"] = message
            peer.send(message)

        hub = Hub(sessions=shared, durability=durability, on_message=on_message)
        async with (
            running(hub) as server,
            connect(server.url(), session="require", backoff=LATER) as connection,
        ):
            calls = _calls(hub)
            await connection.send("x")
            assert await received(connection, 1) == ["x"]
            before = len(calls)
            for _ in range(100):
                await connection.send("x")
            await received(connection, 100)
            assert len(calls) == before
            (peer,) = hub.peers
            peer.abort()
            await until(lambda: connection.state == "waiting")
            peer.send("kept")
            await hub.send(str(peer.session), "kept")
            assert (stored.messages(), stored.state()) == (0, b"")
            await hub.close()
            assert (stored.messages() >= 2) == (durability == "handover")
            second = Hub(sessions=shared, durability=durability)
            async with second:
                if durability == "handover":
                    await second.send(str(peer.session), "kept")
                    await until(lambda: (stored.messages(), stored.state()) == (0, b""))

    run_asyncio(main())


def _calls(hub: Hub) -> list[str]:
    """Note what the hub asks of the store that is not its own memory, from now on."""
    calls: list[str] = []
    assert hub._book is not None
    store: Any = hub._book.store.behind  # type: ignore[attr-defined]
    for name in ("put", "claim", "write", "finish"):
        call = getattr(store, name)

        def noted(*arguments: Any, name: str = name, call: Callable[..., Any] = call, **more: Any) -> Any:
            calls.append(name)
            return call(*arguments, **more)

        setattr(store, name, noted)
    return calls


@pytest.mark.timeout(60)
def test_one_that_expires_is_over_in_the_store_too(run_asyncio: Run, shared: str) -> None:
    async def main() -> None:
        ends: list[Any] = []
        hub = Hub(
            sessions=shared,
            durability="handover",
            session_ttl=3,
            on_session_end=lambda *end: ends.append(end),
        )
        async with (
            running(hub) as server,
            connect(server.url(), session="require", backoff=LATER) as connection,
        ):
            events = told(connection)
            await connection.wait_open()
            (peer,) = hub.peers
            peer.abort()
            peer.send("never acknowledged")
            await until(lambda: ends == [(peer.session, "expired", ("never acknowledged",))])
            connection.reconnect_now()
            await until(lambda: events != [] and events[-1].kind == "reset")
            assert events[-1].why in ("expired", "unknown")
            assert len(ends) == 1

    run_asyncio(main())


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"durability": "handover"}, ValueError, "give sessions= too"),
        ({"sessions": "memory", "durability": "handover"}, ValueError, "outlives the process"),
        ({"sessions": "memory", "durability": "fsync"}, ValueError, "'fsync'"),
        ({"sessions": "memory", "durability": None}, TypeError, "must be a str, not NoneType"),
    ],
)
def test_what_makes_no_sense_is_said_where_it_was_written(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        Hub(**options)


def test_sessions_in_memory_are_as_durable_as_that(tmp_path: Path) -> None:
    Hub(sessions="memory", durability="memory")
    Hub(sessions=f"sqlite:///{tmp_path}/s.db", durability="memory")


def test_a_session_that_is_lost_with_its_process_does_not_count_as_ended_by_one_side(
    run_asyncio: Run, tmp_path: Path
) -> None:
    class Events(Observer):
        def __init__(self) -> None:
            self.seen: list[str] = []

        def session_changed(self, event: str, unacknowledged: int = 0) -> None:
            self.seen.append(event)

    events = Events()

    async def main() -> None:
        observe(events)
        try:
            hub = Hub(sessions=f"sqlite:///{tmp_path / 's.db'}", durability="memory")
            async with running(hub) as server, connect(server.url(), session="require") as connection:
                await connection.wait_open()
                await hub.close()
        finally:
            ignore(events)

    run_asyncio(main())
    assert events.seen == ["new", "lost"]


@pytest.mark.timeout(60)
def test_a_session_that_a_process_without_clients_has_in_its_memory_expires_there(
    run_asyncio: Run, shared: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        options: dict[str, Any] = {"sessions": shared, "durability": "handover", "session_ttl": 1}
        front = Hub(**options, on_message=lambda *_: None)
        async with Hub(**options) as worker:
            async with running(front) as server:
                ws, welcome = await handshake(server, HELLO)
                await ws.send("Bx")  # so that the session is no unused one
                await until(lambda: front.peers and front.peers[0].waiting == 0)
            id = str(json.loads(welcome)["key"]).partition(".")[0]
            await worker.send(id, "never acknowledged")
            assert worker._book is not None
            store: Any = worker._book.store
            await until(lambda: worker._book.count().away == 0 and not store._sessions)  # type: ignore[union-attr]

    run_asyncio(main())
    assert "is over: expired: its client has not acknowledged 1 message" in caplog.text


@pytest.mark.timeout(60)
@pytest.mark.parametrize("shared", ["sqlite", "valkey"], indirect=True)
def test_a_process_keeps_nothing_of_a_session_that_was_claimed_by_force(
    run_asyncio: Run, shared: str
) -> None:
    async def main() -> None:
        hub = Hub(sessions=shared, durability="handover")
        async with running(hub) as server, Hub(sessions=shared, durability="handover") as other:
            _, welcome = await handshake(server, HELLO)
            id = str(json.loads(welcome)["key"]).partition(".")[0]
            book, taker = hub._book, other._book
            assert book is not None
            assert taker is not None
            held = await taker.store.claim(id, None, None, 0, "~other")
            assert isinstance(held, Held)
            answer = await taker.store.claim(id, None, None, 0, "~other", force=held.generation)
            assert isinstance(answer, Found)
            await taker._nodes.tell(None, Question({"taken": id, "generation": answer.record.generation}))
            await until(lambda: book.count().attached == 0)
            assert not book.store._sessions  # type: ignore[attr-defined]

    run_asyncio(main())


@pytest.mark.parametrize("durability", ["handover", "memory"])
def test_what_a_session_leaves_that_cannot_be_written_at_the_close_is_reported(
    run_asyncio: Run, tmp_path: Path, durability: str
) -> None:
    async def main() -> None:
        ends: list[Any] = []
        hub = Hub(
            sessions=f"sqlite:///{tmp_path / 's.db'}",
            durability=durability,
            on_session_end=lambda *end: ends.append(end),
        )
        async with running(hub) as server:
            await handshake(server, HELLO)
            (peer,) = hub.peers
            peer.send("never acknowledged")

            async def fail(*arguments: object) -> None:
                raise OSError("the store is away")

            store: Any = hub._book.store.behind  # type: ignore[union-attr]
            store.put = store.finish = fail
            await hub.close()
            assert ends == [(peer.session, "lost", ("never acknowledged",))]

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_a_session_that_is_claimed_while_the_hub_closes_is_left_to_the_next(
    run_asyncio: Run, tmp_path: Path
) -> None:
    async def main() -> None:
        options: dict[str, Any] = {"sessions": f"sqlite:///{tmp_path / 's.db'}", "durability": "handover"}
        async with running(Hub(**options)) as server:
            _, welcome = await handshake(server, HELLO)
            key = str(json.loads(welcome)["key"])
        hub = Hub(**options)
        async with running(hub) as server, hub:
            await hub.send(key.partition(".")[0], "kept")
        hub = Hub(**options)
        async with running(hub) as server, hub:
            book = hub._book
            assert book is not None
            store: Any = book.store.behind  # type: ignore[attr-defined]
            claim = store.claim
            is_claimed, may_end = asyncio.Event(), asyncio.Event()

            async def claim_slowly(*arguments: object, **more: object) -> Any:
                answer = await claim(*arguments, **more)
                is_claimed.set()
                await may_end.wait()
                return answer

            store.claim = claim_slowly
            resuming = asyncio.create_task(handshake(server, RESUME % (key, 1, 0, 0, 0, 0)))
            await is_claimed.wait()
            closing = asyncio.create_task(hub.close())
            await until(lambda: book.is_closed)
            await turns()
            may_end.set()
            await closing
            await resuming
        async with running(Hub(**options)) as server:
            ws, welcome = await handshake(server, RESUME % (key, 2, 0, 0, 0, 0))
            assert json.loads(welcome)["welcome"] == "resumed"
            assert str(await ws.recv())[1:] == "kept"

    run_asyncio(main())
