"""The clients of the demo: each sends numbered messages, takes the answers, and writes down what it sees."""

import asyncio
import random
import time
from typing import TextIO

from websocket_heartbeat import Backoff, Connection, Heartbeat, connect
from websocket_heartbeat.events import Message, SessionEvent


class Client:
    """One client. name: who it is. notes: where it writes. sent, answered: the last number of each."""

    def __init__(self, url: str, name: str, notes: TextIO) -> None:
        self.name = name
        self.sent = self.answered = 0
        self._has_ended = False
        self._is_answered = asyncio.Event()
        self._notes = notes
        self._connection: Connection = connect(
            f"{url}?{name}",
            session="require",
            heartbeat=Heartbeat(interval=5, timeout=5),
            backoff=Backoff(initial=0.1, maximum=1),
            proxy=None,
        )
        self._connection.on_message = self._got
        self._connection.on_session = self._told

    async def talk(self, pause: float, until: asyncio.Event) -> None:
        """Send until an event, and return when all is answered. pause: seconds between, on the average."""
        async with self._connection as connection:
            await asyncio.sleep(random.uniform(0, pause))
            while not until.is_set():
                self.sent += 1
                self._note("sent", self.sent)
                await connection.send(str(self.sent))
                await asyncio.sleep(random.uniform(0.5 * pause, 1.5 * pause))
            await connection.flush()
            self._has_ended = True
            self._settle()
            await self._is_answered.wait()  # never, if an answer is lost

    def _got(self, message: Message) -> None:
        number, _, count = str(message).partition(" ")
        self._note("got", number, count)
        self.answered = int(number)
        self._settle()

    def _settle(self) -> None:
        if self._has_ended and self.answered == self.sent:
            self._is_answered.set()

    def _told(self, event: SessionEvent) -> None:
        self._note(event.kind, event.why or "-", *event.uncertain)

    def _note(self, *fact: object) -> None:
        self._notes.write(" ".join(map(str, (time.monotonic_ns(), self.name, *fact))) + "\n")
