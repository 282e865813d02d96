"""A node of Django Channels, a process of its own: each consumer is in the group "all", and sends what comes.

Arguments: the store, and "ours" or "redis" for the channel layer. Prints its port.
"""

import asyncio
import sys
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.routing import URLRouter
from django.conf import settings
from django.urls import path
from tests.server.frameworks.serving import serving

from websocket_heartbeat.server import Hub


class Member(AsyncWebsocketConsumer):
    groups = ("all",)

    @property
    def is_slow(self) -> bool:
        """Whether it takes its time, to let its client in and for each message, and says when that begins."""
        return bool(self.scope["query_string"] == b"slow")

    async def connect(self) -> None:
        if self.is_slow:
            print('{"joined": true}', flush=True)
            await asyncio.sleep(2)
        await self.accept()
        await self.send(text_data="connected")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data == "sleep":
            await asyncio.sleep(0.5)
        else:
            await self.channel_layer.group_add(text_data, self.channel_name)
        await self.send(text_data=f"done {text_data}")

    async def news(self, event: dict[str, Any]) -> None:
        if self.is_slow:
            await asyncio.sleep(0.3)  # what it has of the session is written meanwhile
            print('{"first": true}', flush=True)
            await asyncio.sleep(600)
        await self.send(text_data=event["text"])


class BlockingMember(WebsocketConsumer):
    groups = ("all",)

    def news(self, event: dict[str, Any]) -> None:
        self.send(text_data=event["text"])


def configure(hub: Hub, layer: str, store: str) -> None:
    """Have Channels use a layer."""
    if layer == "ours":
        backend = {"BACKEND": "websocket_heartbeat.channels.ChannelLayer", "CONFIG": {"hub": hub}}
    else:
        # redis-py 8 gives up reading after 5 s by itself, and channels_redis 4.3 waits as long for a message.
        place = {"address": store.replace("valkey://", "redis://"), "socket_timeout": None}
        backend = {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [place]}}
    settings.configure(SECRET_KEY="none", CHANNEL_LAYERS={"default": backend})


async def main(store: str, layer: str) -> None:
    hub = Hub(sessions=store, session_ttl=30)
    configure(hub, layer, store)
    routes = URLRouter(
        [
            path("", Member.as_asgi()),
            path("blocking", BlockingMember.as_asgi()),
        ]
    )
    async with serving(hub.asgi(routes)) as place:
        print(place.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
