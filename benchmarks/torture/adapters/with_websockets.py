"""websockets: `async for websocket in connect(...)`, as its documentation recommends for reconnection."""

from websockets.asyncio.client import connect, process_exception  # type: ignore[attr-defined]
from websockets.exceptions import ConnectionClosed

from benchmarks.torture.user import User


async def run(user: User) -> None:
    def note(error: Exception) -> Exception | None:
        user.failed(error)
        return process_exception(error)

    async for websocket in connect(
        user.url,
        ping_interval=user.interval,
        ping_timeout=user.timeout,
        open_timeout=user.open_timeout,
        close_timeout=user.close_timeout,
        additional_headers=user.headers,
        process_exception=note,
        proxy=None,
    ):
        user.opened(websocket.send)
        try:
            await user.do_errands(websocket.send)
            if user.errands:
                await websocket.close()
                return
            await user.log_in(websocket.send, websocket.recv)
            async for message in websocket:
                await user.message(message)
                if await user.leave(websocket.close):
                    return
            user.lost(f"{websocket.close_code} {websocket.close_reason}")
        except (ConnectionClosed, PermissionError) as closed:
            user.lost(closed)
