"""What every program of a pair has to do: sends numbered messages, and writes down those that it receives.

Messages go at a steady rate from the first link on; while there is no link they wait. What the library takes
without an error counts as sent. What it refuses is sent again, as any program would.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

Send = Callable[[str], Awaitable[object]]

FILLER = "x" * 100
PAUSE = 0.02
"""Seconds until a message is sent again that the library has refused."""


class Job:
    """Of one process, by its command line.

    url: where the client connects to; http_url: the same for HTTP. folder: for what must outlive the process.
    """

    def __init__(self) -> None:
        options = json.loads(sys.argv[1])
        self.url: str = options["url"]
        self.http_url = self.url.replace("ws://", "http://")
        self.folder = Path(options["folder"])
        self._role: str = options["role"]
        self._count: int = options["count"]
        self._interval: float = options["interval"]
        self._received = self._open("received", os.O_APPEND)
        self._in_hand = self._open("in_hand", os.O_APPEND)
        self._sent = self._open("sent")
        self._sender: Send | None = None
        self._attached = asyncio.Event()

    def _open(self, name: str, flags: int = 0) -> int:
        return os.open(self.folder / f"{self._role}.{name}", os.O_RDWR | os.O_CREAT | flags)

    def received(self, message: object) -> None:
        """Handle a message: write down its number."""
        os.write(self._received, f"{str(message).partition(' ')[0]}\n".encode())

    def attach(self, send: Send) -> None:
        """Send over this from now on."""
        self._sender = send
        self._attached.set()

    def detach(self, send: Send | None = None) -> None:
        """Wait for another link."""
        if send is None or self._sender == send:
            self._sender = None
            self._attached.clear()

    async def run(self) -> None:
        """Send all messages; return when standard input ends."""
        feeding = asyncio.create_task(self._feed())
        await asyncio.to_thread(sys.stdin.read)
        feeding.cancel()

    async def _feed(self) -> None:
        begun, number = (int(word) for word in (os.pread(self._sent, 40, 0) or b"0 0").split())
        if begun > number:  # the process was killed while it had this message in hand
            os.write(self._in_hand, f"{begun}\n".encode())
            number = begun
        await self._attached.wait()
        loop = asyncio.get_running_loop()
        start = loop.time() - number * self._interval
        while number < self._count:
            await asyncio.sleep(max(0, start + number * self._interval - loop.time()))
            await self._attached.wait()
            send = self._sender
            assert send is not None
            self._note_sent(number + 1, number)
            try:
                await send(f"{number + 1} {FILLER}")
            except Exception:
                await asyncio.sleep(PAUSE)
                continue
            number += 1
            self._note_sent(number, number)
        print("sent", flush=True)

    def _note_sent(self, begun: int, done: int) -> None:
        os.pwrite(self._sent, b"%19d %19d\n" % (begun, done), 0)


def ready(port: int) -> None:
    """Tell where the server listens."""
    print(port, flush=True)
