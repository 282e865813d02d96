"""Random streams over real sockets to a user who pauses reading at random: all arrives, in its order."""

import asyncio
import random
import zlib
from dataclasses import dataclass, field

import pytest
from tests.certificates import tls_pair
from tests.engines import peers
from tests.engines.peers import Peer, close_frame, frame, ws_server
from tests.engines.recorder import opened
from tests.watch import PATIENCE, Run

from websocket_heartbeat.engines.base import Link
from websocket_heartbeat.engines.transport import READ
from websocket_heartbeat.engines.websockets import WebsocketsEngine
from websocket_heartbeat.events import Message

LIVES = 12
SIZES = (0, 1, 10, 125, 126, 200, 5000, 16384, READ, READ + 200, 70_000, 300_000)
WRITES = (1, 7, 100, 1000, 16384, 40_000, 300_000)


@dataclass
class Stream:
    """What a server sends, in random pieces, frames and sizes.

    leaves: whether the server closes the connection right behind its close frame. It then sends no pings: an
    answer that it has not read would make the end a reset.
    """

    chance: random.Random
    deflates: bool
    messages: list[Message] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.leaves = self.chance.random() < 0.5
        deflater = zlib.compressobj(wbits=-15)
        for number in range(self.chance.randrange(5, 200)):
            size = self.chance.choice(SIZES if self.chance.random() < 0.3 else SIZES[:6])
            payload = f"{number} ".ljust(size, "x").encode()
            is_text = self.chance.random() < 0.5
            self.messages.append(payload.decode() if is_text else payload)
            rsv = 0
            if self.deflates and self.chance.random() < 0.8:
                payload = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
                payload = payload.removesuffix(b"\0\0\xff\xff")
                rsv = 4
            self._add(peers.TEXT if is_text else peers.BINARY, payload, rsv)
        self.data += close_frame(1000, "bye")

    def _add(self, opcode: int, payload: bytes, rsv: int) -> None:
        if self.chance.random() < 0.8:
            self.data += frame(opcode, payload, rsv=rsv)
            return
        middle = self.chance.randrange(len(payload) + 1)
        self.data += frame(opcode, payload[:middle], fin=False, rsv=rsv)
        self.data += b"" if self.leaves else frame(peers.PING, b"between")
        self.data += frame(peers.CONTINUATION, payload[middle:])

    async def send(self, peer: Peer) -> None:
        """Wait for the client's ping, then send all."""
        await peer.read_frame()
        while self.data:
            size = self.chance.choice(WRITES)
            peer.write(bytes(self.data[:size]))
            del self.data[:size]
            if self.chance.random() < 0.3:
                await peer.writer.drain()
                await asyncio.sleep(0)
        if self.leaves:
            peer.writer.close()
        await peer.gone()


def pause_at_random(link: Link, chance: random.Random) -> asyncio.TimerHandle | None:
    """Pause reading for a while, for a turn of the loop, or for no time at all; mostly do not.

    Return the timer of a while.
    """
    loop = asyncio.get_running_loop()
    dice = chance.random()
    if dice < 0.3:
        link.pause_reading()
    if dice < 0.1:
        return loop.call_later(chance.random() * 0.005, link.resume_reading)
    if dice < 0.2:
        loop.call_soon(link.resume_reading)
    elif dice < 0.3:
        link.resume_reading()
    return None


@pytest.mark.parametrize("deflates", [False, True], ids=["plain", "deflated"])
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_all_arrives_in_its_order_whatever_the_pauses(run: Run, scheme: str, deflates: bool) -> None:
    server_tls, client_tls = tls_pair()

    async def live(seed: int) -> None:
        stream = Stream(random.Random(seed), deflates)
        messages = list(stream.messages)
        received: list[Message] = []
        timers: list[asyncio.TimerHandle | None] = []
        extension = ["Sec-WebSocket-Extensions: permessage-deflate"] if deflates else []
        tls = server_tls if scheme == "wss" else None
        async with ws_server(stream.send, *extension, tls=tls) as server, asyncio.timeout(PATIENCE):
            link, recorder = await opened(
                WebsocketsEngine(), server.url(scheme=scheme), ssl=client_tls, compression=deflates
            )

            def take(message: Message) -> None:
                received.append(message)
                timers.append(pause_at_random(link, stream.chance))

            link.deliver = take
            link.ping()
            closure = await recorder.closure()
            assert (closure.code, closure.reason, closure.error) == (1000, "bye", None), f"seed {seed}"
            assert received == messages, f"seed {seed}"
            for timer in timers:
                if timer is not None:
                    timer.cancel()

    async def main() -> None:
        for seed in range(LIVES):
            await live(seed)

    run(main())
