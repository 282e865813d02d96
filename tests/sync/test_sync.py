"""The connection for blocking code, over real sockets."""

import asyncio
import inspect
import threading
import time
from contextlib import nullcontext
from typing import Any

import pytest
from tests.sync.conftest import EchoServer, background_threads

from websocket_heartbeat import Backoff, ConnectionClosed, ConnectionFailed, Dialect, Heartbeat, State
from websocket_heartbeat.sync import Connection, connect

QUICK = Backoff(initial=0.05, maximum=0.2)


def test_messages_come_back_and_iteration_ends_after_close(server: EchoServer) -> None:
    received = []
    with connect(server.url) as connection:
        connection.send("one")
        connection.send(b"two")
        for message in connection:
            received.append(message)
            if len(received) == 2:
                connection.close()
    assert received == ["one", b"two"]
    assert connection.state is State.CLOSED


def test_a_lost_link_is_replaced_beneath_the_loop(server: EchoServer) -> None:
    with connect(server.url, backoff=QUICK) as connection:
        connection.wait_open(timeout=10)
        server.drop_all()
        deadline = time.monotonic() + 20
        while connection.stats.links < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        connection.send("again")
        assert connection.recv(timeout=10) == "again"


def test_a_receive_that_times_out_loses_nothing(server: EchoServer) -> None:
    with connect(server.url) as connection:
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.05)
        connection.send("late")
        assert connection.recv(timeout=10) == "late"


def test_heartbeats_of_a_dialect_pass_while_the_program_does_something_else(server: EchoServer) -> None:
    # What the server sends back is answered first, and then is an answer.
    with connect(server.url, heartbeat=Heartbeat(0.05, 5, message=Dialect("ping", "pong"))) as connection:
        connection.wait_open(timeout=10)
        time.sleep(0.5)
        assert connection.stats.pings >= 3
        connection.send("news")
        assert connection.recv(timeout=10) == "news"
        assert connection.latency is not None


def test_several_threads_share_one_connection(server: EchoServer) -> None:
    received: list[object] = []
    with connect(server.url) as connection:

        def work(number: int) -> None:
            for index in range(50):
                connection.send(f"{number}-{index}")
                received.append(connection.recv(timeout=20))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert sorted(map(str, received)) == sorted(f"{n}-{i}" for n in range(4) for i in range(50))


def test_the_background_thread_is_shared_and_ends_with_the_last_connection(server: EchoServer) -> None:
    with connect(server.url) as one:
        with connect(server.url) as two:
            two.wait_open(timeout=10)
            assert len(background_threads()) == 1
        one.wait_open(timeout=10)
        assert len(background_threads()) == 1
    assert background_threads() == []


def test_a_thread_that_waits_is_told_when_another_closes(server: EchoServer) -> None:
    ended: list[BaseException] = []
    with connect(server.url) as connection:

        def wait() -> None:
            try:
                connection.recv()
            except ConnectionClosed as error:
                ended.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        connection.wait_open(timeout=10)
    thread.join(10)
    assert not thread.is_alive()
    assert len(ended) == 1


@pytest.mark.parametrize("is_alone", [True, False])
def test_a_connection_that_failed_for_good_says_so_also_when_it_is_closed(
    is_alone: bool, server: EchoServer
) -> None:
    with nullcontext() if is_alone else connect(server.url):
        with connect("ws://127.0.0.1:1/", max_retries=0) as connection:
            with pytest.raises(ConnectionFailed):
                connection.recv(timeout=20)
            with pytest.raises(ConnectionFailed):
                connection.wait_closed()
        for call in (connection.drain, connection.flush, connection.recv, connection.wait_open):
            with pytest.raises(ConnectionFailed, match="gave up after 0 retries: connection refused"):
                call()
        with pytest.raises(ConnectionFailed):
            connection.send("too late")


def test_flush_of_a_connection_that_has_ended_does_not_wait_for_the_hook_of_another_one(
    server: EchoServer,
) -> None:
    hook_runs, may_end = threading.Event(), threading.Event()

    def blocks(message: object) -> None:
        hook_runs.set()
        may_end.wait(20)

    with connect(server.url, on_message=blocks) as other:
        with connect(server.url) as connection:
            connection.wait_open(20)
        other.send("x")
        assert hook_runs.wait(20)
        with pytest.raises(ConnectionClosed):
            connection.flush(timeout=0.1)
        assert not may_end.is_set()
        may_end.set()


@pytest.mark.parametrize("timeout", [-1, -5, float("nan"), float("inf"), "1", True])
def test_a_timeout_that_is_none_is_refused(timeout: Any, server: EchoServer) -> None:
    with connect(server.url) as connection, pytest.raises((TypeError, ValueError), match="timeout must be"):
        connection.recv(timeout=timeout)


def test_what_needs_no_link_works_after_the_end(server: EchoServer) -> None:
    with connect(server.url) as connection:
        connection.wait_open(timeout=10)
    connection.wait_closed()
    connection.reconnect_now()
    connection.on_message = print
    assert connection.stats.links == 1
    with connect("ws://127.0.0.1:1/", max_retries=0) as failed, pytest.raises(ConnectionFailed):
        failed.wait_closed()
    with pytest.raises(ConnectionFailed):
        failed.wait_closed()


def test_no_thread_that_uses_a_connection_hangs_when_another_closes_it(
    server: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[BaseException] = []
    submit = asyncio.run_coroutine_threadsafe

    def submit_late(*args: Any) -> Any:
        time.sleep(0.005)
        return submit(*args)

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", submit_late)

    def hammer(connection: Connection) -> None:
        try:
            while True:
                connection.send("x")
        except ConnectionClosed as error:
            ended.append(error)

    for _ in range(10):
        with connect(server.url) as connection:
            threads = [threading.Thread(target=hammer, args=(connection,), daemon=True) for _ in range(3)]
            for thread in threads:
                thread.start()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
    assert len(ended) == 30


def test_bad_arguments_are_refused_where_they_are_written() -> None:
    with pytest.raises(ValueError, match="url must begin with"):
        connect("http://127.0.0.1/")


def test_help_tells_of_blocking_code() -> None:
    assert "async with" not in str(connect.__doc__)
    assert "heartbeat" in inspect.signature(connect).parameters


def test_the_type_is_public() -> None:
    assert isinstance(connect("ws://127.0.0.1:1/"), Connection)
