"""However much there is to read, the loop gets a turn after a bounded number of messages.

How long a turn takes is measured elsewhere (docs/engines.md); here it is counted what it brings.
"""

import asyncio
import ssl
import zlib
from collections import Counter
from collections.abc import Callable

import pytest
from tests.certificates import tls_pair
from tests.engines import peers
from tests.engines.peers import Peer, frame, ws_server
from tests.engines.recorder import Recorder, opened
from tests.server.raw import TEXT, client
from tests.server.raw import frame as client_frame
from tests.watch import PATIENCE, Run

from websocket_heartbeat.engines.base import OpenRequest
from websocket_heartbeat.engines.transport import READ
from websocket_heartbeat.engines.websockets import WebsocketsEngine
from websocket_heartbeat.engines.wire import INFLATED
from websocket_heartbeat.events import Message
from websocket_heartbeat.server import serve

COUNT = 100_000
IN_A_TURN = 3 * READ
"""Bytes of a flood in a turn at most: the last that was put off, up to two reads, and one read more."""
IN_A_TURN = 3 * READ
"""Bytes of a flood in a turn at most: the last that was put off, up to two reads, and one read more."""


class Turns:
    """Adds up in each turn of the loop what its messages weigh, until one comes that says "last"."""

    def __init__(self, weigh: Callable[[Message], int]) -> None:
        self.sums: Counter[int] = Counter()
        self._weigh = weigh
        self._done = asyncio.Event()
        self._turn = 0

    def take(self, message: Message) -> None:
        if message == "last":
            self._done.set()
        else:
            self.sums[self._turn] += self._weigh(message)

    async def watch(self) -> None:
        """Watch until the last message has come."""
        async with asyncio.timeout(PATIENCE):
            while not self._done.is_set():  # each turn counts
                await asyncio.sleep(0)
                self._turn += 1

    def most(self) -> int:
        return max(self.sums.values())


def is_empty(message: Message) -> bool:
    return not message


@pytest.fixture(params=["ws", "wss"])
def tls(request: pytest.FixtureRequest) -> tuple[ssl.SSLContext, ...]:
    """Return no context, or those of a server and a client."""
    if request.param == "ws":
        return ()
    return tls_pair()


@pytest.mark.parametrize("when", ["with the handshake", "later", "behind a long frame"])
def test_a_client_takes_a_bounded_number_of_messages_in_a_turn(
    run: Run, tls: tuple[ssl.SSLContext, ...], when: str
) -> None:
    tiny = frame(peers.TEXT)
    flood = tiny * COUNT + frame(peers.TEXT, b"last")

    async def handler(peer: Peer) -> None:
        await peer.read_frame()
        if when == "behind a long frame":
            peer.write(frame(peers.BINARY, bytes(10 * READ), fin=False) + frame(peers.CONTINUATION))
        if when != "with the handshake":
            peer.write(flood)
        await peer.gone()

    async def main() -> None:
        first = flood if when == "with the handshake" else b""
        server_tls, client_tls = tls or (None, None)
        turns = Turns(is_empty)
        async with ws_server(handler, first=first, tls=server_tls) as server:
            url = server.url(scheme="wss" if tls else "ws")
            recorder = Recorder()
            recorder.on_opened = lambda link: setattr(link, "deliver", turns.take)
            watching = asyncio.create_task(turns.watch())
            request = OpenRequest(url, max_size=1 << 20, ssl=client_tls)
            await WebsocketsEngine().open(request, recorder)
            assert recorder.link is not None
            recorder.link.ping()
            await watching
            recorder.link.abort()
        assert turns.sums.total() == COUNT
        assert turns.most() <= IN_A_TURN // len(tiny)

    run(main())


@pytest.mark.parametrize("when", ["with the handshake", "later"])
def test_a_server_takes_a_bounded_number_of_messages_in_a_turn(
    run: Run, tls: tuple[ssl.SSLContext, ...], when: str
) -> None:
    tiny = client_frame(TEXT)
    flood = tiny * COUNT + client_frame(TEXT, b"last")

    async def main() -> None:
        server_tls, client_tls = tls or (None, None)
        turns = Turns(is_empty)
        async with serve(lambda peer, message: turns.take(message), ssl=server_tls) as server:
            watching = asyncio.create_task(turns.watch())
            tail = flood if when == "with the handshake" else b""
            async with client(server, tail=tail, tls=client_tls) as raw:
                if not tail:
                    raw.writer.write(flood)
                await watching
        assert turns.sums.total() == COUNT
        assert turns.most() <= IN_A_TURN // len(tiny)

    run(main())


@pytest.mark.parametrize("hook", ["takes them", "pauses and resumes"])
def test_a_flood_of_what_inflates_is_taken_in_turns(
    run: Run, tls: tuple[ssl.SSLContext, ...], hook: str
) -> None:
    deflated = zlib.compressobj(wbits=-15)
    data = deflated.compress(b"x" * 200_000) + deflated.flush(zlib.Z_SYNC_FLUSH)
    message = frame(peers.TEXT, data.removesuffix(b"\0\0\xff\xff"), rsv=4)

    async def handler(peer: Peer) -> None:
        await peer.read_frame()
        for _ in range(300):
            peer.write(message)  # each a record of its own
        peer.write(frame(peers.TEXT, b"last"))
        await peer.gone()

    async def main() -> None:
        server_tls, client_tls = tls or (None, None)
        turns = Turns(len)
        extension = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover"
        async with ws_server(handler, extension, tls=server_tls) as server:
            url = server.url(scheme="wss" if tls else "ws")
            link, _ = await opened(WebsocketsEngine(), url, ssl=client_tls, compression=True)

            def take(message: Message) -> None:
                turns.take(message)
                if hook == "pauses and resumes":
                    link.pause_reading()
                    link.resume_reading()

            link.deliver = take
            link.ping()
            await turns.watch()
            link.abort()
        assert turns.sums.total() == 300 * 200_000
        assert turns.most() < 5 * INFLATED

    run(main())


def test_what_waits_for_its_turn_is_taken_before_the_end_of_the_connection(
    run: Run, tls: tuple[ssl.SSLContext, ...]
) -> None:
    deflated = zlib.compressobj(wbits=-15)
    data = deflated.compress(b"x" * 200_000) + deflated.flush(zlib.Z_SYNC_FLUSH)
    message = frame(peers.TEXT, data.removesuffix(b"\0\0\xff\xff"), rsv=4)

    async def handler(peer: Peer) -> None:
        await peer.read_frame()
        peer.write(message * 20 + peers.close_frame(1000, "bye"))
        peer.writer.close()
        await peer.gone()

    async def main() -> None:
        server_tls, client_tls = tls or (None, None)
        extension = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover"
        async with ws_server(handler, extension, tls=server_tls) as server:
            url = server.url(scheme="wss" if tls else "ws")
            link, recorder = await opened(WebsocketsEngine(), url, ssl=client_tls, compression=True)
            link.ping()
            closure = await recorder.closure()
            assert (closure.code, closure.reason) == (1000, "bye")
            assert len(recorder.messages) == 20

    run(main())
