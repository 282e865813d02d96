"""What runs on each of the two hosts of test_namespaces.py: `host.py NAMESPACE serve|connect URL`."""

import asyncio
import json
import sys
import time

from pyroute2 import netns

from websocket_heartbeat import Backoff, Heartbeat, connect
from websocket_heartbeat.server import serve

ADDRESS = "192.0.2.1"
"""The server's: RFC 5737 keeps this network free for examples."""
PORT = 8765


def tell(event: str, reason: str = "") -> None:
    print(json.dumps({"at": time.monotonic(), "event": event, "reason": reason}), flush=True)


async def run_server() -> None:
    # At the end peers whose address is gone are not waited for.
    async with serve(host=ADDRESS, port=PORT, close_timeout=0.5):
        tell("serving")
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def run_client(interval: float, timeout: float) -> None:
    async with connect(
        f"ws://{ADDRESS}:{PORT}/",
        heartbeat=Heartbeat(interval, timeout),
        backoff=Backoff(initial=0.1, maximum=0.5),
        open_timeout=1,
        proxy=None,
    ) as connection:
        connection.on_open = lambda event: tell("open")
        connection.on_close = lambda event: tell("close", event.reason)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    netns.setns(sys.argv[1])
    if sys.argv[2] == "serve":
        asyncio.run(run_server())
    else:
        asyncio.run(run_client(float(sys.argv[3]), float(sys.argv[4])))
