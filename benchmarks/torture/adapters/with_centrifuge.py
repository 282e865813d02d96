"""centrifuge-python: Client with event handlers; the server sends the pings, and picks the channel."""

import asyncio
from typing import Any

from centrifuge import Client, ClientEventHandler

from benchmarks.torture.user import User


class Events(ClientEventHandler):
    def __init__(self, user: User) -> None:
        self.user = user
        self.was_open = False

    async def on_connected(self, ctx: Any) -> None:
        self.was_open = True
        self.user.opened()

    async def on_connecting(self, ctx: Any) -> None:
        if self.was_open:
            self.was_open = False
            self.user.lost(f"{ctx.code} {ctx.reason}")

    async def on_disconnected(self, ctx: Any) -> None:
        self.user.lost(f"{ctx.code} {ctx.reason}")

    async def on_error(self, ctx: Any) -> None:
        self.user.failed(ctx.error)

    async def on_publication(self, ctx: Any) -> None:
        await self.user.message(ctx.pub.data)


async def run(user: User) -> None:
    client = Client(
        user.url,
        events=Events(user),
        timeout=user.open_timeout,
        max_server_ping_delay=user.timeout,
        headers=user.headers,
        proxy=None,
    )

    async def send(text: str) -> None:
        await client.publish("c", text, timeout=60)

    user.send, user.close = send, client.disconnect
    try:
        await client.connect()
        await asyncio.Event().wait()
    finally:
        await client.disconnect()
