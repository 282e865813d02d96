"""A node of benchmarks/shared_rooms.py, a process of its own: each of its clients is a member of the room.

Argument: the store of the sessions. Prints its port, and serves until it is killed.
"""

import asyncio
import sys

from websocket_heartbeat.server import Hub, serve


async def main(store: str) -> None:
    """Serve until killed."""
    hub = Hub(sessions=store, session_ttl=60, on_open=lambda peer: peer.join("room"))
    async with serve(hub=hub) as server:
        print(server.port, flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
