"""Closes blocking connections in signal handlers, at random instants of whatever the main thread is at.

    python -m tests.sync.interrupted --runs 1000

prints for each activity how many of its runs ended. A process that makes no progress is taken to hang: its
stack is printed, and the exit status is 1. The tests do a few runs of the same.
"""

import argparse
import contextlib
import faulthandler
import logging
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from websocket_heartbeat import Backoff, ConnectionClosed
from websocket_heartbeat.sync import Connection, connect

NOWHERE = "ws://127.0.0.1:1/"
PATIENCE = 30
"""Seconds in which one run must end."""


def receive(connection: Connection) -> None:
    with connection:
        connection.recv()


def iterate(connection: Connection) -> None:
    with connection:
        for _ in connection:
            pass


def send(connection: Connection) -> None:
    with connection:
        while True:
            connection.send("x" * 100)


def echo(connection: Connection) -> None:
    with connection:
        while True:
            connection.send("x")
            connection.recv(timeout=20)


def wait_open(connection: Connection) -> None:
    with connection:
        connection.wait_open()
        connection.wait_closed()


def start_and_close(connection: Connection) -> None:
    connection.__enter__()
    connection.close()
    connection.close()


def others(connection: Connection) -> None:
    """While other threads open and close connections of their own."""

    def work() -> None:
        for _ in range(3):
            with connect(NOWHERE, close_timeout=1) as other:
                other.reconnect_now()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        with connection:
            for _ in range(1000):
                connection.reconnect_now()
    finally:
        thread.join()


ACTIVITIES: dict[str, Callable[[Connection], None]] = {
    activity.__name__: activity
    for activity in (receive, iterate, send, echo, wait_open, start_and_close, others)
}


def interrupt(activity: str, url: str, runs: int, seed: int) -> None:
    """Do it so many times; print a dot for each."""
    faulthandler.enable()
    logging.getLogger("websocket_heartbeat").addHandler(logging.NullHandler())
    chance = random.Random(seed)
    left = 0
    connection: Connection

    def close(number: int, frame: object) -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00001, 0.001))  # in the midst of this one
            connection.close()

    signal.signal(signal.SIGALRM, close)
    for _ in range(runs):
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        target = NOWHERE if activity == "wait_open" and chance.random() < 0.5 else url
        connection = connect(target, backoff=Backoff(0.001, 0.01), close_timeout=5)
        left = 3
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00001, 0.012))
        # Closed before it was begun, a connection cannot be started.
        with contextlib.suppress(ConnectionClosed, RuntimeError):
            ACTIVITIES[activity](connection)
        while left > 0:  # a signal may be yet to come
            time.sleep(0.001)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert connection.closed
        assert not [thread for thread in threading.enumerate() if thread.name == "websocket-heartbeat"]
        print(".", end="", flush=True)
    faulthandler.cancel_dump_traceback_later()


def run(activity: str, url: str, runs: int, seed: int) -> tuple[int, str]:
    """Do it in a process of its own; return how many runs have ended, and what the process complained of."""
    command = [sys.executable, "-m", "tests.sync.interrupted", "--child", activity, url, str(runs), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=runs * PATIENCE)
    return done.stdout.count("."), done.stderr


def main() -> int:
    from tests.sync.conftest import EchoServer

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", nargs=4, metavar=("ACTIVITY", "URL", "RUNS", "SEED"))
    arguments = parser.parse_args()
    if arguments.child:
        activity, url, runs, seed = arguments.child
        interrupt(activity, url, int(runs), int(seed))
        return 0
    server = EchoServer()
    server.start()
    status = 0
    try:
        for activity in ACTIVITIES:
            ended, complaints = run(activity, server.url, arguments.runs, arguments.seed)
            print(f"{activity:16} {ended} of {arguments.runs} runs ended\n{complaints}", end="", flush=True)
            status = status or int(ended < arguments.runs)
    finally:
        server.stop()
    return status


if __name__ == "__main__":
    sys.exit(main())
