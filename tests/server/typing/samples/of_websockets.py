"""The hub with websockets."""

import websockets
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from websocket_heartbeat.server import Hub, Peer

hub = Hub()


async def on_peer(peer: Peer) -> None:
    async for message in peer:
        peer.send(message)


async def refuse(connection: ServerConnection, request: Request) -> Response | None:
    return await hub.refuse(connection, request)


async def main() -> None:
    async with websockets.serve(
        hub.websockets(on_peer), "", 1, process_request=hub.refuse, ping_interval=None
    ):
        pass
    async with serve(hub.websockets(), "", 1, process_request=refuse):
        pass
