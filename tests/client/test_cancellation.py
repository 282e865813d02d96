"""The user's task is cancelled at each await at which anything of the client stands, one run for each."""

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any

import pytest
from tests.engines import peers
from tests.engines.peers import CLOSE, PING, PONG, TEXT, Peer, frame, raw_server
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Backoff, Connection, ConnectionFailed, Heartbeat, OpenEvent, connect

FEWEST = {False: 15, True: 3}
"""Awaits in the life below, by whether the server is silent; fewer would mean that they are not seen."""


class Awaits:
    """Counts the awaits that suspend any task but the server's, and cancels the victim at one of them."""

    def __init__(self, stop_at: int) -> None:
        self.count = 0
        self.stop_at = stop_at
        self.victim: asyncio.Task[None] | None = None
        self.is_cancelled = False

    def factory(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
        if coroutine.cr_code.co_filename == peers.__file__:
            return asyncio.Task(coroutine, loop=loop, **options)
        task = asyncio.Task(self.counted(coroutine), loop=loop, **options)
        # A task cancelled before its first step never awaits it, of which Python would warn.
        task.add_done_callback(lambda _: coroutine.close())
        return task

    def cancel(self) -> None:
        assert self.victim is not None
        self.is_cancelled = self.victim.cancel()  # False, if it has ended meanwhile

    async def counted(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return await self._steps(coroutine)

    @types.coroutine
    def _steps(self, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        error: BaseException | None = None
        while True:
            try:
                awaited = coroutine.send(None) if error is None else coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
            self.count += 1
            if self.count == self.stop_at:
                # Not from within: a task that cancels itself sees it at its next await.
                asyncio.get_running_loop().call_soon(self.cancel)
            error = None
            try:
                yield awaited
            except BaseException as thrown:
                error = thrown


class Server:
    """Greets each link, echoes, answers pings and close frames, resets when told to. Or it is silent."""

    def __init__(self, is_silent: bool) -> None:
        self.is_silent = is_silent
        self.connections = 0

    async def serve(self, peer: Peer) -> None:
        self.connections += 1
        try:
            await peer.read_request()
            if self.is_silent:
                await peer.gone()
            peer.write(peer.response() + frame(TEXT, b"hello"))
            await answer(peer)
        finally:
            self.connections -= 1


async def answer(peer: Peer) -> None:
    while True:
        got = await peer.read_frame()
        if got.payload == b"reset":
            peer.reset()
            return
        if got.opcode == CLOSE:
            peer.write(frame(CLOSE, got.payload))
            return
        peer.write(frame(PONG if got.opcode == PING else TEXT, got.payload))


async def headers() -> dict[str, str]:
    await asyncio.sleep(0)
    return {}


async def live(connection: Connection) -> None:
    """Use everything that can be awaited, over two links."""

    @connection.on_open
    async def subscribe(event: OpenEvent) -> None:
        await asyncio.sleep(0)
        await connection.send("subscribe")

    async with connection:
        await connection.wait_open()
        assert await connection.recv() == "hello"
        assert await connection.recv() == "subscribe"
        await connection.drain()
        await connection.send("reset")
        assert await connection.recv() == "hello"
        async for message in connection:
            assert message == "subscribe"
            break
        await connection.close()
        await connection.wait_closed()


@pytest.mark.parametrize("is_silent", FEWEST)
@pytest.mark.parametrize("engine", ["websockets", "aiohttp"])
def test_cancelled_at_each_await_of_the_client_the_user_s_task_ends_and_nothing_stays_open(
    engine: str, is_silent: bool, run: Run
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        serving = Server(is_silent)
        async with raw_server(serving.serve) as server:
            stop_at = 0
            is_reached = True
            while is_reached:
                stop_at += 1
                connection = connect(
                    server.url().replace("127.0.0.1", "localhost"),
                    engine=engine,
                    proxy=None,
                    additional_headers=headers,
                    heartbeat=Heartbeat(60, 60),
                    backoff=Backoff(0.001, 1, 30),
                    open_timeout=0.2 if is_silent else PATIENCE,
                    max_retries=0 if is_silent else None,
                    close_timeout=2 * PATIENCE,
                )
                awaits = Awaits(stop_at)
                loop.set_task_factory(awaits.factory)
                task = awaits.victim = asyncio.create_task(live(connection))
                await asyncio.wait([task], timeout=PATIENCE)
                loop.set_task_factory(None)
                is_reached = awaits.count >= stop_at
                assert task.done(), f"cancelled at await {stop_at}, it goes on"
                assert task.cancelled() is awaits.is_cancelled
                failed = None if task.cancelled() else task.exception()
                assert failed is None or (is_silent and isinstance(failed, ConnectionFailed))
                assert connection.state in ("closed", "idle", "failed")
                await until(lambda: serving.connections == 0)
            assert stop_at > FEWEST[is_silent]

    run(main())
