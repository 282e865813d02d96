"""websocket-heartbeat, as its README shows it."""

import ssl

from benchmarks.torture.user import User
from websocket_heartbeat import ConnectionFailed, Heartbeat, connect


async def run(user: User) -> None:
    connection = connect(
        user.url,
        heartbeat=Heartbeat(user.interval, user.timeout),
        open_timeout=user.open_timeout,
        close_timeout=user.close_timeout,
        additional_headers=user.headers,
        ssl=ssl.create_default_context() if user.url.startswith("wss") else None,
        proxy=None,
    )
    connection.on_open = lambda event: user.opened()
    connection.on_close = lambda event: user.lost(event.reason)
    connection.on_error = user.failed
    if user.options.get("callbacks"):
        connection.on_message = user.message
    user.send = connection.send
    async with connection:
        try:
            async for message in connection:
                await user.message(message)
                if await user.leave(connection.close):
                    break
        except ConnectionFailed as failed:
            user.failed(failed.__cause__ or failed)
