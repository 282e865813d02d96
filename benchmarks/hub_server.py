"""A hub in a process of its own: `python -m benchmarks.hub_server KIND PORT LIMIT`.

KIND: "listener", our own, or "uvicorn". PORT: 0 for a free one. LIMIT: new peers a second, 0 for none.
Prints its port; then, for each line of standard input, what the hub has done and the CPU time of that.
"""

import asyncio
import json
import socket
import sys
import threading
import time
from typing import Any

from benchmarks.processes import SERVER_CORE, pin
from websocket_heartbeat.server import Hub, Peer, serve
from websocket_heartbeat.server.links.endpoint import BACKLOG


def _answer(hub: Hub, loop: asyncio.AbstractEventLoop, end: asyncio.Event) -> None:
    """Answer what is asked, in a thread; the hub is asked in its loop."""

    async def stats() -> dict[str, Any]:
        stats = hub.stats
        return {
            "peers": stats.peers,
            "admitted": stats.admitted,
            "refused": stats.refused["max_new_peers_per_second"],
            "cpu": time.process_time(),
        }

    for _ in sys.stdin:
        print(json.dumps(asyncio.run_coroutine_threadsafe(stats(), loop).result()), flush=True)
    loop.call_soon_threadsafe(end.set)


async def _endpoint(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def _uvicorn(hub: Hub, port: int, end: asyncio.Event) -> None:
    import uvicorn

    sock = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    config = uvicorn.Config(hub.asgi(_endpoint), log_level="critical", lifespan="off", backlog=BACKLOG)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    print(sock.getsockname()[1], flush=True)
    await end.wait()
    server.should_exit = True
    await serving


async def _listener(hub: Hub, port: int, end: asyncio.Event) -> None:
    def ignore(peer: Peer, message: object) -> None:
        pass

    async with serve(ignore, port=port, hub=hub) as server:
        print(server.port, flush=True)
        await end.wait()


async def main(kind: str, port: str, limit: str) -> None:
    """Serve until standard input ends."""
    hub = Hub(max_new_peers_per_second=float(limit) or None)
    end = asyncio.Event()
    arguments = (hub, asyncio.get_running_loop(), end)
    threading.Thread(target=_answer, args=arguments, daemon=True).start()
    await (_uvicorn if kind == "uvicorn" else _listener)(hub, int(port), end)


if __name__ == "__main__":
    pin(SERVER_CORE)
    asyncio.run(main(*sys.argv[1:]))
