"""A process that serves sessions, for tests of several: `python -m ...sessions.node PLACE DURABILITY`.

It tells its port, and then what happens, each as a line of JSON. It closes when its standard input ends.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Hub, Peer, Request, serve


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def on_open(peer: Peer) -> None:
    peer.join("lobby")
    say(**({"plain": True} if peer.session is None else {"open": peer.session}))


def on_message(peer: Peer, message: Message) -> None:
    """Count the messages of the session in its state, and send the count back with each."""
    peer.state["count"] = peer.state.get("count", 0) + 1
    peer.send(f"{peer.state['count']} {message!s}")


def authenticate(request: Request) -> str | None:
    return request.query.removeprefix("user=") or None


async def main(place: str, durability: str) -> None:
    hub = Hub(
        sessions=place,
        durability=durability,
        authenticate=authenticate,
        on_open=on_open,
        on_message=on_message,
        on_session_end=lambda session, why, unacknowledged: say(end=[session, why, list(unacknowledged)]),
    )
    async with hub, serve(hub=hub) as server:
        say(port=server.port)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


class Node:
    """Such a process. lines: what it has said so far."""

    def __init__(self, place: str, durability: str) -> None:
        command = [sys.executable, "-m", "tests.server.sessions.node", place, durability]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.port = self.said("port")

    def said(self, what: str) -> Any:
        """Return the next thing of a kind that it says."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if what in (said := json.loads(line)):
                return said[what]
        raise AssertionError(f"the process has ended and has not said {what!r}")

    def url(self, query: str = "") -> str:
        return f"ws://127.0.0.1:{self.port}/{query}"

    def close(self) -> None:
        """Let it close."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def nodes(count: int, place: str, durability: str = "through") -> Iterator[list[Node]]:
    """Run so many, and kill them at the end."""
    started: list[Node] = []
    try:
        for _ in range(count):
            started.append(Node(place, durability))
        yield started
    finally:
        for node in started:
            node.kill()
            for pipe in (node.process.stdin, node.process.stdout):
                if pipe is not None:
                    pipe.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
