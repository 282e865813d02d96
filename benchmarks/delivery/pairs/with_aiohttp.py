"""aiohttp: `ws_connect` with a heartbeat, in a loop written by hand, as it has none."""

import asyncio
import sys

import aiohttp
from aiohttp import web

from benchmarks.delivery.job import Job, ready


async def client(job: Job) -> None:
    async def talk() -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(sock_connect=2)) as session:
            while True:
                try:
                    async with session.ws_connect(job.url, heartbeat=2) as websocket:
                        job.attach(websocket.send_str)
                        try:
                            async for message in websocket:
                                job.received(message.data)
                        finally:
                            job.detach(websocket.send_str)
                except (aiohttp.ClientError, OSError):
                    pass
                await asyncio.sleep(0.1)

    talking = asyncio.create_task(talk())
    await job.run()
    talking.cancel()


async def server(job: Job) -> None:
    async def handle(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(heartbeat=2)
        await websocket.prepare(request)
        job.attach(websocket.send_str)
        try:
            async for message in websocket:
                job.received(message.data)
        finally:
            job.detach(websocket.send_str)
        return websocket

    application = web.Application()
    application.router.add_get("/", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    ready(runner.addresses[0][1])
    await job.run()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run((client if sys.argv[2] == "client" else server)(Job()))
