"""Transports that read more than a buffer holds, and hand it over in parts, as those of Windows do."""

from asyncio import protocols, selector_events
from typing import Any

import pytest
from tests.engines import peers
from tests.engines.peers import frame, ws_server
from tests.engines.recorder import opened
from tests.server.raw import client
from tests.server.raw import frame as client_frame
from tests.watch import Run, until

from websocket_heartbeat.engines.transport import READ
from websocket_heartbeat.engines.websockets import WebsocketsEngine
from websocket_heartbeat.events import Message
from websocket_heartbeat.server import serve

MESSAGES = [f"{number}: ".ljust(1000, "x") for number in range(2 * READ // 1100)]


@pytest.fixture(autouse=True)
def _reads_as_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: Any) -> None:
        data = self._sock.recv(2 * READ)
        if data:
            protocols._feed_data_to_buffered_proto(self._protocol, data)  # type: ignore[attr-defined]
        else:
            self._read_ready__on_eof()

    transport = selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
    monkeypatch.setattr(transport, "_read_ready__get_buffer", read)


def test_a_client_gets_all_that_comes_right_behind_the_handshake(run_asyncio: Run) -> None:
    async def main() -> None:
        greeting = b"".join(frame(peers.TEXT, text.encode()) for text in MESSAGES)
        async with ws_server(peers.quiet, first=greeting) as server:
            link, recorder = await opened(WebsocketsEngine(), server.url())
            await recorder.until(lambda: len(recorder.messages) == len(MESSAGES))
            assert recorder.messages == MESSAGES
            link.abort()

    run_asyncio(main())


def test_a_server_gets_all_that_comes_right_behind_the_handshake(run_asyncio: Run) -> None:
    async def main() -> None:
        received: list[Message] = []
        tail = b"".join(client_frame(peers.TEXT, text.encode()) for text in MESSAGES)
        async with serve(lambda _, data: received.append(data)) as server, client(server, tail=tail):
            await until(lambda: len(received) == len(MESSAGES))
            assert received == MESSAGES

    run_asyncio(main())


def test_a_long_message_is_read_across_such_reads(run_asyncio: Run) -> None:
    async def main() -> None:
        received: list[Message] = []
        message = bytes(range(256)) * 1000
        async with serve(lambda _, data: received.append(data)) as server, client(server) as raw:
            for _ in range(3):
                raw.frame(peers.BINARY, message)
            await until(lambda: len(received) == 3)
            assert received == [message] * 3

    run_asyncio(main())
