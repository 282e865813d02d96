"""The hub with FastAPI and Starlette."""

from typing import assert_type

from fastapi import FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.routing import Route

from websocket_heartbeat.server import Hub, Peer

hub = Hub()
app = FastAPI()
app.add_middleware(hub.asgi)
other = Starlette()
other.add_middleware(hub.asgi)
app.router.routes.append(Route("/send-away", hub.send_away_app(over=20)))


@app.websocket("/")
async def feed(websocket: WebSocket) -> None:
    async with hub.accept(websocket, subprotocol="a", headers={"a": "b"}, principal="ann") as peer:
        assert_type(peer, Peer)
