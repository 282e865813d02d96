"""httpx-ws: `aconnect_ws` with its keepalive pings."""

import httpx
from httpx_ws import HTTPXWSException, aconnect_ws

from benchmarks.torture.user import User


async def run(user: User) -> None:
    try:
        async with (
            httpx.AsyncClient(timeout=user.open_timeout, follow_redirects=True, trust_env=False) as client,
            aconnect_ws(
                user.url,
                client,
                keepalive_ping_interval_seconds=user.interval,
                keepalive_ping_timeout_seconds=user.timeout,
                headers=user.headers,
            ) as websocket,
        ):
            user.opened(websocket.send_text)
            await user.do_errands(websocket.send_text)
            if user.errands:
                return
            try:
                while True:
                    await user.message(await websocket.receive_text())
                    if await user.leave(websocket.close):
                        return
            except HTTPXWSException as error:
                user.lost(error)
    except (HTTPXWSException, httpx.HTTPError) as error:
        user.failed(error)
