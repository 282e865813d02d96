"""A hook that blocks the background thread keeps nobody waiting for longer than they have said."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from tests.sync.conftest import EchoServer, Program

from websocket_heartbeat import Message
from websocket_heartbeat.sync import Connection, connect


@contextmanager
def blocked(connection: Connection) -> Iterator[None]:
    """Have a hook block the background thread meanwhile."""
    entered, leave = threading.Event(), threading.Event()

    def block(message: Message) -> None:
        entered.set()
        leave.wait(50)

    connection.on_message = block
    connection.send("block")
    assert entered.wait(10)
    try:
        yield
    finally:
        leave.set()
    connection.on_message = None


def test_receiving_and_waiting_end_in_time_and_lose_nothing(server: EchoServer) -> None:
    with connect(server.url) as connection, connect(server.url) as other:
        other.wait_open(10)
        with blocked(connection):
            for timeout in (0, 0.1):
                with pytest.raises(TimeoutError, match="as when a hook blocks it"):
                    other.recv(timeout)
                with pytest.raises(TimeoutError, match="as when a hook blocks it"):
                    other.wait_open(timeout)
        for text in ("one", "two"):
            other.send(text)
        assert [other.recv(10), other.recv(10)] == ["one", "two"]


def test_a_message_whose_time_ran_out_is_not_sent_later(server: EchoServer) -> None:
    with connect(server.url) as connection:
        with blocked(connection), pytest.raises(TimeoutError):
            connection.send("late", timeout=0.1)
        connection.send("next", timeout=10)
        assert connection.recv(10) == "next"


def test_a_full_queue_lets_a_sender_go_in_time() -> None:
    with connect("ws://127.0.0.1:1/", send_queue=1, close_timeout=1) as connection:
        connection.send("fits")
        with pytest.raises(TimeoutError, match="full"):
            connection.send("does not", timeout=0.1)
        assert connection.stats.queued == 1


def test_closing_says_that_a_hook_blocks_and_closes_once_it_does_not(server: EchoServer) -> None:
    with connect(server.url, close_timeout=0.1) as connection:
        with blocked(connection):
            with pytest.raises(TimeoutError, match="as when a hook blocks it"):
                connection.close()
            assert not connection.closed
        connection.wait_closed()


def test_a_receive_that_times_out_says_so(server: EchoServer) -> None:
    with connect(server.url) as connection, pytest.raises(TimeoutError, match="no message came in time"):
        connection.recv(timeout=0.01)


def test_a_timeout_of_zero_takes_what_has_come(server: EchoServer) -> None:
    deadline = time.monotonic() + 20
    with connect(server.url) as connection:
        connection.send("x")
        received = None
        while received is None:
            assert time.monotonic() < deadline
            with suppress(TimeoutError):
                received = connection.recv(timeout=0)
        assert received == "x"


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1", True])
def test_a_timeout_to_send_that_is_none_is_refused(timeout: float, server: EchoServer) -> None:
    with connect(server.url) as connection, pytest.raises((TypeError, ValueError), match="timeout must be"):
        connection.send("x", timeout=timeout)


def test_a_program_ends_though_a_hook_blocks(program: Program) -> None:
    done = program(
        """
        import threading, time
        from websocket_heartbeat.sync import connect

        def block(message):
            blocked.set()
            time.sleep(1000)

        blocked = threading.Event()
        connection = connect(URL, close_timeout=0.1)
        connection.on_message = block
        connection.__enter__()
        connection.send("x")
        blocked.wait(10)
        print("end")
        """,
    )
    assert (done.status, done.out, done.err) == (0, "end\n", "")
