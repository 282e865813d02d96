"""One of several workers behind a balancer: handles messages, answers them, and writes down what it does.

    python -m examples.cluster.worker valkey://127.0.0.1:6379 LEDGER LIFE

It prints its port, and serves until SIGTERM. What makes it one of several is the argument `sessions` alone.
"""

import asyncio
import os
import signal
import sys
import time

from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Hub, Peer, Request, serve


class Worker:
    """Its hooks. ledger: the file in which it writes, which outlives a kill. life: its number."""

    def __init__(self, ledger: int, life: str) -> None:
        self._ledger = ledger
        self._life = life

    def answer(self, peer: Peer, message: Message) -> None:
        """Handle a message. The count is kept if and only if it is known that the message is handled."""
        number = int(message)
        self.note("handled", peer.principal, number, peer.number)
        peer.state["handled"] = peer.state.get("handled", 0) + 1
        peer.send(f"{number} {peer.state['handled']}")

    def over(self, session: str, why: str, unacknowledged: tuple[Message, ...]) -> None:
        """Note messages that a client has not acknowledged when its session was over."""
        if unacknowledged:
            self.note("over", session, why or "-", len(unacknowledged))

    def note(self, what: str, *fact: object) -> None:
        """Write a line."""
        words = " ".join(map(str, (time.monotonic_ns(), self._life, what, *fact)))
        os.write(self._ledger, f"{words}\n".encode())


def name_of(request: Request) -> str:
    """Return who it is. Here anyone may be anybody; read docs/server/who-may-connect.md before you do so."""
    return request.query


async def main(store: str, ledger: str, life: str) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    worker = Worker(os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), life)
    hub = Hub(sessions=store, authenticate=name_of, on_message=worker.answer, on_session_end=worker.over)
    async with serve(hub=hub, port=0) as server:
        print(server.port, flush=True)
        await stop.wait()
        await hub.send_away(over=1)  # the clients go to the other workers, each at a moment of its own
    await hub.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
