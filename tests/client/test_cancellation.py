"""The user's task is cancelled at each await at which anything of the client stands, one run for each."""

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any

import pytest
from tests.client.conftest import PATIENCE, Run, until
from tests.engines import peers
from tests.engines.peers import CLOSE, PING, PONG, TEXT, Peer, frame, raw_server

from websocket_heartbeat import Backoff, Connection, Heartbeat, OpenEvent, connect

FEWEST = 15
"""Awaits in the life below; fewer would mean that they are not seen."""


class Awaits:
    """Counts the awaits that suspend any task but the server's, and cancels the victim at one of them."""

    def __init__(self, stop_at: int) -> None:
        self.count = 0
        self.stop_at = stop_at
        self.victim: asyncio.Task[None] | None = None

    def factory(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
        if coroutine.cr_code.co_filename != peers.__file__:
            coroutine = self.counted(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

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
                assert self.victim is not None
                # Not from within: a task that cancels itself sees it at its next await.
                asyncio.get_running_loop().call_soon(self.victim.cancel)
            error = None
            try:
                yield awaited
            except BaseException as thrown:
                error = thrown


class Server:
    """Greets each link, echoes, answers pings and close frames, resets the link when told to."""

    def __init__(self) -> None:
        self.connections = 0

    async def serve(self, peer: Peer) -> None:
        self.connections += 1
        try:
            await peer.read_request()
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


@pytest.mark.parametrize("engine", ["picows", "websockets", "aiohttp"])
def test_cancelled_at_each_await_of_the_client_the_user_s_task_ends_and_nothing_stays_open(
    engine: str, run: Run
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        serving = Server()
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
                    close_timeout=2 * PATIENCE,
                )
                awaits = Awaits(stop_at)
                loop.set_task_factory(awaits.factory)
                task = awaits.victim = asyncio.create_task(live(connection))
                await asyncio.wait([task], timeout=PATIENCE)
                loop.set_task_factory(None)
                is_reached = awaits.count >= stop_at
                assert task.done(), f"cancelled at await {stop_at}, it goes on"
                # At the last awaits, those of its own end, it may end before the cancellation comes.
                assert task.cancelled() or task.exception() is None
                assert connection.state in ("closed", "idle")
                await until(lambda: serving.connections == 0)
            assert stop_at > FEWEST

    run(main())
