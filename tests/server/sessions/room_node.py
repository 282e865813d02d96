"""A node, as a process of its own: each of its peers is in the room "r" once it has asked for that.

Argument: the store. Prints its port.
"""

import asyncio
import sys

from websocket_heartbeat.server import Hub, Peer, serve


def on_message(peer: Peer, message: object) -> None:
    peer.join("r")
    peer.send(f"joined {message!r}")


async def main(store: str) -> None:
    hub = Hub(sessions=store, on_message=on_message, session_ttl=30)
    async with serve(hub=hub) as server:
        print(server.port, flush=True)
        await asyncio.Event().wait()


asyncio.run(main(sys.argv[1]))
