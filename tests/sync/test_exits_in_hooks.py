"""A hook that ends the program, as by sys.exit(), ends its own connection and is told; nothing else stops."""

import pytest
from tests.sync.conftest import Program

PLACES = """
import asyncio, sys, time
from websocket_heartbeat import Backoff, ConnectionFailed, Heartbeat
from websocket_heartbeat.sync import connect

def plain(*_):
    EXIT

async def coroutine(*_):
    await asyncio.sleep(0)
    EXIT

hook = KIND
REFUSED = "ws://127.0.0.1:1/"
options = dict(backoff=Backoff(0.01, 0.01), close_timeout=2)

def guilty(place):
    if place == "url":
        return connect(hook, **options)
    if place == "additional_headers":
        return connect(URL, additional_headers=hook, **options)
    if place == "retry_if":
        return connect(REFUSED, retry_if=hook, **options)
    if place == "Heartbeat.message":
        return connect(URL, heartbeat=Heartbeat(0.05, 1, message=hook), **options)
    url = REFUSED if place in ("on_error", "on_reconnect") else URL
    if place in ("on_open", "on_message", "on_error"):
        return connect(url, **options, **{place: hook})
    connection = connect(url, **options)
    setattr(connection, place, hook)
    return connection

PLACES = "on_open on_message on_close on_error on_reconnect on_state url additional_headers".split()
if hook is plain:
    PLACES += ["retry_if", "Heartbeat.message"]
with connect(URL) as innocent:
    for place in PLACES:
        with guilty(place) as connection:
            if place == "on_message":
                connection.send("something")
            if place == "on_close":
                connection.wait_open(10)
                connection.reconnect_now()
            try:
                connection.recv(timeout=10)
            except ConnectionFailed as failure:
                print(place, "failed:", failure)
            for use in (connection.wait_closed, connection.wait_open, lambda: list(connection)):
                try:
                    use()
                except ConnectionFailed:
                    continue
                print(place, "failed silently")
        innocent.send(place)
        assert innocent.recv(timeout=10) == place
"""


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@pytest.mark.parametrize(
    ("exit", "told"),
    [
        ("sys.exit('enough \\x1b[2J')", "{} raised SystemExit at <string>:{} (enough \\x1b[2J): "),
        ("raise KeyboardInterrupt", "{} raised KeyboardInterrupt at <string>:{}: "),
        ("asyncio.get_running_loop().stop()", "a hook called loop.stop() at <string>:{1}: "),
    ],
    ids=["sys.exit", "KeyboardInterrupt", "loop.stop"],
)
def test_an_exit_in_any_hook_closes_its_connection_and_is_told_and_all_others_go_on(
    exit: str, told: str, kind: str, program: Program
) -> None:
    done = program(PLACES.replace("EXIT", exit).replace("KIND", kind))
    places = ["on_open", "on_message", "on_close", "on_error", "on_reconnect", "on_state"]
    places += ["url", "additional_headers"]
    if kind == "plain":
        places += ["retry_if", "Heartbeat.message"]
    line = 8 if kind == "plain" else 12
    assert done.status == 0, done.err
    assert [text.partition(" ")[0] for text in done.out.splitlines()] == places
    assert "silently" not in done.out
    for place, text in zip(places, done.err.splitlines(), strict=True):
        assert told.format(place, line) in text
        assert text.endswith("this connection is closed, others go on")
        assert "\x1b" not in text


def test_threads_that_wait_for_the_connection_are_told_why_it_was_closed(program: Program) -> None:
    done = program("""
        import sys, threading
        from websocket_heartbeat import ConnectionFailed
        from websocket_heartbeat.sync import connect

        def wait():
            try:
                for message in connection:
                    pass
            except ConnectionFailed as failure:
                told.append(f"{failure} because of {type(failure.__cause__).__name__}")

        told = []
        connection = connect(URL)
        with connection:
            threads = [threading.Thread(target=wait) for _ in range(3)]
            for thread in threads:
                thread.start()
            connection.on_open = lambda event: sys.exit()
            connection.reconnect_now()
            for thread in threads:
                thread.join()
            try:
                connection.wait_closed()
            except ConnectionFailed:
                print(*told, connection.state, sep="\\n")
        """)
    assert done.status == 0, done.err
    *told, state = done.out.splitlines()
    assert told == [told[0]] * 3
    assert told[0].startswith("on_open raised SystemExit at <string>:")
    assert told[0].endswith(", so the connection was closed because of SystemExit")
    assert state == "closed"


def test_an_exit_in_a_task_that_a_hook_has_begun_is_told_and_all_connections_go_on(program: Program) -> None:
    done = program("""
        import asyncio, sys, threading
        from websocket_heartbeat.sync import connect

        async def leave():
            left.set()
            sys.exit("enough")

        def begin(event):
            tasks.append(asyncio.create_task(leave()))
            asyncio.get_running_loop().call_soon(sys.exit, "this, too")

        tasks = []
        left = threading.Event()
        with connect(URL) as innocent, connect(URL) as connection:
            connection.on_open = begin
            connection.reconnect_now()
            left.wait(10)
            connection.send("x")
            print(connection.recv(10))
            innocent.send("y")
            print(innocent.recv(10))
        """)
    assert done.status == 0, done.err
    assert done.out.split() == ["x", "y"]
    assert "a task or callback raised SystemExit at <string>:8 (enough)" in done.err
    assert "(this, too)" in done.err


def test_what_a_hook_raises_otherwise_ends_nothing(program: Program) -> None:
    done = program("""
        import asyncio
        from websocket_heartbeat import HookFailed
        from websocket_heartbeat.sync import connect

        def fail(message):
            raise asyncio.CancelledError if message == "cancel" else LookupError

        errors = []
        with connect(URL) as connection:
            connection.on_error = lambda error: errors.append(type(error.__cause__).__name__)
            connection.on_message = fail
            connection.send("cancel")
            connection.send("look up")
            while len(errors) < 2:
                pass
            connection.on_message = None
            connection.send("x")
            assert connection.recv(10) == "x"
        print(*errors)
        """)
    assert (done.status, done.out) == (0, "CancelledError LookupError\n")


def test_an_exit_in_a_function_of_a_dialect_ends_the_connection_too(program: Program) -> None:
    done = program("""
        import sys
        from websocket_heartbeat import ConnectionFailed, Dialect, Heartbeat
        from websocket_heartbeat.sync import connect

        parts = {
            "ping": Dialect(lambda: sys.exit("ping")),
            "pong": Dialect("x", pong=lambda message: sys.exit("pong")),
            "reply": Dialect("x", reply=lambda message: sys.exit("reply")),
        }
        with connect(URL) as innocent:
            for part, dialect in parts.items():
                with connect(URL, heartbeat=Heartbeat(0.05, 5, dialect)) as connection:
                    connection.send("something")
                    try:
                        while True:
                            connection.recv(10)
                    except ConnectionFailed as failure:
                        print(failure)
                innocent.send(part)
                assert innocent.recv(10) == part
        """)
    assert done.status == 0, done.err
    for part, failure, told in zip(
        ("ping", "pong", "reply"), done.out.splitlines(), done.err.splitlines(), strict=True
    ):
        assert failure.startswith(f"Dialect.{part} raised SystemExit at ")
        assert f"({part})" in told
