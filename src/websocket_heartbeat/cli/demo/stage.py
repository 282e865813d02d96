"""What the demo's client talks to: a real server behind the fault proxy, on a thread with a loop of its own.

So a client that blocks its own loop blocks nobody else.
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
    """The server and the proxy, and what can happen to them. All methods are called on the client's loop.

    idle_timeout: of the server. url: for the client. received: the numbers of the messages that the server
    has received, whether or not its echo arrived.
    """

    def __init__(self, idle_timeout: float) -> None:
        self.url = ""
        self.received: set[int] = set()
        self._idle_timeout = idle_timeout
        self._turns_away = False
        self._server = self._make_server(port=0)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="stage")

    async def __aenter__(self) -> Self:
        # The thread makes nothing before it is told where to say that it stands.
        self._standing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._client_loop = asyncio.get_running_loop()
        self._thread.start()
        await self._standing
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        await asyncio.to_thread(self._thread.join)

    async def freeze(self) -> float:
        """Let nothing pass any more, on sockets that stay open. Return when, as all faults do."""
        return await self._happen(self._proxy.freeze)

    async def thaw(self) -> float:
        """Let everything pass again; but what was frozen has no way back, as with a network that was left."""

        def thaw() -> None:
            self._proxy.reset()
            self._proxy.thaw()

        return await self._happen(thaw)

    async def reset(self) -> float:
        """Break what is connected with a TCP reset."""
        return await self._happen(self._proxy.reset)

    async def kill_server(self) -> float:
        """End the server as if its process had been killed; its port refuses."""

        def kill() -> None:
            self._server.abort()
            self._proxy.refuse()

        return await self._happen(kill)

    async def restart_server(self) -> float:
        """Start it again on the same port."""

        async def restart() -> None:
            self._server = self._make_server(self._server.port)
            await self._server.__aenter__()
            self._proxy.accept()

        return await self._happen(restart)

    async def turn_away(self) -> float:
        """Close every link with 1013, those that are open and those to come, as soon as it is accepted."""

        def turn_away() -> None:
            self._turns_away = True
            for peer in self._server.connections:
                self._welcome(peer)

        return await self._happen(turn_away)

    async def let_in(self) -> float:
        """Accept links for good again."""

        def let_in() -> None:
            self._turns_away = False

        return await self._happen(let_in)

    async def hang(self) -> float:
        """Break what is connected, accept connections from now on and answer nothing."""

        def hang() -> None:
            self._proxy.hang()
            self._proxy.reset()

        return await self._happen(hang)

    async def answer(self) -> float:
        """Answer handshakes again."""
        return await self._happen(self._proxy.accept)

    # On the thread

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        try:
            await self._server.__aenter__()
            async with FaultProxy(self._server.host, self._server.port) as self._proxy:
                self.url = self._proxy.url()
                self._client_loop.call_soon_threadsafe(self._standing.set_result, None)
                await self._over.wait()
            await self._server.close()
        except Exception as error:
            if self._standing.done():
                raise
            self._client_loop.call_soon_threadsafe(self._standing.set_exception, error)

    def _make_server(self, port: int) -> Server:
        return serve(self._echo, port=port, on_open=self._welcome, idle_timeout=self._idle_timeout)

    def _welcome(self, peer: Peer) -> None:
        if self._turns_away:
            peer.close(1013, "try again later")

    def _echo(self, peer: Peer, message: Message) -> None:
        self.received.add(int(message.split()[0]))
        peer.send(message)

    async def _happen(self, change: Callable[[], Awaitable[None] | None]) -> float:
        """Do something on the thread; return when it was begun, by the clock that both loops use."""

        async def do() -> float:
            now = time.monotonic()
            pending = change()
            if pending is not None:
                await pending
            return now

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(do(), self._loop))
