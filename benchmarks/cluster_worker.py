"""A worker of benchmarks/cluster.py, a process of its own: `python -m benchmarks.cluster_worker NAME VALKEY`.

Whoever sends it a message gets BURST messages, each by way of Valkey. Prints its port; serves until killed.
As "idle" it has sessions without sockets, and prints its memory once it has as many as a line of input says.
"""

import asyncio
import gc
import os
import sys
from pathlib import Path
from typing import Any

from websocket_heartbeat.engines.memory import MemoryPeer
from websocket_heartbeat.server import Hub, Peer, Refusal, Request, serve

BURST = 50
"""Less than the 100 that channels_redis keeps for a channel."""
TEXT = "x" * 64

_HELLO = '{"hello":1,"window":[256,1048576],"max":1048576,"binary":true}'


async def ours(store: str) -> None:
    """Serve a hub whose sessions are there."""

    def on_message(peer: Peer, message: Any) -> None:
        for _ in range(BURST):
            peer.send(TEXT)

    async with serve(hub=Hub(sessions=store, on_message=on_message)) as server:
        print(server.port, flush=True)
        await asyncio.get_running_loop().create_future()


async def socketio(store: str) -> None:
    """Serve python-socketio, which emits by its Redis manager."""
    import socketio

    manager = socketio.AsyncRedisManager(store.replace("valkey", "redis"))
    server = socketio.AsyncServer(async_mode="asgi", client_manager=manager)

    async def message(sid: str, data: Any) -> None:
        for _ in range(BURST):
            await server.emit("message", TEXT, to=sid)

    server.on("message", message)
    await _uvicorn(socketio.ASGIApp(server))


async def channels(store: str) -> None:
    """Serve Channels with channels_redis: each consumer is sent to by its channel."""
    from channels.generic.websocket import AsyncWebsocketConsumer
    from django.conf import settings

    backend = "channels_redis.core.RedisChannelLayer"
    # redis-py 8 gives up reading after 5 s by itself, and channels_redis 4.3 waits as long for a message.
    config = {"hosts": [{"address": store.replace("valkey", "redis"), "socket_timeout": None}]}
    settings.configure(SECRET_KEY="none", CHANNEL_LAYERS={"default": {"BACKEND": backend, "CONFIG": config}})

    class Consumer(AsyncWebsocketConsumer):
        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            for _ in range(BURST):
                await self.channel_layer.send(self.channel_name, {"type": "news", "text": TEXT})

        async def news(self, event: dict[str, Any]) -> None:
            await self.send(text_data=event["text"])

    await _uvicorn(Consumer.as_asgi())


async def _uvicorn(app: Any) -> None:
    import socket

    import uvicorn

    sock = socket.create_server(("127.0.0.1", 0))
    print(sock.getsockname()[1], flush=True)
    await uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off")).serve(sockets=[sock])


async def idle(store: str) -> None:
    """Have sessions whose links are simulated, as many as each line of input says; print the memory."""
    hub = Hub(sessions=store, on_message=lambda *_: None, session_limit=2**40, idle_timeout=None)
    gate = hub._entrance()
    kept: list[MemoryPeer] = []
    async with hub:
        print(_resident(), flush=True)
        for line in sys.stdin:
            while len(kept) < int(line):
                begun = []
                for _ in range(100):
                    decision = await gate.decide(Request("/", "", (), None))
                    assert not isinstance(decision, Refusal)
                    door = gate.door(decision, "", 2**20)
                    peer = MemoryPeer(door)
                    door.opened(peer.link)
                    peer.send(_HELLO)
                    kept.append(peer)
                    begun.append(door.has_begun())
                await asyncio.gather(*begun)
            print(_resident(), flush=True)


def _resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


WORKERS = {"ours": ours, "socketio": socketio, "channels": channels, "idle": idle}

if __name__ == "__main__":
    asyncio.run(WORKERS[sys.argv[1]](sys.argv[2]))
