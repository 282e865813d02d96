"""The demo's server, in a process of its own that can be killed: echoes, and keeps sessions and a ledger.

The ledger is a file with a line for each message that was handled: which life of the server did it, in which
session ("-" for none) and under which number there, and the number that the client has given it. A line is
written before the echo is sent, so nothing that is answered is missing.
"""

import asyncio
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Hub, Peer, serve

CLOSE_LINKS = "close links"
KEEP_LINKS = "keep links"
"""Orders, one a line on standard input; each is answered with an empty line. Its end ends the server."""

NO_SESSION = "-"
"""In the ledger."""

_LOOK = 0.005
"""Seconds after which a link is closed that must not stay."""


@dataclass(frozen=True, slots=True)
class Handled:
    """A line of the ledger."""

    life: int
    session: str
    number: int
    message: int


def read_ledger(folder: Path) -> list[Handled]:
    """Return what was handled, in the order in which it was."""
    path = folder / "ledger"
    lines = path.read_text().splitlines() if path.exists() else []
    parts = [line.split() for line in lines]
    return [Handled(int(life), session, int(number), int(own)) for life, session, number, own in parts]


class BackEnd:
    """One life of the server. folder: where its sessions and its ledger are."""

    def __init__(self, folder: Path, life: int, idle_timeout: float) -> None:
        self._life = life
        self._closes_links = False
        self._ledger = os.open(folder / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._hub = Hub(
            on_message=self._handle, sessions=f"sqlite:///{folder / 's.db'}", idle_timeout=idle_timeout
        )

    async def run(self) -> None:
        """Serve until standard input ends."""
        async with serve(hub=self._hub) as server:
            print(server.port, flush=True)
            closing = asyncio.create_task(self._close_links())
            while order := await asyncio.to_thread(sys.stdin.readline):
                self._closes_links = order.strip() == CLOSE_LINKS
                print(flush=True)
            closing.cancel()
        await self._hub.close()

    def _handle(self, peer: Peer, message: Message) -> None:
        own = str(message).partition(" ")[0]
        os.write(self._ledger, f"{self._life} {peer.session or NO_SESSION} {peer.number} {own}\n".encode())
        peer.send(message)

    async def _close_links(self) -> None:
        """A server that is overloaded lets in, and closes at once."""
        while True:
            await asyncio.sleep(_LOOK)
            if self._closes_links:
                for peer in self._hub.peers:
                    peer.close(1013, "try again later")


def main() -> None:
    """Run what the stage asks for: folder, life and idle timeout are the arguments."""
    logging.disable(logging.WARNING)  # faults are what it is for, and the timeline tells of them
    asyncio.run(BackEnd(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])).run())
