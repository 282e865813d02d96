"""The server that stands for example.com in the documentation: `python -m tests.docs.example_server`."""

import asyncio
import json

from websocket_heartbeat import Message
from websocket_heartbeat.server import Hub, Peer, Refusal, Request, serve


def _who(request: Request) -> str | Refusal | None:
    if request.path == "/private":
        known = request.header("Authorization") == "Bearer secret" or "token=secret" in request.query
        return "ann" if known else Refusal(401)
    return None


async def _on_open(peer: Peer) -> None:
    if peer.request.path == "/feed":
        _tasks[peer] = asyncio.create_task(_push(peer))


_tasks: dict[Peer, asyncio.Task[None]] = {}


async def _push(peer: Peer) -> None:
    number = 0
    while not peer.closed:
        number += 1
        peer.send(json.dumps({"symbol": "EURUSD", "price": 1.08 + number / 10000}))
        await asyncio.sleep(0.02)


def _on_message(peer: Peer, message: Message) -> None:
    path = peer.request.path
    if path == "/feed":
        return
    if path == "/rpc":
        asked = json.loads(message)
        peer.send(json.dumps({"id": asked["id"], "result": sum(asked["params"])}))
    elif path == "/login":
        asked = json.loads(message)
        answer = {"op": "login", "ok": asked.get("token") == "secret"} if asked["op"] == "login" else asked
        peer.send(json.dumps(answer))
    else:
        peer.send(message)


def _on_close(peer: Peer, code: int | None, reason: str) -> None:
    if peer in _tasks:
        _tasks.pop(peer).cancel()


async def main() -> None:
    """Serve, and print the port."""
    hub = Hub(sessions="memory", authenticate=_who)
    async with serve(_on_message, on_open=_on_open, on_close=_on_close, hub=hub) as server:
        print(server.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
