"""Signal handlers and forks come at any instant, and find no lock held that they need."""

import os
import sys

import pytest
from tests.sync import interrupted
from tests.sync.conftest import EchoServer, Program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs setitimer and fork")

RUNS = 25


# PyPy runs signal handlers where `threading` holds a lock to start a thread: a handler that starts one hangs.
@pytest.mark.skipif(sys.implementation.name == "pypy", reason="PyPy interrupts the start of a thread")
@pytest.mark.parametrize("activity", interrupted.ACTIVITIES)
def test_a_signal_handler_closes_the_connection_whatever_it_interrupts(
    activity: str, server: EchoServer
) -> None:
    seed = int.from_bytes(os.urandom(4))
    assert interrupted.run(activity, server.url, RUNS, seed) == (RUNS, ""), f"seed {seed}"


FORK = """
import os, sys, threading, time, warnings
from websocket_heartbeat.sync import connect

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of every fork beside a thread

def child(work):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0

def connects_anew():
    with connect(URL) as mine:
        mine.send("from the child")
        assert mine.recv(10) == "from the child"

def works(connection):
    connection.send("still here")
    assert connection.recv(10) == "still here"
"""


def test_a_child_can_connect_anew(program: Program) -> None:
    done = program(f"""{FORK}
with connect(URL) as parent:
    parent.wait_open(10)
    child(connects_anew)
    works(parent)
""")
    assert (done.status, done.err) == (0, "")


def test_a_child_is_told_that_its_parents_connections_are_not_for_it_and_may_leave_them(
    program: Program,
) -> None:
    done = program(f"""{FORK}
def uses_it():
    uses = [
        lambda: parent.send("x"),
        lambda: parent.send("x", timeout=1),
        lambda: parent.recv(),
        lambda: parent.recv(timeout=1),
        lambda: list(parent),
        lambda: parent.wait_open(),
        lambda: parent.wait_closed(),
        lambda: parent.drain(),
        lambda: parent.reconnect_now(),
        lambda: setattr(parent, "on_message", print),
    ]
    for use in uses:
        try:
            use()
        except RuntimeError as error:
            assert "made before a fork" in str(error), error
        else:
            raise AssertionError
    parent.close()
    print(parent.state)

with connect(URL) as parent:
    for _ in range(3):
        parent.send("waits in the parent")
    parent.recv(10)
    child(uses_it)
    assert [parent.recv(10), parent.recv(10)] == ["waits in the parent"] * 2
    works(parent)
""")
    assert (done.status, done.out, done.err) == (0, "open\n", "")


@pytest.mark.parametrize("leave", ["sys.exit()", "pass"])
def test_a_child_may_end_within_the_block(leave: str, program: Program) -> None:
    done = program(f"""{FORK}
with connect(URL) as parent:
    parent.wait_open(10)
    pid = os.fork()
    if pid == 0:
        {leave}
    else:
        assert os.waitpid(pid, 0)[1] == 0
        works(parent)
""")
    assert (done.status, done.err) == (0, "")


def test_children_of_other_threads_and_of_multiprocessing_work_while_one_receives(program: Program) -> None:
    done = program(f"""{FORK}
import multiprocessing

def receive():
    for message in parent:
        received.set()

def flood():
    while not stop.is_set():
        parent.send("x")

stop, received = threading.Event(), threading.Event()
with connect(URL) as parent:
    threads = [threading.Thread(target=work) for work in (receive, flood)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        child(connects_anew)
        process = multiprocessing.get_context("fork").Process(target=connects_anew)
        process.start()
        process.join()
        assert process.exitcode == 0
        received.clear()
        assert received.wait(10)
    stop.set()
for thread in threads:
    thread.join()
""")
    assert (done.status, done.err) == (0, "")


def test_a_child_finds_no_lock_held_by_a_hook_that_its_parent_ran(program: Program) -> None:
    done = program(f"""{FORK}
def hook(message):
    with lock:
        holds.set()
        time.sleep(0.2)

def locks():
    assert lock.acquire(timeout=0)

lock, holds = threading.Lock(), threading.Event()
with connect(URL) as parent:
    parent.on_message = hook
    parent.send("x")
    holds.wait(10)
    child(locks)
""")
    assert (done.status, done.err) == (0, "")


def test_a_fork_goes_on_though_a_hook_blocks(program: Program) -> None:
    done = program(f"""{FORK}
def hook(message):
    blocks.set()
    leave.wait(30)

blocks, leave = threading.Event(), threading.Event()
with connect(URL) as parent:
    parent.on_message = hook
    parent.send("x")
    blocks.wait(10)
    child(connects_anew)
    leave.set()
    parent.on_message = None
    works(parent)
""")
    assert (done.status, done.err) == (0, "")
