"""A login dialogue of blocking code: in a thread that on_open waits for, it receives and sends first."""

import asyncio
import queue
import threading
from typing import Any

import pytest
from tests.client.servers import in_a_thread
from tests.engines.peers import CLOSE, TEXT, Peer, frame

from websocket_heartbeat import Backoff, NotConnected, OpenEvent
from websocket_heartbeat.sync import Connection, connect

QUICK = Backoff(0.01, 0.05)


async def wants_a_login(peer: Peer) -> None:
    """Ask for a token, and tell what else has come before it."""
    peer.write(frame(TEXT, b"who?"))
    got = await peer.read_frame()
    if got.payload != b"token":
        peer.write(frame(TEXT, b"no: " + got.payload))
        return
    peer.write(frame(TEXT, b"welcome"))
    while (got := await peer.read_frame()).opcode != CLOSE:
        peer.write(frame(TEXT, b"you said " + got.payload))
    peer.write(frame(CLOSE, got.payload))


def with_login(connection: Connection, log: list[Any]) -> Connection:
    def log_in() -> None:
        log.append(connection.recv(timeout=20))
        connection.send("token")
        log.append(connection.recv())

    @connection.on_open
    async def opened(event: OpenEvent) -> None:
        await asyncio.to_thread(log_in)

    return connection


def test_a_login_is_answered_before_all_else_on_each_link() -> None:
    log: list[Any] = []
    with in_a_thread(wants_a_login) as url, with_login(connect(url, backoff=QUICK), log) as connection:
        connection.send("first")
        assert connection.recv(timeout=20) == "you said first"
        connection.reconnect_now()
        connection.send("second")
        assert connection.recv(timeout=20) == "you said second"
    assert log == ["who?", "welcome"] * 2


def test_a_login_whose_link_is_lost_takes_nothing_of_the_next_one() -> None:
    lost: queue.Queue[BaseException] = queue.Queue()
    attempts = 0
    waits = threading.Event()

    async def loses_the_first(peer: Peer) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            await asyncio.to_thread(waits.wait, 20)
            peer.reset()
        else:
            for number in range(3):
                peer.write(frame(TEXT, b"%d" % number))
            await peer.gone()

    with in_a_thread(loses_the_first) as url:
        connection = connect(url, backoff=QUICK)

        def log_in() -> None:
            try:
                waits.set()
                connection.recv()
            except NotConnected as error:
                lost.put(error)
                with pytest.raises(NotConnected):
                    connection.recv(timeout=20)
                lost.put(error)

        @connection.on_open
        async def opened(event: OpenEvent) -> None:
            if event.link == 1:
                await asyncio.to_thread(log_in)

        with connection:
            assert [connection.recv(timeout=20) for _ in range(3)] == ["0", "1", "2"]
            for _ in range(2):
                assert "on_open" in str(lost.get(timeout=20))


def test_a_login_that_times_out_says_so_and_fails_the_link() -> None:
    errors: queue.Queue[Exception] = queue.Queue()

    async def silent(peer: Peer) -> None:
        await peer.gone()

    with in_a_thread(silent) as url:
        connection = connect(url, max_retries=0)
        connection.on_error = errors.put

        @connection.on_open
        async def opened(event: OpenEvent) -> None:
            await asyncio.to_thread(connection.recv, 0.1)

        with connection:
            error = errors.get(timeout=20)
    assert isinstance(error.__cause__, TimeoutError)
    assert str(error.__cause__) == "no message came in time"
