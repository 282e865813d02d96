"""The connection for blocking code, over real sockets."""

import asyncio
import contextlib
import inspect
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.client.servers import in_a_thread
from tests.engines.peers import Peer

from websocket_heartbeat import Backoff, ConnectionClosed, ConnectionFailed, OpenEvent, State
from websocket_heartbeat.server import serve
from websocket_heartbeat.sync import Connection, connect

QUICK = Backoff(initial=0.05, maximum=0.2)


class EchoServer:
    """Our server on a thread of its own."""

    def __init__(self) -> None:
        self.url = ""
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        async with serve() as self._server:
            self.url = self._server.url("/")
            self._ready.set()
            await self._end.wait()

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def drop_all(self) -> None:
        def drop() -> None:
            for peer in list(self._server.connections):
                peer.abort()

        assert self._loop is not None
        self._loop.call_soon_threadsafe(drop)

    def stop(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)


@pytest.fixture
def server() -> Iterator[EchoServer]:
    echo = EchoServer()
    echo.start()
    yield echo
    echo.stop()


def background_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "websocket-heartbeat"]


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


def test_a_hook_may_send_and_must_not_wait(server: EchoServer) -> None:
    errors: list[BaseException] = []
    connection = connect(server.url)

    @connection.on_open
    def subscribe(event: OpenEvent) -> None:
        connection.send("subscribe")
        try:
            connection.recv()
        except RuntimeError as error:
            errors.append(error)

    with connection:
        assert connection.recv(timeout=10) == "subscribe"
    assert len(errors) == 1
    assert "hook" in str(errors[0])


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


def test_a_connection_that_failed_for_good_says_so() -> None:
    with connect("ws://127.0.0.1:1/", max_attempts=0) as connection:
        with pytest.raises(ConnectionFailed):
            connection.recv(timeout=20)
        with pytest.raises(ConnectionFailed):
            connection.wait_closed()
    with pytest.raises(ConnectionClosed):
        connection.send("too late")


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
    with connect("ws://127.0.0.1:1/", max_attempts=0) as failed, pytest.raises(ConnectionFailed):
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


def test_what_is_open_at_exit_is_closed_and_the_interpreter_ends(server: EchoServer) -> None:
    code = f"""
import websocket_heartbeat.sync as sync
connection = sync.connect({server.url!r})
connection.__enter__()
connection.wait_open(10)
"""
    result = subprocess.run(
        [sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, timeout=50
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_a_forked_child_can_connect_anew(server: EchoServer) -> None:
    code = f"""
import os, websocket_heartbeat.sync as sync
with sync.connect({server.url!r}) as parent:
    parent.wait_open(10)
    pid = os.fork()
    if pid == 0:
        with sync.connect({server.url!r}) as child:
            child.send("from the child")
            os._exit(0 if child.recv(10) == "from the child" else 1)
    _, status = os.waitpid(pid, 0)
    parent.send("still here")
    assert parent.recv(10) == "still here"
raise SystemExit(os.waitstatus_to_exitcode(status))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "use",
    ["parent.send('x')", "parent.recv(10)", "parent.close()", "parent.on_message = print", "sys.exit()"],
)
def test_a_forked_child_cannot_use_and_may_leave_what_its_parent_opened(use: str, server: EchoServer) -> None:
    code = f"""
import os, sys, websocket_heartbeat.sync as sync
with sync.connect({server.url!r}) as parent:
    parent.wait_open(10)
    pid = os.fork()
    if pid == 0:
        try:
            {use}
        except sync.ConnectionClosed as error:
            assert "another process" in str(error)
            assert "send" in {use!r} or "recv" in {use!r}
        sys.exit()
    _, status = os.waitpid(pid, 0)
    parent.send("still here")
    assert parent.recv(10) == "still here"
raise SystemExit(os.waitstatus_to_exitcode(status))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert (result.returncode, result.stderr) == (0, "")


def test_at_exit_connections_are_closed_side_by_side() -> None:
    code = """
import websocket_heartbeat.sync as sync
connections = [sync.connect(url, close_timeout=0.5) for url in sys.argv[1:]]
for connection in connections:
    connection.on_state = lambda state: print(state) if state.startswith("clos") else None
    connection.__enter__()
    connection.wait_open(10)
"""

    async def deaf(peer: Peer) -> None:
        await peer.gone()

    with in_a_thread(deaf) as url:
        result = subprocess.run(
            [sys.executable, "-c", f"import sys\n{code}", *[url] * 3],
            capture_output=True,
            text=True,
            timeout=50,
        )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.split() == ["closing"] * 3 + ["closed"] * 3


def test_help_tells_of_blocking_code() -> None:
    assert "async with" not in str(connect.__doc__)
    assert "heartbeat" in inspect.signature(connect).parameters


def test_the_type_is_public() -> None:
    assert isinstance(connect("ws://127.0.0.1:1/"), Connection)
