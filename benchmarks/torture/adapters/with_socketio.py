"""python-socketio: AsyncClient with reconnection, over WebSocket alone; the server sends the pings."""

from typing import Any

import socketio

from benchmarks.torture.user import User


async def run(user: User) -> None:
    client = socketio.AsyncClient(
        reconnection=True, reconnection_delay=1, request_timeout=user.open_timeout, handle_sigint=False
    )

    async def send(text: str) -> None:
        await client.emit("m", text)

    @client.event
    async def connect() -> None:
        user.opened(send, client.disconnect)

    @client.event
    async def disconnect(reason: Any = "") -> None:
        user.lost(reason)

    @client.event
    async def connect_error(data: Any) -> None:
        user.failed(data)

    @client.on("m")
    async def message(text: str) -> None:
        await user.message(text)

    await client.connect(
        user.url, headers=user.headers, transports=["websocket"], wait_timeout=user.open_timeout, retry=True
    )
    while not user.closing:
        await client.wait()
