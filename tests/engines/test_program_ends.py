"""A hook that ends the program leaves its link whole for a last farewell; a signal may end one that opens."""

import asyncio
import signal
from contextlib import AsyncExitStack

import pytest
from tests.engines import peers
from tests.engines.peers import Peer, frame, ws_server
from tests.engines.recorder import Recorder, opened
from tests.watch import PATIENCE

from websocket_heartbeat.engines.answer import read_head
from websocket_heartbeat.engines.base import Link
from websocket_heartbeat.engines.websockets import WebsocketsEngine
from websocket_heartbeat.events import Message

LONG = 40_000
"""Bytes of a message that is longer than a read."""


@pytest.mark.parametrize("place", ["first", "after another"])
def test_what_was_delivered_before_is_told_and_what_comes_behind_is_not_lost(place: str) -> None:
    before = [b"1" * LONG] if place == "after another" else []

    async def handler(peer: Peer) -> None:
        peer.write(frame(peers.BINARY, bytes(100_000)))  # what comes behind it is read in larger pieces
        await peer.read_frame()
        for message in (*before, b"exit" * (LONG // 4), b"2" * LONG):
            peer.write(frame(peers.BINARY, message))
        await peer.read_frame()
        peer.write(frame(peers.BINARY, b"3"))
        await peer.gone()

    stack = AsyncExitStack()

    async def begin() -> tuple[Link, Recorder]:
        server = await stack.enter_async_context(ws_server(handler))
        link, recorder = await opened(WebsocketsEngine(), server.url())
        stack.callback(link.abort)
        await recorder.until(lambda: recorder.batches)
        recorder.messages.clear()
        recorder.log.clear()

        def deliver(message: Message) -> None:
            recorder.deliver(message)
            if message[:4] == b"exit":
                raise SystemExit

        link.deliver = deliver
        return link, recorder

    async def burst() -> None:
        link.ping()
        await asyncio.sleep(PATIENCE)

    async def end() -> None:
        link.ping()
        await recorder.until(lambda: b"3" in recorder.messages)
        await stack.aclose()

    with asyncio.Runner() as runner:
        link, recorder = runner.run(begin())
        with pytest.raises(SystemExit):
            runner.run(burst())
        assert recorder.log[-1] == "batch"
        runner.run(end())
    assert recorder.messages == [*before, b"exit" * (LONG // 4), b"2" * LONG, b"3"]


def test_a_signal_that_cancels_while_the_answer_is_read_cancels_and_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio.run's handler of SIGINT cancels the main task wherever that is, also in a call of the loop."""

    def read(head: bytes) -> object:
        signal.raise_signal(signal.SIGINT)
        return read_head(head)

    monkeypatch.setattr("websocket_heartbeat.engines.websockets.read_head", read)

    async def main() -> None:
        async with ws_server(peers.hang) as server:
            await opened(WebsocketsEngine(), server.url())

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert caplog.text == ""
