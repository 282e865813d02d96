"""How does a chat look with aiohttp?  python chat_aiohttp.py [port]"""

import functools
import json
import sys
from pathlib import Path

from aiohttp import web

from websocket_heartbeat.server import Hub

PAGE = Path(__file__).parent / "page"
hub = Hub(dismissal="dismissed")


async def chat(request: web.Request) -> web.WebSocketResponse:
    name = request.match_info["name"]
    hub.user(name).dismiss("the chat is open elsewhere")
    async with hub.aiohttp(request, principal=name) as peer:
        peer.join("chat")
        async for message in peer:
            hub.room("chat").send(f"{name}: {json.loads(message)}")
    return peer.response


async def page(request: web.Request) -> web.FileResponse:
    return web.FileResponse(PAGE / "index.html")


app = web.Application()
app.router.add_get("/chat/{name}", chat)
app.router.add_get("/", page)
app.router.add_static("/", PAGE)
app.on_shutdown.append(functools.partial(hub.on_shutdown, over=20))

if __name__ == "__main__":
    web.run_app(app, port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
