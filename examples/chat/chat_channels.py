"""How does a chat look with Django Channels?  daphne chat_channels:application"""

import json
from pathlib import Path

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.urls import path, re_path
from django.views.static import serve

from websocket_heartbeat.server import Hub

hub = Hub(dismissal="dismissed")


class Chat(AsyncWebsocketConsumer):
    """One client."""

    async def connect(self) -> None:
        name = self.scope["url_route"]["kwargs"]["name"]
        hub.user(name).dismiss("the chat is open elsewhere")
        async with hub.accept(self, principal=name) as peer:
            peer.join("chat")
            async for message in peer:
                hub.room("chat").send(f"{name}: {json.loads(message)}")


# What a project has in settings.py and urls.py.
settings.configure(SECRET_KEY="of the example", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)
django.setup()
files = {"document_root": Path(__file__).parent / "page"}
urlpatterns = [path("", serve, {"path": "index.html", **files}), path("<path:path>", serve, files)]

# And in asgi.py. Before a restart: websocket-heartbeat send-away http://127.0.0.1:8000/send-away
http = URLRouter([path("send-away", hub.send_away_app(over=20)), re_path("", get_asgi_application())])
websocket = URLRouter([path("chat/<name>", Chat.as_asgi())])
application = hub.asgi(ProtocolTypeRouter({"http": http, "websocket": websocket}))
