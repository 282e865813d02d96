"""websockets: `async for websocket in connect(...)`, as its documentation recommends for reconnection."""

import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from benchmarks.delivery.job import Job, ready


async def client(job: Job) -> None:
    async def talk() -> None:
        async for websocket in connect(job.url, ping_interval=1, ping_timeout=1, open_timeout=2, proxy=None):
            job.attach(websocket.send)
            try:
                async for message in websocket:
                    job.received(message)
            except ConnectionClosed:
                continue
            finally:
                job.detach(websocket.send)

    talking = asyncio.create_task(talk())
    await job.run()
    talking.cancel()


async def server(job: Job) -> None:
    async def handle(websocket: ServerConnection) -> None:
        job.attach(websocket.send)
        try:
            async for message in websocket:
                job.received(message)
        except ConnectionClosed:
            pass
        finally:
            job.detach(websocket.send)

    async with serve(handle, "127.0.0.1", 0, ping_interval=1, ping_timeout=1) as running:
        ready(running.sockets[0].getsockname()[1])
        await job.run()


if __name__ == "__main__":
    asyncio.run((client if sys.argv[2] == "client" else server)(Job()))
