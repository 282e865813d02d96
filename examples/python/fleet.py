"""How do I hold thousands of connections?  fleet.py URL COUNT"""

import asyncio
import sys

from websocket_heartbeat import Connection, Fleet, Heartbeat, Message, connect


async def main(url: str, count: int) -> None:
    def show(connection: Connection, message: Message) -> None:
        print(message)

    async with Fleet(open_rate=500, on_message=show) as fleet:
        for number in range(count):
            connection = fleet.add(connect(url, heartbeat=Heartbeat(interval=30)))
            await connection.send(f"hello from {number}")
        while True:
            await asyncio.sleep(10)
            print(dict(fleet.states), fleet.stats)


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
