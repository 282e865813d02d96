"""The demo's server, a process, behind its fault proxy, which has a thread with a loop of its own.

So a client that blocks its own loop blocks neither, and a server that is killed is killed.
"""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from websocket_heartbeat.cli.demo import back_end
from websocket_heartbeat.testing import FaultProxy


class Stage:
    """The server, the proxy and the faults of both. All methods are called on the client's loop.

    folder: where the server keeps its sessions and its ledger. idle_timeout: of the server.
    url: for the client.
    """

    def __init__(self, folder: Path, idle_timeout: float) -> None:
        self.url: str = ""
        self._folder = folder
        self._idle_timeout = idle_timeout
        self._lives = 0
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
        """Kill the server's process; its port refuses."""

        async def kill() -> None:
            self._proxy.refuse()
            self._server.kill()
            await self._server.wait()
            self._proxy.reset()

        return await self._call(kill)

    async def restart_server(self) -> float:
        """Start it again."""
        await self._call(self._start_server)
        return await self._call(self._proxy.accept)

    async def close_links(self) -> float:
        """Close every link with 1013, those that are open and those to come, as soon as it is accepted."""
        return await self._call(lambda: self._order(back_end.CLOSE_LINKS))

    async def keep_links(self) -> float:
        """Accept links again, and keep them open."""
        return await self._call(lambda: self._order(back_end.KEEP_LINKS))

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
            port = await self._launch()
            async with FaultProxy("127.0.0.1", port) as self._proxy:
                self.url = self._proxy.url()
                self._client_loop.call_soon_threadsafe(self._ready.set_result, None)
                await self._done.wait()
            assert self._server.stdin is not None
            self._server.stdin.close()
            await self._server.wait()
        except Exception as error:
            if self._ready.done():
                raise
            self._client_loop.call_soon_threadsafe(self._ready.set_exception, error)

    async def _start_server(self) -> None:
        self._proxy.retarget("127.0.0.1", await self._launch())

    async def _launch(self) -> int:
        """Start the server; return its port."""
        self._lives += 1
        self._server = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            f"from {back_end.__name__} import main; main()",
            str(self._folder),
            str(self._lives),
            str(self._idle_timeout),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us alone
        )
        answer = await self._answer()
        if not answer:
            raise OSError("the server of the demo did not start")
        return int(answer)

    async def _order(self, order: str) -> None:
        assert self._server.stdin is not None
        self._server.stdin.write(f"{order}\n".encode())
        await self._answer()

    async def _answer(self) -> bytes:
        assert self._server.stdout is not None
        return await self._server.stdout.readline()

    async def _call(self, change: Callable[[], Awaitable[None] | None]) -> float:
        """Call a function on the thread; return when, by the clock that both loops use."""

        async def do() -> float:
            now = time.monotonic()
            pending = change()
            if pending is not None:
                await pending
            return now

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(do(), self._loop))
