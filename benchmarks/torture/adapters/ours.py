"""websocket-heartbeat, as its README shows it."""

import ssl
from typing import Any

from benchmarks.torture.user import User
from websocket_heartbeat import ConnectionFailed, Heartbeat, OpenEvent, connect


async def run(user: User) -> None:
    # Who wants the newest of a feed says so: the link is then read however slow its user is.
    options: dict[str, Any] = {"receive_policy": "drop_oldest"} if user.options.get("newest") else {}
    connection = connect(
        user.url,
        heartbeat=Heartbeat(user.interval, user.timeout),
        open_timeout=user.open_timeout,
        close_timeout=user.close_timeout,
        additional_headers=user.headers,
        ssl=ssl.create_default_context() if user.url.startswith("wss") else None,
        proxy=None,
        **options,
    )

    async def log_in(event: OpenEvent) -> None:
        user.opened()
        await user.log_in(connection.send, connection.recv)

    connection.on_open = log_in if "dialogue" in user.options else lambda event: user.opened()
    connection.on_close = lambda event: user.lost(event.reason)
    connection.on_error = user.failed
    if user.options.get("callbacks"):
        connection.on_message = user.message
    user.send = connection.send
    async with connection:
        try:
            await user.do_errands(connection.send)
            if user.errands:
                return
            async for message in connection:
                await user.message(message)
                if await user.leave(connection.close):
                    break
        except ConnectionFailed as failed:
            user.failed(failed.__cause__ or failed)
