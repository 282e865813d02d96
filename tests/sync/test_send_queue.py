"""The send queue of blocking code: looked at, emptied, and with a time to live."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from tests.client.servers import free_port
from tests.watch import PATIENCE

from websocket_heartbeat import Backoff, ConnectionClosed, Message, OpenEvent, Undelivered
from websocket_heartbeat.server import Peer, serve
from websocket_heartbeat.sync import connect

SOON = Backoff(0.05, 0.1)


class LateServer:
    """Listens once `open` is set."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}/"
        self.open = threading.Event()
        self.received: list[Message] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._done = threading.Event()

    async def _serve(self) -> None:
        await asyncio.to_thread(self.open.wait, PATIENCE)
        async with serve(self._keep, port=self.port):
            await asyncio.to_thread(self._done.wait, PATIENCE)

    def _keep(self, peer: Peer, message: Message) -> None:
        self.received.append(message)

    def __enter__(self) -> "LateServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open.set()
        self._done.set()
        self._thread.join(PATIENCE)


@pytest.fixture
def server() -> Iterator[LateServer]:
    with LateServer() as late:
        yield late


def test_the_queue_can_be_looked_at_and_emptied(server: LateServer) -> None:
    with connect(server.url, backoff=SOON, proxy=None, close_timeout=PATIENCE) as connection:
        connection.send("one")
        connection.send("two", ttl=PATIENCE)
        assert connection.queued == ("one", "two")
        assert connection.clear_queue() == ("one", "two")
        connection.send("three", timeout=PATIENCE, ttl=PATIENCE)
        server.open.set()
    assert server.received == ["three"]
    assert connection.clear_queue() == ()
    with pytest.raises(ConnectionClosed):
        connection.send("late", ttl=1)


def test_a_hook_may_empty_it(server: LateServer) -> None:
    connection = connect(server.url, backoff=SOON, proxy=None)

    @connection.on_open
    def subscribe(event: OpenEvent) -> None:
        assert connection.clear_queue() == ("subscribe",)
        connection.send("subscribe", ttl=PATIENCE)

    with connection:
        connection.send("subscribe")
        server.open.set()
        connection.wait_open(PATIENCE)
        connection.drain()
    assert server.received == ["subscribe"]


def test_what_waited_too_long_is_reported_and_what_was_not_sent_can_be_had_after_the_end() -> None:
    errors: list[Exception] = []
    with connect(f"ws://127.0.0.1:{free_port()}/", proxy=None, send_queue=1, close_timeout=0) as connection:
        connection.on_error = errors.append
        connection.send("fills the queue")
        with pytest.raises(Undelivered, match="expired"):
            connection.send("stale", ttl=0.1)
    assert connection.queued == ("fills the queue",)
    assert [error.messages for error in errors if isinstance(error, Undelivered)] == [("fills the queue",)]
    assert connection.clear_queue() == ("fills the queue",)
