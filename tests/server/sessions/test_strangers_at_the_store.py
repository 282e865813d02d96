"""Somebody else writes to the channels by which processes talk: they go on, and their sessions with them."""

import asyncio
import base64
import logging
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.server.sessions.postgres import Postgres
from tests.server.sessions.test_sessions import running, session, told
from tests.server.sessions.valkey import Valkey
from tests.watch import Run, until

from websocket_heartbeat.server import Hub

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
