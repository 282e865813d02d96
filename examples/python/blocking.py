"""How do I use it without asyncio?  blocking.py URL"""

import sys

from websocket_heartbeat.sync import connect

with connect(sys.argv[1]) as connection:
    connection.send("hello")
    for message in connection:
        print(message)
        break
