"""However much there is to read, the loop gets a turn after a bounded number of messages.

How long a turn takes is measured elsewhere (docs/engines.md); here it is counted what it brings.
"""

import asyncio
import ssl
from collections import Counter

import pytest
import trustme
from tests.engines import peers
from tests.engines.peers import Peer, frame, ws_server
from tests.engines.recorder import Recorder
from tests.server.raw import TEXT, client
from tests.server.raw import frame as client_frame
from tests.watch import PATIENCE, Run

from websocket_heartbeat.engines.base import OpenRequest
from websocket_heartbeat.engines.transport import READ
from websocket_heartbeat.engines.websockets import WebsocketsEngine
from websocket_heartbeat.events import Message
from websocket_heartbeat.server import serve

COUNT = 100_000


class Turns:
    """Counts the empty messages that come in each turn of the loop, until one comes that is not."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.done = asyncio.Event()
        self._turn = 0

    def take(self, message: Message) -> None:
        if message == "last":
            self.done.set()
        elif not message:
            self.counts[self._turn] += 1

    async def watch(self) -> None:
        """Watch until the last message has come."""
        async with asyncio.timeout(PATIENCE):
            while not self.done.is_set():  # each turn counts
                await asyncio.sleep(0)
                self._turn += 1
        assert self.counts.total() == COUNT

    def most(self) -> int:
        return max(self.counts.values())


@pytest.fixture(params=["ws", "wss"])
def tls(request: pytest.FixtureRequest) -> tuple[ssl.SSLContext, ...]:
    """Return no context, or those of a server and a client."""
    if request.param == "ws":
        return ()
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    return server, ours


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
        turns = Turns()
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
        assert turns.most() <= 2 * READ // len(tiny)

    run(main())


@pytest.mark.parametrize("when", ["with the handshake", "later"])
def test_a_server_takes_a_bounded_number_of_messages_in_a_turn(
    run: Run, tls: tuple[ssl.SSLContext, ...], when: str
) -> None:
    tiny = client_frame(TEXT)
    flood = tiny * COUNT + client_frame(TEXT, b"last")

    async def main() -> None:
        server_tls, client_tls = tls or (None, None)
        turns = Turns()
        async with serve(lambda peer, message: turns.take(message), ssl=server_tls) as server:
            watching = asyncio.create_task(turns.watch())
            tail = flood if when == "with the handshake" else b""
            async with client(server, tail=tail, tls=client_tls) as raw:
                if not tail:
                    raw.writer.write(flood)
                await watching
        assert turns.most() <= 2 * READ // len(tiny)

    run(main())
