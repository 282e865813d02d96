"""How do I talk to a server that answers a heartbeat of its own?  text_heartbeat.py URL"""

import asyncio
import sys

from websocket_heartbeat import Dialect, Heartbeat, connect


async def main(url: str) -> None:
    heartbeat = Heartbeat(interval=15, timeout=10, message=Dialect("heartbeat", "heartbeat"))
    async with connect(url, heartbeat=heartbeat) as connection:
        await connection.send("hello")
        async for message in connection:
            print(message)  # no answer to a heartbeat comes here


asyncio.run(main(sys.argv[1]))
