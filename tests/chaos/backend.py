"""The back end of the chaos, a process that is killed: answers messages, and writes down what it does.

    python -m tests.chaos.backend PLACE LEDGER LIFE DURABILITY [HOST NAMESPACE]

It prints its ports, one for each of messages.WAYS, and serves until SIGTERM: then it sends its clients
away and closes. Each line of LEDGER is one fact; the file survives a kill, as the kernel has it.
"""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from contextlib import AsyncExitStack, suppress
from typing import Any

from tests.chaos import messages

from websocket_heartbeat.errors import PeerGone
from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Hub, Peer, serve, throttle

AGAIN = 1000
"""What is added to the number of a life that handles a message again, as answers are known by it."""


class BackEnd:
    """Handles messages and answers them.

    life: the number of this process. Each fact of the ledger is (when, what, client, number of its message).
    """

    def __init__(self, ledger: int, life: int) -> None:
        self._ledger = ledger
        self._life = life
        self._last: dict[int, int] = {}  # by the client, the number of its last message

    def note(self, *fact: object) -> None:
        os.write(self._ledger, json.dumps((time.monotonic_ns(), *fact)).encode() + b"\n")

    def opened(self, peer: Peer) -> None:
        self.note("opened", peer.principal, peer.session)

    def ended(self, session: str, why: str, unacknowledged: tuple[Message, ...]) -> None:
        self.note("over", session, why, len(unacknowledged))

    def _begin(self, peer: Peer, message: Message) -> tuple[int, int, int]:
        client = int(str(peer.principal))
        number = messages.identify_sent(client, message, peer.number)
        if number == self._last.get(client):  # again, as another process had the session meanwhile
            self._life += AGAIN
        self._last[client] = number
        self.note("begun", client, number, peer.number, self._life)
        return client, number, self._life

    async def coroutine(self, peer: Peer, message: Message) -> None:
        client, number, life = self._begin(peer, message)
        for answer in messages.answers(client, number, life):
            await peer.drain()
            peer.send(answer)
        if number % 500 == 0:
            await asyncio.sleep(0.05)  # a slow one
        self.note("ended", client, number)

    def function(self, peer: Peer, message: Message) -> None:
        client, number, life = self._begin(peer, message)
        for answer in messages.answers(client, number, life):
            peer.send(answer)
        self.note("ended", client, number)

    async def loop(self, peer: Peer) -> None:
        self.opened(peer)
        with suppress(PeerGone):
            async for message in peer:
                await self.coroutine(peer, message)


class Warned(logging.Handler):
    """Writes down what the library warns of: that a message may be handled again, and why."""

    def __init__(self, back_end: BackEnd) -> None:
        super().__init__(logging.WARNING)
        self._back_end = back_end

    def emit(self, record: logging.LogRecord) -> None:
        fields = vars(record)
        if "interrupted" in fields:
            self._back_end.note("interrupted", fields["session"], fields["interrupted"])
        elif "forced" in fields:
            self._back_end.note("forced", fields["session"])


async def main(place: str, ledger: str, life: int, durability: str, host: str) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    back_end = BackEnd(os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND), life)
    logging.basicConfig()
    logging.getLogger("websocket_heartbeat.server").addHandler(Warned(back_end))
    throttle.LINES = sys.maxsize
    hub = Hub(
        sessions=place,
        durability=durability,
        authenticate=lambda request: request.query,
        on_session_end=back_end.ended,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(hub.close)
        hooks: tuple[dict[str, Any], ...] = (
            {"on_message": back_end.coroutine, "on_open": back_end.opened},
            {"on_message": back_end.function, "on_open": back_end.opened},
            {"on_open": back_end.loop},
        )
        servers = [await stack.enter_async_context(serve(hub=hub, host=host, **each)) for each in hooks]
        print(json.dumps([server.port for server in servers]), flush=True)
        await stopped.wait()
        await hub.send_away(over=0.2)


if __name__ == "__main__":
    place, ledger, life, durability, *where = sys.argv[1:]
    if where:
        from pyroute2 import netns

        netns.setns(where[1])
    host = where[0] if where else "127.0.0.1"
    asyncio.run(main(place, ledger, int(life), durability, host))
