"""How do I receive messages from a server for as long as my program runs?  feed.py URL"""

import asyncio
import sys

from websocket_heartbeat import CloseEvent, OpenEvent, connect


async def main(url: str) -> None:
    async with connect(url) as connection:

        @connection.on_open
        async def subscribe(link: OpenEvent) -> None:
            # On the first link and on every later one, before anything that waits in the queue.
            await connection.send("subscribe")

        @connection.on_close
        def gone(event: CloseEvent) -> None:
            print(f"link {event.link} is gone: {event.reason}")

        async for message in connection:
            print(message)


asyncio.run(main(sys.argv[1]))
