"""How do I talk to a server that answers a heartbeat of its own?  text_heartbeat.py URL"""

import asyncio
import sys

from websocket_heartbeat import Heartbeat, connect


async def main(url: str) -> None:
    heartbeat = Heartbeat(interval=15, timeout=10, message="heartbeat")
    async with connect(url, heartbeat=heartbeat) as connection:
        await connection.send("hello")
        async for message in connection:
            if message != "heartbeat":  # the answers to ours are messages like any other
                print(message)


asyncio.run(main(sys.argv[1]))
