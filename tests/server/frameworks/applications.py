"""The same endpoints in each framework, as its users write them; none of them knows of a heartbeat.

/echo answers each message; after "wait" it does nothing until `Stage.go` is set. /ticks only sends. /fail
raises, /close closes with a code and a reason, /refuse lets nobody in. /peer echoes by `hub.accept`, /late by
the same after the endpoint has accepted by itself, /peer_fails raises within its block.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import channels.generic.websocket
import channels.routing
import django
import django.conf
import django.urls
import fastapi
import quart
import starlette.applications
import starlette.responses
import starlette.routing
from channels.exceptions import StopConsumer
from starlette.websockets import WebSocket as StarletteSocket
from starlette.websockets import WebSocketDisconnect
from tests.server.frameworks.serving import Place, serving

from websocket_heartbeat.server import Hub, Peer

if sys.implementation.name == "cpython":
    import litestar
    import litestar.exceptions

    LitestarSocket: TypeAlias = litestar.WebSocket[Any, Any, Any]

REASON = "because of ü" * 20
"""More than a close frame has room for."""


class Failure(Exception):
    """What endpoints raise."""


@dataclass
class Stage:
    """What the endpoints of a test share with it.

    seen: what endpoints have learned of the end of their clients. peers: those of `hub.accept`.
    """

    hub: Hub
    go: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[Any] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)
    lifespan: list[str] = field(default_factory=list)

    async def answer(self, text: str) -> str:
        if text == "wait":
            await self.go.wait()
        return f"echo {text}"

    async def talk(self, peer: Peer) -> None:
        self.peers.append(peer)
        async for message in peer:
            assert isinstance(message, str)
            peer.send(await self.answer(message))
        self.seen.append((peer.close_code, peer.close_reason))


ACCEPT: dict[str, Any] = {"subprotocol": "chat", "headers": {"X-Test": "yes"}, "principal": "alice"}


# Starlette, and FastAPI, whose WebSocket it is


def _starlette_endpoints(stage: Stage) -> dict[str, Callable[[StarletteSocket], Any]]:
    hub = stage.hub

    async def echo(websocket: StarletteSocket) -> None:
        await websocket.accept(subprotocol="chat" if websocket["subprotocols"] else None)
        try:
            while True:
                await websocket.send_text(await stage.answer(await websocket.receive_text()))
        except WebSocketDisconnect as end:
            stage.seen.append((end.code, end.reason))

    async def ticks(websocket: StarletteSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text("tick")
                await asyncio.sleep(0.01)
        except WebSocketDisconnect as end:
            stage.seen.append(end.code)

    async def fail(websocket: StarletteSocket) -> None:
        await websocket.accept()
        raise Failure

    async def close(websocket: StarletteSocket) -> None:
        await websocket.accept()
        await websocket.close(4001, REASON)

    async def refuse(websocket: StarletteSocket) -> None:
        await websocket.close()

    async def peer(websocket: StarletteSocket) -> None:
        async with hub.accept(websocket, **ACCEPT) as peer:
            await stage.talk(peer)

    async def late(websocket: StarletteSocket) -> None:
        await websocket.accept()
        async with hub.accept(websocket) as peer:
            await stage.talk(peer)

    async def peer_fails(websocket: StarletteSocket) -> None:
        async with hub.accept(websocket):
            raise Failure

    functions = (echo, ticks, fail, close, refuse, peer, late, peer_fails)
    return {f"/{function.__name__}": function for function in functions}


def _starlette(stage: Stage) -> Any:
    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        stage.lifespan.append("begin")
        yield
        stage.lifespan.append("end")

    async def page(request: object) -> starlette.responses.Response:
        return starlette.responses.PlainTextResponse("a page")

    app = starlette.applications.Starlette(
        routes=[
            starlette.routing.Route("/", page),
            *(
                starlette.routing.WebSocketRoute(path, function)
                for path, function in _starlette_endpoints(stage).items()
            ),
        ],
        lifespan=lifespan,
    )
    app.add_middleware(stage.hub.asgi)
    return app


def _fastapi(stage: Stage) -> Any:
    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        stage.lifespan.append("begin")
        yield
        stage.lifespan.append("end")

    app = fastapi.FastAPI(lifespan=lifespan)

    @app.get("/")
    def page() -> fastapi.Response:
        return fastapi.Response("a page")

    async def nobody(websocket: fastapi.WebSocket) -> None:
        raise fastapi.WebSocketException(1008, "not you")

    for path, function in _starlette_endpoints(stage).items():
        needs = [fastapi.Depends(nobody)] if path == "/refuse" else []
        app.add_api_websocket_route(path, function, dependencies=needs)
    app.add_middleware(stage.hub.asgi)
    return app


# Litestar


def _litestar(stage: Stage) -> Any:
    hub = stage.hub

    @litestar.websocket("/echo")
    async def echo(socket: LitestarSocket) -> None:
        await socket.accept(subprotocols="chat" if socket.scope["subprotocols"] else None)
        try:
            while True:
                await socket.send_text(await stage.answer(await socket.receive_text()))
        except litestar.exceptions.WebSocketDisconnect as end:
            stage.seen.append((end.code, ""))

    @litestar.websocket("/ticks")
    async def ticks(socket: LitestarSocket) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send_text("tick")
                await asyncio.sleep(0.01)
        except OSError:
            stage.seen.append(1006)
            raise

    @litestar.websocket("/fail")
    async def fail(socket: LitestarSocket) -> None:
        await socket.accept()
        raise Failure

    @litestar.websocket("/close")
    async def close(socket: LitestarSocket) -> None:
        await socket.accept()
        await socket.close(4001, REASON)

    @litestar.websocket("/refuse")
    async def refuse(socket: LitestarSocket) -> None:
        raise litestar.exceptions.NotAuthorizedException

    @litestar.websocket("/peer")
    async def peer(socket: LitestarSocket) -> None:
        async with hub.accept(socket, **ACCEPT) as peer:
            await stage.talk(peer)

    @litestar.websocket("/late")
    async def late(socket: LitestarSocket) -> None:
        await socket.accept()
        async with hub.accept(socket) as peer:
            await stage.talk(peer)

    @litestar.websocket("/peer_fails")
    async def peer_fails(socket: LitestarSocket) -> None:
        async with hub.accept(socket):
            raise Failure

    @litestar.get("/", sync_to_thread=False)
    def page() -> str:
        return "a page"

    return litestar.Litestar(
        [echo, ticks, fail, close, refuse, peer, late, peer_fails, page],
        middleware=[hub.asgi],
        on_startup=[lambda: stage.lifespan.append("begin")],
        on_shutdown=[lambda: stage.lifespan.append("end")],
        openapi_config=None,
        logging_config=None,
    )


# Quart


def _quart(stage: Stage) -> Any:
    hub = stage.hub
    app = quart.Quart(__name__)
    websocket = quart.websocket

    @app.websocket("/echo")
    async def echo() -> None:
        await websocket.accept(subprotocol="chat" if websocket.requested_subprotocols else None)
        try:
            while True:
                text = await websocket.receive()
                await websocket.send(await stage.answer(str(text)))
        except asyncio.CancelledError:
            stage.seen.append("cancelled")
            raise

    @app.websocket("/ticks")
    async def ticks() -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send("tick")
                await asyncio.sleep(0.01)
        finally:
            stage.seen.append("ended")

    @app.websocket("/fail")
    async def fail() -> None:
        await websocket.accept()
        raise Failure

    @app.websocket("/close")
    async def close() -> None:
        await websocket.accept()
        await websocket.close(4001, REASON)

    @app.websocket("/refuse")
    async def refuse() -> Any:
        return "not you", 401

    @app.websocket("/peer")
    async def peer() -> None:
        async with hub.accept(websocket, **ACCEPT) as peer:
            await stage.talk(peer)

    @app.websocket("/late")
    async def late() -> None:
        await websocket.accept()
        async with hub.accept(websocket) as peer:
            await stage.talk(peer)

    @app.websocket("/peer_fails")
    async def peer_fails() -> None:
        async with hub.accept(websocket):
            raise Failure

    @app.route("/")
    async def page() -> str:
        return "a page"

    @app.before_serving
    async def begin() -> None:
        stage.lifespan.append("begin")

    @app.after_serving
    async def end() -> None:
        stage.lifespan.append("end")

    app.asgi_app = hub.asgi(app.asgi_app)  # type: ignore[method-assign]
    return app


# Django Channels


def _channels(stage: Stage) -> Any:
    hub = stage.hub
    if not django.conf.settings.configured:
        django.conf.settings.configure(SECRET_KEY="none", ALLOWED_HOSTS=["*"])
        django.setup()

    class Consumer(channels.generic.websocket.AsyncWebsocketConsumer):
        async def disconnect(self, code: int) -> None:
            stage.seen.append((code, ""))

    class Echo(Consumer):
        async def connect(self) -> None:
            await self.accept(subprotocol="chat" if self.scope["subprotocols"] else None)

        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            await self.send(text_data=await stage.answer(str(text_data)))

    class Ticks(Consumer):
        async def connect(self) -> None:
            await self.accept()
            try:
                while True:
                    await self.send(text_data="tick")
                    await asyncio.sleep(0.01)
            except OSError:
                stage.seen.append(1006)
                raise

    class Fail(Consumer):
        async def connect(self) -> None:
            await self.accept()
            raise Failure

    class Close(Consumer):
        async def connect(self) -> None:
            await self.accept()
            await self.close(4001, REASON)

    class Refuse(Consumer):
        async def connect(self) -> None:
            await self.close()

    class OfPeer(channels.generic.websocket.AsyncWebsocketConsumer):
        async def connect(self) -> None:
            async with hub.accept(self, **ACCEPT) as peer:
                await stage.talk(peer)

    class Late(channels.generic.websocket.AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            async with hub.accept(self) as peer:
                await stage.talk(peer)
            raise StopConsumer

    class PeerFails(channels.generic.websocket.AsyncWebsocketConsumer):
        async def connect(self) -> None:
            async with hub.accept(self):
                raise Failure

    consumers: dict[str, Any] = {
        "echo": Echo,
        "ticks": Ticks,
        "fail": Fail,
        "close": Close,
        "refuse": Refuse,
        "peer": OfPeer,
        "late": Late,
        "peer_fails": PeerFails,
    }

    async def http(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a page"})

    router = channels.routing.URLRouter(
        [django.urls.path(name, consumer.as_asgi()) for name, consumer in consumers.items()]
    )
    return hub.asgi(channels.routing.ProtocolTypeRouter({"http": http, "websocket": router}))


@asynccontextmanager
async def playing(framework: str, stage: Stage) -> AsyncIterator[Place]:
    """Serve the endpoints in a framework; at the end, close the hub."""
    async with serving(FRAMEWORKS[framework](stage)) as place:
        yield place
    await stage.hub.close()


FRAMEWORKS: dict[str, Callable[[Stage], Any]] = {
    "starlette": _starlette,
    "fastapi": _fastapi,
    "litestar": _litestar,
    "quart": _quart,
    "channels": _channels,
}
