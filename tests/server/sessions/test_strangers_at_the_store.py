"""Somebody else writes to the store, or to the channels of the processes: they go on, and their sessions."""

import asyncio
import base64
import json
import logging
import os
import socket
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from tests.server.sessions.postgres import Postgres
from tests.server.sessions.test_sessions import running, session, told
from tests.server.sessions.test_store_contract import opened, record
from tests.server.sessions.valkey import Valkey
from tests.watch import Run, until

from websocket_heartbeat import Message
from websocket_heartbeat.server import Hub, Peer, SendUncertain
from websocket_heartbeat.server.sessions.store import Refused
from websocket_heartbeat.server.sessions.valkey import ValkeyStore

GARBAGE = [
    b"",
    b"\n",
    b"\xff\xfe",
    b"{",
    b"[]\n",
    b'"from"\n',
    b"{}\n",
    b'{"from":[]}\n',
    b'{"from":"x","answer":1}\n',
    b'{"from":"x","answer":1,"token":[]}\n',
    b'{"from":{},"answer":1,"token":"t"}\n',
    b'{"from":"x"}\n',
    b'{"from":"x","token":"t"}\n',
    b'{"from":"x","is":1,"token":"t"}\n',
    b'{"from":"x","give":[],"token":"t"}\n',
    b'{"from":"x","send":{},"token":"t"}\nx',
    b'{"from":"x","send":"\\ud800","token":"t"}\nx',
    b'{"from":"x","dismiss":"x"}\n',
    b'{"from":"x","expired":[],"why":1}\n',
    b'{"from":"x","forgotten":{}}\n',
    b'{"from":"x","told":"rr"}\n',
    b'{"from":"x","told":[],"dismiss":[],"code":{}}\n',
    b"[" * 5000,
    b"\0room \xff",
    b"\0rooms {",
    b"\0rooms [[]]",
    b"\0rooms 1",
]


def say_to_all(place: str, request: pytest.FixtureRequest) -> None:
    """Send garbage, as a stranger, to all that the processes listen to."""
    if place.startswith("sqlite"):
        path = Path(place.removeprefix("sqlite:///"))
        for listening in path.parent.glob("*.socket"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
                stranger.connect(str(listening))
                for garbage in GARBAGE:
                    stranger.send(garbage)
                reading, writing = os.pipe()
                socket.send_fds(stranger, [b"file"], [reading])
                os.close(reading)
                os.close(writing)
    elif place.startswith("postgresql"):
        postgres: Postgres = request.getfixturevalue("postgres")
        texts = [f"0 {base64.b64encode(garbage).decode()}" for garbage in GARBAGE]
        texts += ["", "0", "x", "0 =", "1 AAAA", "0 \u20ac", "0 A"]
        postgres.execute(*(f"select pg_notify('websocket_heartbeat', '{text}')" for text in texts))
    else:
        valkey: Valkey = request.getfixturevalue("valkey")
        with valkey.client() as client:
            for channel in client.pubsub_channels("wh:*"):
                for garbage in GARBAGE:
                    client.publish(channel, garbage)
                    client.publish(channel, b"x\n" + garbage)


def test_garbage_on_the_channels_of_the_processes_ends_nothing(
    run_asyncio: Run, shared: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        unhandled: list[Any] = []
        loop.set_exception_handler(lambda _, context: unhandled.append(context))
        hub, other = Hub(sessions=shared), Hub(sessions=shared)
        async with running(hub) as server, running(other), session(server.url()) as connection:
            events = told(connection)
            await until(lambda: bool(events))
            (peer,) = hub.peers
            assert peer.session is not None
            peer.join("r")
            await other.send(peer.session, "before")
            assert await connection.recv() == "before"
            await asyncio.to_thread(say_to_all, shared, request)  # some of it waits for who listens
            await other.send(peer.session, "after")
            assert await connection.recv() == "after"
            other.room("r").send("to a room")
            assert await connection.recv() == "to a room"
            assert len(events) == 1
        assert not unhandled

    run_asyncio(main())
    text = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert any("who else writes to it" in line for line in text)
    assert not [record for record in caplog.records if record.exc_info]


def test_a_question_with_a_wrong_number_holds_up_no_session(run_asyncio: Run, valkey: Valkey) -> None:
    async def main() -> None:
        hub = Hub(sessions=valkey.url, on_message=lambda peer, message: peer.send(message))
        async with running(hub) as server, session(server.url()) as connection:
            await connection.send("before")
            assert await connection.recv() == "before"
            id = hub.peers[0].session
            assert id is not None
            question = {"give": id, "link": None, "from": "x"}
            with valkey.client() as client:
                client.publish("wh:nodes", b"x 1\n" + json.dumps(question).encode() + b"\n")
            async with Hub(sessions=valkey.url) as other:  # which is heard after that
                await other.send(id, "from elsewhere")
            assert await connection.recv() == "from elsewhere"
            await connection.send("after")
            assert await connection.recv() == "after"

    run_asyncio(main())


FOREIGN = [
    (
        "*",
        "x",
        b"foreign",
    ),  # the stream numbers it by itself: behind the last one, and with no number of ours
    ("+1", "p", b"no message"),
    ("+1", "p", b"t\n\xff\xfe"),
    ("+1", "p", b"tten\nx"),
    ("+1", "other", b"t\nx"),
    ("+2", "p", b""),
]


@pytest.mark.parametrize(("place", "field", "data"), FOREIGN)
def test_what_a_stranger_adds_to_the_stream_of_a_room_is_told_as_missed_and_all_else_arrives(
    run_asyncio: Run, valkey: Valkey, place: str, field: str, data: bytes
) -> None:
    missed: list[Any] = []

    def add() -> None:
        room = "wh:{r:rr}"
        with valkey.client() as client:
            last: Any = client.hget(f"{room}:m", "last")
            number = str(int(last) + int(place)) if place != "*" else ""
            client.xadd(f"{room}:s", {field: data}, id=f"{number}-0" if number else "*")
            if number:
                client.hset(f"{room}:m", "last", number)

    async def main() -> None:
        hubs = [
            Hub(
                sessions=valkey.url,
                on_open=lambda peer: peer.join("r"),
                on_missed=lambda peer, room: missed.append(room.name),
            )
            for _ in range(2)
        ]
        async with (
            running(hubs[0]) as server,
            running(hubs[1]) as other,
            session(server.url()) as connection,
            session(other.url()) as away,
        ):
            await asyncio.gather(connection.wait_open(), away.wait_open())
            streams = [hub._book.streams for hub in hubs]  # type: ignore[union-attr]
            await until(lambda: all(f.number for each in streams for f in each._followed))  # type: ignore[union-attr]
            hubs[0].room("r").send("before")
            assert [await each.recv() for each in (connection, away)] == ["before"] * 2
            await asyncio.to_thread(add)
            hubs[0].room("r").send("after")
            hubs[1].room("r").send("and this")
            for each in (connection, away):
                assert {await each.recv() for _ in range(2)} == {"after", "and this"}
            assert missed == ([] if place == "*" else ["r"] * len(missed))
            assert bool(missed) == (place != "*")

    run_asyncio(main())


def test_what_a_stranger_puts_among_the_sessions_that_are_due_keeps_none_from_expiring(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with opened(ValkeyStore(valkey.url, 120)) as store:
            with valkey.client() as client:
                client.zadd("wh:due", {b"\xff\xfe": 1, "text": 2, "hash": 3, "nothing": 4})
                client.set("wh:{text}:m", "x")
                client.hset("wh:{hash}:m", mapping={"deadline": "1", "x": "y"})
            await store.put(replace(record(store), deadline=5.0), [])
            assert [found.record.id for found in await store.due(10.0, 100)] == ["s"]
            assert await store.due(11.0, 100) == []

    asyncio.run(main())
    assert caplog.text.count("a session that has expired cannot be ended") == 1  # not at each look


@pytest.mark.parametrize("answer", [5, "x", ["done"], {"done": ""}, [[], []]])
def test_a_process_that_answers_nonsense_leaves_who_sends_uncertain(
    run_asyncio: Run, valkey: Valkey, answer: Any
) -> None:
    async def main() -> None:
        hub, stranger = Hub(sessions=valkey.url), ValkeyStore(valkey.url)
        async with hub, opened(ValkeyStore(valkey.url)) as store:
            id = "A" * 12
            await store.put(replace(record(store, id), node="stranger"), [])

            def heard(data: bytes) -> None:
                asked = json.loads(data.partition(b"\n")[0])
                said = {"from": "stranger", "token": asked["token"], "answer": "is" in asked or answer}
                told = stranger.notify(asked["from"], json.dumps(said).encode() + b"\n")
                telling.append(asyncio.create_task(told))

            telling: list[asyncio.Task[bool]] = []
            await stranger.open("stranger", heard, tuple)
            with pytest.raises(SendUncertain, match="what no process of ours does"):
                await hub.send(id, "x")
            await asyncio.wait(telling)
            await stranger.close()

    run_asyncio(main())


def delete_all(place: str, request: pytest.FixtureRequest) -> None:
    """Delete all sessions, while processes have some."""
    if place.startswith("sqlite"):
        with closing(sqlite3.connect(place.removeprefix("sqlite:///"))) as database, database:
            database.execute("delete from session")
    elif place.startswith("postgresql"):
        request.getfixturevalue("postgres").execute("delete from websocket_heartbeat.session returning id")
    else:
        with request.getfixturevalue("valkey").client() as client:
            client.flushall()


def test_a_session_that_somebody_deletes_is_lost_and_its_messages_are_told_to_both_ends(
    run_asyncio: Run, shared: str, request: pytest.FixtureRequest
) -> None:
    ends: list[Any] = []

    async def main() -> None:
        hub = Hub(sessions=shared, on_session_end=lambda *end: ends.append(end))
        async with running(hub) as server, session(server.url()) as connection:
            events = told(connection)
            await until(lambda: events)
            (peer,) = hub.peers
            id = peer.session
            assert id is not None
            await hub.send(id, "kept")
            await asyncio.to_thread(delete_all, shared, request)
            peer.send("after")
            await until(lambda: ends)
            assert ends == [(id, "lost", ("kept", "after"))]
            await until(lambda: len(events) > 1)
            assert [(event.kind, event.why) for event in events] == [("new", ""), ("reset", "unknown")]

    run_asyncio(main())


def test_a_session_that_somebody_deletes_within_a_transaction_is_lost_and_told_of(
    run_asyncio: Run, postgres: Postgres
) -> None:
    ends: list[Any] = []

    async def on_message(peer: Peer, message: Message) -> None:
        async with peer.transaction():
            await asyncio.to_thread(postgres.execute, "delete from websocket_heartbeat.session returning id")
            peer.send("undone")

    async def main() -> None:
        hub = Hub(
            sessions=postgres.url(), on_message=on_message, on_session_end=lambda *end: ends.append(end)
        )
        async with running(hub) as server, session(server.url()) as connection:
            await connection.wait_open()
            (peer,) = hub.peers
            id = peer.session
            assert id is not None
            await connection.send("x")
            await until(lambda: ends)
            assert ends == [(id, "lost", ())]

    run_asyncio(main())


def test_a_session_that_was_written_again_since_the_store_had_lost_it_goes_on(
    run_asyncio: Run, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        hub = Hub(sessions=shared)
        async with running(hub) as server, session(server.url()) as connection:
            await connection.wait_open()
            assert hub._book is not None
            monkeypatch.setattr(hub._book.store, "write", AsyncMock(return_value=Refused.GONE))
            (peer,) = hub.peers
            peer.send("sent")
            await until(lambda: hub._book.store.write.called)  # type: ignore[union-attr]
            monkeypatch.undo()
            assert await connection.recv() == "sent"
            assert connection.stats.links == 1

    run_asyncio(main())
