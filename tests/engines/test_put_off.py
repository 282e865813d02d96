"""What a link has read and left to later turns of the loop comes before its end, be that a reset."""

import asyncio
import socket
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.certificates import tls_pair
from tests.engines.blocking import BlockingServer
from tests.engines.peers import BINARY, TEXT, frame
from tests.engines.recorder import Recorder
from tests.watch import PATIENCE, Run, turns, until

from websocket_heartbeat.engines.base import Link, OpenRequest
from websocket_heartbeat.engines.transport import READ
from websocket_heartbeat.engines.websockets import WebsocketsEngine
from websocket_heartbeat.events import Message
from websocket_heartbeat.system.kernel import TELLS


@dataclass
class Script:
    """What a server sends: at once, and when the client has paused reading, piece by piece."""

    first: bytes
    pieces: list[bytes]
    messages: list[Message]

    def play(self, client: socket.socket) -> None:
        client.sendall(self.first)
        client.recv(65536)  # the client's ping: it reads no further by itself
        for piece in self.pieces:
            client.sendall(piece)


def inflating() -> Script:
    """Messages that are small on the wire and large when they are unpacked."""
    message = bytes(200_000)
    compressor = zlib.compressobj(wbits=-15)
    pieces = []
    for _ in range(30):
        packed = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
        pieces.append(frame(BINARY, packed.removesuffix(b"\x00\x00\xff\xff"), rsv=4))
    assert sum(map(len, pieces)) < READ // 2
    # In three pieces, and so records of TLS; more, and TCP would begin to wait for acknowledgements.
    return Script(b"", [b"".join(pieces[at : at + 10]) for at in (0, 10, 20)], [message] * 30)


def behind_a_long_message() -> Script:
    """Short messages behind a long one, after which reads are larger than what is taken in one turn."""
    short = [f"{number:05}" * 10 for number in range(2400)]
    piece = b"".join(frame(TEXT, text.encode()) for text in short)
    assert 3 * READ < len(piece) < 5 * READ
    return Script(frame(BINARY, bytes(300_000)), [piece], list(short))


@pytest.mark.parametrize("is_paused", [False, True], ids=["reading", "paused"])
@pytest.mark.parametrize(
    ("made", "scheme"), [(inflating, "ws"), (inflating, "wss"), (behind_a_long_message, "ws")]
)
def test_a_reset_loses_nothing_of_what_was_read(
    made: Callable[[], Script], scheme: str, is_paused: bool, run: Run
) -> None:
    script = made()
    server_tls, client_tls = tls_pair()

    async def main() -> None:
        recorder = Recorder()
        with BlockingServer(script.play, server_tls if scheme == "wss" else None) as server:
            request = OpenRequest(
                f"{scheme}://127.0.0.1:{server.port}/",
                max_size=2**20,
                compression=made is inflating,
                ssl=client_tls,
            )
            async with asyncio.timeout(PATIENCE):
                await WebsocketsEngine().open(request, recorder)
            link = recorder.link
            assert link is not None
            await recorder.until(lambda: len(recorder.messages) == (1 if script.first else 0))
            recorder.messages.clear()
            await read_and_reset(link, recorder, server, is_paused)
            closure = await recorder.closure()
            assert recorder.messages == script.messages
            assert isinstance(closure.error, ConnectionError)
            if TELLS:
                assert closure.uncertain_bytes, "what was sent to nobody"
            await turns()
            assert len(recorder.closures) == 1

    run(main())


async def read_and_reset(link: Link, recorder: Recorder, server: BlockingServer, is_paused: bool) -> None:
    """Have the link read all, and lose its connection within the delivery of the first message."""

    def deliver(message: Message) -> None:
        recorder.deliver(message)
        if len(recorder.messages) == 1:
            server.reset()
            for _ in range(2):  # which it notices
                link.send("is anybody there?")
            if is_paused:
                link.pause_reading()

    link.deliver = deliver
    link.pause_reading()
    link.ping()
    await until(lambda: server.is_done)
    link.resume_reading()
    await recorder.until(lambda: recorder.messages)
    if is_paused:
        await turns()
        assert recorder.closures == []
        assert link.full, "it would take messages that nobody gets"
        link.send("lost")
        link.ping()
        assert link.buffered == 0
        link.resume_reading()


def test_an_abort_of_a_link_that_is_lost_already_says_nothing_more(run: Run) -> None:
    script = inflating()

    async def main() -> None:
        recorder = Recorder()
        with BlockingServer(script.play) as server:
            request = OpenRequest(f"ws://127.0.0.1:{server.port}/", max_size=2**20, compression=True)
            await WebsocketsEngine().open(request, recorder)
            assert recorder.link is not None
            await read_and_reset(recorder.link, recorder, server, is_paused=True)
            count = len(recorder.messages)
            recorder.link.abort()
            await turns()
            assert len(recorder.messages) == count
            assert recorder.closures == []

    run(main())
