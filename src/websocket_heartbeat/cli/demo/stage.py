"""The demo's server behind its fault proxy, on a thread with a loop of its own.

So a client that blocks its own loop does not block the server.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Peer, Server, serve
from websocket_heartbeat.testing import FaultProxy


class Stage:
    """The server, the proxy and the faults of both. All methods are called on the client's loop.

    idle_timeout: of the server. url: for the client. received: the numbers of the messages that the server
    has received, whether or not its echo arrived.
    """

    def __init__(self, idle_timeout: float) -> None:
        self.url = ""
        self.received: set[int] = set()
        self._idle_timeout = idle_timeout
        self._closes_links = False
        self._server = self._make_server(port=0)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="stage")

    async def __aenter__(self) -> Self:
        # Both before the thread starts, which reports through them.
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._client_loop = asyncio.get_running_loop()
        self._thread.start()
        await self._ready
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        await asyncio.to_thread(self._thread.join)

    async def freeze(self) -> float:
        """Let nothing pass any more, on sockets that stay open. Return when, as all faults do."""
        return await self._call(self._proxy.freeze)

    async def thaw(self) -> float:
        """Let everything pass again, but reset what was frozen, as after a change of network."""

        def thaw() -> None:
            self._proxy.reset()
            self._proxy.thaw()

        return await self._call(thaw)

    async def reset(self) -> float:
        """Break what is connected with a TCP reset."""
        return await self._call(self._proxy.reset)

    async def kill_server(self) -> float:
        """End the server as if its process had been killed; its port refuses."""

        def kill() -> None:
            self._server.abort()
            self._proxy.refuse()

        return await self._call(kill)

    async def restart_server(self) -> float:
        """Start it again on the same port."""

        async def restart() -> None:
            self._server = self._make_server(self._server.port)
            await self._server.__aenter__()
            self._proxy.accept()

        return await self._call(restart)

    async def close_links(self) -> float:
        """Close every link with 1013, those that are open and those to come, as soon as it is accepted."""

        def close_links() -> None:
            self._closes_links = True
            for peer in self._server.connections:
                self._welcome(peer)

        return await self._call(close_links)

    async def keep_links(self) -> float:
        """Accept links again, and keep them open."""

        def keep_links() -> None:
            self._closes_links = False

        return await self._call(keep_links)

    async def hang(self) -> float:
        """Break what is connected, accept connections from now on and answer nothing."""

        def hang() -> None:
            self._proxy.hang()
            self._proxy.reset()

        return await self._call(hang)

    async def answer(self) -> float:
        """Answer handshakes again."""
        return await self._call(self._proxy.accept)

    # On the thread

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        try:
            await self._server.__aenter__()
            async with FaultProxy(self._server.host, self._server.port) as self._proxy:
                self.url = self._proxy.url()
                self._client_loop.call_soon_threadsafe(self._ready.set_result, None)
                await self._done.wait()
            await self._server.close()
        except Exception as error:
            if self._ready.done():
                raise
            self._client_loop.call_soon_threadsafe(self._ready.set_exception, error)

    def _make_server(self, port: int) -> Server:
        return serve(self._echo, port=port, on_open=self._welcome, idle_timeout=self._idle_timeout)

    def _welcome(self, peer: Peer) -> None:
        if self._closes_links:
            peer.close(1013, "try again later")

    def _echo(self, peer: Peer, message: Message) -> None:
        self.received.add(int(message.split()[0]))
        peer.send(message)

    async def _call(self, change: Callable[[], Awaitable[None] | None]) -> float:
        """Call a function on the thread; return when, by the clock that both loops use."""

        async def do() -> float:
            now = time.monotonic()
            pending = change()
            if pending is not None:
                await pending
            return now

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(do(), self._loop))
