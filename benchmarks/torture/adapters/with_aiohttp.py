"""aiohttp: `session.ws_connect` with its heartbeat, whose timeout is always half of the interval."""

import aiohttp

from benchmarks.torture.user import User


async def run(user: User) -> None:
    timeout = aiohttp.ClientTimeout(total=user.open_timeout)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        try:
            async with session.ws_connect(
                user.url,
                # interval + timeout as the others have it: 1.5 times this.
                heartbeat=(user.interval + user.timeout) / 1.5,
                timeout=aiohttp.ClientWSTimeout(ws_close=user.close_timeout),
                headers=user.headers,
            ) as websocket:
                user.opened(websocket.send_str)
                await user.do_errands(websocket.send_str)
                if user.errands:
                    return
                async for message in websocket:
                    if message.type is aiohttp.WSMsgType.ERROR:
                        break
                    await user.message(message.data)
                    if await user.leave(websocket.close):
                        return
                user.lost(websocket.exception() or websocket.close_code or "")
        except aiohttp.ClientError as error:
            user.failed(error)
