"""Rooms of several processes that share a store: one order for all, and nothing lost while members move."""

import asyncio
import itertools
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from tests.server.sessions.postgres import Postgres
from tests.server.sessions.test_sessions import running, told
from tests.server.sessions.valkey import Valkey
from tests.watch import PATIENCE, Run, turns, until

from websocket_heartbeat import Backoff, Connection, SendQueueFull, Session, connect
from websocket_heartbeat.server import Hub, Peer, Server
from websocket_heartbeat.server.sessions.store import SharedStore
from websocket_heartbeat.server.streams import Reader

LATER = Backoff(initial=600, maximum=600)

stores_and_a_cluster = pytest.mark.parametrize(
    "shared", ["sqlite", "valkey", "postgresql", "cluster"], indirect=True
)
each_durability = pytest.mark.parametrize("durability", ["through", "handover", "memory"])


class Nodes:
    """Hubs of one store, each with a server, as processes have them."""

    def __init__(self, place: str, count: int, stack: AsyncExitStack, **options: Any) -> None:
        self.stack = stack
        self.hubs = [Hub(sessions=place, **options) for _ in range(count)]
        self.servers: list[Server] = []
        self._at: dict[Connection, list[int]] = {}

    async def client(self, node: int, mode: Any = "require", query: str = "") -> Connection:
        """Return a connection to a node, which is back at another one after `move`."""
        at = [node]
        path = f"/?{query}" if query else "/"
        connection = connect(lambda: self.servers[at[0]].url(path), session=mode, backoff=LATER)
        self._at[connection] = at
        await self.stack.enter_async_context(connection)
        await connection.wait_open()
        for hub in self.hubs:  # what is sent before that by others is not for who has joined there
            streams = hub._book.streams  # type: ignore[union-attr]
            await until(lambda streams=streams: None not in [each.number for each in streams._followed])  # type: ignore[misc]
        return connection

    async def move(self, connection: Connection, node: int) -> None:
        """Have a connection go on at another node."""
        events = told(connection)
        self._at[connection][0] = node
        connection.reconnect_now()
        await until(lambda: events)
        assert events[0].kind == "resumed"


@asynccontextmanager
async def nodes(place: str, count: int, **options: Any) -> AsyncIterator[Nodes]:
    async with AsyncExitStack() as stack:
        these = Nodes(place, count, stack, **options)
        for hub in these.hubs:
            these.servers.append(await stack.enter_async_context(running(hub)))
        yield these


async def received(connection: Connection, count: int) -> list[Any]:
    async with asyncio.timeout(PATIENCE):
        return [await connection.recv() for _ in range(count)]


def joins(name: str) -> Callable[[Peer], None]:
    return lambda peer: peer.join(name)


@each_durability
@stores_and_a_cluster
def test_members_on_all_nodes_get_what_any_node_sends_in_one_order(
    run_asyncio: Run, shared: str, durability: str
) -> None:
    async def main() -> None:
        async with nodes(
            shared, 3, durability=durability, on_open=joins("r"), on_message=lambda *_: None
        ) as these:
            clients = [await these.client(node, mode) for node in range(3) for mode in ("require", "off")]
            for number in range(30):
                for node, hub in enumerate(these.hubs):
                    hub.room("r").send(f"{node} {number}")
                if number % 10 == 0:
                    await asyncio.sleep(0.01)
            got = [await received(client, 90) for client in clients]
            assert all(each == got[0] for each in got)
            for node in range(3):
                wanted = [f"{node} {number}" for number in range(30)]
                assert [message for message in got[0] if message.startswith(f"{node} ")] == wanted
            assert [len(hub.room("r")) for hub in these.hubs] == [2, 2, 2]

    run_asyncio(main())


@each_durability
@stores_and_a_cluster
def test_a_session_that_is_handed_over_is_a_member_where_it_goes_on(
    run_asyncio: Run, shared: str, durability: str
) -> None:
    async def main() -> None:
        opened: list[Peer] = []

        def joins_once(peer: Peer) -> None:
            opened.append(peer)
            if len(opened) == 1:
                peer.join("r")
                peer.join("s")
                peer.leave("s")

        async with nodes(shared, 2, durability=durability, on_open=joins_once) as these:
            connection = await these.client(0)
            for number in range(6):
                these.hubs[number % 2].room("r").send(f"before {number}")
                await these.move(connection, (number + 1) % 2)
                these.hubs[number % 2].room("r").send(f"after {number}")
            wanted = [f"{part} {number}" for number in range(6) for part in ("before", "after")]
            assert sorted(await received(connection, 12)) == sorted(wanted)
            for hub in these.hubs:
                hub.room("s").send("left")
            (peer,) = these.hubs[0].peers
            assert peer.rooms == ("r",)
            assert not these.hubs[1].peers
            peer.leave("r")
            these.hubs[1].room("r").send("left too")
            await these.move(connection, 1)
            (peer,) = these.hubs[1].peers
            assert peer.rooms == ()
            peer.send("last")
            assert await received(connection, 1) == ["last"]

    run_asyncio(main())


@stores_and_a_cluster
def test_a_member_whose_node_has_closed_catches_up_at_another_one_as_it_has_room(
    run_asyncio: Run, shared: str
) -> None:
    async def main() -> None:
        async with nodes(shared, 2, on_open=joins("r")) as these:
            connection = await these.client(0, Session("require", window=8))
            other = await these.client(1)
            these.hubs[0].room("r").send("here")
            assert await received(connection, 1) == await received(other, 1) == ["here"]
            await connection.flush()
            await these.servers[0].close()
            await these.hubs[0].close()
            for number in range(100):
                these.hubs[1].room("r").send(str(number))
                these.hubs[1].room("r").send("never later", volatile=True)
            missed = await received(other, 200)
            await these.move(connection, 1)
            these.hubs[1].room("r").send("live")
            wanted = [message for message in missed if message != "never later"]
            assert await received(connection, 101) == [*wanted, "live"]

    run_asyncio(main())


@each_durability
@stores_and_a_cluster
def test_peers_of_a_user_are_reached_on_all_nodes_also_of_one_who_logs_in_later(
    run_asyncio: Run, shared: str, durability: str
) -> None:
    async def main() -> None:
        async def logs_in(peer: Peer, name: str) -> None:
            peer.principal = name
            peer.send("hello")

        async with nodes(shared, 2, durability=durability, on_message=logs_in) as these:
            connections = [await these.client(node, mode) for node in range(2) for mode in ("require", "off")]
            for connection in connections:
                await connection.send("ann")
                assert await received(connection, 1) == ["hello"]
            nobody = await these.client(0)
            for hub in these.hubs:
                hub.user("ann").send("mail")
            for connection in connections:
                assert await received(connection, 2) == ["mail", "mail"]
            (peer,) = [peer for peer in these.hubs[0].peers if peer.principal is None]
            peer.send("nothing")
            assert await received(nobody, 1) == ["nothing"]

    run_asyncio(main())


ODD = [
    *(
        "",
        "\0",
        "a\0b",
        "{",
        "}",
        "{}",
        "}{",
        "*",
        "?[a-z]*",
        "%_%",
        "';--",
        "\x1b[31m",
        "\u202e",
        "\n",
        "room:",
    ),
    *("r", "\\", '"', "\r\nFLUSHALL\r\n", "\ufffe", "\U0001f600"),
    "".join(chr(256 + 7 * place % 1000) for place in range(512)),  # as long as may be, and hard to compress
]


@stores_and_a_cluster
def test_names_of_rooms_and_users_may_have_any_character(run_asyncio: Run, shared: str) -> None:
    async def main() -> None:
        async with nodes(shared, 2) as these:
            connection = await these.client(0)
            (peer,) = these.hubs[0].peers
            peer.principal = 1000 * ODD[-1]
            for name in ODD:
                peer.join(name)
            streams = these.hubs[0]._book.streams  # type: ignore[union-attr]
            await until(lambda: None not in [each.number for each in streams._followed])  # type: ignore[union-attr]
            for name in ODD:
                these.hubs[1].room(name).send(f"to {name}")
            these.hubs[1].user(1000 * ODD[-1]).send("to the user")
            these.hubs[1].user(1001 * ODD[-1]).send("to another one")
            wanted = {"to the user", *(f"to {name}" for name in ODD)}
            assert set(await received(connection, len(wanted))) == wanted

    run_asyncio(main())


@stores_and_a_cluster
def test_a_process_that_serves_nobody_sends_to_rooms_and_users(run_asyncio: Run, shared: str) -> None:
    program = """
import asyncio, sys
from websocket_heartbeat.server import Hub
async def main():
    hub = Hub(sessions=sys.argv[1])
    for number in range(100):
        hub.room("r").send(f"r {number}")
        hub.user("ann").send(b"u %d" % number)
    await hub.close()
asyncio.run(main())
"""

    async def main() -> None:
        async with nodes(shared, 2, on_open=joins("r"), authenticate=lambda request: "ann") as these:
            clients = [await these.client(node) for node in range(2)]
            for hub in these.hubs:
                hub.room("r").send("begun")
                hub.user("ann").send("begun")
            for client in clients:
                assert await received(client, 4) == ["begun"] * 4
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, shared)
            assert await process.wait() == 0
            for client in clients:
                got = await received(client, 200)
                assert [each for each in got if isinstance(each, str)] == [f"r {n}" for n in range(100)]
                assert [each for each in got if isinstance(each, bytes)] == [b"u %d" % n for n in range(100)]

    run_asyncio(main())


def test_what_the_store_tells_of_a_room_while_the_hub_closes_is_not_read(
    run_asyncio: Run, shared: str
) -> None:
    async def main() -> None:
        async with Hub(sessions=shared) as hub:
            assert hub._book is not None
            streams = hub._book.streams
            assert streams is not None
            room = streams.follow("r", Mock(Reader))
            await until(lambda: room.number is not None)
        streams._has_more(room)  # a task that reads it would be left behind

    run_asyncio(main())


@pytest.mark.parametrize(
    ("shared", "way"),
    [
        ("sqlite", "hook"),
        ("valkey", "hook"),
        ("postgresql", "hook"),
        ("postgresql", "transaction"),
        pytest.param(
            "sqlite",
            "eager hook with state",
            marks=pytest.mark.skipif(
                not hasattr(asyncio, "eager_task_factory"), reason="tasks are eager from Python 3.12 on"
            ),
        ),
    ],
    indirect=["shared"],
)
def test_a_message_is_handled_when_the_rooms_have_what_its_hook_has_sent(
    run_asyncio: Run, monkeypatch: pytest.MonkeyPatch, shared: str, way: str
) -> None:
    """A process that is killed before that gets the message again, and sends it again."""

    async def main() -> None:
        begun, goes_on = asyncio.Event(), asyncio.Event()

        next_comes = asyncio.Event()  # when the first is recorded

        async def on_message(peer: Peer, message: str | bytes) -> None:
            if message == "next":
                next_comes.set()
            elif way == "transaction":
                async with peer.transaction():
                    hub.room("r").send(message)
            else:
                if way == "eager hook with state":
                    peer.state["last"] = message
                hub.room("r").send(message)

        if way == "eager hook with state":
            asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory", None))
        hub = Hub(sessions=shared, on_message=on_message)
        async with running(hub) as server, connect(server.url(), session="require") as connection:
            await connection.wait_open()
            store = hub._book.store  # type: ignore[union-attr]
            assert isinstance(store, SharedStore)
            publish = store.publish

            async def slow_publish(*arguments: Any) -> int:
                begun.set()
                await goes_on.wait()
                return await publish(*arguments)

            monkeypatch.setattr(store, "publish", slow_publish)
            await connection.send("hello")
            await begun.wait()
            await connection.send("next")
            recorded = asyncio.create_task(next_comes.wait())
            assert not (await asyncio.wait([recorded], timeout=0.3))[0]
            goes_on.set()
            await recorded

    run_asyncio(main())


@pytest.mark.parametrize("shared", ["sqlite", "postgresql"], indirect=True)  # Valkey tells by itself
def test_what_was_sent_to_a_room_arrives_though_the_process_died_before_it_told_others(
    run_asyncio: Run, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tells_nobody(*_: object) -> bool:
        return True

    async def main() -> None:
        async with nodes(shared, 1, on_open=joins("r")) as these, Hub(sessions=shared) as sender:
            member = await these.client(0)
            assert sender._book is not None
            monkeypatch.setattr(sender._book.store, "notify", tells_nobody)
            sender.room("r").send("untold")
            assert await received(member, 1) == ["untold"]

    run_asyncio(main())


def test_a_process_that_ends_at_once_tells_others_of_what_it_has_sent_to_a_room(
    run_asyncio: Run, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("websocket_heartbeat.server.sessions.postgresql.store._RECENT", -1.0)  # nobody looks
    is_telling = asyncio.Event()

    async def main() -> None:
        async with nodes(postgres.url(), 1, on_open=joins("r")) as these:
            member = await these.client(0)
            async with Hub(sessions=postgres.url()) as sender:
                assert sender._book is not None
                store = sender._book.store
                notify = store.notify

                async def tells_slowly(node: str | None, data: bytes) -> bool:
                    is_telling.set()
                    await asyncio.sleep(0.1)
                    return await notify(node, data)

                monkeypatch.setattr(store, "notify", tells_slowly)
                sender.room("r").send("last words")
                await is_telling.wait()
            assert await received(member, 1) == ["last words"]

    run_asyncio(main())


@stores_and_a_cluster
def test_a_slow_member_elsewhere_gets_the_latest_message_alone(run_asyncio: Run, shared: str) -> None:
    async def main() -> None:
        async with nodes(shared, 2, on_open=joins("r")) as these:
            slow = await these.client(0, Session("require", window=8))
            quick = await these.client(0)
            for number in range(100):
                these.hubs[1].room("r").send(str(number), keep=1)
            assert await received(quick, 100) == [str(number) for number in range(100)]
            (peer,) = [peer for peer in these.hubs[0].peers if peer.dropped_messages]
            got: list[Any] = []
            while not got or got[-1] != "99":
                got += await received(slow, 1)
            assert len(got) + peer.dropped_messages == 100
            assert got == sorted(set(got), key=int)

    run_asyncio(main())


@each_durability
@stores_and_a_cluster
def test_a_session_with_a_message_that_waits_by_keep_gets_it_where_it_goes_on(
    run_asyncio: Run, shared: str, durability: str
) -> None:
    async def main() -> None:
        async with nodes(shared, 2, durability=durability, on_open=joins("r")) as these:
            slow = await these.client(0, Session("require", window=8))
            quick = await these.client(1)
            for number in range(20):
                these.hubs[1].room("r").send(str(number), keep=1)
            await received(quick, 20)
            await until(lambda: these.hubs[0].stats.dropped_messages >= 10)
            await these.move(slow, 1)
            got = await received(slow, 1)
            while got[-1] != "19":
                got += await received(slow, 1)
            assert got == sorted(set(got), key=int)

    run_asyncio(main())


# What cannot be made good is told


def test_a_member_that_was_away_for_longer_than_the_history_is_told_of_it(
    run_asyncio: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("websocket_heartbeat.server.sessions.sqlite.HISTORY", 10)
    missed: list[tuple[bool, Any]] = []

    async def main() -> None:
        def on_missed(peer: Peer, room: Any) -> None:
            missed.append((peer in room, room.name))
            peer.send("fetch anew")

        place = f"sqlite:///{tmp_path / 's.db'}"
        async with nodes(place, 2, on_open=joins("r"), on_missed=on_missed) as these:
            connection = await these.client(0)
            these.hubs[0].room("r").send("here")
            assert await received(connection, 1) == ["here"]
            await connection.flush()
            await these.servers[0].close()
            await these.hubs[0].close()
            other = await these.client(1)
            for number in range(50):
                these.hubs[1].room("r").send(str(number))
                assert await received(other, 1) == [str(number)]
            assert missed == []
            await these.move(connection, 1)
            wanted = ["fetch anew", *(str(number) for number in range(40, 50))]
            assert await received(connection, 11) == wanted
            assert missed == [(True, "r")]

    run_asyncio(main())


def test_without_on_missed_the_log_warns(
    run_asyncio: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("websocket_heartbeat.server.sessions.sqlite.HISTORY", 1)

    async def main() -> None:
        async with nodes(f"sqlite:///{tmp_path / 's.db'}", 2, on_open=joins("r")) as these:
            connection = await these.client(0)
            these.hubs[0].room("r").send("here")
            assert await received(connection, 1) == ["here"]
            await connection.flush()
            await these.servers[0].close()
            await these.hubs[0].close()
            for number in range(3):
                these.hubs[1].room("r").send(str(number))
            await these.move(connection, 1)
            assert await received(connection, 1) == ["2"]

    run_asyncio(main())
    assert "may have missed messages of a room, and no on_missed is told" in caplog.text


@pytest.mark.timeout(120)
def test_what_a_store_forgets_while_rooms_are_busy_is_told_and_all_else_arrives_once(
    run_asyncio: Run, own_valkey: Valkey
) -> None:
    async def main() -> None:
        def on_missed(peer: Peer, room: Any) -> None:
            peer.send("missed")

        async with nodes(own_valkey.url, 3, on_open=joins("r"), on_missed=on_missed) as these:
            clients = [await these.client(node) for node in (0, 0, 1, 1, 2, 2)]
            numbers = itertools.count()

            async def send() -> None:
                for number in numbers:
                    these.hubs[number % 3].room("r").send(f"{number % 3} {number}")
                    await asyncio.sleep(0.001)

            sending = asyncio.create_task(send())
            for _ in range(2):
                await asyncio.sleep(0.7)
                own_valkey.kill()
                await asyncio.sleep(0.1)
                await asyncio.to_thread(own_valkey.start)
            await asyncio.sleep(1)
            sending.cancel()
            await asyncio.wait([sending])
            last = next(numbers)
            for node, hub in enumerate(these.hubs):
                await asyncio.sleep(1)
                hub.room("r").send(f"{node} {last + 1}")
            for client in clients:
                got: list[str] = []
                while not got or got[-1] != f"2 {last + 1}":
                    got += await received(client, 1)
                was_told = "missed" in got
                got = [each for each in got if each != "missed"]
                assert len(set(got)) == len(got)
                for node in range(3):
                    ours = [int(each.split()[1]) for each in got if each[0] == str(node)]
                    assert ours == sorted(ours)
                    assert ours[-1] == last + 1
                    assert was_told or ours == [n for n in range(last) if n % 3 == node] + [last + 1]

    run_asyncio(main())


def test_what_is_sent_while_the_store_is_away_waits_for_it_and_is_refused_beyond_a_limit(
    run_asyncio: Run, own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("websocket_heartbeat.server.streams.MOST_WAITING", 10_000)

    async def main() -> None:
        async with nodes(own_valkey.url, 2, on_open=joins("r"), on_missed=lambda *_: None) as these:
            clients = [await these.client(node) for node in range(2)]
            these.hubs[0].room("r").send("first")
            for client in clients:
                assert await received(client, 1) == ["first"]
            own_valkey.kill()
            sent: list[str] = []

            def send_many() -> None:
                for number in range(100):
                    these.hubs[1].room("r").send(str(number))
                    sent.append(str(number))

            with pytest.raises(SendQueueFull, match="10000 bytes"):
                send_many()
            assert len(sent) > 20
            await asyncio.sleep(0.2)
            these.hubs[1].room("r").send("never later", volatile=True)
            await asyncio.to_thread(own_valkey.start)
            for client in clients:
                assert await received(client, len(sent)) == sent

    run_asyncio(main())


def test_what_cannot_be_published_when_the_hub_is_closed_is_said(
    run_asyncio: Run, own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("websocket_heartbeat.server.streams._CLOSE_WITHIN", 0.5)

    async def main() -> None:
        hub = Hub(sessions=own_valkey.url)
        hub.room("r").send("published")
        await hub._book.ready()  # type: ignore[union-attr]
        own_valkey.kill()
        for _ in range(3):
            hub.room("r").send("x")
        await hub.close()
        with pytest.raises(OSError, match="the hub is closed"):
            hub.room("r").send("x")

    with caplog.at_level(logging.WARNING):
        run_asyncio(main())
    assert "messages to rooms cannot be published" in caplog.text


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda hub: hub.room(5), TypeError, "name must be a str, as processes share the rooms"),
        (lambda hub: hub.room("\ud800"), ValueError, "name must not hold a lone surrogate"),
        (
            lambda hub: hub.room("\u00fc" * 513),
            ValueError,
            "name must be at most 1024 bytes of UTF-8",
        ),
        (lambda hub: hub.room([]), TypeError, "name must be hashable"),
        (lambda hub: Hub(on_missed=lambda *_: None), ValueError, "on_missed is for rooms of several"),
        (lambda hub: Hub(on_missed=5), TypeError, "on_missed must be callable"),  # type: ignore[arg-type]
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, call: Callable[[Hub], Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        call(Hub(sessions=f"sqlite:///{tmp_path / 's.db'}"))


def test_a_peer_that_joins_what_is_no_room_is_told_and_is_in_none(run_asyncio: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with nodes(f"sqlite:///{tmp_path / 's.db'}", 1) as these:
            await these.client(0, "off")
            (peer,) = these.hubs[0].peers
            with pytest.raises(TypeError, match="name must be a str"):
                peer.join(5)
            assert peer.rooms == ()

    run_asyncio(main())


def test_a_member_that_leaves_before_the_stream_is_read_takes_the_room_from_nobody(
    run_asyncio: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        place = f"sqlite:///{tmp_path / 's.db'}"
        async with nodes(place, 2, on_open=joins("r"), on_message=lambda *_: None) as these:
            clients = [await these.client(0) for _ in range(2)]
            store = these.hubs[1]._book.store  # type: ignore[union-attr]
            assert isinstance(store, SharedStore)
            may_begin = asyncio.Event()
            publish = store.publish

            async def publish_later(*arguments: Any) -> int:
                await may_begin.wait()
                return await publish(*arguments)

            monkeypatch.setattr(store, "publish", publish_later)
            for connection in clients:
                await these.move(connection, 1)
            these.hubs[1].peers[0].leave("r")
            await turns()
            may_begin.set()
            await until(lambda: None not in [f.number for f in these.hubs[1]._book.streams._followed])  # type: ignore[union-attr]
            these.hubs[0].room("r").send("x")
            assert await received(clients[1], 1) == ["x"]

    run_asyncio(main())


class Named:
    """A principal that equals no other, and has the name of others."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<Named {self.name}>"


def test_a_user_is_who_has_the_same_repr_also_in_one_process(run_asyncio: Run, tmp_path: Path) -> None:
    async def main() -> None:
        place = f"sqlite:///{tmp_path / 's.db'}"
        async with nodes(place, 2, authenticate=lambda request: Named("ann")) as these:
            clients = [await these.client(node, "off") for node in (0, 0, 1)]
            these.hubs[1].user(Named("ann")).send("a")
            assert [await received(each, 1) for each in clients] == [["a"]] * 3
            assert [len(hub.user(Named("ann"))) for hub in these.hubs] == [2, 1]
            await clients[1].close()
            await until(lambda: len(these.hubs[0].peers) == 1)
            these.hubs[1].user(Named("ann")).send("b")
            assert await received(clients[0], 1) == ["b"]
            these.hubs[1].user(Named("ann")).dismiss("all of you")
            await until(lambda: not these.hubs[0].peers)

    run_asyncio(main())


def test_a_principal_whose_repr_changes_is_who_it_was_when_its_peer_came(
    run_asyncio: Run, tmp_path: Path
) -> None:
    async def main() -> None:
        ann = Named("ann")
        place = f"sqlite:///{tmp_path / 's.db'}"
        async with nodes(place, 1, authenticate=lambda request: ann) as these:
            connection = await these.client(0, "off")
            ann.name = "bea"
            these.hubs[0].user(ann).send("a")
            assert await received(connection, 1) == ["a"]
            await connection.close()
            await until(lambda: not these.hubs[0].peers)
            assert len(these.hubs[0].user(Named("ann"))) == 0

    run_asyncio(main())


# One-sided and slow


@pytest.mark.timeout(120)
@stores_and_a_cluster
def test_a_client_that_only_receives_and_one_that_only_sends_lose_nothing_for_many_ttls_while_they_move(
    run_asyncio: Run, shared: str
) -> None:
    moves, ttl = 8, 1.0
    up: list[tuple[Any, Any]] = []

    async def main() -> None:
        def joins_once(peer: Peer) -> None:
            if peer.principal == "listens" and not peer.rooms:
                peer.join("feed")

        async with (
            nodes(
                shared,
                2,
                session_ttl=ttl,
                idle_timeout=0.5,
                authenticate=lambda request: request.query,
                on_open=joins_once,
                on_message=lambda peer, message: up.append((peer.principal, message)),
            ) as these,
            Hub(sessions=shared, session_ttl=ttl) as editor,
        ):
            listens = await these.client(0, query="listens")
            sends = await these.client(0, query="sends")
            got: list[Any] = []

            async def read() -> None:
                async for message in listens:
                    got.append(message)

            reading = asyncio.create_task(read())
            sent = 0
            for move in range(moves):
                until_then = asyncio.get_running_loop().time() + ttl / 2
                while asyncio.get_running_loop().time() < until_then:
                    editor.room("feed").send(str(sent))
                    await sends.send(str(sent))
                    sent += 1
                    await asyncio.sleep(0.05)
                for connection in (listens, sends):
                    await these.move(connection, (move + 1) % 2)
            wanted = [str(number) for number in range(sent)]
            await until(lambda: len(got) >= sent and len(up) >= sent)
            assert got == wanted
            assert up == [("sends", each) for each in wanted]
            assert [len(hub.room("feed")) for hub in these.hubs] == [1, 0]
            reading.cancel()
            await asyncio.wait([reading])

    run_asyncio(main())
