"""websocket-heartbeat, with sessions in SQLite, and without."""

import asyncio
import sys
from typing import Any

from benchmarks.delivery.job import Job, ready
from websocket_heartbeat import Backoff, Heartbeat, connect
from websocket_heartbeat.server import Hub, Peer, serve


async def client(job: Job, session: bool) -> None:
    async with connect(
        job.url,
        session="require" if session else "off",
        heartbeat=Heartbeat(1, 1),
        backoff=Backoff(initial=0.1, maximum=1),
        proxy=None,
    ) as connection:
        connection.on_message = job.received
        job.attach(connection.send)
        await job.run()


async def server(job: Job, session: bool) -> None:
    async def opened(peer: Peer) -> None:
        async def send(text: str) -> None:
            await peer.drain()
            if peer.session is None:
                peer.send(text)
            else:
                await hub.send(peer.session, text)

        job.attach(send)

    def handle(peer: Peer, message: Any) -> None:
        job.received(message)

    sessions = f"sqlite:///{job.folder / 's.db'}" if session else None
    hub = Hub(on_message=handle, on_open=opened, sessions=sessions)
    async with serve(hub=hub) as running:
        ready(running.port)
        await job.run()
    await hub.close()


if __name__ == "__main__":
    role, kind = sys.argv[2:]
    asyncio.run((client if role == "client" else server)(Job(), kind == "session"))
