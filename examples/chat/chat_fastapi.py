"""How does a chat look with FastAPI?  uvicorn chat_fastapi:app --ws-ping-interval 0"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, WebSocket
from fastapi.staticfiles import StaticFiles

from websocket_heartbeat.server import Hub

hub = Hub(dismissal="dismissed")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with hub.send_away_on_sigterm(over=20):
        yield


app = FastAPI(lifespan=lifespan)
app.add_middleware(hub.asgi)


@app.websocket("/chat/{name}")
async def chat(websocket: WebSocket, name: str) -> None:
    hub.user(name).dismiss("the chat is open elsewhere")
    async with hub.accept(websocket, principal=name) as peer:
        peer.join("chat")
        async for message in peer:
            hub.room("chat").send(f"{name}: {json.loads(message)}")


app.mount("/", StaticFiles(directory=Path(__file__).parent / "page", html=True))
