"""The clients of the chaos load: each sends, takes answers in its own way, and writes down what it sees."""

import asyncio
import logging
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from tests.chaos import messages

from websocket_heartbeat import Backoff, Connection, Heartbeat, connect, sync
from websocket_heartbeat.errors import ConnectionClosed, Undelivered
from websocket_heartbeat.events import Message, SessionEvent

OPTIONS: dict[str, Any] = {
    "session": "require",
    "heartbeat": Heartbeat(1, 1),
    "backoff": Backoff(initial=0.02, maximum=0.3, stable_after=0),
    "open_timeout": 3,
    "close_timeout": 10,
    "max_size": messages.MAX_SIZE,
}

_UNANSWERED = 100
"""Answers that a client awaits at most whose back end does not wait for room in the window."""

_logger = logging.getLogger(__name__)


class Budget:
    """The messages that all clients send together, until it is used up or `stop` is called."""

    def __init__(self, count: int) -> None:
        self.left = count
        self._lock = threading.Lock()

    def take(self) -> bool:
        with self._lock:
            self.left -= 1
            return self.left >= 0

    def stop(self) -> None:
        with self._lock:
            self.left = 0


class Client(ABC):
    """One client.

    number: it identifies itself by that. is_bounded: whether it bounds the answers that it awaits.
    accepted: how many messages `send` has taken, numbered from 1 on. handled: the numbers of answers.
    told: its messages that were reported. sessions: the kinds, and reasons, of what on_session was told.
    """

    def __init__(self, number: int, url: str, seed: int, is_bounded: bool) -> None:
        self.number = number
        self.url = f"{url}?{number}"
        self.random = random.Random(f"{seed} {number}")
        self.is_bounded = is_bounded
        self.accepted = 0
        self.expected = 0
        self.handled: list[int] = []
        self.told: list[int] = []
        self.sessions: list[tuple[str, str]] = []
        self.is_closed = False
        self._last = 0  # the number of the last message that has answers

    def take(self, message: Message) -> None:
        before = self.handled[-1] if self.handled else 0
        self.handled.append(messages.identify_answer(self.number, message, before))

    def next(self) -> Message:
        """Number the next message; it counts as accepted once `send` has returned."""
        number = self.accepted + 1
        answers = messages.answers_to(self.number, number)
        self.expected += answers
        if answers:
            self._last = number
        return messages.sent(self.number, number)

    @property
    def must_wait(self) -> bool:
        return self.is_bounded and not self.is_closed and self.expected - len(self.handled) > _UNANSWERED

    @property
    def is_answered(self) -> bool:
        """Whether the last answer has come, and so all."""
        if not self._last:
            return True
        last = messages.answer_number(0, self._last, messages.answers_to(self.number, self._last) - 1)
        return bool(self.handled) and self.handled[-1] & 2**40 - 1 == last

    def told_session(self, event: SessionEvent) -> None:
        self.sessions.append((event.kind, event.why))
        self._tell(event.uncertain)

    def told_error(self, error: Exception) -> None:
        if isinstance(error, Undelivered):
            self._tell(error.messages)

    def _tell(self, uncertain: Sequence[Message]) -> None:
        """Note messages as told: they are the last that were accepted."""
        first = self.accepted - len(uncertain) + 1
        for number, message in enumerate(uncertain, first):
            self.told.append(messages.identify_sent(self.number, message, number))

    @abstractmethod
    async def run(self, budget: Budget) -> None:
        """Send until the budget is used up, and return when all is answered; `close` is next."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connection."""

    @abstractmethod
    def meddle(self) -> None:
        """Do to the links what a program may do."""


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, however long."""
    while True:
        if condition():
            return
        await asyncio.sleep(0.01)


class AsyncClient(Client):
    """A client for asyncio; way: how it takes answers."""

    def __init__(self, number: int, url: str, seed: int, is_bounded: bool, way: str) -> None:
        super().__init__(number, url, seed, is_bounded)
        self.way = way
        self.connection: Connection = connect(self.url, **OPTIONS)
        self.connection.on_session = self.told_session
        self.connection.on_error = self.told_error
        self._renewing: set[asyncio.Task[None]] = set()

    async def run(self, budget: Budget) -> None:
        taking: asyncio.Task[None] | None = None
        if self.way == "function":
            self.connection.on_message = self.take
        elif self.way == "coroutine":
            self.connection.on_message = self._hook
        self.connection.start()
        if self.way not in ("function", "coroutine"):
            taking = asyncio.create_task(getattr(self, f"_{self.way}")())
        while budget.take():
            await self.connection.send(self.next())
            self.accepted += 1
            if self.accepted % 300 == 0:
                await asyncio.sleep(self.random.uniform(0, 0.05))
            await _until(lambda: not self.must_wait)
        await self.connection.flush()
        await _until(lambda: self.is_answered)
        if taking is not None:
            taking.cancel()
            await asyncio.wait([taking])

    async def close(self) -> None:
        self.is_closed = True
        await self.connection.close()
        if self._renewing:
            await asyncio.wait(self._renewing)

    async def _iterate(self) -> None:
        async for message in self.connection:
            self.take(message)
            if self.random.random() < 0.001:
                await asyncio.sleep(0.01)

    async def _recv(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                with suppress(TimeoutError):  # a cancelled recv loses nothing
                    async with asyncio.timeout(self.random.uniform(0, 0.05)):
                        self.take(await self.connection.recv())

    async def _batches(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                for message in await self.connection.recv_waiting():
                    self.take(message)

    async def _slowly(self) -> None:
        async for message in self.connection:
            self.take(message)
            if self.random.random() < 0.2:
                await asyncio.sleep(0.02)

    async def _hook(self, message: Message) -> None:
        self.take(message)
        if self.random.random() < 0.01:
            await asyncio.sleep(0.005)

    def meddle(self) -> None:
        chance = self.random.random()
        if chance < 0.4:
            self.connection.reconnect_now()
        elif chance < 0.6:
            self.connection.fail_link("chaos")
        else:
            renewing = asyncio.create_task(self._renew())
            self._renewing.add(renewing)
            renewing.add_done_callback(self._renewing.discard)

    async def _renew(self) -> None:
        with suppress(Exception):  # the new link may be lost in its handshake, and the old one goes on
            await self.connection.renew()


class SyncClient(Client):
    """A client for blocking code, with a thread that sends and one that takes answers."""

    def __init__(self, number: int, url: str, seed: int, is_bounded: bool) -> None:
        super().__init__(number, url, seed, is_bounded)
        self._connection = sync.connect(self.url, **OPTIONS)
        self._connection.on_session = self.told_session
        self._connection.on_error = self.told_error

    async def run(self, budget: Budget) -> None:
        await asyncio.to_thread(self._connection.__enter__)
        self._taker = threading.Thread(target=self._take_all, daemon=True)
        self._taker.start()
        await asyncio.to_thread(self._send_all, budget)
        await _until(lambda: self.is_answered)

    def _send_all(self, budget: Budget) -> None:
        while budget.take():
            self._connection.send(self.next())
            self.accepted += 1
            while self.must_wait:
                time.sleep(0.005)
        self._connection.flush()

    def _take_all(self) -> None:
        with suppress(ConnectionClosed):
            for message in self._connection:
                self.take(message)

    async def close(self) -> None:
        self.is_closed = True
        await asyncio.to_thread(self._connection.close)
        await asyncio.to_thread(self._taker.join)

    def meddle(self) -> None:
        self._connection.reconnect_now()


WAYS = ("iterate", "recv", "batches", "slowly", "function", "coroutine", "blocking")
"""How a client takes its answers."""


def make(way: str, number: int, url: str, seed: int, is_bounded: bool) -> Client:
    """Return a client that takes its answers that way."""
    if way == "blocking":
        return SyncClient(number, url, seed, is_bounded)
    return AsyncClient(number, url, seed, is_bounded, way)
