"""What is still open when nobody can use it any more is closed, and told by a ResourceWarning."""

import subprocess
import sys

import pytest
from tests.client.servers import in_a_thread
from tests.engines.peers import CLOSE, Peer, frame
from tests.sync.conftest import EchoServer, Program, background_threads
from tests.watch import counts_references

from websocket_heartbeat.sync import connect


def test_what_is_open_at_exit_is_closed_and_told_and_the_interpreter_ends(program: Program) -> None:
    code = """
        import websocket_heartbeat.sync as sync
        connection = sync.connect(URL + "?token=secret")
        connection.on_state = lambda state: print(state)
        connection.__enter__()
        connection.wait_open(10)
        """
    done = program(code)
    assert (done.status, done.err) == (0, "")
    assert done.out.split() == ["connecting", "open", "closing", "closed"]
    done = program(code, "-W", "default")
    assert done.status == 0
    assert done.err.count("ResourceWarning") == 1
    assert "closed at exit, as nobody had closed them before: <Connection ws://" in done.err
    assert "Traceback" not in done.err
    assert "secret" not in done.err


def test_what_was_closed_or_has_failed_is_not_told_at_exit(program: Program) -> None:
    done = program(
        """
        import websocket_heartbeat.sync as sync
        with sync.connect(URL) as connection:
            connection.wait_open(10)
        never_started = sync.connect(URL)
        failed = sync.connect("ws://127.0.0.1:1/", max_retries=0).__enter__()
        try:
            failed.wait_closed()
        except sync.connection.ConnectionFailed:
            pass
        """,
        "-W",
        "error",
    )
    assert (done.status, done.err) == (0, "")


def test_at_exit_connections_are_closed_side_by_side() -> None:
    code = """
import sys
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
            [sys.executable, "-c", code, *[url] * 3], capture_output=True, text=True, timeout=50
        )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.split() == ["closing"] * 3 + ["closed"] * 3


@counts_references
def test_what_nobody_refers_to_is_closed_and_told(server: EchoServer) -> None:
    connections = [connect(server.url)]
    connections[0].__enter__()
    connections[0].wait_open(10)
    thread = background_threads()[0]
    with pytest.warns(ResourceWarning, match=r"nobody had closed it: <Connection ws://.* open "):  # noqa: PT031
        connections.clear()
        thread.join(10)  # which may refer to it for a moment yet
    assert background_threads() == []


@counts_references
def test_it_is_told_though_the_connection_closes_faster_than_this_thread_goes_on(server: EchoServer) -> None:
    connections = [connect(server.url)]
    connections[0].__enter__()
    connections[0].wait_open(10)
    thread = background_threads()[0]
    with pytest.warns(ResourceWarning, match=r"nobody had closed it: <Connection ws://.* open "):  # noqa: PT031
        sys.setprofile(lambda *_: thread.join(0.02))  # at each call and return here
        connections.clear()
        sys.setprofile(None)
        thread.join(10)
    assert background_threads() == []


def test_a_connection_with_hooks_lives_without_being_referred_to(program: Program) -> None:
    done = program("""
        import gc, threading
        from websocket_heartbeat.sync import connect

        def start():
            connection = connect(URL)
            connection.on_message = lambda message: (print(message), done.set())
            connection.__enter__()
            connection.send("x")

        done = threading.Event()
        start()
        gc.collect()
        done.wait(10)
        """)
    assert (done.status, done.out, done.err) == (0, "x\n", "")


def test_what_was_sent_just_before_the_end_arrives() -> None:
    arrived: list[bytes] = []
    program = """
import sys
from websocket_heartbeat.sync import connect
connection = connect(sys.argv[1]).__enter__()
connection.send("send and end")
"""

    async def note(peer: Peer) -> None:
        while (got := await peer.read_frame()).opcode != CLOSE:
            arrived.append(got.payload)
        peer.write(frame(CLOSE, got.payload))

    with in_a_thread(note) as url:
        with connect(url) as connection:
            connection.send("send and leave")
        subprocess.run([sys.executable, "-c", program, url], check=True, timeout=50)
    assert arrived == [b"send and leave", b"send and end"]
