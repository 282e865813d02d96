"""python-socketio, with `emit`, and with `call`, which is sent again until it is acknowledged.

Its server has no connection state recovery.
"""

import asyncio
import sys
from typing import Any

import socketio
from aiohttp import web

from benchmarks.delivery.job import Job, ready


async def until_acknowledged(call: Any, text: str, **options: Any) -> None:
    while True:
        try:
            await call("m", text, timeout=1, **options)
        except socketio.exceptions.TimeoutError:
            continue
        return


async def client(job: Job, acknowledged: bool) -> None:
    end = socketio.AsyncClient(
        reconnection_delay=0.2, reconnection_delay_max=1, request_timeout=2, handle_sigint=False
    )

    async def send(text: str) -> None:
        if acknowledged:
            await until_acknowledged(end.call, text)
        else:
            await end.emit("m", text)

    @end.event
    async def connect() -> None:
        job.attach(send)

    @end.event
    async def disconnect(reason: Any = "") -> None:
        job.detach()

    @end.on("m")
    async def message(text: str) -> None:
        job.received(text)

    await end.connect(job.http_url, transports=["websocket"], retry=True)
    await job.run()
    await end.shutdown()


async def server(job: Job, acknowledged: bool) -> None:
    end = socketio.AsyncServer(async_mode="aiohttp", ping_interval=1, ping_timeout=1)
    senders: dict[str, Any] = {}

    @end.event
    async def connect(sid: str, environ: Any) -> None:
        async def send(text: str) -> None:
            if sid not in senders:
                raise ConnectionError
            if acknowledged:
                await end.call("m", text, to=sid, timeout=1)
            else:
                await end.emit("m", text, to=sid)

        senders[sid] = send
        job.attach(send)

    @end.event
    async def disconnect(sid: str, reason: Any = "") -> None:
        job.detach(senders.pop(sid, None) or send_nothing)

    @end.on("m")
    async def message(sid: str, text: str) -> None:
        job.received(text)

    application = web.Application()
    end.attach(application)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ready(runner.addresses[0][1])
    await job.run()
    await runner.cleanup()


async def send_nothing(text: str) -> None:
    """Stand for the link of a client that was gone before it came."""


if __name__ == "__main__":
    role, kind = sys.argv[2:]
    asyncio.run((client if role == "client" else server)(Job(), kind == "acknowledged"))
