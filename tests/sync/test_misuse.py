"""What cannot be answered raises at once and says what to do instead, and harms nothing."""

import contextlib
import threading
from collections.abc import Callable

import pytest
from tests.sync.conftest import EchoServer, background_threads

from websocket_heartbeat import ConnectionClosed, OpenEvent, State
from websocket_heartbeat.sync import Connection, connect


@pytest.mark.parametrize("others", [0, 1])
def test_a_connection_that_was_not_started_says_so_instead_of_being_silent(
    others: int, server: EchoServer
) -> None:
    connection = connect(server.url)
    with contextlib.ExitStack() as stack:
        for _ in range(others):
            stack.enter_context(connect(server.url))
        uses: list[Callable[[], object]] = [
            lambda: next(connection),
            lambda: connection.recv(timeout=1),
            lambda: connection.send("hello"),
            lambda: connection.wait_open(timeout=1),
        ]
        for use in uses:
            with pytest.raises(RuntimeError, match="not started"):
                use()
        connection.close()
        assert connection.closed
    assert background_threads() == []


def test_entering_a_second_time_is_refused_and_harms_nothing(server: EchoServer) -> None:
    with connect(server.url) as connection:
        with pytest.raises(RuntimeError, match="only once"):
            connection.__enter__()
        connection.send("still here")
        assert connection.recv(timeout=10) == "still here"
    with pytest.raises(RuntimeError, match="only once"):
        connection.__enter__()
    assert background_threads() == []


def test_a_hook_may_send_and_is_told_what_to_do_where_it_would_wait_for_itself(server: EchoServer) -> None:
    told: dict[str, str] = {}
    connection = connect(server.url)
    other = connect(server.url)

    @connection.on_open
    def subscribe(event: OpenEvent) -> None:
        waits: dict[str, Callable[[], object]] = {
            "recv": connection.recv,
            "iteration": lambda: next(connection),
            "recv of another": lambda: other.recv(timeout=1),
            "wait_open": lambda: connection.wait_open(timeout=1),
            "wait_closed": connection.wait_closed,
            "drain": connection.drain,
            "start": lambda: connect(server.url).__enter__(),
        }
        for name, wait in waits.items():
            try:
                wait()
            except RuntimeError as error:
                told[name] = str(error)
        connection.send("subscribe")

    with other, connection:
        assert connection.recv(timeout=10) == "subscribe"
    assert set(told) == {
        *("recv", "iteration", "recv of another", "wait_open", "wait_closed", "drain", "start")
    }
    assert all(text.startswith("a hook cannot ") for text in told.values())
    assert "on_message" in told["recv"]
    assert "on_open" in told["wait_open"]


def test_a_hook_may_close_its_connection_and_others(server: EchoServer) -> None:
    with connect(server.url) as other, connect(server.url) as connection:

        def end(message: object) -> None:
            other.close(4000, "done")
            connection.close()

        connection.on_message = end
        connection.send("end")
        connection.wait_closed()
        other.wait_closed()
        assert (connection.state, other.state) == (State.CLOSED, State.CLOSED)
    assert background_threads() == []


def test_a_hook_may_reconnect_and_set_hooks(server: EchoServer) -> None:
    opened = threading.Semaphore(0)
    with connect(server.url) as connection:

        def open_again(event: OpenEvent) -> None:
            connection.on_open = lambda event: opened.release()
            connection.reconnect_now()

        connection.on_open = open_again
        connection.reconnect_now()
        assert opened.acquire(timeout=10)


@pytest.mark.parametrize("others", [0, 1])  # another connection keeps the background thread
def test_after_the_end_every_call_says_so(server: EchoServer, others: int) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(others):
            stack.enter_context(connect(server.url))
        with connect(server.url) as connection:
            connection.wait_open(timeout=10)
        _says_so_everywhere(connection)


def _says_so_everywhere(connection: Connection) -> None:
    uses: list[Callable[[Connection], object]] = [
        lambda connection: connection.send("x"),
        lambda connection: connection.send("x", timeout=1),
        lambda connection: connection.recv(),
        lambda connection: connection.recv(timeout=1),
        lambda connection: connection.wait_open(),
        lambda connection: connection.drain(),
        lambda connection: connection.flush(),
        lambda connection: connection.flush(timeout=1),
    ]
    for use in uses:
        with pytest.raises(ConnectionClosed, match="closed"):
            use(connection)
    assert list(connection) == []


def test_a_connection_closed_before_its_start_says_so(server: EchoServer) -> None:
    connection = connect(server.url)
    connection.close()
    assert connection.state is State.CLOSED
    with pytest.raises(ConnectionClosed):
        connection.recv()
    connection.wait_closed()
    connection.reconnect_now()
    with pytest.raises(RuntimeError, match="only once"):
        connection.__enter__()
    assert background_threads() == []


@pytest.mark.parametrize(("code", "reason"), [(1001, ""), (True, ""), (4000, "x" * 124), (4000, None)])
def test_a_wrong_code_or_reason_is_refused_and_closes_nothing(
    code: int, reason: str, server: EchoServer
) -> None:
    with connect(server.url) as connection:
        with pytest.raises((TypeError, ValueError)):
            connection.close(code, reason)
        connection.send("still here")
        assert connection.recv(timeout=10) == "still here"


def test_a_function_that_retries_must_be_one() -> None:
    async def retry(error: Exception) -> bool:
        return True

    with pytest.raises(TypeError, match=r"retry_if must be a function, not the coroutine function .*retry"):
        connect("ws://127.0.0.1:1/", retry_if=retry)  # type: ignore[arg-type]
