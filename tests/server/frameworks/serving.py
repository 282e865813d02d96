"""Runs an ASGI application under uvicorn, in this process and on a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from tests.watch import PATIENCE


@dataclass
class Place:
    """Where it listens."""

    port: int
    host: str = "127.0.0.1"

    def url(self, path: str) -> str:
        return f"ws://{self.host}:{self.port}{path}"


@asynccontextmanager
async def serving(app: Any, unix_path: str | None = None, **options: Any) -> AsyncIterator[Place]:
    """Serve the application, at a port or a Unix socket; at the end, wait until its endpoints have ended."""
    if unix_path is None:
        sock = socket.create_server(("127.0.0.1", 0))
    else:
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(unix_path)
    config = uvicorn.Config(app, log_config=None, **options)
    server = uvicorn.Server(config)
    with server.capture_signals():
        # Not `serve`, which would take the signal handlers again for whoever waits.
        task = asyncio.create_task(server._serve(sockets=[sock]))
        try:
            async with asyncio.timeout(PATIENCE):
                while not server.started:
                    await asyncio.sleep(0.002)
                    if task.done():
                        task.result()
            yield Place(0 if unix_path is not None else sock.getsockname()[1])
        finally:
            server.should_exit = True
            async with asyncio.timeout(PATIENCE):
                await task


def socket_app(endpoint: Callable[[WebSocket], Awaitable[None]]) -> Starlette:
    """Return an application of Starlette with one endpoint."""
    return Starlette(routes=[WebSocketRoute("/", endpoint)])
