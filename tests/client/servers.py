"""Servers that behave, on which tests put their faults: in this loop or in another thread."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator

from tests.engines.peers import CLOSE, PING, PONG, TEXT, Handler, Peer, frame, ws_server


async def well_behaved(peer: Peer) -> None:
    """Answer pings, send text back, answer the close frame."""
    while True:
        got = await peer.read_frame()
        if got.opcode == PING:
            peer.write(frame(PONG, got.payload))
        elif got.opcode == CLOSE:
            peer.write(frame(CLOSE, got.payload))
            return
        else:
            peer.write(frame(got.opcode, got.payload))


async def talk(peer: Peer, every: float, text: bytes = b"talk") -> None:
    """Send text for ever, and never read."""
    while True:
        peer.write(frame(TEXT, text))
        await peer.writer.drain()
        await asyncio.sleep(every)


async def alongside(peer: Peer, *parts: Callable[[Peer], Awaitable[None]]) -> None:
    """Do several things at once until the first of them ends."""
    tasks = [asyncio.ensure_future(part(peer)) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def in_a_thread(handler: Handler) -> Iterator[str]:
    """Run a server on a loop of its own, so that it goes on while the test blocks its loop; yield its URL."""
    urls: list[str] = []
    ready = threading.Event()
    stop = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        async with ws_server(handler) as server:
            urls.append(server.url())
            loops.append(asyncio.get_running_loop())
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(20)
        yield urls[0]
    finally:
        if loops:
            loops[0].call_soon_threadsafe(stop.set)
        thread.join(20)
    assert not thread.is_alive()


def free_port() -> int:
    """Return a port of this host on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
