"""Lives made of random events: whatever the order, no message is lost, doubled or overtaken in silence."""

import asyncio
import random
from typing import Any

import pytest
from tests.client.conftest import World
from tests.watch import Run, turns

from websocket_heartbeat import (
    CloseEvent,
    Connection,
    ConnectionClosed,
    HandshakeRejected,
    Message,
    NotConnected,
    OpenEvent,
    SendQueueFull,
    Undelivered,
)
from websocket_heartbeat.engines.base import OpenRequest
from websocket_heartbeat.engines.memory import MemoryLink, MemoryPeer

EVENTS = [
    "send",
    "send_nowait",
    "cancel",
    "serve",
    "serve",
    "reset",
    "close_frame",
    "freeze",
    "stop",
    "stop",
    "start",
    "reconnect",
    "hook",
    "read",
]


_send = MemoryLink.send


class Life:
    """One connection to which a random generator does everything that can be done to it."""

    def __init__(self, world: World, dice: random.Random) -> None:
        self.world = world
        self.dice = dice
        self.connection: Connection = world.recorded(
            send_queue=dice.choice([0, 1, 3, 256]), receive_queue=dice.choice([1, 2, 256]), close_timeout=2
        )
        self.taken: list[Message] = []  # messages that send accepted, oldest first
        self.served: list[Message] = []  # messages that peers sent on living, reading links
        self.got: list[Message] = []
        self.senders: set[asyncio.Task[None]] = set()
        self.count = 0
        self.handed: list[Message] = []  # messages that links were given
        self.reader: asyncio.Task[None] | None = None
        world.engine.answer = self.answer

    def note(self, link: MemoryLink, message: Message) -> None:
        self.handed.append(message)
        _send(link, message)

    async def answer(self, request: OpenRequest) -> None:
        chance = self.dice.random()
        if chance < 0.2:
            raise OSError("refused")
        if chance < 0.3:
            raise HandshakeRejected(503, [("Retry-After", "3")])
        if chance < 0.4:
            await asyncio.sleep(self.dice.choice([1, 100]))

    @property
    def peer(self) -> MemoryPeer | None:
        return self.world.engine.peers[-1] if self.world.engine.live_peers else None

    def text(self, who: str) -> str:
        self.count += 1
        return f"{who} {self.count}" + "." * self.dice.choice([0, 0, 0, 70_000])

    async def send(self, message: Message) -> None:
        try:
            await self.connection.send(message)
        except (NotConnected, ConnectionClosed):
            return
        self.taken.append(message)

    def event(self) -> None:
        """Let one thing happen."""
        dice, connection, peer = self.dice, self.connection, self.peer
        kind = dice.choice(EVENTS)
        if kind == "send":
            task = asyncio.create_task(self.send(self.text("client")))
            self.senders.add(task)
        elif kind == "cancel" and self.senders:
            dice.choice(sorted(self.senders, key=lambda task: task.get_name())).cancel()
        elif kind == "send_nowait":
            message = self.text("client")
            try:
                connection.send_nowait(message)
            except (NotConnected, SendQueueFull):
                return
            self.taken.append(message)
        elif kind == "hook":
            connection.on_message = dice.choice(
                [None, self.got.append, self.slowly, lambda m: self.slowly(m)]
            )
        elif kind == "read":
            self.reader = self.reader or asyncio.create_task(self.read())
        elif kind == "reconnect":
            connection.reconnect_now()
        elif peer is not None:
            self.harm(kind, peer)

    def harm(self, kind: str, peer: MemoryPeer) -> None:
        if kind == "serve" and not peer.frozen:
            message = self.text("server")
            peer.send(message)
            self.served.append(message)
        elif kind == "reset":
            self.served = [message for message in self.served if message not in peer.unread]
            peer.reset()
        elif kind == "close_frame":
            self.served = [message for message in self.served if message not in peer.unread]
            peer.close(self.dice.choice([1000, 1012]), "retry-after=1")
        elif kind == "freeze":
            peer.frozen = self.dice.random() < 0.5
        elif kind == "stop":
            peer.stop_reading()
        elif kind == "start":
            peer.start_reading()

    async def slowly(self, message: Message) -> None:
        self.got.append(message)
        await asyncio.sleep(self.dice.choice([0, 0, 0.5]))

    async def read(self) -> None:
        async for message in self.connection:
            self.got.append(message)
            await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(20))
def test_every_message_is_accounted_for(
    seed: int, world: World, play: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        dice = random.Random(seed)
        life = Life(world, dice)
        connection = life.connection
        monkeypatch.setattr(MemoryLink, "send", lambda link, message: life.note(link, message))
        async with connection:
            for _ in range(150):
                life.event()
                assert len(world.engine.live_peers) <= 1
                await (turns(dice.randrange(4)) if dice.random() < 0.8 else asyncio.sleep(dice.random() * 8))
            connection.on_message = None
            life.reader = life.reader or asyncio.create_task(life.read())
            await asyncio.sleep(1)
        await asyncio.gather(*life.senders, return_exceptions=True)
        await life.reader
        check(life, world)

    play(main())


def check(life: Life, world: World) -> None:
    # To the server: each message was handed to one link, in order, or is reported. What links did with it:
    arrived = [message for peer in world.engine.peers for message in peer.received]
    undelivered = [message for error in world.seen(Undelivered) for message in error.messages]
    assert [*life.handed, *undelivered] == life.taken
    assert is_sorted([life.taken.index(message) for message in arrived])
    # To the user: what was read from a link is delivered once, in order.
    assert len(set(life.got)) == len(life.got)
    served = {message: number for number, message in enumerate(life.served)}
    assert is_sorted([served[message] for message in life.got if message in served])
    # Every link that opened was closed before the next.
    links = [event for event in world.events if isinstance(event, OpenEvent | CloseEvent)]
    for opened, closed in zip(links[::2], links[1::2], strict=True):
        assert isinstance(opened, OpenEvent)
        assert isinstance(closed, CloseEvent)
        assert opened.link == closed.link
    assert world.events[-1] == "closed" or isinstance(world.events[-1], Undelivered)


def is_sorted(numbers: list[Any]) -> bool:
    return numbers == sorted(numbers)
