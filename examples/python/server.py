"""How does a back end answer heartbeats, drop silent clients and restart politely?  server.py"""

import asyncio
import contextlib
import signal

from websocket_heartbeat import Message
from websocket_heartbeat.server import Peer, serve


def answer(peer: Peer, message: Message) -> None:
    peer.send(f"you said: {message!r}")


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serve(answer, heartbeat="heartbeat", idle_timeout=60) as server:
        print(server.url("/"), flush=True)
        await stop.wait()
        # Each client is told its own delay before it comes back, spread over ten seconds.
        await server.send_away(over=10, reason="restarting")


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
